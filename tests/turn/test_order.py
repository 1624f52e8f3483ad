"""The life of a response: what the machine allows when, how responses end, and what they amount to over their turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Noted,
    Opaque,
    PartStarted,
    Progress,
    Reasoning,
    Settled,
    Text,
    Usage,
)
from antiphon.turn.machine import Machine, OutOfOrder
from antiphon.wire import items, response
from antiphon.wire.content import UrlCitation
from antiphon.wire.events import Event
from antiphon.wire.struct import Opaque as OpaqueItem
from tests.turn.telling import AT, ERROR, Ids, as_json, begun, finished, judged, names, opened, spoken

CALL = items.FunctionCall(call_id="call_1", name="feed", arguments="", status="in_progress")
ANSWER = items.Message(role="assistant", status="in_progress", content=[])
CODE = items.CodeInterpreterCall(container_id="cntr_1", code="", status="in_progress")
SHELL = items.ShellCall(call_id="c", action=items.ShellAction(), status="in_progress")
PRINTED = items.ShellCallOutput(call_id="c", output=[], status="in_progress")
PATCH = items.ApplyPatchCall(call_id="c", operation=items.DeleteFile(path="fox.txt"), status="in_progress")


def new() -> Machine:
    return Machine(Ids())


def made() -> Machine:
    machine = new()
    machine.create(opened(background=True))
    return machine


def told() -> Machine:
    return begun()[0]


def over() -> Machine:
    machine = told()
    machine.finish(AT)
    return machine


CALLS: dict[str, Callable[[Machine], Any]] = {
    "create": lambda machine: machine.create(opened()),
    "begin": lambda machine: machine.begin(),
    "feed": lambda machine: machine.feed([Text("Hi")]),
    "close": lambda machine: machine.close(),
    "take_up": lambda machine: machine.take_up(next(iter(machine.fold.open.values()))),
    "finish": lambda machine: machine.finish(AT),
    "fail": lambda machine: machine.fail(ERROR),
}
STATES: dict[Callable[[], Machine], set[str]] = {
    new: {"create"},
    made: {"begin", "fail"},
    told: {"begin", "feed", "close", "finish", "fail"},
    over: set(),
}


@pytest.mark.parametrize("call", CALLS.keys() - {"take_up"})
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_each_call_is_allowed_in_some_states_and_refused_in_all_others(state: Callable[[], Machine], call: str) -> None:
    machine = state()
    if call in STATES[state]:
        CALLS[call](machine)
        return
    with pytest.raises(OutOfOrder, match=rf"^{call}\(\) out of order: the response (was|is) "):
        CALLS[call](machine)


def test_a_response_that_was_cancelled_says_no_more() -> None:
    machine = told()
    machine.fold.cancel()
    with pytest.raises(OutOfOrder, match="the response is over"):
        machine.feed([Text("Hi")])
    with pytest.raises(OutOfOrder, match="the response is over"):
        machine.finish(AT)


def test_a_cancel_after_the_end_changes_nothing() -> None:
    machine = over()
    machine.fold.cancel()
    assert machine.fold.response().status == "completed"


def test_a_cancelled_response_stays_cancelled() -> None:
    machine = told()
    machine.fold.cancel()
    machine.fold.cancel()
    assert machine.fold.response().status == "cancelled"


WRONG: dict[str, tuple[list[Delta], str]] = {
    "arguments without a call": ([Arguments("a", "{}")], "no item is open under the key 'a'"),
    "an end without a beginning": ([ItemDone("a")], "no item is open under the key 'a'"),
    "a second end": ([ItemStarted("a", CALL), ItemDone("a"), ItemDone("a")], "no item is open"),
    "a second beginning": ([ItemStarted("a", CALL), ItemStarted("a", CALL)], "another item is open under the key 'a'"),
    "another kind at the end": (
        [ItemStarted("a", CALL), ItemDone("a", ANSWER)],
        "an item of type function_call cannot end as message",
    ),
    "words in a call": ([ItemStarted("a", CALL), Text("Hi", "a")], "function_call holds no part of type output_text"),
    "thoughts in a message": (
        [ItemStarted("a", ANSWER), Reasoning("Hm", "a")],
        "message holds no part of type reasoning_text",
    ),
    "a part in a call": ([ItemStarted("a", CALL), PartStarted("refusal", "a")], "holds no part of type refusal"),
    "arguments of a message": ([ItemStarted("a", ANSWER), Arguments("a", "{}")], "nothing more can be written"),
    "a diff of a file that goes": ([ItemStarted("a", PATCH), Arguments("a", "@@")], "nothing more can be written"),
    "code after it ran": (
        [ItemStarted("a", CODE), Progress("a", "interpreting"), Arguments("a", "1")],
        "nothing more can be written",
    ),
    "more code after it ran": (
        [ItemStarted("a", CODE), Arguments("a", "1"), Progress("a", "interpreting"), Arguments("a", "2")],
        "nothing more can be written",
    ),
    "a command before its time": ([ItemStarted("a", SHELL), Command("a", 1, "ls")], "not at command 1"),
    "a command that was over": (
        [ItemStarted("a", SHELL), Command("a", 0, "ls"), Command("a", 1, "ls"), Command("a", 0, "ls")],
        "not at command 0",
    ),
    "a command of a call": ([ItemStarted("a", CALL), Command("a", 0, "ls")], "function_call is not at command 0"),
    "what no command printed": ([ItemStarted("a", PRINTED), CommandOutput("a", 1, "x")], "output of command 1"),
    "what a call printed": ([ItemStarted("a", CALL), CommandOutput("a", 0, "x")], "output of command 0"),
    "an image without its bytes": (
        [ItemStarted("a", items.ImageGenerationCall()), Progress("a", "partial_image")],
        "partial_image lacks what it must have",
    ),
    "an item that cannot be read": ([ItemStarted("a", OpaqueItem({"type": "message"}))], "its words cannot be told"),
    "an event of ours": (
        [ItemStarted("a", CALL), Opaque("a", {"type": "response.completed"})],
        "'response.completed' is not told as it is",
    ),
    "an event without a type": ([ItemStarted("a", CALL), Opaque("a", {})], "type None is not told as it is"),
    "an output that a model settles": ([Settled({"output": [], "user": "me"})], "settles: output$"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_delta_that_the_grammar_does_not_allow_is_refused_by_name(case: str) -> None:
    deltas, message = WRONG[case]
    machine = told()
    machine.feed(deltas[:-1])
    with pytest.raises(OutOfOrder, match=message):
        machine.feed(deltas[-1:])


def test_what_was_told_before_a_wrong_delta_comes_with_the_failure() -> None:
    machine, events = begun()
    with pytest.raises(OutOfOrder):
        machine.feed([Text("Half a"), Arguments("a", "{}")])
    events += machine.fail(ERROR)
    assert names(judged(events))[2:] == ["output_item.added", "content_part.added", "output_text.delta", "failed"]


def test_an_item_that_ends_as_one_we_cannot_read_ends_as_it_was_said() -> None:
    broken = OpaqueItem({"type": "function_call", "arguments": 7})
    done = spoken(ItemStarted("a", CALL), Arguments("a", "{}"), ItemDone("a", broken))[-1]
    assert (done["item"]["arguments"], done["item"]["status"]) == ("{}", "completed")


# Beginnings and ends


def test_a_background_response_is_created_queued_and_then_in_progress() -> None:
    _, events = begun(background=True)
    assert [(event["type"], event["response"]["status"]) for event in as_json(events)] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
    ]


def test_a_foreground_response_is_created_in_progress() -> None:
    _, events = begun()
    assert [event["response"]["status"] for event in as_json(events)] == ["in_progress", "in_progress"]


def test_a_completed_response_says_when() -> None:
    last = finished(Text("Hi"), Finished())[-1]["response"]
    assert (last["status"], last["completed_at"], last["error"]) == ("completed", AT + 9, None)


@pytest.mark.parametrize("reason", ["max_output_tokens", "max_messages", "content_filter", "steered"])
def test_a_cut_response_says_why_and_not_when(reason: Any) -> None:
    last = finished(Text("Hi"), Finished(reason))[-1]["response"]
    assert (last["status"], last["completed_at"]) == ("incomplete", None)
    assert last["incomplete_details"] == {"reason": reason}
    assert last["output"][0]["status"] == "incomplete"


def test_a_failed_response_keeps_its_half_items_open_and_what_they_say() -> None:
    machine, events = begun()
    events += machine.feed([Text("Half a"), Usage(figures(3, 2))]) + machine.fail(ERROR)
    (last,) = as_json(judged(events)[-1:])
    assert "output_item.done" not in names(events)
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["output"][0]["content"][0]["text"] == "Half a"
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert last["response"]["usage"]["total_tokens"] == 5


def test_a_response_can_fail_before_it_is_in_progress() -> None:
    machine = Machine(Ids())
    events = machine.create(opened(background=True)) + machine.fail(ERROR)
    assert names(judged(events)) == ["created", "queued", "failed"]


def test_the_response_of_a_running_machine_shows_what_was_said_so_far() -> None:
    machine, _ = begun()
    machine.feed([Text("Half a")])
    (now,) = as_json([machine.fold.response()])
    assert (now["status"], now["output"][0]["status"]) == ("in_progress", "in_progress")
    assert now["output"][0]["content"][0]["text"] == "Half a"


def test_a_response_that_was_shown_does_not_change_when_more_is_said() -> None:
    machine, _ = begun()
    page = UrlCitation(start_index=0, end_index=1, title="Fox", url="https://example.com")
    said: list[Delta] = [Text("a"), Annotated(page)]
    machine.feed(said)
    shown = machine.fold.response()
    before = as_json([shown])
    machine.feed(said)
    assert as_json([shown]) == before


# Over several turns


def figures(inward: int, outward: int, **details: Any) -> response.Usage:
    return response.Usage(
        input_tokens=inward,
        input_tokens_details=response.InputTokensDetails(cached_tokens=inward // 2, **details),
        output_tokens=outward,
        output_tokens_details=response.OutputTokensDetails(reasoning_tokens=outward // 2),
        total_tokens=inward + outward,
    )


def two_turns(*between: Delta) -> list[Event]:
    machine, events = begun()
    events += machine.feed([Text("One."), Usage(figures(10, 4)), Finished()])
    events += machine.feed(between)
    events += machine.feed([Text("Two."), Usage(figures(20, 6)), Finished()])
    return judged(events + machine.finish(AT))


def test_usage_is_the_sum_of_all_turns() -> None:
    usage = as_json(two_turns())[-1]["response"]["usage"]
    assert usage == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 15, "cache_write_tokens": 0},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 40,
    }


def test_details_of_cache_writes_are_summed_by_their_names() -> None:
    machine, _ = begun()
    first, second = ({"ttl_30m_tokens": 1, "ttl_12h_tokens": 2}, {"ttl_30m_tokens": 4})
    machine.feed([Usage(figures(1, 1, cache_write_tokens_details=each)) for each in (first, second)])
    assert machine.usage is not None
    details = machine.usage.input_tokens_details.cache_write_tokens_details
    assert details == {"ttl_30m_tokens": 5, "ttl_12h_tokens": 2}


def test_a_response_for_which_nobody_counted_has_used_nothing() -> None:
    assert finished(Text("Hi"), Finished())[-1]["response"]["usage"]["total_tokens"] == 0


def test_places_run_on_over_the_turns_and_words_begin_a_new_message() -> None:
    call = items.FileSearchCall(queries=["fox"], status="completed")
    start = items.FileSearchCall(queries=[], status="in_progress")
    output = as_json(two_turns(ItemStarted("tool", start), ItemDone("tool", call)))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "file_search_call", "message"]


def test_the_end_of_a_turn_frees_its_keys() -> None:
    told = finished(ItemStarted(0, CALL), Finished(), ItemStarted(0, items.FunctionCall(
        call_id="call_2", name="feed", arguments="", status="in_progress")), Finished())  # fmt: skip
    assert [item["call_id"] for item in told[-1]["response"]["output"]] == ["call_1", "call_2"]


def test_a_turn_that_was_cut_does_not_make_a_later_whole_one_incomplete() -> None:
    machine, events = begun()
    events += machine.feed([Text("Half"), Finished("max_output_tokens")])
    events += machine.feed([Text("Whole"), Finished()]) + machine.finish(AT)
    assert names(judged(events))[-1] == "completed"


def test_what_the_upstream_settled_stands_in_the_last_event_only() -> None:
    told = finished(
        Settled({"service_tier": "flex", "temperature": 0.5}),
        Text("Hi"),
        Settled({"service_tier": "scale"}),
        Finished(),
    )
    first, last = told[1]["response"], told[-1]["response"]
    assert (first["service_tier"], first["temperature"]) == ("default", 1.0)
    assert (last["service_tier"], last["temperature"]) == ("scale", 0.5)


def test_a_fact_tells_nothing() -> None:
    assert spoken(Noted({"upstream_response_id": "resp_theirs"})) == []
