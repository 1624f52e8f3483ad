"""Requests for embeddings: what is taken, and which `param` a refusal names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.wire.embeddings import decode_embeddings
from antiphon.wire.errors import InvalidRequest


def decoded(**fields: Any) -> Any:
    return decode_embeddings(json.dumps({"model": "e", "input": "Hi.", **fields}).encode())


@pytest.mark.parametrize(
    ("given", "count"), [("Hi.", 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1], [2, 3]], 2), (["a"] * 2048, 2048)]
)
def test_texts_and_tokens_are_counted_and_kept_as_they_came(given, count):
    request = decoded(input=given)
    assert request.count == count
    assert json.loads(bytes(request.input)) == given


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": ""}, "input", "empty_string"),
        ({"input": []}, "input", "empty_array"),
        ({"input": ["a", ""]}, "input[1]", "empty_string"),
        ({"input": ["a", 1]}, "input[1]", "invalid_type"),
        ({"input": [1, "a"]}, "input[1]", "invalid_type"),
        ({"input": [-1]}, "input[0]", "integer_below_min_value"),
        ({"input": [[1], []]}, "input[1]", "empty_array"),
        ({"input": [[1], "a"]}, "input[1]", "invalid_type"),
        ({"input": [{"text": "a"}]}, "input[0]", "invalid_type"),
        ({"input": [True]}, "input[0]", "invalid_type"),
        ({"input": ["a"] * 2049}, "input", "array_above_max_length"),
        ({"input": [1] * 2049}, "input", "array_above_max_length"),
        ({"input": None}, "input", "invalid_type"),
        ({"input": 7}, "input", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"model": None}, "model", "invalid_type"),
        ({"dimensions": 0}, "dimensions", "integer_below_min_value"),
        ({"dimensions": "many"}, "dimensions", "invalid_type"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value"),
        ({"user": 7}, "user", "invalid_type"),
        ({"count": 3}, "count", "unknown_parameter"),
        ({"stream": True}, "stream", "unknown_parameter"),
    ],
)
def test_what_is_wrong_is_named(fields, param, code):
    with pytest.raises(InvalidRequest) as refused:
        decoded(**fields)
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("missing", ["model", "input"])
def test_what_is_missing_is_named(missing):
    body = {"model": "e", "input": "Hi."}
    del body[missing]
    with pytest.raises(InvalidRequest) as refused:
        decode_embeddings(json.dumps(body).encode())
    assert (refused.value.param, refused.value.code) == (missing, "missing_required_parameter")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"model": "e", "input": [' + b"[" * 100])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(InvalidRequest) as refused:
        decode_embeddings(body)
    assert refused.value.code == "invalid_json"
