"""Calls and hosted tools: what is written into them, the steps they take, and each way in which they end."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.turn.deltas import (
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Opaque,
    Progress,
    Text,
)
from antiphon.wire import items
from antiphon.wire.items import (
    ApplyPatchCall,
    CodeInterpreterCall,
    CustomToolCall,
    DeleteFile,
    Exit,
    FileSearchCall,
    FunctionCall,
    ImageGenerationCall,
    McpCall,
    McpListTools,
    ShellAction,
    ShellCall,
    ShellCallOutput,
    ShellOutput,
    UpdateFile,
    WebSearchCall,
)
from antiphon.wire.struct import Opaque as OpaqueItem
from tests.turn.telling import finished, names, output, spoken

CALL = FunctionCall(call_id="call_1", name="feed", arguments="", status="in_progress")
CUSTOM = CustomToolCall(call_id="call_2", name="sql", input="", status="in_progress")
CODE = CodeInterpreterCall(container_id="cntr_1", code="", outputs=None, status="in_progress")
MCP = McpCall(server_label="zoo", name="feed", arguments="", output=None, error=None, status="in_progress")
LISTING = McpListTools(server_label="zoo", tools=[])
SHELL = ShellCall(call_id="call_3", action=ShellAction(commands=[]), environment=None, status="in_progress")
PRINTED = ShellCallOutput(call_id="call_3", output=[], status="in_progress")
IMAGE = ImageGenerationCall(status="in_progress", result=None)
SEARCH = FileSearchCall(queries=[], results=None, status="in_progress")
WEB = WebSearchCall(status="in_progress")


def between(*deltas: Delta) -> list[str]:
    """The events of the first item between its beginning and its end."""
    ended = deltas if isinstance(deltas[-1], Finished) else (*deltas, Finished())
    told = [event for event in finished(*ended) if event.get("output_index") == 0]
    return names(told)[1:-1]


# Calls that the client answers


def test_a_call_is_written_and_repeated_whole() -> None:
    added, *written, done, item = spoken(
        ItemStarted("a", CALL), Arguments("a", '{"fox"'), Arguments("a", ": 1}"), ItemDone("a")
    )
    assert (added["item"]["arguments"], added["item"]["status"]) == ("", "in_progress")
    assert [event["delta"] for event in written] == ['{"fox"', ": 1}"]
    assert done["arguments"] == item["item"]["arguments"] == '{"fox": 1}'
    assert item["item"]["status"] == "completed"


def test_parallel_calls_interleave_and_close_each_by_itself() -> None:
    told = finished(
        ItemStarted(0, CALL),
        ItemStarted(1, CUSTOM),
        Arguments(0, "a"),
        Arguments(1, "b"),
        Arguments(0, "c"),
        ItemDone(1),
        Arguments(0, "d"),
        ItemDone(0),
        Finished(),
    )
    one, other = told[-1]["response"]["output"]
    assert (one["arguments"], other["input"]) == ("acd", "b")
    done = [event["output_index"] for event in told if event["type"].endswith("output_item.done")]
    assert done == [1, 0]


def test_a_call_without_arguments_still_tells_that_they_are_done() -> None:
    assert between(ItemStarted("a", CALL), ItemDone("a")) == ["function_call_arguments.done"]


def test_a_call_that_is_given_whole_at_its_start_opens_empty_and_is_told() -> None:
    whole = FunctionCall(call_id="call_1", name="feed", arguments='{"fox": 1}', status="completed")
    added, delta, *_, done = spoken(ItemStarted("a", whole), ItemDone("a"))
    assert (added["item"]["arguments"], added["item"]["status"]) == ("", "in_progress")
    assert delta["delta"] == done["item"]["arguments"] == '{"fox": 1}'


def test_a_length_cut_closes_the_call_as_incomplete_with_what_was_written() -> None:
    told = finished(ItemStarted("a", CALL), Arguments("a", '{"fo'), Finished("max_output_tokens"))
    (item,) = told[-1]["response"]["output"]
    assert (item["status"], item["arguments"]) == ("incomplete", '{"fo')
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_half_a_custom_tool_call_says_that_it_is_incomplete() -> None:
    (item,) = output(ItemStarted("a", CUSTOM), Arguments("a", "select na"), Finished("max_output_tokens"))
    assert (item["status"], item["input"]) == ("incomplete", "select na")


def test_half_a_patch_is_never_told_as_a_whole_one() -> None:
    patch = ApplyPatchCall(call_id="c", operation=UpdateFile(path="fox.txt", diff=""), status="in_progress")
    (item,) = output(ItemStarted("a", patch), Arguments("a", "@@ -1"), Finished("max_output_tokens"))
    assert (item["status"], item["operation"]["diff"]) == ("in_progress", "@@ -1")


def test_a_patch_that_was_said_to_its_end_is_completed() -> None:
    patch = ApplyPatchCall(call_id="c", operation=UpdateFile(path="fox.txt", diff=""), status="in_progress")
    (item,) = output(ItemStarted("a", patch), Arguments("a", "@@ -1"), ItemDone("a"), Finished())
    assert item["status"] == "completed"


def test_a_patch_that_its_source_cut_is_cut() -> None:
    patch, half = (
        ApplyPatchCall(call_id="c", operation=UpdateFile(path="fox.txt", diff=diff), status="in_progress")
        for diff in ("", "@@ -1")
    )
    assert spoken(ItemStarted("a", patch), ItemDone("a", half))[-1]["item"]["status"] == "in_progress"


def test_a_patch_that_deletes_a_file_tells_no_diff() -> None:
    patch = ApplyPatchCall(call_id="c", operation=DeleteFile(path="fox.txt"), status="in_progress")
    assert between(ItemStarted("a", patch), ItemDone("a")) == []


# Hosted tools


def test_a_search_is_under_way_from_its_start_and_completed_at_its_end() -> None:
    whole = FileSearchCall(queries=["fox"], results=None, status="completed")
    deltas = (ItemStarted("a", SEARCH), Progress("a", "searching"), ItemDone("a", whole))
    assert between(*deltas) == [f"file_search_call.{step}" for step in ("in_progress", "searching", "completed")]


def test_a_search_that_does_not_say_what_it_did_still_has_an_action() -> None:
    (item,) = output(ItemStarted("a", WEB), ItemDone("a"), Finished())
    assert item["action"] == {"type": "search"}


@pytest.mark.parametrize(
    ("start", "whole", "family"),
    [
        (SEARCH, FileSearchCall(queries=["fox"], status="failed"), "file_search_call"),
        (WEB, WebSearchCall(action=items.Search(query="fox"), status="failed"), "web_search_call"),
        (IMAGE, ImageGenerationCall(status="failed"), "image_generation_call"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tool_that_fails_without_an_event_for_it_says_so_in_its_item(start: Any, whole: Any, family: str) -> None:
    deltas = (ItemStarted("a", start), ItemDone("a", whole))
    assert between(*deltas) == [f"{family}.in_progress"]
    assert output(*deltas, Finished())[0]["status"] == "failed"


def test_code_is_written_then_run() -> None:
    whole = CodeInterpreterCall(
        container_id="cntr_1", code="1+1", outputs=[items.OutputLogs(logs="2")], status="completed"
    )
    deltas = (ItemStarted("a", CODE), Arguments("a", "1+1"), Progress("a", "interpreting"), ItemDone("a", whole))
    assert between(*deltas) == [
        "code_interpreter_call.in_progress",
        "code_interpreter_call_code.delta",
        "code_interpreter_call_code.done",
        "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
    ]


def test_code_that_completed_was_run_even_if_nobody_said_so() -> None:
    assert between(ItemStarted("a", CODE), Arguments("a", "1"), ItemDone("a"))[-2:] == [
        "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
    ]


def test_code_that_failed_tells_neither() -> None:
    whole = CodeInterpreterCall(container_id="cntr_1", code="1/0", status="failed")
    assert between(ItemStarted("a", CODE), ItemDone("a", whole))[-1] == "code_interpreter_call_code.done"


def test_partial_images_are_counted_by_the_machine() -> None:
    previews = [Progress("a", "partial_image", {"partial_image_b64": text, "partial_image_index": 7}) for text in "xy"]
    told = spoken(ItemStarted("a", IMAGE), Progress("a", "generating"), *previews)
    assert [event["partial_image_index"] for event in told[-2:]] == [0, 1]
    assert [event["partial_image_b64"] for event in told[-2:]] == ["x", "y"]


def test_a_step_that_comes_again_or_too_late_is_left_out() -> None:
    preview = Progress("a", "partial_image", {"partial_image_b64": "x"})
    image = (Progress("a", "generating"), Progress("a", "generating"), preview, Progress("a", "generating"))
    assert between(ItemStarted("a", IMAGE), *image, Progress("a", "completed"), preview, ItemDone("a")) == [
        "image_generation_call.in_progress",
        "image_generation_call.generating",
        "image_generation_call.partial_image",
        "image_generation_call.completed",
    ]


def test_a_step_that_no_client_knows_is_left_out() -> None:
    assert between(ItemStarted("a", WEB), Progress("a", "pondering"), ItemDone("a")) == [
        "web_search_call.in_progress",
        "web_search_call.completed",
    ]


def test_a_list_of_tools_fails_with_its_error() -> None:
    whole = McpListTools(server_label="zoo", tools=[], error="no route to the zoo")
    deltas = (ItemStarted("a", LISTING), ItemDone("a", whole))
    assert between(*deltas) == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
    assert output(*deltas, Finished())[0]["error"] == "no route to the zoo"


def test_a_list_of_tools_that_was_cut_is_no_empty_list() -> None:
    deltas = (ItemStarted("a", LISTING), Text("Hi"), Finished("max_output_tokens"))
    assert between(*deltas) == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
    assert output(*deltas)[0]["error"]


@pytest.mark.parametrize(
    ("ending", "step"),
    [
        ({"status": "completed", "output": "fed"}, "completed"),
        ({"status": "failed", "error": "the zoo is closed"}, "failed"),
        ({"error": {"type": "http_error", "code": 502, "message": "Bad gateway"}}, "failed"),
    ],
    ids=["completed", "failed", "error without a status"],
)
def test_an_mcp_call_tells_its_arguments_and_then_its_end(ending: dict[str, Any], step: str) -> None:
    whole = McpCall(server_label="zoo", name="feed", arguments='{"fox": 1}', **ending)
    deltas = (ItemStarted("a", MCP), Arguments("a", '{"fox"'), ItemDone("a", whole))
    told = spoken(*deltas)
    assert names(told)[-3:] == ["mcp_call_arguments.done", f"mcp_call.{step}", "output_item.done"]
    assert told[-1]["item"]["status"] == step
    assert told[-1]["item"]["arguments"] == '{"fox": 1}'


def test_an_mcp_call_may_tell_its_end_before_its_item_does() -> None:
    whole = McpCall(server_label="zoo", name="feed", arguments="{}", status="completed", output="fed")
    deltas = (ItemStarted("a", MCP), Arguments("a", "{}"), Progress("a", "completed"), ItemDone("a", whole))
    assert between(*deltas)[-2:] == ["mcp_call_arguments.done", "mcp_call.completed"]


def test_a_compaction_may_say_that_it_compacts() -> None:
    start, whole = (items.Compaction(encrypted_content=text) for text in ("c2Vj", "c2VjcmV0"))
    assert between(ItemStarted("a", start), Progress("a", "compacting"), ItemDone("a", whole)) == [
        "compaction.compacting"
    ]


# Shell


def test_commands_are_written_one_after_the_other() -> None:
    told = spoken(
        ItemStarted("a", SHELL), Command("a", 0, "ls"), Command("a", 0, " -l"), Command("a", 1, "pwd"), ItemDone("a")
    )
    assert [(event["command_index"], event.get("delta", event.get("command"))) for event in told[1:-1]] == [
        (0, ""),
        (0, "ls"),
        (0, " -l"),
        (0, "ls -l"),
        (1, ""),
        (1, "pwd"),
        (1, "pwd"),
    ]
    assert told[-1]["item"]["action"]["commands"] == ["ls -l", "pwd"]


def test_the_commands_of_the_whole_form_are_told_from_where_the_words_stopped() -> None:
    whole = ShellCall(call_id="call_3", action=ShellAction(commands=["ls -l", "pwd"]), status="completed")
    told = spoken(ItemStarted("a", SHELL), Command("a", 0, "ls"), ItemDone("a", whole))
    assert [event["delta"] for event in told if event["type"].endswith("delta")] == ["ls", " -l", "pwd"]


def test_what_a_command_printed_ends_with_its_outcome() -> None:
    ended = ShellOutput(stdout="a fox", stderr="!", outcome=Exit(exit_code=0))
    told = spoken(
        ItemStarted("a", PRINTED),
        CommandOutput("a", 0, stdout="a "),
        CommandOutput("a", 0, stdout="fox", stderr="!"),
        CommandOutput("a", 0, output=[ended]),
        CommandOutput("a", 1, output=[]),
        ItemDone("a"),
    )
    assert [event["delta"] for event in told if event["type"].endswith("delta")] == [
        {"stdout": "a "},
        {"stdout": "fox", "stderr": "!"},
    ]
    assert [event["command_index"] for event in told if event["type"].endswith("content.done")] == [0, 1]
    assert told[-1]["item"]["output"] == [
        {"stdout": "a fox", "stderr": "!", "outcome": {"type": "exit", "exit_code": 0}}
    ]


def test_what_a_command_printed_before_it_was_cut_is_kept() -> None:
    (item, _) = output(
        ItemStarted("a", PRINTED), CommandOutput("a", 0, stdout="half a"), Text("Hi"), Finished("max_output_tokens")
    )
    assert item["output"] == [{"stdout": "half a", "stderr": "", "outcome": {"type": "timeout"}}]


# Items and events of kinds that we do not know


def test_an_unknown_item_is_told_as_it_came_under_an_id() -> None:
    added, done = spoken(ItemStarted("a", OpaqueItem({"type": "x:dance", "steps": [1, 2]})), ItemDone("a"))
    assert added["item"] == done["item"] == {"type": "x:dance", "steps": [1, 2], "id": "item_1"}


def test_an_unknown_item_that_was_cut_says_so_if_it_has_a_status() -> None:
    dance = OpaqueItem({"type": "x:dance", "status": "in_progress"})
    assert output(ItemStarted("a", dance), Text("Hi"), Finished("content_filter"))[0]["status"] == "incomplete"


def test_an_unknown_event_is_told_with_our_number_and_place() -> None:
    foreign = {"type": "x:dance.step", "sequence_number": 99, "item_id": "theirs", "foot": "left"}
    told = spoken(ItemStarted("a", OpaqueItem({"type": "x:dance"})), Opaque("a", foreign))
    assert told[-1] == {
        "type": "x:dance.step",
        "sequence_number": 3,
        "item_id": "item_1",
        "output_index": 0,
        "foot": "left",
    }


def test_an_error_inside_an_unknown_event_does_not_end_the_stream_of_the_official_sdk() -> None:
    foreign = {"type": "x:dance.fell", "error": {"code": "ouch"}, "foot": "left"}
    told = finished(ItemStarted("a", OpaqueItem({"type": "x:dance"})), Opaque("a", foreign), Finished())
    assert "error" not in told[3]
    assert told[3]["foot"] == "left"


def test_events_of_speech_belong_to_no_item() -> None:
    spoke = Opaque("a", {"type": "response.audio.delta", "delta": "AAAA", "item_id": "theirs"})
    start = items.Message(role="assistant", content=[], status="in_progress")
    assert finished(ItemStarted("a", start), spoke, Finished())[3] == {
        "type": "response.audio.delta",
        "sequence_number": 3,
        "delta": "AAAA",
    }


def test_ids_that_are_given_are_kept_and_given_once() -> None:
    first, second, third = (
        FunctionCall(id=own, call_id=call, name="feed", arguments="", status="in_progress")
        for own, call in (("fc_theirs", "c1"), ("fc_theirs", "c2"), ("fc_other", "c3"))
    )
    told = output(ItemStarted(1, first), ItemDone(1), ItemStarted(2, second), ItemStarted(3, third), Finished())
    assert [item["id"] for item in told] == ["fc_theirs", "fc_1", "fc_other"]
