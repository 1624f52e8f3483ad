"""A turn as the body of a Responses request, and what the upstream's refusals teach."""

import json

import msgspec
import pytest

from antiphon.models.responses_items import Reach
from antiphon.models.responses_request import (
    ResponsesOptions,
    asked_for,
    count_body,
    left_out,
    lesson,
    response_body,
)
from antiphon.turn.input import Turn
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import Message
from antiphon.wire.request import CreateResponse, decode_create
from antiphon.wire.struct import encode

FUNCTION = {
    "type": "function",
    "name": "f",
    "description": "Does it.",
    "parameters": {"type": "object", "properties": {"a": {"enum": ["x", None]}}},
    "strict": True,
}
SETTINGS = {
    "access_programs": {"cyber": "standard"},
    "context_management": [{"type": "compaction", "compact_threshold": 1000}],
    "image": {"context_compression": "enabled"},
    "include": ["message.output_text.logprobs"],
    "instructions": "Be short.",
    "max_output_tokens": 64,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "moderation": {"model": "omni-moderation-latest", "policy": {"output": {"mode": "block"}}},
    "parallel_tool_calls": False,
    "prompt": {"id": "pmpt_1", "variables": {"name": "Ada"}},
    "prompt_cache_key": "key",
    "prompt_cache_options": {"ttl": "12h"},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low"},
    "safety_identifier": "who",
    "service_tier": "flex",
    "stream_options": {"include_obfuscation": False},
    "temperature": 0.5,
    "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "f"},
    "tools": [FUNCTION],
    "top_logprobs": 2,
    "top_p": 0.9,
    "truncation": "auto",
    "user": "me",
}
OURS = {"model", "input", "store", "stream", "background", "previous_response_id", "conversation"}
ENCRYPTED = "reasoning.encrypted_content"


def request_of(*, pass_through=frozenset(), **fields):
    return decode_create(json.dumps({"input": "Hi", **fields}).encode(), pass_through=frozenset(pass_through))


def options_of(**fields):
    return ResponsesOptions(base_url="http://localhost/v1", model="upstream-model", **fields)


def body_of(request, *, reach=None, **options):
    turn = Turn(request=request, items=[Message(role="user", content="Hi")])
    return json.loads(encode(response_body(turn, options_of(**options), reach or Reach())))


def test_every_parameter_of_a_request_is_either_sent_or_ours():
    fields = set(CreateResponse.__struct_fields__) - {"extra"}
    assert fields == OURS | set(SETTINGS)
    assert len(fields) == 33


@pytest.mark.parametrize("name", SETTINGS)
def test_a_parameter_is_sent_as_the_client_gave_it(name):
    with_tools = {"tools": [FUNCTION]} if name == "tool_choice" else {}
    body = body_of(
        request_of(**{**with_tools, name: SETTINGS[name]}), encrypted_reasoning=False, reach=Reach(seals=False)
    )
    assert body[name] == SETTINGS[name]
    assert set(body) == {"model", "input", "store", "stream", name, *with_tools}


def test_a_parameter_that_was_not_given_is_not_sent():
    assert body_of(request_of()) == {
        "model": "upstream-model",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "include": [ENCRYPTED],
        "store": False,
        "stream": True,
    }


def test_the_context_and_where_it_is_kept_are_ours():
    request = request_of(model="ours", stream=False, background=True, previous_response_id="resp_1")
    body = body_of(request)
    assert (body["model"], body["stream"], body["background"], body["store"]) == ("upstream-model", True, False, False)
    assert "previous_response_id" not in body
    assert "conversation" not in body_of(request_of(conversation="conv_1"))


def test_the_upstream_is_not_told_the_id_of_a_response_that_it_does_not_know():
    options = {"ttl": "12h", "comparison_response_id": "resp_1"}
    assert body_of(request_of(prompt_cache_options=options))["prompt_cache_options"] == {"ttl": "12h"}


def test_an_upstream_that_stores_is_told_to_and_keeps_its_reasoning_itself():
    body = body_of(request_of(store=False), store=True, reach=Reach(stores=True))
    assert body["store"] is True
    assert "include" not in body


def test_encrypted_reasoning_is_asked_for_once_beside_what_the_client_includes():
    include = ["file_search_call.results", ENCRYPTED]
    assert body_of(request_of(include=include))["include"] == include
    assert body_of(request_of(include=include[:1]))["include"] == include
    assert "include" not in body_of(request_of(), reach=Reach(seals=False))


def test_what_is_let_through_is_sent_and_cannot_change_what_is_ours():
    request = request_of(
        pass_through={"seed", "extra_body"},
        seed=7,
        extra_body={"top_k": 3, "model": "dear", "stream": False, "store": True},
    )
    body = body_of(request, extra_body={"top_k": 1, "min_p": 0.1})
    assert (body["seed"], body["top_k"], body["min_p"]) == (7, 3, 0.1)
    assert (body["model"], body["stream"], body["store"]) == ("upstream-model", True, False)


def test_the_parameters_that_a_client_set_are_known_by_name():
    assert set(asked_for(request_of(temperature=0.5, tools=[FUNCTION]))) == {"input", "temperature", "tools"}
    assert set(asked_for(request_of(temperature=None, metadata={}))) == {"input"}


def test_counting_sends_what_counts():
    request = request_of(**{**SETTINGS, "previous_response_id": "resp_1"})
    turn = Turn(request=request, items=[Message(role="user", content="Hi")])
    body = json.loads(encode(count_body(turn, options_of(), Reach())))
    assert set(body) == {
        *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls"),
        *("reasoning", "text", "truncation"),
    }


# Tools that are left out

SEARCH = {"type": "web_search"}


def test_an_upstream_serves_every_tool_unless_configured():
    tools = [FUNCTION, SEARCH, {"type": "mcp", "server_label": "s", "server_url": "http://x"}, {"type": "sparkle"}]
    request = request_of(tools=tools)
    assert left_out(request, options_of()) == ()
    assert body_of(request)["tools"] == tools


def test_a_tool_that_is_left_out_is_not_sent_and_named_once():
    request = request_of(tools=[SEARCH, FUNCTION, SEARCH, {"type": "sparkle"}])
    options = {"tools_left_out": frozenset({"web_search", "sparkle"})}
    assert left_out(request, options_of(**options)) == ("web_search", "sparkle")
    assert body_of(request, **options)["tools"] == [FUNCTION]


def test_without_a_tool_there_is_no_choice_either():
    request = request_of(tools=[SEARCH], tool_choice="auto")
    assert set(body_of(request, tools_left_out=frozenset({"web_search"}))) & {"tools", "tool_choice"} == set()


def test_a_choice_among_tools_loses_those_that_are_left_out():
    allowed = [{"type": "function", "name": "f"}, SEARCH]
    options = {"tools_left_out": frozenset({"web_search"})}

    def choice(*tools):
        request = request_of(
            tools=[FUNCTION, SEARCH], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": list(tools)}
        )
        assert left_out(request, options_of(**options)) == ("web_search",)
        return body_of(request, **options)["tool_choice"]

    assert choice(*allowed) == {"type": "allowed_tools", "mode": "auto", "tools": allowed[:1]}
    assert choice(SEARCH) == "none"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["vs"]}]}, "tools[1]"),
        ({"tools": [SEARCH], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [FUNCTION, SEARCH], "tool_choice": SEARCH}, "tool_choice"),
        (
            {
                "tools": [FUNCTION, SEARCH],
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [SEARCH]},
            },
            "tool_choice",
        ),
    ],
)
def test_a_tool_that_the_answer_cannot_do_without_is_refused_if_it_is_left_out(fields, param):
    options = options_of(tools_left_out=frozenset({"web_search", "file_search"}))
    with pytest.raises(InvalidRequest) as refused:
        left_out(request_of(**fields), options)
    assert (refused.value.code, refused.value.param) == ("unsupported_tool", param)


# Lessons


@pytest.mark.parametrize(
    ("refusal", "without"),
    [
        (InvalidRequest("Encrypted content is not supported with this model.", param="include"), "seals"),
        (InvalidRequest("Invalid value: 'reasoning.encrypted_content'.", param="body"), "seals"),
        (InvalidRequest("Too long.", code="array_above_max_length", param="input[39].content"), "reads_reasoning"),
        (InvalidRequest("Could not be verified.", code="invalid_encrypted_content"), "unseals"),
    ],
)
def test_what_an_upstream_refused_of_ours_it_is_not_sent_again(refusal, without):
    learned = lesson(refusal, request_of(), Reach())
    assert learned == msgspec.structs.replace(Reach(), **{without: False})
    assert lesson(refusal, request_of(), learned) is None


@pytest.mark.parametrize(
    ("refusal", "fields"),
    [
        (InvalidRequest("Not supported.", param="include"), {"include": [ENCRYPTED]}),
        (InvalidRequest("Too long.", code="array_above_max_length", param="tools"), {}),
        (InvalidRequest("Too long.", code="string_above_max_length", param="input[0].content"), {}),
        (InvalidRequest("No such model.", code="model_not_found"), {}),
    ],
)
def test_what_an_upstream_refused_of_the_clients_teaches_nothing(refusal, fields):
    assert lesson(refusal, request_of(**fields), Reach()) is None
