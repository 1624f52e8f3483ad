"""What events look like in a terminal."""

import pytest

from antiphon.cli.show import EventLines, FinalJson, JsonLines, Words, conclude, line_of, play, show_of
from antiphon.cli.terminal import plain, table

DELTA = {"type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1", "output_index": 0}
CREATED = {
    "type": "response.created",
    "sequence_number": 0,
    "response": {"object": "response", "id": "resp_1", "status": "in_progress", "tools": [], "error": None},
}
LINES = [
    (CREATED, "   0 response.created                           id=resp_1 status=in_progress"),
    (
        {**DELTA, "content_index": 0, "delta": "Hel", "logprobs": [], "obfuscation": "x"},
        '   4 response.output_text.delta                 output=0 content=0 delta="Hel"',
    ),
    (
        {
            "type": "response.output_item.done",
            "sequence_number": 9,
            "output_index": 1,
            "item": {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        },
        "   9 response.output_item.done                  output=1 item=(type=function_call id=fc_1 call_id=c name=f)",
    ),
    (
        {"type": "error", "sequence_number": 2, "code": "x", "message": "long " * 40, "param": None},
        '   2 error                                      code="x" message="' + ("long " * 40)[:78] + "…",
    ),
    (
        {"type": "response.strange.new", "list": [1, 2], "n": 1.5},
        "   - response.strange.new                       list=[2] n=1.5",
    ),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_a_line_tells_the_number_the_type_and_what_is_particular(event, line):
    assert line_of(event) == line


def told(show, *events):
    return play(iter(events), show)


def test_the_words_go_to_stdout_and_calls_to_stderr(capsys):
    told(
        Words(),
        {**DELTA, "delta": "Let me "},
        {**DELTA, "delta": "look."},
        {"type": "response.output_item.done", "item": {"type": "message"}},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.output_item.done", "item": {"type": "reasoning", "id": "rs_1"}},
        {"type": "response.output_item.done", "item": {"type": "function_call", "name": "f", "arguments": '{"a": 1}'}},
        {"type": "response.output_item.done", "item": {"type": "custom_tool_call", "name": "g", "input": "ls"}},
        {"type": "response.output_item.done", "item": {"type": "web_search_call", "id": "ws_1", "status": "completed"}},
    )
    written = capsys.readouterr()
    assert written.out == "Let me look.\n"
    assert written.err == 'function_call f({"a": 1})\ncustom_tool_call g(ls)\nweb_search_call ws_1 completed\n'


def test_a_refusal_and_a_second_part_are_words_too(capsys):
    show = Words()
    told(
        show,
        {**DELTA, "delta": "One."},
        {"type": "response.content_part.added", "content_index": 1},
        {"type": "response.refusal.delta", "delta": "No."},
    )
    show.end({})
    assert capsys.readouterr().out == "One.\nNo.\n"


def test_events_may_be_shown_as_json_a_line_each(capsys):
    told(JsonLines(), {"type": "a", "n": 1}, {"type": "b"})
    assert capsys.readouterr().out == '{"type":"a","n":1}\n{"type":"b"}\n'


def test_the_options_choose_what_is_shown():
    kinds = {(False, False): Words, (True, False): EventLines, (True, True): JsonLines, (False, True): FinalJson}
    for (events, json), kind in kinds.items():
        assert type(show_of(events=events, json=json)) is kind


def test_the_response_of_the_last_snapshot_is_the_result_and_nothing_is_read_after_the_end():
    done = {"type": "response.completed", "response": {"id": "r", "status": "completed"}}
    assert told(EventLines(), CREATED, done, {"type": "never"}) == {"id": "r", "status": "completed"}
    assert told(EventLines(), DELTA) is None


CONCLUSIONS = [
    (
        {"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 5}},
        0,
        "resp_1 completed, 3 tokens in, 5 out",
    ),
    ({"status": "completed", "usage": None}, 0, "resp_1 completed"),
    (
        {"status": "failed", "error": {"code": "server_error", "message": "It broke."}},
        1,
        "resp_1 failed (server_error: It broke.)",
    ),
    (
        {"status": "incomplete", "error": None, "incomplete_details": {"reason": "max_output_tokens"}},
        1,
        "resp_1 incomplete (max_output_tokens)",
    ),
    ({"status": "cancelled"}, 1, "resp_1 cancelled"),
    ({"status": "in_progress"}, 1, "resp_1 in_progress"),
]


@pytest.mark.parametrize(("response", "code", "words"), CONCLUSIONS)
def test_the_end_says_what_became_of_it_and_gives_the_exit_code(response, code, words, capsys):
    assert conclude({"id": "resp_1", **response}) == code
    assert capsys.readouterr().err == words + "\n"


class Terminal:
    def isatty(self) -> bool:
        return True


def test_control_characters_do_not_reach_a_terminal():
    evil = "a\x1b[2J\x1b]0;title\x07b\r\x9b31m\tc\nd"
    assert plain(evil, Terminal()) == "a[2J]0;titleb31m\tc\nd"


def test_what_is_piped_is_left_as_it_is(capsys):
    assert plain("a\x1b[2J") == "a\x1b[2J"


def test_a_table_has_its_columns_below_each_other():
    assert table([("ID", "OWNER"), ("longer", "x"), ("b", "")]) == "ID      OWNER\nlonger  x\nb"
