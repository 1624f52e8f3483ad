"""APIMonitor: one line a request, metrics for Prometheus, and functions of your own. None of them sees any content."""

import logging

from openai import OpenAI
from prometheus_client import generate_latest

from antiphon.client import Client, ClientError, PrometheusObserver, RequestLog
from antiphon.client.records import AttemptFailed, Record

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")


def warn(record: Record) -> None:
    if isinstance(record, AttemptFailed):
        print(f"attempt {record.attempt} failed: {record.error.message} Then: {record.then}")


if __name__ == "__main__":
    with Client(OpenAI(), observers=[RequestLog(), PrometheusObserver(), warn]) as client:
        client.create(model="gpt-5", input="Hello")
        try:
            client.create(model="gpt-5", input="Hello", temperature=3)
        except ClientError as error:
            print(error)
    print(generate_latest().decode().count("antiphon_client_"), "lines of metrics")
