"""A Response as a chat completion.

The text of all messages is one content, as `output_text` of the SDKs joins it; calls follow in their order. What hosted
tools did is not told, save for the web pages that the text cites. A response that failed is no completion: `failure_of`
says which error it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from antiphon.wire.chat_completion import (
    CalledCustomTool,
    CalledTool,
    ChatChoice,
    ChatCompletion,
    ChatCompletionMessage,
    ChatLogprobs,
    ChatModeration,
    ChatModerationResults,
    ChatTokenLogprob,
    ChatTopLogprob,
    ChatUsage,
    CitedURL,
    CompletionTokensDetails,
    CustomDelta,
    FinishReason,
    FunctionDelta,
    PromptTokensDetails,
    ToolCall,
    URLAnnotation,
)
from antiphon.wire.content import Logprob, OutputText, Part, Refusal, TopLogprob, UrlCitation
from antiphon.wire.errors import APIError, InvalidRequest, QuotaExceeded, RateLimited, ServerError
from antiphon.wire.items import CustomToolCall, FunctionCall, Item, Message, Reasoning
from antiphon.wire.moderation import ModerationError, ModerationResult
from antiphon.wire.response import Response, ResponseError, Usage
from antiphon.wire.struct import UNSET, Maybe, UnsetType

__all__ = [
    "annotations_of",
    "chat_logprobs",
    "completion_id",
    "completion_of",
    "failure_of",
    "finish_reason_of",
    "moderation_of",
    "response_id",
    "usage_of",
]

_PREFIX: Final = "chatcmpl-"
_RESPONSE: Final = "resp_"


def completion_id(response: str) -> str:
    """The id of the completion that a response is told as."""
    return _PREFIX + response.removeprefix(_RESPONSE)


def response_id(completion: str) -> str:
    """The id of the response behind a completion; of one that is none, an id that no response has."""
    return _RESPONSE + completion.removeprefix(_PREFIX) if completion.startswith(_PREFIX) else ""


def completion_of(
    response: Response, *, legacy: bool = False, metadata: Maybe[dict[str, str]] = UNSET
) -> ChatCompletion:
    """The completion that a response is. `legacy`: calls are told as the `function_call` that `functions` ask for."""
    message, logprobs = _message(response.output, legacy=legacy)
    reason = finish_reason_of(response, legacy=legacy)
    choice = ChatChoice(message=message, logprobs=chat_logprobs(logprobs), finish_reason=reason)
    return ChatCompletion(
        id=completion_id(response.id),
        created=int(response.created_at),
        model=response.model,
        service_tier=response.service_tier,
        choices=[choice],
        usage=usage_of(response.usage),
        metadata=metadata,
        moderation=moderation_of(response),
    )


def _message(output: Sequence[Item], *, legacy: bool) -> tuple[ChatCompletionMessage, list[Logprob]]:
    parts = parts_of(output)
    texts = [part for part in parts if isinstance(part, OutputText)]
    content = "".join(part.text for part in texts)
    refusal = "".join(part.refusal for part in parts if isinstance(part, Refusal))
    calls = calls_of(output)
    message = ChatCompletionMessage(
        content=content if content or not (refusal or calls) else None,
        refusal=refusal or None,
        annotations=annotations_of(output),
        reasoning_content=reasoning_of(output) or UNSET,
    )
    if calls and legacy and isinstance(calls[0], CalledTool):
        message.function_call = calls[0].function
    elif calls:
        message.tool_calls = calls
    return message, [each for part in texts for each in part.logprobs or ()]


def parts_of(output: Sequence[Item]) -> list[Part]:
    """All that was said, in order."""
    messages = [item for item in output if isinstance(item, Message)]
    return [part for message in messages if isinstance(message.content, list) for part in message.content]


def calls_of(output: Sequence[Item]) -> list[ToolCall]:
    """The calls that the client is to answer."""
    return [_call(item) for item in output if isinstance(item, FunctionCall | CustomToolCall)]


def _call(call: FunctionCall | CustomToolCall) -> ToolCall:
    match call:
        case FunctionCall():
            return CalledTool(id=call.call_id, function=FunctionDelta(name=call.name, arguments=call.arguments))
    return CalledCustomTool(id=call.call_id, custom=CustomDelta(name=call.name, input=call.input))


def reasoning_of(output: Sequence[Item]) -> str:
    """What the model thought, as far as it is told: summaries and its own words. Parts are paragraphs."""
    texts = []
    for item in output:
        if isinstance(item, Reasoning):
            texts += [part.text for part in [*item.summary, *(item.content or ())] if part.text]
    return PARAGRAPH.join(texts)


PARAGRAPH: Final = "\n\n"


def annotations_of(output: Sequence[Item]) -> list[URLAnnotation]:
    """The web pages that the text cites, by their places in the whole of it."""
    found: list[URLAnnotation] = []
    at = 0
    for part in parts_of(output):
        if isinstance(part, OutputText):
            found += [_cited(each, at) for each in part.annotations if isinstance(each, UrlCitation)]
            at += len(part.text)
    return found


def _cited(citation: UrlCitation, at: int) -> URLAnnotation:
    return URLAnnotation(
        url_citation=CitedURL(
            start_index=at + citation.start_index,
            end_index=at + citation.end_index,
            title=citation.title,
            url=citation.url,
        )
    )


def finish_reason_of(response: Response, *, legacy: bool = False) -> FinishReason:
    """Why the model stopped. What nobody foresaw is `stop`."""
    if response.status == "incomplete" or response.incomplete_details is not None:
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        return _INCOMPLETE.get(reason, "stop")
    calls = calls_of(response.output)
    if not calls:
        return "stop"
    return "function_call" if legacy and isinstance(calls[0], CalledTool) else "tool_calls"


_INCOMPLETE: Final[dict[str | None, FinishReason]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}


def chat_logprobs(entries: Sequence[Logprob]) -> ChatLogprobs | None:
    """Log probabilities, if there are any."""
    if not entries:
        return None
    return ChatLogprobs(
        content=[
            ChatTokenLogprob(
                token=entry.token,
                logprob=entry.logprob,
                bytes=_bytes(entry),
                top_logprobs=[
                    ChatTopLogprob(token=likely.token, logprob=likely.logprob, bytes=_bytes(likely))
                    for likely in entry.top_logprobs or ()
                ],
            )
            for entry in entries
        ]
    )


def _bytes(entry: Logprob | TopLogprob) -> list[int]:
    """The bytes of a token. Events leave them out where they are those of its text."""
    return entry.bytes or list(entry.token.encode())


def usage_of(usage: Usage | None) -> ChatUsage | None:
    """Tokens, in the words of this API."""
    if usage is None:
        return None
    read, written = usage.input_tokens_details, usage.output_tokens_details
    return ChatUsage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=read.cached_tokens, cache_write_tokens=read.cache_write_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=written.reasoning_tokens),
    )


def moderation_of(response: Response) -> Maybe[ChatModeration]:
    """What moderation found, if it looked."""
    found = response.moderation
    if not found:
        return UNSET
    return ChatModeration(input=_judged(found.input), output=_judged(found.output))


def _judged(
    side: ModerationResult | ModerationError | UnsetType | None,
) -> ChatModerationResults | ModerationError | None:
    match side:
        case ModerationResult():
            return ChatModerationResults(model=side.model, results=[side])
        case ModerationError():
            return side
    return None


# Failures


def failure_of(error: ResponseError | None) -> APIError:
    """The error that a failed response is."""
    if error is None:
        return ServerError("The response failed, and does not say why.")
    kind = _BY_CODE.get(error.code)
    if kind is None:
        return ServerError(error.message, code=error.code)
    param = error.param or None
    return kind(error.message, code=error.code, param=param)


_BY_CODE: Final[dict[str, type[APIError]]] = {
    "insufficient_quota": QuotaExceeded,
    "rate_limit_exceeded": RateLimited,
    "invalid_prompt": InvalidRequest,
    "context_length_exceeded": InvalidRequest,
    "bio_policy": InvalidRequest,
    "misalignment_policy_violation": InvalidRequest,
    "data_residency_mismatch": InvalidRequest,
}
