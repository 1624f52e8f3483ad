"""A log that was cut: a new machine ends what is half-said, or goes on with it, and contradicts nothing."""

from __future__ import annotations

import pytest

from antiphon.turn.deltas import (
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Refusal,
    Text,
)
from antiphon.turn.machine import Machine, OutOfOrder
from antiphon.wire import items
from antiphon.wire.events import Event
from tests.turn.telling import AT, Ids, as_json, begun, fold_of, judged, names, opened

CALL = items.FunctionCall(call_id="call_1", name="feed", arguments="", status="in_progress")


def cut_before(name: str, *deltas: Delta) -> list[Event]:
    """The log of a response that broke off before the first event of this type."""
    machine, told = begun()
    told += machine.feed(deltas) + machine.feed([Finished()])
    return told[: names(told).index(name)]


def resumed(log: list[Event]) -> Machine:
    return Machine.resume(fold_of(log), Ids(100))


def closed(log: list[Event]) -> list[str]:
    """What a new machine tells when it ends what is half-said."""
    machine = resumed(log)
    told = machine.begin() + machine.close(cut=True)
    judged(log + told + machine.finish(AT), cut=True)
    return names(told)


# What is half-said is ended


def test_a_log_that_broke_off_before_anything_was_said_is_begun() -> None:
    created = begun(background=True)[1][:1]
    assert closed(created) == ["in_progress"]


def test_a_response_that_was_in_progress_is_not_begun_twice() -> None:
    assert closed(begun()[1]) == []


def test_numbers_go_on_where_the_log_ends() -> None:
    log = cut_before("output_text.done", Text("Hi"))
    machine = resumed(log)
    assert as_json(machine.close(cut=True))[0]["sequence_number"] == len(log)


def test_a_half_message_is_closed_as_incomplete() -> None:
    log = cut_before("output_text.done", Text("Half a"))
    assert closed(log) == ["output_text.done", "content_part.done", "output_item.done"]
    machine = resumed(log)
    machine.close(cut=True)
    (item,) = as_json(machine.fold.output())
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "Half a")


def test_a_text_that_was_told_whole_is_not_told_again() -> None:
    assert closed(cut_before("content_part.done", Text("Hi"))) == ["content_part.done", "output_item.done"]


def test_arguments_that_were_told_whole_are_not_told_again() -> None:
    log = cut_before("output_item.done", ItemStarted("a", CALL), Arguments("a", "{}"))
    assert names(log)[-1] == "function_call_arguments.done"
    assert closed(log) == ["output_item.done"]


def test_a_command_that_was_told_whole_is_not_told_again() -> None:
    shell = items.ShellCall(call_id="c", action=items.ShellAction(), status="in_progress")
    log = cut_before("output_item.done", ItemStarted("a", shell), Command("a", 0, "ls"))
    assert names(log)[-1] == "shell_call_command.done"
    assert closed(log) == ["output_item.done"]


def test_what_a_command_printed_is_kept() -> None:
    output = items.ShellCallOutput(call_id="c", output=[], status="in_progress")
    log = cut_before("shell_call_output_content.done", ItemStarted("a", output), CommandOutput("a", 0, "a fox"))
    assert closed(log) == ["shell_call_output_content.done", "output_item.done"]


def test_a_tool_whose_start_was_not_told_to_the_end_is_started_before_it_is_closed() -> None:
    code = items.CodeInterpreterCall(container_id="cntr_1", code="", status="in_progress")
    log = cut_before("code_interpreter_call.in_progress", ItemStarted("a", code))
    assert closed(log) == [
        "code_interpreter_call.in_progress",
        "code_interpreter_call_code.done",
        "output_item.done",
    ]


def test_an_end_that_was_told_is_not_told_again() -> None:
    search = items.WebSearchCall(status="in_progress")
    log = cut_before("output_item.done", ItemStarted("a", search), ItemDone("a"))
    assert names(log)[-1] == "web_search_call.completed"
    assert closed(log) == ["output_item.done"]


def test_an_item_that_was_told_whole_at_its_start_is_whole() -> None:
    called = items.LocalShellCall(call_id="c", action=items.LocalShellAction(command=["ls"]), status="completed")
    log = cut_before("output_item.done", ItemStarted("a", called))
    machine = resumed(log)
    (done,) = as_json(machine.close(cut=True))
    assert done["item"]["status"] == "completed"


def test_a_second_take_over_goes_on_where_the_first_broke_off() -> None:
    log = cut_before("output_text.done", Text("Half a"))
    log += resumed(log).close(cut=True)[:1]
    assert closed(log) == ["content_part.done", "output_item.done"]


# What is half-said is gone on with


def test_a_message_that_is_taken_up_goes_on_in_the_same_part() -> None:
    log = cut_before("output_text.done", Text("Hel"))
    machine = resumed(log)
    machine.take_up(machine.fold.open[0])
    told = machine.feed([Text("lo"), Finished()])
    assert names(told) == ["output_text.delta", "output_text.done", "content_part.done", "output_item.done"]
    judged(log + told + machine.finish(AT), cut=True)
    assert as_json(machine.fold.output())[0]["content"][0]["text"] == "Hello"


def test_a_message_that_is_taken_up_after_its_text_was_told_whole_goes_on_in_a_new_part() -> None:
    log = cut_before("content_part.done", Text("One."))
    machine = resumed(log)
    machine.take_up(machine.fold.open[0])
    told = machine.feed([Text("Two."), Finished()])
    judged(log + told + machine.finish(AT), cut=True)
    assert [part["text"] for part in as_json(machine.fold.output())[0]["content"]] == ["One.", "Two."]


def test_a_message_that_is_taken_up_may_go_on_with_a_refusal() -> None:
    log = cut_before("output_text.done", Text("I would"))
    machine = resumed(log)
    machine.take_up(machine.fold.open[0])
    told = machine.feed([Refusal("but I cannot"), Finished()])
    judged(log + told + machine.finish(AT), cut=True)
    assert [part["type"] for part in as_json(machine.fold.output())[0]["content"]] == ["output_text", "refusal"]


def test_nothing_but_a_message_is_taken_up() -> None:
    machine = resumed(cut_before("output_item.done", ItemStarted("a", CALL)))
    with pytest.raises(OutOfOrder, match="words cannot go on within an item of type function_call"):
        machine.take_up(machine.fold.open[0])


def test_a_response_that_is_not_in_progress_has_nothing_to_take_up() -> None:
    half = resumed(cut_before("output_text.done", Text("Hi"))).fold.open[0]
    machine = Machine(Ids())
    machine.create(opened())
    with pytest.raises(OutOfOrder, match=r"take_up\(\) out of order: the response was created, but is not in progress"):
        machine.take_up(half)
