from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from antiphon.wire.errors import Unprocessable
from antiphon.wire.items import keep_item
from antiphon.wire.request import CountTokens, CreateResponse, decode_count, decode_create
from antiphon.wire.struct import Opaque

PNG = b"\x89PNG\r\n\x1a\n"
WEBP = b"RIFF\x0a\x00\x00\x00WEBPVP8 "
TEXT = {"type": "input_text", "text": "What is this?"}


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image(given: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": given}


def ask(item: dict[str, Any]) -> CreateResponse:
    return decode_create(json.dumps({"model": "m", "input": [item]}).encode())


def refused(item: dict[str, Any]) -> Unprocessable:
    with pytest.raises(Unprocessable) as caught:
        ask(item)
    return caught.value


@pytest.mark.parametrize(
    "given",
    [
        url(PNG),
        url(b"\xff\xd8\xff\xe0JFIF", "image/jpeg"),
        url(b"GIF87a", "image/gif"),
        url(b"GIF89a\x01\x00\x01\x00", "image/gif"),
        url(WEBP, "image/webp"),
        url(PNG, "image/png;charset=binary"),
        url(PNG, "image/jpeg"),
        f"data:IMAGE/PNG;BASE64,{base64.b64encode(PNG).decode()}",
        "https://example.com/a.png",
    ],
)
def test_what_begins_as_an_image_does_is_accepted(given: str) -> None:
    ask({"role": "user", "content": [TEXT, image(given)]})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (url(b"no image"), "invalid_image_format"),
        (url(b""), "invalid_image_format"),
        (url(PNG[:-1]), "invalid_image_format"),
        (url(b" " + PNG), "invalid_image_format"),
        (url(b"RIFF\x0a\x00\x00\x00WAVEfmt "), "invalid_image_format"),
        (url(b"%PDF-1.7"), "invalid_image_format"),
        (url(PNG) + "!", "invalid_base64_image"),
        (url(PNG).rstrip("="), "invalid_base64_image"),
        (url(PNG * 3) + "\n", "invalid_base64_image"),
        (url(PNG * 99)[:-200] + "é" + url(PNG * 99)[-199:], "invalid_base64_image"),
        ("data:image/png,%89PNG", "invalid_base64_image"),
        ("data:image/png;base64", "invalid_base64_image"),
        ("data:", "invalid_base64_image"),
    ],
)
def test_data_that_are_no_image_cannot_be_processed_and_the_error_names_them(given: str, code: str) -> None:
    error = refused({"role": "user", "content": [TEXT, image(given)]})
    assert (error.status, error.param, error.code) == (422, "input[0].content[1].image_url", code)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "function_call_output", "call_id": "c", "output": [TEXT, image(url(b"x"))]}, "output[1]"),
        ({"type": "custom_tool_call_output", "call_id": "c", "output": [image(url(b"x"))]}, "output[0]"),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": url(b"x")},
            },
            "output",
        ),
    ],
)
def test_what_tools_return_is_looked_at_too(item: dict[str, Any], param: str) -> None:
    assert refused(item).param == f"input[0].{param}.image_url"


def test_input_whose_tokens_are_only_counted_is_looked_at_too() -> None:
    body = {"model": "m", "input": [{"role": "user", "content": [image(url(b"x"))]}]}
    with pytest.raises(Unprocessable):
        decode_count(json.dumps(body).encode())
    body["input"] = [{"role": "user", "content": [image(url(PNG))]}]
    assert isinstance(decode_count(json.dumps(body).encode()), CountTokens)


def test_what_is_stored_already_is_kept_as_it_is() -> None:
    stored = {"type": "message", "role": "user", "content": [image(url(b"x"))]}
    assert not isinstance(keep_item(json.dumps(stored).encode()), Opaque)


def test_an_error_does_not_repeat_the_data() -> None:
    assert len(refused({"role": "user", "content": [image(url(b"x" * 9_000))]}).message) < 200
