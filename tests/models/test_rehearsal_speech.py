"""How rehearsal speaks: always the same, within its limits, at its pace, with its faults, and on from where it was."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.models.rehearsal import Rehearsal
from antiphon.models.rehearsal.acts import WORDS, Ids
from antiphon.models.rehearsal.dice import Dice, count, pieces
from antiphon.models.rehearsal.faults import ERRORS
from antiphon.turn.deltas import Annotated, Delta, Finished, Reasoning, Summary, Text, Usage
from antiphon.wire import content, items
from antiphon.wire.errors import APIError, RateLimited
from tests.models.rehearsal_stage import (
    WEATHER,
    reason_of,
    refusal_of,
    say,
    text,
    text_of,
    tokens_of,
    told,
    turn_of,
    usage_of,
)

pytestmark = pytest.mark.anyio


class Sleeps:
    """Waiting that takes no time and is remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def test_it_is_a_model_of_its_own_that_can_go_on_and_passes_nothing_on() -> None:
    model = Rehearsal("mine")
    assert (model.name, model.continues, model.relays, model.pass_through) == ("mine", True, False, frozenset())
    assert Rehearsal().name == "rehearsal"
    await model.aclose()


# The same words


@pytest.mark.parametrize("asked", ["Hello", "Write 3 paragraphs about tea", "#tokens 50", "#call a\n#call b"])
async def test_the_same_turn_gets_the_same_words(asked: str) -> None:
    assert await say(asked) == await say(asked, Rehearsal("another"))


async def test_ids_and_the_form_of_the_input_do_not_change_the_words() -> None:
    part = {"type": "input_text", "text": "Tell me about tea"}
    forms: list[Any] = [
        "Tell me about tea",
        [{"role": "user", "content": "Tell me about tea"}],
        [{"type": "message", "id": "msg_9", "role": "user", "content": [part]}],
    ]
    calls = [
        [
            {"role": "user", "content": "Weather?"},
            {"type": "function_call", "id": f"fc_{name}", "call_id": name, "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": name, "output": "sunny"},
            {"role": "user", "content": "Tell me about tea"},
        ]
        for name in ("one", "two")
    ]
    assert await say({"input": calls[0]}) == await say({"input": calls[1]})
    answers = [await say({"input": form, "store": False, "metadata": {"a": "b"}}) for form in forms]
    turn = turn_of("Tell me about tea")
    turn.response_id = "resp_9"
    assert answers[0] == answers[1] == answers[2] == await say(turn)


async def test_a_directive_does_not_change_the_words() -> None:
    said, _ = await until_it_fails("Tell me about tea\n#fault cut after=50")
    assert tokens_of(said) == tokens_of(await say("Tell me about tea"))[:50]
    assert tokens_of(await say("#tokens 9")) == tokens_of(await say("#tokens 20"))[:9]


async def test_another_message_gets_other_words() -> None:
    assert tokens_of(await say("#tokens 20\nOne.")) != tokens_of(await say("#tokens 20\nTwo."))


def test_call_ids_are_new_to_the_conversation() -> None:
    first = Ids(Dice("a")).call_id()
    again = Ids(Dice("a"), [first])
    assert len({first, again.call_id(), again.call_id()}) == 3


# Tokens


@given(st.text() | st.text(alphabet="a =", max_size=60))
@example("no no no no")
@example("=" * 9)
async def test_pieces_are_the_text_and_none_repeats_the_one_before(words: str) -> None:
    cut = list(pieces(words))
    assert "".join(cut) == words
    assert count(words) == len(cut)
    assert all(one != other for one, other in itertools.pairwise(cut))


async def test_usage_counts_the_deltas_and_the_input() -> None:
    said = await say({"input": "Hello there, you.", "instructions": "Be kind.", "reasoning": {"effort": "low"}})
    usage = usage_of(said)
    assert usage.output_tokens == sum(isinstance(delta, WORDS) for delta in said)
    assert usage.output_tokens_details.reasoning_tokens == sum(isinstance(delta, Reasoning) for delta in said)
    assert usage.input_tokens == count("Hello there, you.") + count("Be kind.")
    assert usage.input_tokens_details.cached_tokens == 0
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


async def test_counting_beforehand_gives_what_usage_says() -> None:
    for asked in ("Hello", {"input": "Weather in Rome?", "tools": [WEATHER]}):
        assert await Rehearsal().count(turn_of(asked)) == usage_of(await say(asked)).input_tokens


async def test_an_image_counts_the_same_whatever_its_size() -> None:
    def asked(data: str) -> dict[str, Any]:
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}
        return {"input": [{"role": "user", "content": [image]}]}

    small, large = "iVBORw0KGgoA", "iVBORw0KGgoA" + "AAAA" * 99
    assert await Rehearsal().count(turn_of(asked(small))) == await Rehearsal().count(turn_of(asked(large)))


# Limits


@pytest.mark.parametrize("limit", [16, 17, 30])
async def test_max_output_tokens_ends_the_answer(limit: int) -> None:
    said = await say({"input": "#tokens 40", "max_output_tokens": limit})
    assert len(tokens_of(said)) == limit == usage_of(said).output_tokens
    assert reason_of(said) == "max_output_tokens"


async def test_an_answer_that_just_fits_is_complete() -> None:
    assert reason_of(await say({"input": "#tokens 16", "max_output_tokens": 16})) is None


async def test_reasoning_takes_from_the_same_limit() -> None:
    said = await say({"input": "Tea?", "reasoning": {"effort": "max"}, "max_output_tokens": 20})
    assert (text_of(said), usage_of(said).output_tokens_details.reasoning_tokens) == ("", 20)


async def test_a_call_that_is_cut_is_not_finished() -> None:
    events = await told({"input": '#call a {"b": "' + "long " * 40 + '"}', "max_output_tokens": 16})
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["output"][0]["status"] == "incomplete"


# Pace


async def test_without_a_pace_nothing_waits() -> None:
    sleeps = Sleeps()
    await say("#tokens 100", Rehearsal(sleep=sleeps))
    assert sleeps.seconds == []


async def test_a_pace_waits_before_each_token_and_says_one_at_a_time() -> None:
    sleeps = Sleeps()
    batches = [batch async for batch in Rehearsal(sleep=sleeps).stream(turn_of("#tokens 10\n#pace 20ms"))]
    assert sleeps.seconds == [0.02] * 10
    assert [len(tokens_of(batch)) for batch in batches] == [0, *[1] * 10, 0]


async def test_the_configured_pace_is_in_tokens_a_second_and_a_directive_outweighs_it() -> None:
    sleeps = Sleeps()
    model = Rehearsal(tokens_per_second=50, sleep=sleeps)
    await say("#tokens 3", model)
    await say("#tokens 2\n#pace 1s", model)
    await say("#tokens 2\n#pace 0", model)
    assert sleeps.seconds == [0.02] * 3 + [1.0] * 2


# Faults


@pytest.mark.parametrize("kind", sorted(ERRORS.keys() - {"cut"}))
async def test_a_fault_strikes_before_anything_was_accepted(kind: str) -> None:
    stream = Rehearsal().stream(turn_of(f"Hello\n#fault {kind}"))
    with pytest.raises(APIError) as caught:
        await anext(stream)
    assert isinstance(caught.value, ERRORS[kind][0])
    if kind.isdecimal():
        assert caught.value.status == int(kind)
    assert caught.value.code


async def test_a_rate_limit_says_when_to_come_back() -> None:
    with pytest.raises(RateLimited) as caught:
        await say("#fault 429 retry_after=2 code=slow_down")
    assert (caught.value.retry_after, caught.value.code) == (2.0, "slow_down")


async def until_it_fails(asked: str) -> tuple[list[Delta], APIError]:
    """What was said before an error, and the error."""
    said: list[Delta] = []
    try:
        async for batch in Rehearsal().stream(turn_of(asked)):
            said += batch
    except APIError as error:
        return said, error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(("kind", "code"), [("cut", "upstream_cut"), ("500", "server_error")])
async def test_a_fault_strikes_after_as_many_tokens_as_asked_for(kind: str, code: str) -> None:
    said, error = await until_it_fails(f"#tokens 40\n#fault {kind} after=7")
    assert (len(tokens_of(said)), error.code) == (7, code)


async def test_a_fault_strikes_at_the_end_of_an_answer_that_is_shorter() -> None:
    said, _ = await until_it_fails("#tokens 3\n#fault cut after=99")
    assert len(tokens_of(said)) == 3
    assert not any(isinstance(delta, Finished) for delta in said)


@pytest.mark.parametrize(
    ("line", "reason", "tokens"),
    [
        ("content_filter", "content_filter", 5),
        ("content_filter after=0", "content_filter", 0),
        ("incomplete after=9", "max_output_tokens", 9),
    ],
)
async def test_an_answer_can_end_early_and_still_report_usage(line: str, reason: str, tokens: int) -> None:
    said = await say(f"#tokens 40\n#fault {line}")
    assert (reason_of(said), usage_of(said).output_tokens, len(tokens_of(said))) == (reason, tokens, tokens)


async def test_a_stall_says_its_tokens_and_then_nothing_until_it_is_cancelled() -> None:
    said: list[Delta] = []

    async def listen() -> None:
        async for batch in Rehearsal().stream(turn_of("#tokens 40\n#fault stall after=3")):
            said.extend(batch)

    listener = asyncio.create_task(listen())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not listener.done()
    assert len(said) == 3
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener


async def test_a_slow_start_waits_before_it_accepts() -> None:
    sleeps = Sleeps()
    stream = Rehearsal(sleep=sleeps).stream(turn_of("Hello\n#fault slow_start 3s"))
    assert await anext(stream) == []
    assert sleeps.seconds == [3.0]
    assert text_of([delta async for batch in stream for delta in batch])


async def test_a_fault_can_come_late() -> None:
    sleeps = Sleeps()
    with pytest.raises(APIError):
        await say("#fault 503 delay=2s", Rehearsal(sleep=sleeps))
    assert sleeps.seconds == [2.0]


async def test_first_fails_so_many_times_for_the_same_turn_and_then_no_more() -> None:
    model = Rehearsal()
    for _ in range(2):
        with pytest.raises(RateLimited):
            await say("Hi\n#fault first 2 429 retry_after=1", model)
    assert await say("Hi\n#fault first 2 429 retry_after=1", model)
    with pytest.raises(RateLimited):
        await say("Another\n#fault first 2 429", model)
    with pytest.raises(APIError, match="503"):
        await say("Third\n#fault first 1", model)


async def test_what_first_remembers_is_bounded() -> None:
    model = Rehearsal()
    for number in range(1_100):
        with pytest.raises(APIError):
            await say(f"{number}\n#fault first 1", model)
    assert len(model._struck) == 1_024


# On from where it was

LONG = "Write two paragraphs about the sea\n#cite url_citation"


def _message(said: str, notes: int = 0, status: str = "in_progress") -> items.Message:
    note = {"start_index": 0, "end_index": 1, "title": "", "url": ""}
    return items.Message(
        id="msg_1", role="assistant", status=status, content=[content.OutputText(text=said, annotations=[note] * notes)]
    )


async def test_it_goes_on_within_a_half_said_message_from_any_character() -> None:
    whole = await say(LONG)
    words = text_of(whole)
    for at in range(0, len(words) + 1, 3):
        rest = await say(turn_of(LONG, prefix=_message(words[:at]), number=1))
        assert words[:at] + text_of(rest) == words
        assert usage_of(rest) == usage_of(whole)
        assert sum(isinstance(delta, Annotated) for delta in rest) == 1


async def test_a_citation_that_was_told_is_not_told_again() -> None:
    words = await text(LONG)
    rest = await say(turn_of(LONG, prefix=_message(words, notes=1), number=1))
    assert [type(delta) for delta in rest] == [Usage, Finished]


async def test_a_half_said_refusal_goes_on_as_a_refusal() -> None:
    half = items.Message(id="msg_1", role="assistant", content=[content.Refusal(refusal="I will not")])
    rest = await say(turn_of("#refuse I will not do it.", prefix=half, number=1))
    assert (refusal_of(rest), text_of(rest)) == (" do it.", "")


async def test_items_that_were_finished_are_not_said_again() -> None:
    asked = {"input": "Tea?", "reasoning": {"effort": "low", "summary": "auto"}}
    thought = items.Reasoning(id="rs_1", summary=[], status="completed")
    rest = await say(turn_of(asked, said=[thought], number=1))
    assert not any(isinstance(delta, Reasoning | Summary) for delta in rest)
    assert text_of(rest) == await text(asked)


async def test_an_item_that_was_cut_is_said_again() -> None:
    asked = {"input": "Tea?", "reasoning": {"effort": "low"}}
    cut = items.Reasoning(id="rs_1", summary=[], status="incomplete")
    assert await say(turn_of(asked, said=[cut], number=1)) == await say(asked)


async def test_when_all_was_said_only_the_end_is_left() -> None:
    words = await text("Hello")
    rest = await say(turn_of("Hello", said=[_message(words, status="completed")], number=1))
    assert [type(delta) for delta in rest] == [Usage, Finished]


async def test_a_limit_counts_what_was_said_before() -> None:
    asked = {"input": "#tokens 40", "max_output_tokens": 20}
    words = text_of(await say(asked))
    rest = await say(turn_of(asked, prefix=_message(words[:10]), number=1))
    assert words[:10] + text_of(rest) == words
    assert reason_of(rest) == "max_output_tokens"


# Reasoning and log probabilities


async def test_reasoning_comes_when_an_effort_is_set_and_grows_with_it() -> None:
    lengths = [
        sum(isinstance(delta, Reasoning) for delta in await say({"input": "Tea?", "reasoning": {"effort": effort}}))
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    ]
    assert lengths == sorted(set(lengths))
    assert lengths[0] == 0


async def test_a_summary_comes_only_when_it_is_asked_for() -> None:
    plain = await say({"input": "Tea?", "reasoning": {"effort": "low"}})
    summed = await say({"input": "Tea?", "reasoning": {"effort": "low", "summary": "auto"}})
    assert not any(isinstance(delta, Summary) for delta in plain)
    assert any(isinstance(delta, Summary) for delta in summed)


async def test_log_probabilities_come_only_when_they_are_asked_for() -> None:
    asked = {"input": "#say A word.", "include": ["message.output_text.logprobs"], "top_logprobs": 3}
    said = [delta for delta in await say(asked) if isinstance(delta, Text)]
    assert [delta.logprobs[0].token for delta in said if delta.logprobs] == ["A", " word", "."]
    for delta in said:
        assert delta.logprobs
        likely = [top.logprob for top in delta.logprobs[0].top_logprobs]
        assert len(likely) == 3
        assert likely == sorted(likely, reverse=True)
        assert delta.logprobs[0].logprob == likely[0] <= 0
    assert all(delta.logprobs is None for delta in await say("#say A word.") if isinstance(delta, Text))
