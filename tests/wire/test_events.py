from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import content, events, items
from antiphon.wire.errors import UpstreamMalformed
from antiphon.wire.events import decode_event
from antiphon.wire.struct import Opaque, encode
from tests.wire import samples, strategies

GIVEN: dict[str, st.SearchStrategy[Any]] = {
    "response": st.sampled_from([samples.RESPONSE, samples.FAILED, samples.INCOMPLETE]),
    "item": strategies.ITEMS,
}
ANY_EVENT = st.one_of(
    strategies.OPAQUE,
    *(
        strategies.structs(kind, **{name: GIVEN[name] for name in GIVEN if name in kind.__struct_fields__})
        for kind in events.EVENTS.values()
    ),
)


@given(ANY_EVENT)
def test_any_event_comes_back_as_it_was_sent(event: Any) -> None:
    assert decode_event(encode(event)) == event
    assert encode(decode_event(encode(event))) == encode(event)


@pytest.mark.parametrize("event", samples.EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_that_we_emit_is_the_same_bytes_after_reading(event: Any) -> None:
    assert encode(decode_event(encode(event))) == encode(event)


def test_log_probabilities_are_a_list_also_when_there_are_none() -> None:
    delta = events.OutputTextDelta(sequence_number=1, item_id="msg_1", output_index=0, content_index=0, delta="a")
    assert encode(delta) == (
        b'{"type":"response.output_text.delta","sequence_number":1,"item_id":"msg_1","output_index":0,'
        b'"content_index":0,"delta":"a","logprobs":[]}'
    )


def test_what_an_event_carries_is_typed() -> None:
    done = decode_event(
        b'{"type":"response.output_item.done","sequence_number":1,"output_index":0,'
        b'"item":{"type":"message","id":"m","role":"assistant","content":[{"type":"refusal","refusal":"no"}]}}'
    )
    message = items.Message(id="m", role="assistant", content=[content.Refusal(refusal="no")])
    assert done == events.OutputItemDone(sequence_number=1, output_index=0, item=message)
    completed = decode_event(encode(samples.event(events.ResponseCompleted)))
    assert isinstance(completed, events.ResponseCompleted)
    assert completed.response == samples.RESPONSE


def test_an_event_of_unknown_type_is_kept_whole() -> None:
    sent = b'{"type":"x:progress","sequence_number":3,"percent":50}'
    event = decode_event(sent)
    assert isinstance(event, Opaque)
    assert encode(event) == sent


def test_an_item_that_is_not_what_we_know_is_kept_whole() -> None:
    event = decode_event(
        b'{"type":"response.output_item.added","sequence_number":1,"output_index":0,'
        b'"item":{"type":"message","role":"robot","content":[]}}'
    )
    assert isinstance(event, events.OutputItemAdded)
    assert event.item == Opaque({"type": "message", "role": "robot", "content": []})


def test_an_event_without_a_number_gets_zero() -> None:
    assert decode_event(b'{"type":"keepalive"}') == events.Keepalive(sequence_number=0)


def test_log_probabilities_of_null_are_none() -> None:
    event = decode_event(
        b'{"type":"response.output_text.delta","sequence_number":4,"item_id":"m","output_index":0,"content_index":0,'
        b'"delta":"a","logprobs":null}'
    )
    assert event == events.OutputTextDelta(sequence_number=4, item_id="m", output_index=0, content_index=0, delta="a")


def test_an_error_is_read_flat_and_nested() -> None:
    flat = events.StreamError(sequence_number=2, message="m", code="c", param="p")
    assert decode_event(encode(flat)) == flat
    nested = b'{"type":"error","sequence_number":2,"error":{"type":"t","message":"m","code":"c","param":"p"}}'
    assert decode_event(nested) == flat


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"[DONE]",
        b"{",
        b"[]",
        b"3",
        b"{}",
        b'{"type":3}',
        b'{"type":"error"}',
        b'{"type":"response.output_text.delta","delta":3}',
        b'{"type":"response.completed","sequence_number":1}',
        b'{"type":"response.completed","sequence_number":1,"response":{"id":"r"}}',
        b'{"type":"response.output_item.done","sequence_number":1,"output_index":0,"item":"\xff"}',
        b'{"type":"response.output_item.done","sequence_number":1,"output_index":0,"item":[]}',
        b'{"type":"response.output_text.delta","sequence_number":0,"item_id":"m","output_index":0,"content_index":0,"delta":"\xff"}',
    ],
)
def test_what_is_no_event_is_told_as_the_fault_of_the_other_server(sent: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        decode_event(sent)


@given(st.sampled_from(samples.EVENTS), st.data())
def test_no_mutilated_event_does_more_harm_than_to_be_refused(event: Any, data: st.DataObject) -> None:
    fields = msgspec.json.decode(encode(event))
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(strategies.JSON)
    try:
        encode(decode_event(msgspec.json.encode(fields)))
    except UpstreamMalformed as refusal:
        encode(refusal.body())


def test_the_end_of_a_stream_is_known_by_its_class() -> None:
    assert isinstance(samples.event(events.ResponseCompleted), events.TERMINAL)
    assert isinstance(events.ResponseFailed(sequence_number=1, response=samples.FAILED), events.TERMINAL)
    assert not isinstance(samples.event(events.ResponseInProgress), events.TERMINAL)
