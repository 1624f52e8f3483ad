"""What holds for everything that a model may say, and wherever it is broken off."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn import frames
from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Text
from antiphon.turn.fold import Fold
from antiphon.turn.include import gates, visible_frames
from antiphon.turn.machine import Machine
from antiphon.wire import events as wire
from antiphon.wire.events import Event
from antiphon.wire.request import INCLUDABLE
from antiphon.wire.struct import encode
from tests.support import sdk_oracle
from tests.turn.strategies import KINDS, Story, Told, stories
from tests.turn.telling import AT, ERROR, Ids, as_bytes, as_json, begun, fold_of, judged, names, read_back, whole

PLACES = st.integers(0, 1000)
"""Where something is broken off, in thousandths of its length."""


def head(sequence: list[Any], place: int) -> list[Any]:
    return sequence[: -(-len(sequence) * place // 1000)]


def cut(story: Story, place: int) -> tuple[Machine, list[Event]]:
    """A story that stops after some of its deltas, somewhere within a turn."""
    machine, told = begun(background=story.background)
    return machine, told + machine.feed(head(story.deltas, place))


def cut_log(story: Story, place: int) -> list[Event]:
    """The log of a story that stops after some of its events, its first at least."""
    told = whole(story)[:-1]
    return head(told, place) or told[:1]


def response_of(events: list[Event]) -> dict[str, Any]:
    response: dict[str, Any] = as_json(events[-1:])[0]["response"]
    return response


# The grammar


@given(stories())
def test_every_story_is_told_in_the_grammar_and_in_the_types_of_the_official_sdk(story: Story) -> None:
    judged(whole(story))


@given(stories())
def test_numbers_and_places_are_given_out_without_gaps(story: Story) -> None:
    told = whole(story)
    added = [event.output_index for event in told if isinstance(event, wire.OutputItemAdded)]
    assert [event["sequence_number"] for event in as_json(told)] == list(range(len(told)))
    assert added == list(range(len(added)))
    assert len(response_of(told)["output"]) == len(added)


@given(stories(), st.data())
def test_it_makes_no_difference_how_deltas_are_batched(story: Story, data: st.DataObject) -> None:
    machine, told = begun(background=story.background)
    left = story.deltas
    while left:
        size = data.draw(st.integers(1, len(left)))
        told += machine.feed(left[:size])
        left = left[size:]
    assert as_bytes(told + machine.finish(AT + 9)) == as_bytes(whole(story))


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_an_item_ends_as_its_source_has_it_however_much_of_it_was_told_before(data: st.DataObject, kind: str) -> None:
    told: Told = data.draw(KINDS[kind])
    deltas = told.deltas("k")
    place = data.draw(st.integers(0, len(deltas)))
    machine, events = begun()
    events += machine.feed([ItemStarted("k", told.start), *deltas[:place], ItemDone("k", told.whole), Finished()])
    judged(events + machine.finish(AT))
    (item,) = machine.fold.items
    assert item is not None
    assert as_json([_with_own_id(told.whole, str(item.id))]) == as_json([item])


def _with_own_id(item: Any, own: str) -> Any:
    if not hasattr(item, "__struct_fields__"):
        return {**item.fields, "id": own}
    return msgspec.structs.replace(item, id=own)


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_an_item_that_is_given_whole_at_its_start_is_told_as_one_that_is_given_at_its_end(
    data: st.DataObject, kind: str
) -> None:
    told: Told = data.draw(KINDS[kind])
    machine, events = begun()
    events += machine.feed([ItemStarted("k", told.whole), ItemDone("k", told.whole), Finished()])
    at_the_start = as_json(events + machine.finish(AT))
    machine, events = begun()
    events += machine.feed([ItemStarted("k", told.start), ItemDone("k", told.whole), Finished()])
    at_the_end = as_json(events + machine.finish(AT))
    assert names(at_the_start) == names(at_the_end)
    assert at_the_start[-1]["response"]["output"] == at_the_end[-1]["response"]["output"]


# The fold


@given(stories())
def test_the_log_amounts_to_the_response_of_its_last_event(story: Story) -> None:
    told = whole(story)
    fold = fold_of(told)
    assert as_json([fold.response()]) == [response_of(told)]
    assert fold.ended


@given(stories())
def test_the_output_of_the_last_event_is_what_the_events_before_it_amount_to(story: Story) -> None:
    told = whole(story)
    assert as_json(fold_of(told[:-1]).output()) == response_of(told)["output"]


@given(stories(), PLACES)
def test_folding_some_events_and_then_the_rest_is_folding_all(story: Story, place: int) -> None:
    told = read_back(whole(story))
    some = head(told, place)
    fold = Fold.of(some)
    if some:
        encode(fold.response())  # to look at the state does not change it
    for event in told[len(some) :]:
        fold.apply(event)
    assert encode(fold.response()) == encode(Fold.of(told).response())
    assert fold.next == len(told)


@given(stories(), PLACES)
def test_whoever_reads_the_log_sees_what_the_machine_sees(story: Story, place: int) -> None:
    machine, told = cut(story, place)
    fold = fold_of(told)
    assert encode(fold.response()) == encode(machine.fold.response())
    assert encode(fold.output(cut=True)) == encode(machine.fold.output(cut=True))


# The log as bytes


@given(stories())
def test_a_log_that_is_read_and_written_again_is_the_same_to_the_byte(story: Story) -> None:
    data = as_bytes(whole(story))
    assert as_bytes(frames.events(data)) == data


@given(stories(), PLACES)
def test_a_log_is_counted_and_skipped_by_events(story: Story, place: int) -> None:
    told = whole(story)
    data = as_bytes(told)
    assert frames.count(data) == len(told)
    number = len(head(told, place))
    assert frames.skip(data, number) == as_bytes(told[number:])
    assert frames.skip(data, len(told) + 1) == b""
    assert list(frames.payloads(data)) == [encode(event) for event in told]


# Broken off


@given(stories(), PLACES, st.booleans())
def test_a_log_cut_at_any_event_is_continued_by_another_machine(story: Story, place: int, said_more: bool) -> None:
    log = cut_log(story, place)
    fold = fold_of(log)
    before = as_json(fold.output())
    machine = Machine.resume(fold, Ids(100))
    told = machine.begin() + machine.close(cut=True)
    if said_more:
        told += machine.feed([Text("And more."), Finished()])
    judged([*log, *told, *machine.finish(AT)], cut=True)
    assert_continued(before, as_json(machine.fold.output()))


@given(stories(), PLACES)
def test_a_half_message_is_gone_on_with(story: Story, place: int) -> None:
    log = cut_log(story, place)
    fold = fold_of(log)
    machine = Machine.resume(fold, Ids(100))
    told = machine.begin()
    half = [item for item in fold.open.values() if item.kind == "message"]
    before = as_json(fold.output())
    if half:
        machine.take_up(half[0])
    told += machine.feed([Text("And more."), Finished()])
    judged([*log, *told, *machine.finish(AT)], cut=True)
    after = as_json(machine.fold.output())
    assert_continued(before, after)
    if half:
        assert len(after) == len(before)
        assert after[half[0].index]["content"][-1]["text"].endswith("And more.")


def assert_continued(before: Any, after: Any) -> None:
    """Whatever was said is still said: texts only grew, lists only got longer, identities stayed."""
    match before:
        case str():
            assert isinstance(after, str)
            assert after.startswith(before)
        case list():
            assert len(before) <= len(after)
            for one, other in zip(before, after, strict=False):
                assert_continued(one, other)
        case dict():
            for name in before.keys() - {"status", "outcome", "action", "logprobs", "error"}:
                assert_continued(before[name], after[name])
        case None:
            pass
        case _:
            assert before == after


@given(stories(), PLACES)
def test_a_failure_at_any_moment_keeps_what_was_said(story: Story, place: int) -> None:
    machine, told = cut(story, place)
    before = as_json(machine.fold.output())
    told = judged(told + machine.fail(ERROR))
    assert_continued(before, response_of(told)["output"])
    assert response_of(told)["error"]["code"] == ERROR.code


@given(stories(), PLACES)
def test_a_cancel_at_any_moment_keeps_what_was_said(story: Story, place: int) -> None:
    machine, told = cut(story, place)
    before = as_json(machine.fold.output())
    for fold in (machine.fold, fold_of(told)):
        fold.cancel()
        (response,) = as_json([fold.response()])
        assert response["status"] == "cancelled"
        assert sdk_oracle.validate_response(response, opaque=True) == []
        assert_continued(before, response["output"])
        assert "in_progress" not in {
            item.get("status") for item in response["output"] if item["type"] != "apply_patch_call"
        }
    judged(told, complete=False)


# Include

INCLUDES = st.sets(st.sampled_from(INCLUDABLE))


@given(stories(), INCLUDES)
def test_what_include_hides_is_hidden_in_events_that_stay_valid(story: Story, include: Collection[str]) -> None:
    data = as_bytes(whole(story))
    shown = visible_frames(data, include)
    assert frames.count(shown) == frames.count(data)
    assert names(list(frames.events(shown))) == names(list(frames.events(data)))
    judged(list(frames.events(shown)))
    assert gates([event.response for event in frames.events(shown) if hasattr(event, "response")]) <= set(include)


@given(stories(), INCLUDES)
def test_what_is_hidden_once_is_hidden_for_good(story: Story, include: Collection[str]) -> None:
    shown = visible_frames(as_bytes(whole(story)), include)
    assert visible_frames(shown, include) == shown
    assert visible_frames(visible_frames(shown, INCLUDABLE), include) == shown


@given(stories())
def test_whoever_asks_for_everything_sees_the_log_as_it_is(story: Story) -> None:
    data = as_bytes(whole(story))
    assert visible_frames(data, INCLUDABLE) == data


@given(stories(), INCLUDES)
def test_a_log_that_holds_nothing_hidden_is_shown_as_it_is(story: Story, include: Collection[str]) -> None:
    told = whole(story)
    data = as_bytes(told)
    held = frozenset().union(*(gates(event) for event in told))
    shown = visible_frames(data, include)
    assert visible_frames(data, frozenset(include) | held) == visible_frames(data, INCLUDABLE)
    assert (shown == data) or bool(held - frozenset(include))
