"""Words: what opens when a model speaks, what closes when something else begins, and how parts follow each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.deltas import (
    Annotated,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    PartStarted,
    Reasoning,
    Refusal,
    Summary,
    Text,
)
from antiphon.wire.content import Logprob, TopLogprob, UrlCitation
from antiphon.wire.items import FunctionCall, Message
from antiphon.wire.items import Reasoning as ReasoningItem
from tests.turn.strategies import WORDS
from tests.turn.telling import finished, names, output, spoken

CALL = FunctionCall(call_id="call_1", name="feed", arguments="", status="in_progress")
ANSWER = Message(role="assistant", status="in_progress", content=[])
PAGE = UrlCitation(start_index=0, end_index=3, title="Fox", url="https://example.com/fox")


def test_the_first_word_opens_a_message_and_a_part() -> None:
    assert names(spoken(Text("Hel"), Text("lo"))) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
    ]


def test_the_end_of_the_turn_closes_both_and_repeats_what_was_said() -> None:
    *_, text, part, item = spoken(Text("Hel"), Text("lo"), Finished())
    assert names([text, part, item]) == ["output_text.done", "content_part.done", "output_item.done"]
    assert text["text"] == part["part"]["text"] == item["item"]["content"][0]["text"] == "Hello"
    assert item["item"]["status"] == "completed"


def test_an_empty_turn_has_no_output() -> None:
    assert output(Finished()) == []


def test_reasoning_is_an_item_of_its_own_that_the_answer_closes() -> None:
    assert names(spoken(Reasoning("Hm."), Text("Hi"))) == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
    ]


def test_a_call_closes_the_message_that_was_being_said() -> None:
    told = names(spoken(Text("Let me look."), ItemStarted("a", CALL)))
    assert told[-4:] == ["output_text.done", "content_part.done", "output_item.done", "output_item.added"]


def test_words_after_a_call_are_a_new_message_while_the_call_stays_open() -> None:
    first, call, second = output(Text("One."), ItemStarted("a", CALL), Text("Two."), Finished())
    assert [item["type"] for item in (first, call, second)] == ["message", "function_call", "message"]
    assert [item["content"][0]["text"] for item in (first, second)] == ["One.", "Two."]


def test_a_refusal_after_text_is_a_second_part_of_the_same_message() -> None:
    (item,) = output(Text("I would"), Refusal("but I "), Refusal("cannot."), Finished())
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]
    assert item["content"][1]["refusal"] == "but I cannot."


def test_a_part_that_is_started_begins_a_new_one_of_the_same_kind() -> None:
    (item,) = output(Text("One."), PartStarted("output_text"), Text("Two."), Finished())
    assert [part["text"] for part in item["content"]] == ["One.", "Two."]


def test_a_summary_and_raw_reasoning_stand_in_one_item_each_in_its_own_list() -> None:
    told = finished(Summary("In short"), Reasoning("At length"), Summary("Again"), Finished())
    (item,) = told[-1]["response"]["output"]
    assert [part["text"] for part in item["summary"]] == ["In short", "Again"]
    assert [part["text"] for part in item["content"]] == ["At length"]
    assert [event["summary_index"] for event in told if "summary_part.added" in event["type"]] == [0, 1]
    assert [event["content_index"] for event in told if "content_part.added" in event["type"]] == [0]


def test_a_message_under_a_key_takes_the_words_of_that_key_only() -> None:
    one, other = output(
        ItemStarted("a", ANSWER),
        Text("A1", "a"),
        Text("B1"),
        Text("A2", "a"),
        Text("B2"),
        Finished(),
    )
    assert one["content"][0]["text"] == "A1A2"
    assert other["content"][0]["text"] == "B1B2"


def test_words_under_a_key_that_nobody_started_open_a_message_under_it() -> None:
    one, other = output(Text("A", "a"), Text("B", "b"), Text("A", "a"), ItemDone("a"), ItemDone("b"), Finished())
    assert [one["content"][0]["text"], other["content"][0]["text"]] == ["AA", "B"]


@pytest.mark.parametrize("phase", ["commentary", "final_answer"])
def test_the_phase_of_a_message_is_kept(phase: str) -> None:
    start = Message(role="assistant", status="in_progress", content=[], phase=phase)
    added, *_, done = spoken(ItemStarted("a", start), Text("Hi", "a"), ItemDone("a"))
    assert added["item"]["phase"] == done["item"]["phase"] == phase


def test_a_message_that_is_given_whole_is_told_in_full() -> None:
    whole = Message(role="assistant", status="completed", content="Hello")  # a string, as clients may write it
    told = spoken(ItemStarted("a", ANSWER), ItemDone("a", whole))
    assert names(told)[1:4] == ["content_part.added", "output_text.delta", "output_text.done"]
    assert told[-1]["item"]["content"][0]["text"] == "Hello"


def test_what_the_whole_form_has_over_what_was_said_is_told_as_one_more_delta() -> None:
    whole = Message(role="assistant", status="completed", content="Hello")
    told = spoken(ItemStarted("a", ANSWER), Text("Hel", "a"), ItemDone("a", whole))
    assert [event["delta"] for event in told if event["type"].endswith(".delta")] == ["Hel", "lo"]


def test_what_was_said_stays_said_when_the_whole_form_disagrees() -> None:
    whole = Message(role="assistant", status="completed", content="Goodbye")
    told = spoken(ItemStarted("a", ANSWER), Text("Hello", "a"), ItemDone("a", whole))
    assert told[-1]["item"]["content"][0]["text"] == "Hello"


def test_the_encrypted_reasoning_of_the_whole_form_is_kept() -> None:
    start, whole = ReasoningItem(summary=[]), ReasoningItem(summary=[], encrypted_content="c2VjcmV0")
    assert spoken(ItemStarted("a", start), ItemDone("a", whole))[-1]["item"]["encrypted_content"] == "c2VjcmV0"


def test_reasoning_has_a_status_only_if_its_source_gave_it_one() -> None:
    added, done = spoken(ItemStarted("a", ReasoningItem(summary=[])), ItemDone("a", ReasoningItem(summary=[])))
    assert "status" not in added["item"] | done["item"]
    added, done = spoken(ItemStarted("a", ReasoningItem(summary=[], status="in_progress")), ItemDone("a"))
    assert (added["item"]["status"], done["item"]["status"]) == ("in_progress", "completed")


def test_a_message_without_a_status_is_given_one() -> None:
    added, done = spoken(ItemStarted("a", Message(role="assistant", content=[])), ItemDone("a"))
    assert (added["item"]["status"], done["item"]["status"]) == ("in_progress", "completed")


# Annotations and log probabilities


def test_annotations_are_counted_within_their_part() -> None:
    deltas: list[Delta] = [Text("a"), Annotated(PAGE), Annotated(PAGE), PartStarted("output_text"), Text("b")]
    told = finished(*deltas, Annotated(PAGE), Finished())
    cited = [event for event in told if event["type"].endswith("annotation.added")]
    assert [(event["content_index"], event["annotation_index"]) for event in cited] == [(0, 0), (0, 1), (1, 0)]
    assert [len(part["annotations"]) for part in told[-1]["response"]["output"][0]["content"]] == [2, 1]


def test_an_annotation_is_read_from_json_and_one_of_unknown_kind_is_left_out() -> None:
    known = {"type": "file_path", "file_id": "file_1", "index": 2}
    told = finished(Text("a"), Annotated({"type": "x:footnote", "mark": "*"}), Annotated(known), Finished())
    assert told[-1]["response"]["output"][0]["content"][0]["annotations"] == [known]


def test_events_tell_log_probabilities_without_bytes_and_parts_with_them() -> None:
    likely = [TopLogprob(token="ö", logprob=-2.0, bytes=[195, 182])]
    token = Logprob(token="o", logprob=-0.5, bytes=[111], top_logprobs=likely)
    told = finished(Text("o", logprobs=[token]), Finished())
    bare = [{"token": "o", "logprob": -0.5, "top_logprobs": [{"token": "ö", "logprob": -2.0}]}]
    assert [event["logprobs"] for event in told if "output_text.d" in event["type"]] == [bare, bare]
    (entry,) = told[-1]["response"]["output"][0]["content"][0]["logprobs"]
    assert entry["bytes"] == [111]
    assert entry["top_logprobs"] == [{"token": "ö", "logprob": -2.0, "bytes": [195, 182]}]


def test_the_bytes_of_half_a_character_are_not_lost() -> None:
    half = Logprob(token="\\xc3", logprob=-0.5, bytes=[195])
    told = spoken(Text("", logprobs=[half]), Text("ö"), Finished())
    assert told[-1]["item"]["content"][0]["logprobs"][0]["bytes"] == [195]


# Nothing is lost

SAID = st.lists(st.one_of(*(st.builds(kind, WORDS) for kind in (Text, Refusal, Reasoning, Summary))), max_size=12)


@given(SAID)
def test_no_word_is_lost_or_moved(said: list[Text | Refusal | Reasoning | Summary]) -> None:
    told = {Text: "", Refusal: "", Reasoning: "", Summary: ""}
    for delta in said:
        told[type(delta)] += delta.text
    parts = [part for item in output(*said, Finished()) for part in item.get("content", []) + item.get("summary", [])]
    read = {kind: "".join(part.get("text", part.get("refusal", "")) for part in parts if part["type"] == name)
            for kind, name in KIND_OF.items()}  # fmt: skip
    assert read == told


KIND_OF = {Text: "output_text", Refusal: "refusal", Reasoning: "reasoning_text", Summary: "summary_text"}
