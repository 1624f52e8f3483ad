"""A Response as a chat completion, whole and in chunks: what each thing becomes, and that both say the same."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.chat import Chunks, completion_id, completion_of, failure_of, response_id
from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    PartStarted,
    Reasoning,
    Refusal,
    Settled,
    Summary,
    Text,
    Usage,
)
from antiphon.wire import errors, events
from antiphon.wire.content import FileCitation, Logprob, TopLogprob, UrlCitation
from antiphon.wire.events import Event
from antiphon.wire.items import CustomToolCall, FunctionCall, WebSearchCall
from antiphon.wire.items import Reasoning as ReasoningItem
from antiphon.wire.moderation import ModerationError, ModerationResult, ResponseModeration
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Response, ResponseError
from antiphon.wire.response import Usage as Tokens
from antiphon.wire.struct import encode
from tests.support import chat_oracle
from tests.turn import strategies
from tests.turn.strategies import Story
from tests.turn.telling import AT, begun, whole

Json = dict[str, Any]
TOKENS = Tokens(
    input_tokens=10,
    input_tokens_details=InputTokensDetails(cached_tokens=4, cache_write_tokens=2),
    output_tokens=5,
    output_tokens_details=OutputTokensDetails(reasoning_tokens=3),
    total_tokens=15,
)


def told(*deltas: Delta) -> list[Event]:
    """The events of an answer of one turn."""
    end = [] if any(isinstance(delta, Finished) for delta in deltas) else [Finished()]
    return whole(Story([[*deltas, *end]]))


def response_of(events_: Sequence[Event]) -> Response:
    response: Response = events_[-1].response  # type: ignore[union-attr]
    return response


def completion(*deltas: Delta, legacy: bool = False) -> Json:
    """The answer whole, judged by the SDK."""
    made: Json = msgspec.json.decode(encode(completion_of(response_of(told(*deltas)), legacy=legacy)))
    chat_oracle.check(made)
    return made


def message(*deltas: Delta, legacy: bool = False) -> Json:
    said: Json = completion(*deltas, legacy=legacy)["choices"][0]["message"]
    return said


def chunked(told_: Sequence[Event], **options: Any) -> list[Json]:
    """The answer in chunks, judged by the SDK."""
    writer = Chunks(**options)
    made = [msgspec.json.decode(encode(chunk)) for event in told_ for chunk in writer.feed([event])]
    assert writer.ended
    for chunk in made:
        chat_oracle.check(chunk)
    return made


def function_call(number: int = 1, *pieces: str, custom: bool = False, done: bool = True) -> list[Delta]:
    key = f"key_{number}"
    fields: Json = {"call_id": f"call_{number}", "name": "look_up", "status": "in_progress"}
    start = CustomToolCall(input="", **fields) if custom else FunctionCall(arguments="", **fields)
    return [ItemStarted(key, start), *(Arguments(key, piece) for piece in pieces), *([ItemDone(key)] if done else [])]


# Whole


def test_ids_lead_from_one_api_to_the_other_and_back():
    assert completion_id("resp_12") == "chatcmpl-12"
    assert response_id("chatcmpl-12") == "resp_12"
    assert response_id("resp_12") == ""


def test_text_is_the_content():
    made = completion(Text("Hello "), Text("there."), Usage(TOKENS), Settled({"service_tier": "flex"}))
    assert made["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there.", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert (made["id"], made["object"], made["created"], made["model"]) == ("chatcmpl-1", "chat.completion", AT, "m")
    assert made["service_tier"] == "flex"
    assert made["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_an_answer_that_is_nothing_has_an_empty_content():
    assert message(Finished("max_output_tokens"))["content"] == ""
    assert message(Reasoning("Hm."))["content"] == ""


def test_a_refusal_is_told_as_one():
    said = message(Refusal("I will not."))
    assert (said["content"], said["refusal"]) == (None, "I will not.")


def test_calls_of_both_kinds_keep_their_order():
    said = message(*function_call(1, '{"a":', "1}"), *function_call(2, "select 1", custom=True))
    assert said["content"] is None
    assert said["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"a":1}'}},
        {"id": "call_2", "type": "custom", "custom": {"name": "look_up", "input": "select 1"}},
    ]


def test_who_asked_with_functions_is_answered_with_a_function_call():
    made = completion(*function_call(1, "{}"), legacy=True)
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "look_up", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]


def test_reasoning_and_its_summary_are_told_as_other_servers_of_thinking_models_do():
    said = message(
        Summary("In short."), Reasoning("First."), PartStarted("reasoning_text"), Reasoning("Then."), Text("!")
    )
    assert said["reasoning_content"] == "In short.\n\nFirst.\n\nThen."
    assert "reasoning_content" not in message(Text("!"))


def test_citations_of_web_pages_count_from_the_start_of_the_whole_text():
    cited = UrlCitation(start_index=1, end_index=3, title="Fox", url="https://example.com/fox")
    said = message(
        Text("Foxes. "),
        PartStarted("output_text"),
        Text("Quick."),
        Annotated(cited),
        Annotated(FileCitation(file_id="file_1", filename="fox.txt", index=3)),
    )
    assert said["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 8, "end_index": 10, "title": "Fox", "url": "https://example.com/fox"},
        }
    ]


def test_log_probabilities_have_the_bytes_of_their_tokens():
    likely = TopLogprob(token="Ö", logprob=-1.5)
    made = completion(Text("Ü", logprobs=[Logprob(token="Ü", logprob=-0.5, top_logprobs=[likely])]))
    assert made["choices"][0]["logprobs"] == {
        "content": [
            {
                "token": "Ü",
                "logprob": -0.5,
                "bytes": [195, 156],
                "top_logprobs": [{"token": "Ö", "logprob": -1.5, "bytes": [195, 150]}],
            }
        ],
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("deltas", "reason"),
    [
        ([Text("Hi.")], "stop"),
        ([Refusal("No.")], "stop"),
        ([Text("Hi."), Finished("max_output_tokens")], "length"),
        ([Text("Hi."), Finished("content_filter")], "content_filter"),
        ([Text("Hi."), Finished("steered")], "stop"),
        (function_call(1, "{}"), "tool_calls"),
        (function_call(1, "{}", custom=True), "tool_calls"),
        ([*function_call(1, "{", done=False), Finished("max_output_tokens")], "length"),
    ],
)
def test_the_finish_reason_says_why_it_stopped(deltas: list[Delta], reason: str):
    assert completion(*deltas)["choices"][0]["finish_reason"] == reason
    assert chat_oracle.assembled(chunked(told(*deltas)))["finish_reason"] == reason


def test_what_hosted_tools_did_is_not_told():
    search = WebSearchCall(status="in_progress")
    assert message(ItemStarted("s", search), ItemDone("s"), Text("Found."))["content"] == "Found."


def test_moderation_is_told_in_the_words_of_this_api():
    found = ModerationResult(
        model="omni",
        flagged=False,
        categories={"hate": False},
        category_scores={"hate": 0.1},
        category_applied_input_types={"hate": ["text"]},
    )
    response = response_of(told(Text("Hi.")))
    response.moderation = ResponseModeration(input=found, output=ModerationError(code="timeout", message="Too late."))
    made = msgspec.json.decode(encode(completion_of(response)))
    chat_oracle.check(made)
    assert made["moderation"]["input"]["results"][0]["categories"] == {"hate": False}
    assert made["moderation"]["output"]["code"] == "timeout"


# In chunks


def test_the_first_chunk_has_the_role_and_comes_with_the_first_words():
    begin, _ = begun()
    del begin
    made = chunked(told(Text("Hi"), Text(" there.")))
    assert [chunk["choices"][0]["delta"] for chunk in made] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": "Hi"},
        {"content": " there."},
        {},
    ]
    assert made[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["id"] for chunk in made} == {"chatcmpl-1"}
    assert "usage" not in made[0]


def test_before_the_first_words_nothing_is_told():
    assert Chunks().feed(told(Text("Hi."))[:2]) == []


def test_usage_comes_last_and_is_null_before():
    made = chunked(told(Text("Hi."), Usage(TOKENS)), include_usage=True)
    assert [chunk["usage"] for chunk in made[:-1]] == [None] * (len(made) - 1)
    assert made[-1]["choices"] == []
    assert made[-1]["usage"]["total_tokens"] == 15


def test_the_pieces_of_a_call_share_its_index():
    made = chunked(told(*function_call(1, "{", "}"), *function_call(2, "x", custom=True)))
    pieces = [call for chunk in made for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert pieces == [
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": ""}},
        {"index": 0, "function": {"arguments": "{"}},
        {"index": 0, "function": {"arguments": "}"}},
        {"index": 1, "id": "call_2", "type": "custom", "custom": {"name": "look_up", "input": ""}},
        {"index": 1, "custom": {"input": "x"}},
    ]
    assert made[0]["choices"][0]["delta"]["content"] is None


def test_of_the_old_function_calls_there_is_one():
    made = chunked(told(*function_call(1, "{}"), *function_call(2, "{}")), legacy=True)
    assert chat_oracle.assembled(made)["message"]["function_call"] == {"name": "look_up", "arguments": "{}"}


def test_a_server_that_sends_no_deltas_is_told_from_what_is_done():
    deltas = (
        Reasoning("Hm."),
        Text("Hi."),
        Refusal("No."),
        *function_call(1, "{}"),
        *function_call(2, "x", custom=True),
    )
    every = told(*deltas)
    quiet = [event for event in every if not type(event).__name__.endswith("Delta")]
    assert len(quiet) < len(every)
    assert chat_oracle.assembled(chunked(quiet)) == chat_oracle.assembled(chunked(every))


def test_a_failure_is_kept_for_who_reads_and_ends_nothing():
    machine, begin = begun()
    failed = machine.fail(ResponseError(code="rate_limit_exceeded", message="Too much."))
    writer = Chunks()
    assert writer.feed([*begin, *failed]) == []
    assert isinstance(writer.failure, errors.RateLimited)
    assert not writer.ended


def test_an_error_event_is_a_failure_too():
    writer = Chunks()
    writer.feed([events.StreamError(sequence_number=0, message="Broken.", code=None, param=None)])
    assert isinstance(writer.failure, errors.ServerError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", errors.ServerError),
        ("rate_limit_exceeded", errors.RateLimited),
        ("insufficient_quota", errors.QuotaExceeded),
        ("context_length_exceeded", errors.InvalidRequest),
        ("what_nobody_knows", errors.ServerError),
    ],
)
def test_a_failed_response_is_the_error_that_its_code_means(code: str, kind: type[errors.APIError]):
    error = failure_of(ResponseError(code=code, message="It went wrong."))
    assert (type(error), error.code, error.message) == (kind, code, "It went wrong.")


def test_a_failure_that_says_nothing_is_an_error_all_the_same():
    assert isinstance(failure_of(None), errors.ServerError)


# Both


@st.composite
def answers(draw: st.DrawFn) -> list[Delta]:
    """Items one after the other, as models say them, with words of their own in between, perhaps cut."""
    threads = [draw(strategies.keyed(f"key_{number}")) for number in range(draw(st.integers(0, 3)))]
    between = [draw(strategies.unkeyed()) for _ in threads]
    said = list(itertools.chain.from_iterable(itertools.chain.from_iterable(zip(threads, between, strict=True))))
    reason = draw(st.none() | strategies.REASONS)
    return [*said, *([Text("Cut")] if reason else []), *draw(strategies.asides()), Finished(reason)]


@given(answers(), st.booleans())
def test_chunks_put_together_are_the_completion(deltas: list[Delta], legacy: bool):
    every = whole(Story([deltas]))
    legacy &= not any(isinstance(item, CustomToolCall) for item in response_of(every).output)  # `functions` has none
    completion_ = msgspec.json.decode(encode(completion_of(response_of(every), legacy=legacy)))
    chat_oracle.check(completion_)
    made = chunked(every, legacy=legacy, include_usage=True)
    streamed, came_whole = chat_oracle.assembled(made), chat_oracle.said_in(completion_)
    if any(isinstance(item, ReasoningItem) and item.summary and item.content for item in response_of(every).output):
        for said in (streamed, came_whole):  # whole, the summary is first; in a stream it may come later
            said["message"].pop("reasoning_content", None)
    assert streamed == came_whole
    assert made[-1]["usage"] == completion_["usage"]


@given(answers(), st.integers(1, 5))
def test_chunks_do_not_depend_on_how_many_events_come_at_once(deltas: list[Delta], size: int):
    every = whole(Story([deltas]))
    writer = Chunks()
    batches = [every[at : at + size] for at in range(0, len(every), size)]
    made = [msgspec.json.decode(encode(chunk)) for batch in batches for chunk in writer.feed(batch)]
    assert made == chunked(every)
