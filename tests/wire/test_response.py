from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import items, response, tools
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.response import Response, decode_response
from antiphon.wire.struct import Opaque, encode
from tests.wire import samples, strategies

BARE = {
    "object", "id", "created_at", "status", "background", "completed_at", "error", "frequency_penalty",
    "incomplete_details", "instructions", "max_output_tokens", "max_tool_calls", "model", "output",
    "parallel_tool_calls", "presence_penalty", "previous_response_id", "prompt", "prompt_cache_key",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "usage", "user", "metadata",
}  # fmt: skip

ANY_RESPONSE = strategies.structs(
    Response,
    created_at=st.integers(0, 2**40),
    instructions=st.none() | strategies.TEXT | st.lists(strategies.ITEMS, max_size=2),
    output=st.lists(strategies.ITEMS, max_size=3),
    tools=st.lists(st.sampled_from(samples.TOOLS), max_size=3),
    tool_choice=st.sampled_from(samples.TOOL_CHOICES),
)


@given(ANY_RESPONSE)
def test_any_response_comes_back_as_it_was_sent(sent: Response) -> None:
    assert decode_response(encode(sent)) == sent
    assert encode(decode_response(encode(sent))) == encode(sent)


def test_a_response_has_all_keys_that_clients_look_for_from_the_beginning() -> None:
    fields = msgspec.json.decode(encode(Response(id="resp_1", created_at=1, model="m")))
    assert fields.keys() == BARE
    assert list(fields)[:4] == ["object", "id", "created_at", "status"]
    assert fields["object"] == "response"
    assert fields["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert fields["reasoning"] == {"effort": None, "summary": None}
    assert (fields["temperature"], fields["top_p"], fields["presence_penalty"]) == (1.0, 1.0, 0.0)


def test_times_are_sent_as_integers() -> None:
    assert b'"created_at":1700000000,' in encode(Response(id="resp_1", created_at=1_700_000_000, model="m"))


def test_usage_has_all_its_details() -> None:
    assert encode(response.Usage()) == (
        b'{"input_tokens":0,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},'
        b'"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}'
    )


def test_a_response_of_another_server_may_be_short_and_strange() -> None:
    sent = decode_response(
        b'{"object":"response","id":"resp_1","created_at":1.5,"model":"m","status":"completed","new_key":1,'
        b'"output":[{"type":"function_call","arguments":{}},{"type":"message","role":"assistant","content":[]}],'
        b'"tools":[{"type":"function","name":"not a name"}],'
        b'"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}'
    )
    assert sent.output == [
        Opaque({"type": "function_call", "arguments": {}}),
        items.Message(role="assistant", content=[]),
    ]
    assert sent.tools == [Opaque({"type": "function", "name": "not a name"})]
    assert sent.usage == response.Usage(input_tokens=1, output_tokens=2, total_tokens=3)


def test_arrays_of_another_server_may_be_null() -> None:
    sent = decode_response(b'{"id":"resp_1","created_at":1,"model":"m","output":null,"tools":null}')
    assert (sent.output, sent.tools) == ([], [])


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        (b"[]", "response"),
        (b'{"object":"list"}', "response.object"),
        (b'{"id":"resp_1","created_at":1}', "response.model"),
        (b'{"id":"resp_1","created_at":1,"model":"m","status":"done"}', "response.status"),
    ],
)
def test_what_is_no_response_is_refused(sent: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_response(sent)
    assert refusal.value.param == param


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (response.ResponseDeleted(id="resp_1"), b'{"object":"response","id":"resp_1","deleted":true}'),
        (response.InputTokens(input_tokens=3), b'{"object":"response.input_tokens","input_tokens":3}'),
        (
            response.ItemList(data=[items.ItemReference(id="a")], first_id="a", last_id="a"),
            b'{"object":"list","data":[{"type":"item_reference","id":"a"}],"first_id":"a","last_id":"a","has_more":false}',
        ),
        (
            response.ModelList(data=[response.ModelObject(id="m", created=1, owned_by="o")]),
            b'{"object":"list","data":[{"object":"model","id":"m","created":1,"owned_by":"o"}]}',
        ),
    ],
)
def test_the_small_objects_say_what_they_are(value: Any, sent: bytes) -> None:
    assert encode(value) == sent


def test_responses_do_not_share_their_defaults() -> None:
    one, other = (Response(id="resp_1", created_at=1, model="m") for _ in range(2))
    one.output.append(items.CompactionTrigger())
    one.metadata = {"a": "b"}
    assert (other.output, other.metadata) == ([], {})
    assert one.text is not other.text
    assert tools.TextConfig(format=tools.FormatText(), verbosity="medium") == other.text
