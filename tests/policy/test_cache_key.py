"""Equal meaning is an equal key, and everything that shapes an answer makes another one."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.cache_key import SHAPING, SILENT, cache_key
from antiphon.turn.input import Turn, effective
from antiphon.wire.request import CreateResponse, decode_create
from tests.wire.strategies import JSON, TEXT

IDENTITY = b"model"
FUNCTION: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}}},
}
CALL = {"type": "function_call", "call_id": "call_a", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_a", "output": "rain"}


def turn(project: str = "default", **body: Any) -> Turn:
    """A turn as the engine makes it; every item gets an id that no other has."""
    request = decode_create(json.dumps({"model": "m", "input": "Hi.", **body}).encode(), pass_through=PASSED)
    ids = count()
    items = effective(request.input or [], lambda prefix: f"{prefix}_{id(request)}_{next(ids)}")
    return Turn(request=request, items=items, project=project)


PASSED = frozenset({"top_k", "mirostat"})


def key(project: str = "default", **body: Any) -> bytes:
    return cache_key(turn(project, **body), IDENTITY)


def test_every_parameter_of_a_request_either_shapes_the_answer_or_does_not():
    assert frozenset(CreateResponse.__struct_fields__) == SHAPING | SILENT
    assert not SHAPING & SILENT


def test_a_key_is_a_digest():
    assert len(key()) == 32
    assert key() == key()


# The same


SILENT_VALUES: list[dict[str, Any]] = [
    {"store": False},
    {"stream": True, "stream_options": {"include_obfuscation": False}},
    {"background": True},
    {"metadata": {"a": "b"}},
    {"user": "u"},
    {"safety_identifier": "s"},
    {"prompt_cache_key": "k"},
    {"prompt_cache_options": {"ttl": "30m"}},
    {"prompt_cache_retention": "24h"},
]


@pytest.mark.parametrize("body", SILENT_VALUES, ids=lambda body: next(iter(body)))
def test_what_does_not_shape_the_answer_changes_nothing(body):
    assert key(**body) == key()


def test_each_silent_parameter_is_tried_or_named_elsewhere():
    tried = {name for body in SILENT_VALUES for name in body}
    assert tried | {"model", "input", "previous_response_id", "conversation"} == SILENT


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": None, "tools": None, "reasoning": None, "text": None, "include": None},
        {"tool_choice": "auto", "parallel_tool_calls": True, "truncation": "disabled", "tools": [], "include": []},
        {"text": {"format": {"type": "text"}}},
        {"text": {}},
        {"reasoning": {}},
        {"reasoning": {"effort": None, "summary": None}},
        {"include": ["web_search_call.results"]},
        {"input": [{"role": "user", "content": "Hi."}]},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]},
        {"input": [{"role": "user", "content": "Hi.", "id": "msg_1", "status": "completed"}]},
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Hi.", "prompt_cache_breakpoint": {"type": "x"}}],
                }
            ]
        },
    ],
    ids=str,
)
def test_absent_null_and_the_default_are_the_same(body):
    assert key(**body) == key()


def test_the_order_of_keys_in_a_request_means_nothing():
    body = {"temperature": 0.5, "top_p": 0.5, "instructions": "Be brief."}
    assert key(**body) == key(**dict(reversed(body.items())))
    assert key(top_k=1, mirostat={"a": 1, "b": 2}) == key(mirostat={"b": 2, "a": 1}, top_k=1)


def test_includes_are_a_set():
    first, second = "message.output_text.logprobs", "reasoning.encrypted_content"
    assert key(include=[first, second, first]) == key(include=[second, first]) != key(include=[first])


def test_a_call_may_have_any_id_as_long_as_it_links_the_same():
    other = [CALL | {"call_id": "call_b", "id": "fc_7", "status": "completed"}, OUTPUT | {"call_id": "call_b"}]
    assert key(input=[CALL, OUTPUT]) == key(input=other)
    twice = [CALL, CALL | {"call_id": "call_b"}]
    outputs = [OUTPUT, OUTPUT | {"call_id": "call_b", "output": "sun"}]
    crossed = [OUTPUT | {"call_id": "call_b"}, OUTPUT | {"output": "sun"}]
    assert key(input=[*twice, *outputs]) != key(input=[*twice, *crossed])


def test_a_local_shells_output_may_carry_its_link_as_its_id():
    def shell(call: str, **output: str) -> list[dict[str, Any]]:
        action = {"type": "exec", "command": ["ls"], "env": {}}
        return [
            {"type": "local_shell_call", "call_id": call, "action": action, "status": "completed"},
            {"type": "local_shell_call_output", "output": "fox", **output},
        ]

    assert key(input=shell("c", call_id="c")) == key(input=shell("d", id="d"))


# Another


SHAPING_VALUES: list[dict[str, Any]] = [
    {"instructions": "Be brief."},
    {"tools": [FUNCTION]},
    {"tool_choice": "none"},
    {"parallel_tool_calls": False},
    {"max_tool_calls": 0},
    {"reasoning": {"effort": "low"}},
    {"text": {"verbosity": "low"}},
    {"truncation": "auto"},
    {"max_output_tokens": 16},
    {"temperature": 0},
    {"top_p": 0},
    {"top_logprobs": 0},
    {"include": ["message.output_text.logprobs"]},
    {"prompt": {"id": "p", "version": "1"}},
    {"context_management": [{"type": "compaction"}]},
    {"moderation": {"model": "m"}},
    {"image": {"context_compression": "enabled"}},
    {"access_programs": {"cyber": "standard"}},
    {"service_tier": "flex"},
]


@pytest.mark.parametrize("body", SHAPING_VALUES, ids=lambda body: next(iter(body)))
def test_what_shapes_the_answer_makes_another_key(body):
    assert key(**body) != key()


def test_each_shaping_parameter_is_tried():
    assert {name for body in SHAPING_VALUES for name in body} | {"extra"} == SHAPING


def test_all_settings_tell_each_other_apart():
    keys = {key(**body) for body in SHAPING_VALUES}
    assert len(keys) == len(SHAPING_VALUES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"input": "Hi."}, {"input": "Hi!"}),
        ({"input": "Hi."}, {"input": [{"role": "developer", "content": "Hi."}]}),
        ({"input": [CALL, OUTPUT]}, {"input": [CALL | {"arguments": "{ }"}, OUTPUT]}),
        ({"input": [CALL, OUTPUT]}, {"input": [OUTPUT, CALL]}),
        ({"temperature": 0.5}, {"temperature": 0.50001}),
        ({"top_k": 1}, {"top_k": 2}),
        ({"top_k": 1}, {"top_k": True}),
        ({"tools": [FUNCTION]}, {"tools": [FUNCTION | {"strict": False}]}),
        ({"prompt": {"id": "p", "version": "1"}}, {"prompt": {"id": "q", "version": "1"}}),
    ],
    ids=str,
)
def test_a_difference_that_a_model_could_see_makes_another_key(one, other):
    assert key(**one) != key(**other)


def test_a_model_answers_in_the_order_of_a_schema_so_the_order_counts():
    def function(names: list[str]) -> list[dict[str, Any]]:
        return [FUNCTION | {"parameters": {"properties": {name: {} for name in names}}}]

    def format_(names: list[str]) -> dict[str, Any]:
        schema = {"type": "object", "properties": {name: {} for name in names}}
        return {"format": {"type": "json_schema", "name": "n", "schema": schema}}

    assert key(tools=function(["a", "b"])) != key(tools=function(["b", "a"]))
    assert key(text=format_(["a", "b"])) != key(text=format_(["b", "a"]))


def test_nobody_shares_a_key_with_another_project():
    assert key("ours") != key("theirs")


def test_what_is_configured_is_in_the_key():
    assert cache_key(turn(), b"one") != cache_key(turn(), b"other")


def test_an_item_that_was_cut_is_not_the_whole_item():
    cut = [{"role": "assistant", "content": "Hi.", "status": "incomplete"}, {"role": "user", "content": "Go on."}]
    whole = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Go on."}]
    assert key(input=cut) != key(input=whole)


@given(TEXT, TEXT)
def test_texts_have_the_same_key_exactly_if_they_are_the_same(one, other):
    assert (key(input=one) == key(input=other)) == (one == other)


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_texts_are_told_apart_also_by_where_one_ends_and_the_next_begins(one, other):
    def said(texts: list[str]) -> bytes:
        return key(input=[{"role": "user", "content": text} for text in texts])

    assert (said(one) == said(other)) == (one == other)


@given(st.dictionaries(TEXT, JSON, max_size=3), st.randoms(use_true_random=False))
def test_objects_have_the_same_key_in_any_order(fields, chance):
    shuffled = list(fields.items())
    chance.shuffle(shuffled)
    assert key(mirostat=fields) == key(mirostat=dict(shuffled))


@given(JSON, JSON)
def test_values_have_the_same_key_exactly_if_their_json_is_the_same(one, other):
    same = msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")
    assert (key(mirostat=one) == key(mirostat=other)) == same
