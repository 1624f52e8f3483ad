"""Made-up requests, valid and not, after our own OpenAPI document: no defect, and answers that conform.

This is a small and always equal part of what `scripts/fuzz` does.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from antiphon.engine.moderation import Moderation
from antiphon.models.moderators import RuleList
from antiphon.plugins import Models
from antiphon.policy.rules import BUILT_IN, Rules
from antiphon.server.openapi import document
from antiphon.wire.embeddings import CreateEmbeddings, Embedding, EmbeddingList
from tests.support.fuzzing import answers_as_the_api
from tests.support.serving import Serving, serving

DOCUMENT = json.loads(document())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.phases.coverage.enabled = False  # 3,500 cases of all limits; scripts/fuzz has them
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
    answers_as_the_api,
]


class Zeros:
    """An embedder to whom all texts are alike."""

    address = "zeros"

    def name_for(self, asked: str) -> str:
        return asked

    async def embed(self, request: CreateEmbeddings, headers: Mapping[str, str]) -> EmbeddingList:
        vector = msgspec.Raw(b'"AAAAAA=="' if request.encoding_format == "base64" else b"[0.0]")
        return EmbeddingList(data=[Embedding(index=index, embedding=vector) for index in range(request.count)])

    async def aclose(self) -> None:
        pass


class Served:
    """A server in a thread of its own: schemathesis asks from this one, and waits."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self.serving: Serving

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        judges = Moderation({"rules": RuleList(lambda: Rules(BUILT_IN))})
        async with serving(Models({}, answer_all=True), moderation=judges, embedders={"*": Zeros()}) as self.serving:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Serving:
        self._thread.start()
        assert self._ready.wait(30)
        return self.serving

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with Served() as s:
        yield s


@SCHEMA.parametrize()
@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_made_up_requests_get_answers_that_conform(case: Case, served: Serving):
    case.call_and_validate(base_url=served.url, checks=CHECKS)


def test_the_document_is_valid_openapi_3_1():
    SCHEMA.validate()
    assert DOCUMENT["openapi"].startswith("3.1.")


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_each_schema_of_the_document_is_a_valid_one(name: str):
    jsonschema_rs.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def test_every_operation_of_a_response_can_be_reached_from_its_creation():
    made = DOCUMENT["paths"]["/v1/responses"]["post"]["responses"]["200"]["links"]
    of_one = [path for path in DOCUMENT["paths"] if "{response_id}" in path]
    ways = [way for path in of_one for key, way in DOCUMENT["paths"][path].items() if key != "parameters"]
    assert sorted(link["operationId"] for link in made.values()) == sorted(way["operationId"] for way in ways)
