"""The SDK's admin client against the table of operations: what it sends we read, what we answer it reads."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import msgspec
import pytest
from openai import OpenAI
from openai._models import BaseModel
from openai.pagination import SyncConversationCursorPage, SyncCursorPage

from antiphon.wire.admin.request import decode_body, decode_query
from antiphon.wire.struct import encode
from tests.wire.admin.operations import NOT_SERVED, SERVED, Served

OPTIONS = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


def organization(handler: Any) -> Any:
    transport = httpx2.MockTransport(handler)
    client = OpenAI(
        api_key="none",
        admin_api_key="admin",
        base_url="http://antiphon.test/v1",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
    )
    return client.admin.organization


def methods(resource: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every operation below a resource of the SDK, by its dotted name."""
    for name in dir(type(resource)):
        if name.startswith(("_", "with_")):
            continue
        member = getattr(resource, name)
        if inspect.ismethod(member):
            yield prefix + name, member
        else:
            yield from methods(member, f"{prefix}{name}.")


METHODS = dict(methods(organization(lambda request: httpx2.Response(500))))


def not_served(name: str) -> bool:
    return any(name.startswith(f"{resource}.") for resource in NOT_SERVED)


def test_every_method_of_the_sdk_is_served_or_there_is_a_reason() -> None:
    assert {name for name in METHODS if not not_served(name)} == SERVED.keys()


def test_every_reason_is_for_methods_that_there_are_and_that_are_not_served() -> None:
    for resource in NOT_SERVED:
        assert any(name.startswith(f"{resource}.") for name in METHODS), resource
    assert not [name for name in SERVED if not_served(name)]


def call(name: str, served: Served, handler: Any) -> Any:
    """Call a method of the SDK with the ids of its path and what the table says it sends."""
    method = dict(methods(organization(handler)))[name]
    accepted = inspect.signature(method).parameters.keys() - OPTIONS
    ids = {key: key.upper() for key in re.findall(r"{(\w+)}", served.path)}
    sent = msgspec.to_builtins(served.request) if served.request is not None else {}
    assert accepted >= sent.keys(), "the table sends what the SDK cannot"
    return method(**ids, **sent)


def decoded(request: httpx2.Request, kind: Any) -> Any:
    if request.method == "GET":
        return decode_query(parse_qsl(request.url.query.decode()), kind)
    return decode_body(request.content, kind)


@pytest.mark.parametrize(("name", "served"), SERVED.items(), ids=SERVED)
def test_what_the_sdk_sends_is_read_as_it_was_meant_and_our_answer_is_understood(name: str, served: Served) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=encode(served.answer), headers={"content-type": "application/json"})

    result = call(name, served, answer)
    (request,) = seen
    path = re.sub(r"{(\w+)}", lambda found: found[1].upper(), served.path)
    assert (request.method, request.url.path) == (served.method, f"/v1{path}")
    if served.request is None:
        assert (request.content, request.url.query) == (b"", b"")
    else:
        assert decoded(request, type(served.request)) == served.request
    understood(result, served)


def understood(result: Any, served: Served) -> None:
    """The SDK's object holds what was answered, and is the object that the SDK promises."""
    assert isinstance(result, BaseModel)
    sent = msgspec.json.decode(encode(served.answer))
    assert result.to_dict(mode="json", exclude_unset=True) == sent


@pytest.mark.parametrize("name", sorted(name for name in SERVED if SERVED[name].answer.__struct_config__.tag == "list"))
def test_the_sdk_goes_on_to_the_next_page_of_every_list(name: str) -> None:
    served, cursors = SERVED[name], []

    def answer(request: httpx2.Request) -> httpx2.Response:
        cursors.append(dict(parse_qsl(request.url.query.decode())).get("after"))
        shown = msgspec.json.decode(encode(served.answer)) | {"has_more": len(cursors) < 2}
        return httpx2.Response(200, json=shown)

    page = call(name, served, answer)
    assert isinstance(page, SyncConversationCursorPage | SyncCursorPage)
    assert len(list(page)) == 2
    assert cursors[1] == served.answer.last_id
