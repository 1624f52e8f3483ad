"""The event grammar accepts every valid stream and finds each single thing that is wrong with one."""

import copy
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.grammar import check, violations
from tests.support.response_events import (
    FAILURE,
    custom_tool_call,
    function_call,
    mcp_list_tools,
    message,
    opaque,
    output_text,
    reasoning,
    response_events,
    response_object,
    shell_call,
    shell_call_output,
    url_citation,
    web_search_call,
)
from tests.support.samples import SAMPLES, TOLD

Events = list[dict[str, Any]]

every_kind = pytest.mark.parametrize("kind", SAMPLES)
every_told_kind = pytest.mark.parametrize("kind", TOLD)


def renumbered(events: Events) -> Events:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def stream_of(kind: str) -> Events:
    return response_events(SAMPLES[kind], background=True)


# What is valid


def test_a_stream_written_by_hand_is_valid() -> None:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant"}
    done = {**item, "status": "completed", "content": [{**part, "text": "Hi"}]}
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    final = response_object(status="completed", output=[done], usage=usage, completed_at=1_760_000_001)
    added = {**item, "status": "in_progress", "content": []}
    check(
        [
            {"type": "response.created", "sequence_number": 0, "response": response_object()},
            {"type": "response.in_progress", "sequence_number": 1, "response": response_object()},
            {"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": added},
            {"type": "response.content_part.added", "sequence_number": 3, **place, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", "sequence_number": 4, **place, "delta": "Hi", "logprobs": []},
            {"type": "response.output_text.done", "sequence_number": 5, **place, "text": "Hi", "logprobs": []},
            {"type": "response.content_part.done", "sequence_number": 6, **place, "part": {**part, "text": "Hi"}},
            {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": done},
            {"type": "response.completed", "sequence_number": 8, "response": final},
        ]
    )


@every_kind
@pytest.mark.parametrize("background", [False, True])
def test_a_stream_with_one_item_of_each_kind_is_valid(kind: str, background: bool) -> None:
    check(response_events(SAMPLES[kind], background=background))


@pytest.mark.parametrize("interleaved", [False, True])
def test_a_stream_with_all_kinds_of_items_is_valid_one_after_the_other_and_side_by_side(interleaved: bool) -> None:
    check(response_events(*SAMPLES.values(), interleaved=interleaved))


@every_kind
def test_every_beginning_of_a_stream_is_valid_when_it_need_not_be_complete(kind: str) -> None:
    events = stream_of(kind)
    for length in range(len(events) + 1):
        assert violations(events[:length], complete=False) == []


@every_kind
def test_every_rest_of_a_stream_is_valid_when_its_start_is_given(kind: str) -> None:
    events = response_events(SAMPLES[kind], message("And more."), background=True, interleaved=True)
    for start in range(1, len(events)):
        assert violations(events[start:], start=start) == []


def test_items_of_an_unknown_type_may_have_any_events_that_name_them() -> None:
    check(response_events(opaque("sparkle_call", "twinkling", "fading", "twinkling"), message("Done.")))


def test_an_event_of_an_opaque_item_may_name_it_by_id_alone() -> None:
    events = response_events(opaque("sparkle_call", "twinkling"))
    del events[3]["output_index"]
    check(events)


def test_in_progress_may_be_told_again_while_items_are_open() -> None:
    events = response_events(message("The quick brown fox."))
    check(renumbered([*events[:6], events[1], *events[6:]]))


def test_keepalives_carry_a_number_and_may_come_anywhere_before_the_end() -> None:
    events = response_events(message("The quick brown fox."))
    for position in range(len(events)):
        check(renumbered([*events[:position], {"type": "keepalive"}, *events[position:]]))


def test_legacy_audio_events_belong_to_no_item() -> None:
    events = response_events(message("The quick brown fox."))
    check(renumbered([*events[:4], {"type": "response.audio.delta", "delta": "Zm94"}, *events[4:]]))


def test_shell_output_may_come_on_both_channels() -> None:
    item = shell_call_output("a quick fox")
    item.between[1]["delta"]["stderr"] = "warning"
    item.between[-1]["output"][0]["stderr"] = "warning"
    check(response_events(item))


# How a response may end


def cut_message() -> Any:
    whole = message("The quick brown fox.")
    return whole.cut(len(whole.between))


def test_an_incomplete_response_has_closed_the_item_that_was_cut() -> None:
    check(response_events(reasoning("Hm."), cut_message(), end="incomplete"))
    check(response_events(message("Done."), reasoning("Hm."), end="incomplete", reason="content_filter"))
    check(response_events(end="incomplete", reason="max_output_tokens"))
    check(response_events(message("Done."), web_search_call("fox"), end="incomplete"))


def test_an_incomplete_response_whose_last_item_is_complete_is_wrong() -> None:
    assert "it is the one that was cut" in violations(response_events(message("Done."), end="incomplete"))[0]
    assert "it is the one that was cut" in violations(response_events(function_call("f", "{}"), end="incomplete"))[0]


def test_an_incomplete_response_says_why() -> None:
    assert "incomplete_details" in violations(response_events(cut_message(), end="incomplete", reason="tired"))[0]


def test_an_item_closed_as_incomplete_may_stand_in_the_middle() -> None:
    check(response_events(cut_message(), message("The quick brown fox, again.")))


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        *(("web_search_call", kept) for kept in range(4)),
        *(("file_search_call", kept) for kept in range(4)),
        *(("image_generation_call", kept) for kept in range(6)),
        *(("mcp_call", kept) for kept in (0, 1, 4, 5)),
    ],
)
def test_a_hosted_call_that_did_not_finish_may_be_closed_before_its_tool_told_its_end(kind: str, kept: int) -> None:
    changes = {"status": "failed"} if kind == "image_generation_call" else {}
    cut = TOLD[kind].cut(kept, **changes)
    assert violations(response_events(cut)) == []
    finished = response_events(TOLD[kind].cut(kept, status="completed"))
    assert (violations(finished) == []) == (kept == len(TOLD[kind].between))


@pytest.mark.parametrize("kept", [0, 1, 5, 6, 7])
def test_a_run_of_code_that_did_not_finish_may_be_closed_early(kept: int) -> None:
    changes = {"code": "", "outputs": None} if kept < 2 else {}
    assert TOLD["code_interpreter_call"].between[4]["type"].endswith("code.done")
    assert violations(response_events(TOLD["code_interpreter_call"].cut(kept, **changes))) == []


def test_text_that_was_begun_is_closed_even_when_it_was_cut() -> None:
    assert violations(response_events(message("The quick brown fox.").cut(3)))


@every_told_kind
def test_a_failed_response_may_leave_its_items_open_and_keep_them_or_not(kind: str) -> None:
    events = response_events(message("Done."), SAMPLES[kind], end="failed")
    opened = next(event for event in events if event.get("output_index") == 1)
    for length in range(events.index(opened), len(events) - 1):
        last = {**events[-1], "response": {**events[-1]["response"], "output": events[-1]["response"]["output"][:1]}}
        check(renumbered([*events[:length], last]))
        last["response"]["output"] = [*last["response"]["output"], opened["item"]]
        if length > events.index(opened):
            check(renumbered([*events[:length], last]))


def test_a_failed_response_keeps_its_done_items() -> None:
    events = response_events(message("Done."), end="failed")
    events[-1]["response"]["output"] = []
    assert "lacks the done item" in violations(events)[0]


def test_a_failed_response_has_no_items_but_its_own_in_their_order() -> None:
    events = response_events(message("One."), message("Two."), end="failed")
    check(events)
    events[-1]["response"]["output"].reverse()
    assert "response.output has the items ['item_1', 'item_0']" in violations(events)[0]
    events[-1]["response"]["output"] = [*reversed(events[-1]["response"]["output"]), {"id": "item_7"}]
    assert "'item_7'" in violations(events)[0]


@pytest.mark.parametrize("error", [{}, {"code": "server_error"}, {"message": "It crashed."}, "It crashed."])
def test_a_failed_response_says_what_failed(error: Any) -> None:
    events = response_events(end="failed")
    events[-1]["response"]["error"] = error
    assert "response.error lacks code or message" in violations(events)[0]


def test_an_error_stands_only_just_before_failed() -> None:
    error = {"type": "error", "message": "It crashed.", "code": "server_error", "param": None}
    events = response_events(message("Done."), end="failed")
    check(renumbered([*events[:-1], error, events[-1]]))
    check(renumbered([*events[:-1], error, {"type": "keepalive"}, events[-1]]))
    completed = response_events(message("Done."))
    assert violations(renumbered([*completed[:-1], error, completed[-1]]))
    assert violations(renumbered([*completed[:5], error, *completed[5:]]))
    assert violations(renumbered([*completed[:5], error]))


def test_an_error_that_is_nested_is_wrong() -> None:
    nested = {"type": "error", "error": {"message": "It crashed.", "code": "server_error"}}
    events = response_events(message("Done."), end="failed")
    found = violations(renumbered([*events[:-1], nested, events[-1]]))
    assert "top-level error" in found[0]
    assert "no message" in found[1]


def test_a_stream_without_a_terminal_event_is_wrong_unless_it_may_be_cut() -> None:
    events = response_events(message("Done."))[:-1]
    assert violations(events) == ["the stream ended without a terminal event"]
    assert violations(events, complete=False) == []
    assert violations([]) == ["the stream ended without a terminal event"]


def test_nothing_follows_the_terminal_event() -> None:
    events = response_events(message("Done."))
    for extra in (events[-1], events[1], {"type": "keepalive"}, {"type": "error", "message": "x"}):
        assert "after the terminal event" in violations(renumbered([*events, extra]))[0]


# Mutations: each single event that is dropped, doubled or swapped is found, save where the order is legal

MAY_BE_DROPPED = {
    "response.queued",
    "response.file_search_call.searching",
    "response.web_search_call.searching",
    "response.image_generation_call.generating",
    "response.compaction.compacting",
}
MAY_BE_DOUBLED = {
    "response.in_progress",
    "response.file_search_call.searching",
    "response.web_search_call.searching",
    "response.compaction.compacting",
}
MAY_BE_SWAPPED = {("response.output_text.delta", "response.output_text.annotation.added")}


def is_last_preview(events: Events, position: int) -> bool:
    """A preview that is missing at the end is not missed: nobody said how many there would be."""
    preview = "response.image_generation_call.partial_image"
    return events[position]["type"] == preview and events[position + 1]["type"] != preview


@every_kind
def test_every_dropped_event_is_found(kind: str) -> None:
    events = stream_of(kind)
    for position, event in enumerate(events):
        legal = event["type"] in MAY_BE_DROPPED or is_last_preview(events, position)
        found = violations(renumbered([*events[:position], *events[position + 1 :]]))
        assert bool(found) != legal, f"dropped {position}: {event['type']}"


@every_kind
def test_every_doubled_event_is_found(kind: str) -> None:
    events = stream_of(kind)
    for position, event in enumerate(events):
        found = violations(renumbered([*events[:position], event, *events[position:]]))
        assert bool(found) != (event["type"] in MAY_BE_DOUBLED), f"doubled {position}: {event['type']}"


@every_kind
def test_every_pair_of_swapped_events_is_found(kind: str) -> None:
    events = stream_of(kind)
    for position, (one, other) in enumerate(pairwise(events)):
        swapped = renumbered([*events[:position], other, one, *events[position + 2 :]])
        legal = (one["type"], other["type"]) in MAY_BE_SWAPPED
        assert bool(violations(swapped)) != legal, f"swapped {position}: {one['type']} and {other['type']}"


@every_kind
def test_without_new_numbers_every_mutation_is_found_by_its_number(kind: str) -> None:
    events = stream_of(kind)
    for position in range(len(events) - 1):
        one, other = events[position], events[position + 1]
        for mutated in ([other], [one, one, other], [other, one]):
            found = violations([*events[:position], *mutated, *events[position + 2 :]])
            assert any("sequence_number" in each for each in found)


def test_swapping_events_of_different_items_is_legal() -> None:
    events = response_events(mcp_list_tools("zoo", "feed"), mcp_list_tools("pond", "fish"), interleaved=True)
    for position in (4, 6):
        assert events[position]["output_index"] != events[position + 1]["output_index"]
        swapped = [*events[:position], events[position + 1], events[position], *events[position + 2 :]]
        check(renumbered(swapped))


# Every other rule: one change to a valid stream each

Change = Callable[[Events], Any]
TEXT_DELTA, TEXT_DONE, PART_DONE, ITEM_DONE = 4, 8, 9, 10


def one_message() -> Events:
    """Give 0 created, 1 in_progress, 2 item, 3 part, 4-7 deltas, 8 text, 9 part, 10 item, 11 completed."""
    return response_events(message("The quick brown fox."))


def put(position: int, *path: str | int, value: Any) -> Change:
    def change(events: Events) -> None:
        *owner, last = path
        target: Any = events[position]
        for step in owner:
            target = target[step]
        target[last] = value

    return change


def remove(position: int, *path: str | int) -> Change:
    def change(events: Events) -> None:
        *owner, last = path
        target: Any = events[position]
        for step in owner:
            target = target[step]
        del target[last]

    return change


RULES: dict[str, tuple[Change, str]] = {
    "an event has a type": (remove(4, "type"), "has no type"),
    "numbers are integers": (put(4, "sequence_number", value="4"), "not an integer"),
    "numbers are not booleans": (put(1, "sequence_number", value=True), "not an integer"),
    "numbers have no gap": (put(4, "sequence_number", value=9), "sequence_number 9 instead of 4"),
    "the first number is 0": (put(0, "sequence_number", value=1), "sequence_number 1 instead of 0"),
    "a lifecycle event has a response": (remove(1, "response"), "carries no response"),
    "snapshots are complete": (remove(1, "response", "tools"), "the snapshot lacks tools"),
    "the final snapshot is complete": (remove(11, "response", "store"), "the snapshot lacks store"),
    "a response is a response": (put(0, "response", "object", value="chat"), "object is 'chat'"),
    "created is in progress": (put(0, "response", "status", value="completed"), "status is 'completed'"),
    "completed is completed": (put(11, "response", "status", value="in_progress"), "status is 'in_progress'"),
    "the response's id stays": (put(11, "response", "id", value="resp_other"), "response.id changed"),
    "the response's time stays": (put(1, "response", "created_at", value=7), "response.created_at changed"),
    "the response's model stays": (put(1, "response", "model", value="x"), "response.model changed"),
    "the response has an id": (put(0, "response", "id", value=""), "response.id is empty"),
    "no output before the end": (put(1, "response", "output", value=[{}]), "before the end has output"),
    "output is a list": (put(1, "response", "output", value=None), "not a list"),
    "no usage before the end": (put(1, "response", "usage", value={}), "told before the end"),
    "usage at the end": (put(11, "response", "usage", value=None), "usage is missing"),
    "usage adds up": (put(11, "response", "usage", "total_tokens", value=1), "does not add up"),
    "usage is numbers": (put(11, "response", "usage", "total_tokens", value="40"), "usage is"),
    "completed has a time": (put(11, "response", "completed_at", value=None), "completed_at is None"),
    "in_progress has no end": (put(1, "response", "completed_at", value=5), "completed_at is 5"),
    "completed has no error": (put(11, "response", "error", value=FAILURE), "response.error is"),
    "completed is not incomplete": (put(11, "response", "incomplete_details", value={}), "incomplete_details is"),
    "the output has all items": (put(11, "response", "output", value=[]), "has 0 items"),
    "the output is the done items": (put(11, "response", "output", 0, "status", value=None), "not the done item"),
    "indexes start at 0": (put(2, "output_index", value=1), "output_index 1 instead of 0"),
    "an item has an index": (remove(2, "output_index"), "no output_index"),
    "an item has an id": (put(2, "item", "id", value=""), "no id"),
    "a message opens empty": (put(2, "item", "content", value=[{}]), "already told"),
    "a message opens with a list": (remove(2, "item", "content"), "opens without the list content"),
    "a message opens in progress": (put(2, "item", "status", value="completed"), "opens with status completed"),
    "a delta names its item": (put(TEXT_DELTA, "item_id", value="msg_x"), "item_id 'msg_x' instead of"),
    "a delta needs its item's id": (remove(TEXT_DELTA, "item_id"), "item_id None instead of"),
    "a delta has the item's index": (put(TEXT_DELTA, "output_index", value=3), "belongs to no item"),
    "a delta is text": (put(TEXT_DELTA, "delta", value=None), "delta is None"),
    "a delta has the part's index": (put(TEXT_DELTA, "content_index", value=1), "content_index 1 instead of 0"),
    "a part has the next index": (put(3, "content_index", value=1), "content_index 1 instead of 0"),
    "logprobs of a delta are a list": (put(TEXT_DELTA, "logprobs", value=None), "logprobs is None"),
    "logprobs of a text are a list": (remove(TEXT_DONE, "logprobs"), "logprobs is None"),
    "logprobs are those of the deltas": (put(TEXT_DONE, "logprobs", value=[{"token": "x"}]), "not those of the deltas"),
    "logprobs of a part are a list": (put(3, "part", "logprobs", value=None), "logprobs is None"),
    "annotations of a part are a list": (put(3, "part", "annotations", value=None), "annotations is None"),
    "annotations stay a list": (remove(PART_DONE, "part", "annotations"), "annotations is None"),
    "a part opens empty": (put(3, "part", "text", value="The"), "already told"),
    "a part has a type that is known": (put(3, "part", "type", value="poem"), "carries the part {'type': 'poem'"),
    "a part is told in its own words": (put(3, "part", "type", value="refusal"), "cannot tell a part of type refusal"),
    "a text is its deltas": (put(TEXT_DONE, "text", value="The"), "not the concatenation"),
    "a part is its text": (put(PART_DONE, "part", "text", value="The"), "not the one told before"),
    "a part keeps its type": (put(PART_DONE, "part", "type", value="refusal"), "the added one was of type output_text"),
    "a part has the annotations told": (put(PART_DONE, "part", "annotations", value=[{}]), "annotations are not those"),
    "a part has the logprobs told": (put(PART_DONE, "part", "logprobs", value=[{"token": "x"}]), "logprobs are not"),
    "an item is its parts": (put(ITEM_DONE, "item", "content", value=[]), "not what its events told"),
    "an item keeps its id": (put(ITEM_DONE, "item", "id", value="msg_x"), "the done item has id 'msg_x'"),
    "an item keeps its type": (put(ITEM_DONE, "item", "type", value="reasoning"), "has type 'reasoning'"),
    "an item keeps its role": (put(ITEM_DONE, "item", "role", value="user"), "role changed"),
    "an item is done with a final status": (put(ITEM_DONE, "item", "status", value="in_progress"), "done with status"),
    "an item is done with an item": (remove(ITEM_DONE, "item"), "carries no item"),
    "an event has no error": (put(TEXT_DELTA, "error", value={"code": "x"}), "top-level error"),
    "an unknown event belongs to an item": (put(TEXT_DELTA, "type", value="response.sparkle"), "only"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_found_broken(rule: str) -> None:
    change, expected = RULES[rule]
    events = one_message()
    check(events)
    change(events)
    found = violations(events)
    assert any(expected in each for each in found), found


def test_a_call_keeps_its_name_and_call_id() -> None:
    for key in ("name", "call_id"):
        events = response_events(function_call("look_up", "{}"))
        events[-2]["item"][key] = "other"
        assert any(f"{key} changed" in each for each in violations(events))


def test_two_items_have_different_ids() -> None:
    events = response_events(message("One.").named("msg_1"), message("Two.").named("msg_1"))
    assert "a second item has the id msg_1" in violations(events)[0]


def test_two_calls_have_different_call_ids() -> None:
    check(response_events(function_call("f", "{}"), custom_tool_call("f", "x")))
    for call in (function_call("f", "{}"), custom_tool_call("f", "x"), shell_call("ls"), shell_call_output("x")):
        assert "has the call_id call_1" in violations(response_events(call, call))[0]


def test_an_output_index_is_not_given_twice() -> None:
    events = response_events(message("One."), message("Two."))
    for event in events:
        if event.get("output_index") == 1:
            event["output_index"] = 0
    assert any("output_index 0 instead of 1" in each for each in violations(events))


def test_annotations_count_within_their_part() -> None:
    cited = output_text("Foxes.", annotations=[url_citation()])
    events = response_events(message(cited, cited))
    added = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [event["annotation_index"] for event in added] == [0, 0]
    added[1]["annotation_index"] = 1
    assert "annotation_index 1 instead of 0" in violations(events)[0]


def test_previews_of_an_image_are_counted() -> None:
    events = response_events(TOLD["image_generation_call"])
    events[6]["partial_image_index"] = 0
    assert "partial_image_index 0 instead of 1" in violations(events)[0]


@pytest.mark.parametrize("kind", ["shell_call", "shell_call_output"])
def test_commands_are_counted(kind: str) -> None:
    events = response_events(TOLD[kind])
    second = next(event for event in events if event.get("command_index") == 1)
    second["command_index"] = 2
    assert "command_index 2 instead of 1" in violations(events)[0]


def test_shell_output_is_objects() -> None:
    events = response_events(shell_call_output("a quick fox"))
    events[3]["delta"] = "a"
    assert "delta is 'a'" in violations(events)[0]
    events = response_events(shell_call_output("a quick fox"))
    events[-3]["output"] = "a quick fox"
    assert "output is 'a quick fox'" in violations(events)[0]


def test_known_events_do_not_belong_to_opaque_items() -> None:
    events = response_events(opaque("sparkle_call", "twinkling"))
    events[3]["type"] = "response.web_search_call.searching"
    assert "belongs to another type of item" in violations(events)[0]


def test_an_event_of_an_item_that_is_done_is_found() -> None:
    events = response_events(message("One."), message("Two."))
    late = copy.deepcopy(events[4])
    assert "was done" in violations(renumbered([*events[:-1], late, events[-1]]))[0]


def test_items_come_only_while_the_response_is_in_progress() -> None:
    events = one_message()
    assert "before response.in_progress" in violations(renumbered([events[0], *events[2:]]))[0]


def test_the_rest_of_a_stream_is_judged_too() -> None:
    events = response_events(message("One."), message("Two."))
    rest = events[6:]
    assert violations(rest, start=6) == []
    assert "sequence_number 6 instead of 5" in violations(rest, start=5)[0]
    second = next(event for event in rest if event.get("delta") == "Two.")
    second["delta"] = "Three."
    assert "concatenation" in violations(rest, start=6)[0]


# The report, and input that is no stream at all


def test_the_report_shows_the_violations_and_the_stream_around_them() -> None:
    events = response_events(message("One."), message("The quick brown fox jumps over the dog."))
    events[12]["delta"] = " slow"
    with pytest.raises(AssertionError) as caught:
        check(events)
    report = str(caught.value)
    assert "violation(s) of the event grammar" in report
    assert "concatenation" in report
    assert report.count("   ...") == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
event_types = sorted({event["type"] for event in response_events(*SAMPLES.values())})
fields = "sequence_number output_index item item_id part delta response output error".split()
any_event = st.fixed_dictionaries(
    {"type": st.sampled_from(event_types) | json_values}, optional=dict.fromkeys(fields, json_values)
)


@given(st.lists(any_event, max_size=5))
def test_no_input_breaks_the_checker(events: Events) -> None:
    assert violations(events)


@given(kind=st.sampled_from(sorted(SAMPLES)), data=st.data(), value=json_values)
def test_a_stream_with_one_field_of_any_value_never_breaks_the_checker(
    kind: str, data: st.DataObject, value: Any
) -> None:
    events = stream_of(kind)
    event = data.draw(st.sampled_from(events))
    key = data.draw(st.sampled_from(sorted(event)))
    before = json.dumps(event[key])
    event[key] = value
    found = violations(events)
    told = {"type", "sequence_number", "output_index", "item_id", "content_index", "summary_index", "item", "response"}
    assert found or key not in told or json.dumps(value) == before
