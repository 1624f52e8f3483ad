"""What a Chat Completions server says, as deltas: text, reasoning, calls however they are cut, and how it ends."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.chat_stream import ChatReader
from antiphon.models.chat_tools import ChatTools
from antiphon.turn.deltas import Arguments, Delta, ItemDone, ItemStarted, Reasoning, Refusal, Summary, Text
from antiphon.wire.errors import APIError, InvalidRequest, Unavailable, UpstreamMalformed
from antiphon.wire.items import CustomToolCall, FunctionCall
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Usage
from antiphon.wire.tools import CustomTool, FunctionTool, NamespaceTool
from tests.support.chat_chunks import ToolCall, chat_chunks, chat_json, chunk, delta_chunk, tool_call_delta

Json = dict[str, Any]
DONE = b"[DONE]"
TOOLS = ChatTools(
    [
        FunctionTool(name="look_up"),
        CustomTool(name="patch"),
        NamespaceTool(name="crm", description="Customers.", tools=[FunctionTool(name="find"), CustomTool(name="note")]),
    ]
)


class Upset(APIError):
    """What an error object becomes in these tests."""


def upset(error: Any) -> APIError:
    return Upset(json.dumps(error))


def reader(**options: Any) -> ChatReader:
    numbers = itertools.count(1)
    settings: Json = {"new_id": lambda: f"made_{next(numbers)}", "fault": upset, **options}
    return ChatReader(TOOLS, **settings)


def as_event(sent: Any) -> tuple[str | None, bytes]:
    return None, sent if isinstance(sent, bytes) else json.dumps(sent).encode()


def read(*sent: Any, using: ChatReader | None = None) -> list[Delta]:
    """Everything that these chunks say, fed one by one, up to the end."""
    using = using or reader()
    said = [delta for each in sent for delta in using.feed([as_event(each)])]
    using.end()
    return said + using.close()


def text_of(said: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, Text))


def thoughts_of(said: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, Reasoning))


def calls_of(said: Sequence[Delta]) -> list[tuple[str, str, str]]:
    """Name, id and arguments of each call, in the order in which they began."""
    started = {delta.key: delta.item for delta in said if isinstance(delta, ItemStarted)}
    written = {key: "".join(d.text for d in said if isinstance(d, Arguments) and d.key == key) for key in started}
    return [(item.name, item.call_id, written[key]) for key, item in started.items()]  # type: ignore[union-attr]


def calls(*deltas: Json, finish_reason: str = "tool_calls") -> list[Json]:
    return [*(delta_chunk({"tool_calls": [delta]}) for delta in deltas), delta_chunk({}, finish_reason=finish_reason)]


# Words


def test_each_piece_of_text_is_one_delta() -> None:
    pieces = ["The", " quick", " ", "brown"]
    assert read(*chat_chunks(pieces), DONE) == [Text(piece) for piece in pieces]


def test_reasoning_has_three_names() -> None:
    for field in ("reasoning_content", "reasoning"):
        said = read(*chat_chunks("Yes.", reasoning="Hmm, well.", reasoning_field=field), DONE)
        assert (thoughts_of(said), text_of(said)) == ("Hmm, well.", "Yes.")
    details = [{"type": "reasoning.text", "text": "Hmm."}, {"type": "reasoning.summary", "summary": "Doubt."}]
    assert read(delta_chunk({"reasoning_details": details}), DONE) == [Reasoning("Hmm."), Summary("Doubt.")]


def test_reasoning_that_comes_under_two_names_is_told_once() -> None:
    delta = {"reasoning": "Hmm.", "reasoning_content": "Hmm.", "reasoning_details": [{"text": "Hmm."}]}
    assert read(delta_chunk(delta), DONE) == [Reasoning("Hmm.")]


def test_a_content_of_parts_is_told_part_by_part() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm."}]},
        {"type": "thinking", "thinking": "Well."},
        {"type": "text", "text": "Yes."},
    ]
    assert read(delta_chunk({"content": content}), DONE) == [Reasoning("Hmm."), Reasoning("Well."), Text("Yes.")]


def test_a_refusal_is_no_text() -> None:
    said = read(*chat_chunks(refusal="I will not."), DONE)
    assert "".join(delta.text for delta in said if isinstance(delta, Refusal)) == "I will not."
    assert text_of(said) == ""


TAGGED = "<think>\nHmm, <b>.\n</think>\n\nYes, </think> is a tag."


@given(cuts=st.lists(st.integers(1, len(TAGGED) - 1)))
def test_tags_at_the_start_are_reasoning_however_they_are_cut(cuts: list[int]) -> None:
    bounds = sorted({0, len(TAGGED), *cuts})
    said = read(*chat_chunks([TAGGED[a:b] for a, b in itertools.pairwise(bounds)]), DONE)
    assert (thoughts_of(said), text_of(said)) == ("Hmm, <b>.\n", "Yes, </think> is a tag.")


def test_tags_are_text_where_they_are_not_looked_for() -> None:
    said = read(*chat_chunks([TAGGED]), DONE, using=reader(think_tags=False))
    assert said == [Text(TAGGED)]


def test_half_a_tag_at_the_end_is_text() -> None:
    assert read(*chat_chunks(["<thi"]), DONE) == [Text("<thi")]
    assert read(*chat_chunks(["<think>Hmm</thi"]), DONE) == [Reasoning("Hmm"), Reasoning("</thi")]


def test_log_probabilities_come_with_their_text() -> None:
    said = [delta for delta in read(*chat_chunks("Hi there", logprobs=True), DONE) if isinstance(delta, Text)]
    tokens = [[(entry.token, entry.logprob) for entry in delta.logprobs or ()] for delta in said]
    assert tokens == [[("Hi", -0.25)], [(" there", -0.25)]]
    assert said[0].logprobs is not None
    assert said[0].logprobs[0].top_logprobs[0].token == "Hi"


def test_log_probabilities_of_held_text_wait_for_it() -> None:
    said = read(*chat_chunks(["<", "b>"], logprobs=True), DONE)
    (delta,) = said
    assert isinstance(delta, Text)
    assert [entry.token for entry in delta.logprobs or ()] == ["<", "b>"]


def test_only_the_first_choice_is_read() -> None:
    other = {"index": 1, "delta": {"content": "other"}}
    assert read(chunk(other, {"index": 0, "delta": {"content": "this"}}), DONE) == [Text("this")]


def test_nothing_after_the_end_counts() -> None:
    assert read(*chat_chunks(["Hi"]), DONE, DONE, *chat_chunks(["more"]), b"%%%") == [Text("Hi")]


# Calls


def test_a_call_begins_grows_and_ends() -> None:
    (started, *rest) = read(*chat_chunks(tool_calls=[ToolCall("look_up", ['{"q"', ": 1}"], "call_7")]), DONE)
    assert isinstance(started, ItemStarted)
    item = FunctionCall(call_id="call_7", name="look_up", arguments="", status="in_progress")
    assert started.item == item
    assert rest == [Arguments(0, '{"q"'), Arguments(0, ": 1}"), ItemDone(0)]


def test_interleaved_calls_keep_their_arguments_apart() -> None:
    said = read(
        *calls(
            tool_call_delta(1, "look_up", '{"q": ', call_id="b"),
            tool_call_delta(0, "look_up", '{"p"', call_id="a"),
            tool_call_delta(1, arguments="2}"),
            tool_call_delta(0, arguments=": 1}"),
        ),
        DONE,
    )
    assert calls_of(said) == [("look_up", "b", '{"q": 2}'), ("look_up", "a", '{"p": 1}')]
    assert [delta.key for delta in said if isinstance(delta, ItemDone)] == [1, 0]


def test_several_calls_with_one_index_are_several_calls() -> None:
    said = read(
        *calls(
            tool_call_delta(0, "look_up", '{"p": 1}', call_id="a"),
            tool_call_delta(0, "look_up", '{"q": 2}', call_id="b"),
            tool_call_delta(0, "look_up", "{}", call_id="c"),
        ),
        DONE,
    )
    assert calls_of(said) == [("look_up", "a", '{"p": 1}'), ("look_up", "b", '{"q": 2}'), ("look_up", "c", "{}")]


def test_calls_without_an_index_are_counted_in_their_list() -> None:
    both = [tool_call_delta(None, "look_up", "1", call_id="a"), tool_call_delta(None, "look_up", "2", call_id="b")]
    assert calls_of(read(delta_chunk({"tool_calls": both}), DONE)) == [("look_up", "a", "1"), ("look_up", "b", "2")]


def test_names_and_ids_may_come_in_pieces() -> None:
    said = read(
        *calls(
            tool_call_delta(0, "look", "", call_id="call_"),
            tool_call_delta(0, "_up", call_id="42"),
            tool_call_delta(0, arguments="{}"),
        ),
        DONE,
    )
    assert calls_of(said) == [("look_up", "call_42", "{}")]


def test_names_and_ids_may_come_again_with_each_piece() -> None:
    pieces = [tool_call_delta(0, "look_up", text, call_id="call_1") for text in ("", '{"q"', ": 1}")]
    assert calls_of(read(*calls(*pieces), DONE)) == [("look_up", "call_1", '{"q": 1}')]


def test_arguments_may_come_before_the_name() -> None:
    said = read(
        *calls(
            tool_call_delta(0, arguments='{"q"'),
            tool_call_delta(0, "look", call_id="call_1"),
            tool_call_delta(0, "_up"),
            tool_call_delta(0, arguments=": 1}"),
        ),
        DONE,
    )
    assert calls_of(said) == [("look_up", "call_1", '{"q": 1}')]


def test_a_call_without_an_id_gets_one() -> None:
    assert calls_of(read(*calls(tool_call_delta(0, "look_up", "{}")), DONE)) == [("look_up", "made_1", "{}")]


def test_an_id_that_was_used_before_is_replaced() -> None:
    both = [tool_call_delta(index, "look_up", "{}", call_id="call_1") for index in (0, 1)]
    said = read(*calls(*both), DONE)
    assert [call_id for _, call_id, _ in calls_of(said)] == ["call_1", "made_1"]
    said = read(*calls(both[0]), DONE, using=reader(taken=["call_1"]))
    assert [call_id for _, call_id, _ in calls_of(said)] == ["made_1"]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    said = read(*calls(tool_call_delta(0, "look_up", "", call_id="a"), tool_call_delta(1, "patch", call_id="b")), DONE)
    assert calls_of(said) == [("look_up", "a", "{}"), ("patch", "b", "")]


def test_arguments_that_are_an_object_become_text() -> None:
    said = read(*calls({"index": 0, "id": "a", "function": {"name": "look_up", "arguments": {"q": [1]}}}), DONE)
    assert calls_of(said) == [("look_up", "a", '{"q":[1]}')]


def test_a_call_without_a_name_is_malformed() -> None:
    using = reader()
    said = read(delta_chunk({"content": "Hi"}), *calls(tool_call_delta(0, arguments="{}")), DONE, using=using)
    assert isinstance(using.failure, UpstreamMalformed)
    assert said[0] == Text("Hi")


def test_a_custom_tools_input_is_told_as_text_while_it_comes() -> None:
    pieces = [tool_call_delta(0, "patch", '{"inp', call_id="a"), *(tool_call_delta(0, arguments=t) for t in _CUSTOM)]
    started, *rest = read(*calls(*pieces), DONE)
    assert isinstance(started, ItemStarted)
    assert started.item == CustomToolCall(call_id="a", name="patch", input="", status="in_progress")
    assert rest == [Arguments(0, "one"), Arguments(0, "\ntwo"), Arguments(0, "é"), ItemDone(0)]


_CUSTOM = ['ut": "one\\', "ntwo\\u00", 'e9"}']


def test_a_custom_tools_input_without_the_wrapper_is_taken_as_it_is() -> None:
    pieces = [tool_call_delta(0, "patch", "*** Begin", call_id="a"), tool_call_delta(0, arguments=" Patch")]
    assert calls_of(read(*calls(*pieces), DONE)) == [("patch", "a", "*** Begin Patch")]
    assert calls_of(read(*calls(tool_call_delta(0, "patch", '{"in', call_id="a")), DONE)) == [("patch", "a", '{"in')]


def test_calls_in_a_namespace_are_mapped_back() -> None:
    said = read(
        *calls(
            tool_call_delta(0, "crm__find", "{}", call_id="a"),
            tool_call_delta(1, "crm__note", '{"input": "x"}', call_id="b"),
        ),
        DONE,
    )
    items = [delta.item for delta in said if isinstance(delta, ItemStarted)]
    assert items == [
        FunctionCall(call_id="a", name="find", namespace="crm", arguments="", status="in_progress"),
        CustomToolCall(call_id="b", name="note", namespace="crm", input="", status="in_progress"),
    ]


def test_the_old_function_call_is_a_call() -> None:
    pieces = [{"name": "look_up", "arguments": ""}, {"arguments": '{"q"'}, {"arguments": ": 1}"}]
    said = read(*(delta_chunk({"function_call": piece}) for piece in pieces), DONE)
    assert calls_of(said) == [("look_up", "made_1", '{"q": 1}')]


# How it ends


@pytest.mark.parametrize(
    ("finish_reason", "incomplete"),
    [
        ("stop", None),
        ("tool_calls", None),
        ("function_call", None),
        ("eos", None),
        ("length", "max_output_tokens"),
        ("model_length", "max_output_tokens"),
        ("content_filter", "content_filter"),
    ],
)
def test_the_finish_reason_says_whether_the_answer_was_cut(finish_reason: str, incomplete: str | None) -> None:
    using = reader()
    read(*chat_chunks("Hi", finish_reason=finish_reason), DONE, using=using)
    assert (using.failure, using.incomplete) == (None, incomplete)


def test_a_call_that_was_cut_stays_open_and_the_others_are_done() -> None:
    said = read(
        *calls(
            tool_call_delta(0, "look_up", "{}", call_id="a"),
            tool_call_delta(1, "look_up", '{"q', call_id="b"),
            finish_reason="length",
        ),
        DONE,
    )
    assert [delta.key for delta in said if isinstance(delta, ItemDone)] == [0]


def test_a_call_that_was_cut_before_its_arguments_is_none() -> None:
    said = read(*calls(tool_call_delta(0, "look_", call_id="a"), finish_reason="length"), DONE)
    assert said == []


def test_an_end_without_a_finish_reason_is_complete() -> None:
    using = reader()
    read(delta_chunk({"content": "Hi"}), DONE, using=using)
    assert (using.failure, using.incomplete, using.ended) == (None, None, True)


def test_an_end_without_done_is_complete_if_it_has_a_finish_reason() -> None:
    using = reader()
    read(*chat_chunks("Hi"), using=using)
    assert (using.failure, using.ended) == (None, True)


def test_an_end_with_neither_is_a_cut_and_calls_stay_open() -> None:
    using = reader()
    said = read(
        delta_chunk({"content": "Hi"}), *calls(tool_call_delta(0, "look_up", "{}", call_id="a"))[:1], using=using
    )
    assert isinstance(using.failure, Unavailable)
    assert using.failure.code == "upstream_cut"
    assert not [delta for delta in said if isinstance(delta, ItemDone)]


def test_the_way_in_which_it_was_cut_is_told() -> None:
    using = reader()
    using.feed([as_event(delta_chunk({"content": "Hi"}))])
    using.end(stalled := Unavailable("silence"))
    assert using.failure is stalled


def test_a_cut_after_the_finish_reason_is_no_failure() -> None:
    using = reader()
    using.feed([as_event(each) for each in chat_chunks("Hi")])
    using.end(Unavailable("silence"))
    assert (using.failure, using.ended) == (None, True)


@pytest.mark.parametrize("sent", [(), (DONE,), ({"id": "x"}, DONE), ({"choices": None}, DONE), (b"", DONE)])
def test_an_answer_without_any_chunk_is_malformed(sent: tuple[Any, ...]) -> None:
    using = reader()
    assert read(*sent, using=using) == []
    assert isinstance(using.failure, UpstreamMalformed)


@pytest.mark.parametrize(
    "sent",
    [
        b"{",
        b"nonsense",
        b"[1]",
        b"null",
        b'{"choices": [{"delta": {"content": 7}}]}',
        b'{"choices": [{"delta": {"content": "x"}}], "score": NaN}',
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda sent: sent[:40].decode(),
)
def test_a_chunk_that_is_none_is_malformed_and_what_was_said_before_is_kept(sent: bytes) -> None:
    using = reader()
    said = using.feed([as_event(delta_chunk({"content": "Hi"})), (None, sent), as_event(delta_chunk({"content": "!"}))])
    assert isinstance(using.failure, UpstreamMalformed)
    assert said == [Text("Hi")]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (None, {"error": {"message": "Crashed."}}),
        (None, {**delta_chunk({"content": "?"}), "error": {"message": "Crashed."}}),
        (None, {"error": "Crashed."}),
        (None, {"object": "error", "message": "Crashed.", "code": 500}),
        (None, {"detail": "Crashed."}),
        ("error", {"message": "Crashed."}),
        ("error", {"error": {"message": "Crashed."}, "choices": []}),
        ("error", {"text": "Crashed."}),
    ],
)
def test_an_error_in_the_stream_ends_it(name: str | None, sent: Json) -> None:
    using = reader()
    said = using.feed([as_event(delta_chunk({"content": "Hi"})), (name, json.dumps(sent).encode())])
    assert isinstance(using.failure, Upset)
    assert "Crashed." in using.failure.message
    assert said == [Text("Hi")]


def test_an_error_as_finish_reason_ends_it() -> None:
    using = reader()
    assert using.feed([as_event(delta_chunk({"content": "Hi"}, finish_reason="error"))]) == [Text("Hi")]
    assert isinstance(using.failure, Unavailable)


@pytest.mark.parametrize("sent", [{"type": "ping"}, {"id": "x"}, {"choices": []}, {"choices": [{}]}, b"", b"  "])
def test_what_says_nothing_is_passed_over(sent: Any) -> None:
    assert read(sent, delta_chunk({"content": "Hi"}), sent, DONE) == [Text("Hi")]


def test_half_a_surrogate_pair_is_repaired() -> None:
    sent = [
        rb'{"choices": [{"delta": {"content": "a\ud83d"}}]}',
        rb'{"choices": [{"delta": {"content": "\ude00\\ud83d"}}]}',
    ]
    assert text_of(read(*sent, DONE)) == "a\ufffd\ufffd\\ud83d"
    whole = rb'{"choices": [{"delta": {"content": "\ud83d\ude00\ud83d"}}]}'
    assert text_of(read(whole, DONE)) == "😀\ufffd"


# Usage


def test_usage_is_told_with_its_details() -> None:
    using = reader()
    read(*chat_chunks("Hi"), DONE, using=using)
    assert using.usage == Usage(
        input_tokens=17,
        input_tokens_details=InputTokensDetails(cached_tokens=4),
        output_tokens=23,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=5),
        total_tokens=40,
    )


def test_the_last_usage_counts() -> None:
    using = reader()
    counts = [chunk({"index": 0, "delta": {}}, usage={"prompt_tokens": 1, "completion_tokens": n}) for n in (1, 2, 3)]
    read(*counts, chunk(usage={}), DONE, using=using)
    assert using.usage is not None
    assert using.usage.output_tokens == 3


def test_deepseeks_name_for_cached_tokens_is_known() -> None:
    using = reader()
    read(chunk(usage={"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}), DONE, using=using)
    assert using.usage is not None
    assert using.usage.input_tokens_details.cached_tokens == 8


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 1}, {"prompt_tokens": "many"}, "none", [1]])
def test_usage_that_says_nothing_is_none(usage: Any) -> None:
    using = reader()
    assert read(delta_chunk({"content": "Hi"}), chunk(usage=usage), DONE, using=using) == [Text("Hi")]
    assert (using.usage, using.failure) == (None, None)


def test_all_that_is_said_and_thought_is_kept_for_counting() -> None:
    using = reader()
    read(*chat_chunks("Hi there", reasoning="Hmm.", tool_calls=[ToolCall("look_up", "{}")]), DONE, using=using)
    assert "".join(using.words) == "Hi therelook_up{}"
    assert "".join(using.thoughts) == "Hmm."
    assert using.spoke


# A completion in one piece


def test_a_completion_in_one_piece_says_the_same() -> None:
    using = reader()
    two = [ToolCall("look_up", '{"q": 1}', "a"), ToolCall("patch", '{"input": "x"}', "b")]
    body = json.dumps(chat_json("Hi", reasoning="Hmm.", tool_calls=two, logprobs=True)).encode()
    said = using.whole(body)
    using.end()
    said += using.close()
    assert (thoughts_of(said), text_of(said)) == ("Hmm.", "Hi")
    assert calls_of(said) == [("look_up", "a", '{"q": 1}'), ("patch", "b", "x")]
    assert (using.failure, using.incomplete, using.ended) == (None, None, True)
    assert using.usage is not None
    assert using.head is not None
    assert (using.head.id, using.head.model) == ("chatcmpl-upstream", "upstream-model")


@pytest.mark.parametrize("body", [b"{}", b'{"id": "x"}', b"[]", b"<html>", b"{"])
def test_a_body_that_is_no_completion_is_malformed(body: bytes) -> None:
    using = reader()
    assert using.whole(body) + using.close() == []
    assert isinstance(using.failure, UpstreamMalformed)


def test_a_body_that_is_an_error_is_that_error() -> None:
    using = reader(fault=lambda error: InvalidRequest(error["message"]))
    using.whole(b'{"error": {"message": "No such model."}}')
    assert isinstance(using.failure, InvalidRequest)
