"""ProductionErrorHandler: what may be tried again is, within limits; all else says what to do."""

from openai import OpenAI

from antiphon.client import (
    AuthenticationFailed,
    BadRequest,
    Client,
    ClientError,
    ConnectionFailed,
    QuotaExceeded,
    RateLimited,
    RetrySettings,
    ServerFailed,
)


def ask(client: Client, question: str, temperature: float = 1.0) -> str:
    try:
        return client.create(model="gpt-5", input=question, temperature=temperature).output_text
    except AuthenticationFailed as error:
        raise SystemExit(str(error)) from None  # no request will do better
    except BadRequest as error:
        return f"{error.param} is wrong: {error.message}"
    except QuotaExceeded:
        return "The money is used up: waiting does not help."
    except RateLimited as error:
        return f"Too fast, even after {error.attempts} attempts; again in {error.retry_after} s."
    except (ServerFailed, ConnectionFailed) as error:
        return f"Nobody could answer after {error.attempts} attempts: {error.message}"
    except ClientError as error:  # the rest of the tree: streams that broke, deadlines
        return str(error)


if __name__ == "__main__":
    with Client(OpenAI(), retry=RetrySettings(attempts=4, base=0.5, longest=60)) as client:
        print(ask(client, "Hello"))
        print(ask(client, "Hello", temperature=3))
