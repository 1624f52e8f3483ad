"""The moderated stream: what is flagged is never seen, and what is seen keeps its numbers."""

from __future__ import annotations

import asyncio
import json

import pytest
from openai import AsyncOpenAI, OpenAI

from antiphon.client import (
    AsyncClient,
    ContentFlagged,
    DeadlineExceeded,
    ModerationFailed,
    OptionError,
    ServerFailed,
    StreamCut,
)
from antiphon.client.moderation import REPLACEMENT, Moderation
from antiphon.client.moderators import Moderations, RuleList
from antiphon.client.records import Ended, Flagged
from antiphon.models.rehearsal import Rehearsal
from antiphon.policy.verdict import CLEAN, Verdict
from antiphon.testing import FakeClock, Only
from tests.client.recorded import ID, TEXT, Recorded, message, numbered, part, recording, response
from tests.support.answers import Gate, error_answer, json_answer
from tests.support.grammar import check
from tests.support.serving import serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}
BAD = "Listen: project bluebird is great."
RULES = RuleList(words={"house": ["project bluebird"], "mild": ["darn"]})


async def collect(stream) -> list:
    return [event async for event in stream]


def types(events) -> list[str]:
    return [event.type for event in events]


def said(events) -> str:
    """All that the events say, in whatever form."""
    return json.dumps([event.to_dict(mode="json") for event in events], ensure_ascii=False)


# A hit


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
async def test_nothing_of_a_hit_is_seen_however_it_is_cut(async_client, upstream, size):
    upstream.events = recording(BAD, size=size)
    records = []
    client = async_client(upstream.base_url, moderation=Moderation(RULES), observers=records.append)
    events = await collect(stream := client.stream(**ASKED))
    assert stream.text == stream.response.output_text == "Listen:"
    assert "project" not in said(events)
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.incomplete_details.reason == "content_filter"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    (flagged,) = [record for record in records if isinstance(record, Flagged)]
    assert (flagged.side, flagged.action, flagged.verdict.flagged) == ("output", "stop", {"house"})
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "incomplete"
    await upstream.all_closed()


async def test_an_answer_that_was_stopped_is_a_true_stream_in_both_clients(async_client, in_thread):
    asked = {"model": "rehearsal", "input": f"#say {BAD}"}
    async with serving(rehearsal()) as served:
        url = f"{served.url}/v1"
        for output in ("stop", "replace"):
            moderation = Moderation(RULES, output=output)
            events = await collect(async_client(url, moderation=moderation).stream(**asked))
            check([event.to_dict(mode="json") for event in events])
            text = f"Listen: {REPLACEMENT}" if output == "replace" else "Listen:"
            assert events[-1].response.output_text == text
            again = await in_thread(url, lambda c: list(c.stream(**asked)), moderation=moderation)
            assert again[-1].response.output_text == text
            made = await in_thread(url, lambda c: c.create(**asked), moderation=moderation)
            assert (made.status, made.output_text) == ("incomplete", text)


def rehearsal():
    """A catalog with the built-in model."""
    return Only(Rehearsal())


async def test_the_replacement_is_said_in_the_place_of_what_was_withheld(async_client, upstream):
    upstream.events = recording(BAD)
    moderation = {"moderator": RULES, "output": "replace", "replacement": "(no)"}
    events = await collect(stream := async_client(upstream.base_url, moderation=moderation).stream(**ASKED))
    assert stream.text == stream.response.output_text == "Listen: (no)"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert types(events)[-5:] == [
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]


async def test_a_clean_answer_is_seen_as_it_is(async_client, upstream):
    plain = await collect(async_client(upstream.base_url).stream(**ASKED))
    for output in ("stop", "replace", "report", "off"):
        moderation = Moderation(RULES, output=output)
        assert await collect(async_client(upstream.base_url, moderation=moderation).stream(**ASKED)) == plain


async def test_what_is_only_reported_passes(async_client, upstream):
    upstream.events = recording(BAD)
    records = []
    moderation = Moderation(RULES, output="report")
    client = async_client(upstream.base_url, moderation=moderation, observers=records.append)
    assert (await client.create(**ASKED)).output_text == BAD
    assert [type(record) for record in records[-2:]] == [Flagged, Ended]
    assert records[-2].action == "report"


async def test_the_connection_is_closed_at_once_and_work_in_the_background_is_cancelled(async_client, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    upstream.events = recording(BAD, background=True, size=100)
    gate.release(5)
    moderation = Moderation(RULES)
    events = await collect(async_client(upstream.base_url, moderation=moderation).stream(**ASKED, background=True))
    assert events[-1].type == "response.incomplete"
    await upstream.closed_by_peer()
    assert upstream.cancelled == [ID]


async def test_a_stream_that_breaks_off_shows_what_was_judged_and_then_the_error(async_client, upstream):
    upstream.change = lambda answer, _: answer.cut_after(len(answer.wire) - 900)
    client = async_client(upstream.base_url, moderation=Moderation(RULES), retry=False)
    stream = client.stream(**ASKED)
    with pytest.raises(StreamCut) as caught:
        await collect(stream)
    assert stream.text
    assert TEXT.startswith(stream.text)
    assert caught.value.partial.output_text == stream.text


# Wherever it stands

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def with_changed(kind: str, **fields) -> list:
    """The recording of a clean text, in which one event says something else."""
    events = recording("Fine.")
    for event in events:
        if event["type"] == kind:
            event.update(fields)
    return events


def call(arguments: str, *deltas: str) -> list:
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""}
    place = {"item_id": "fc_1", "output_index": 0}
    return numbered(
        [
            *recording()[:2],
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
            *({"type": "response.function_call_arguments.delta", **place, "delta": delta} for delta in deltas),
            {"type": "response.function_call_arguments.done", **place, "name": "f", "arguments": arguments},
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": {**item, "arguments": arguments, "status": "completed"},
            },
            {"type": "response.completed", "response": response("completed")},
        ]
    )


def words(kind: str) -> list:
    """A stream with words of one kind only."""
    *begun, last = recording()[0], recording()[1], recording()[2], recording()[-1]
    return numbered([*begun, {"type": f"response.{kind}.delta", **PLACE, "summary_index": 0, "delta": BAD}, last])


HIDDEN = {
    "the whole text": with_changed("response.output_text.done", text=BAD),
    "the whole part": with_changed("response.content_part.done", part=part(BAD)),
    "the whole item": with_changed("response.output_item.done", item=message(BAD, "completed")),
    "the last response": with_changed("response.completed", response=response("completed", text=BAD)),
    "the first response": with_changed("response.created", response=response("in_progress", text=BAD)),
    "arguments": call('{"a": "project bluebird"}', '{"a": "project ', 'bluebird"}'),
    "escaped arguments": call(r'{"a": "projec\u0074 bluebird"}', r'{"a": "projec\u00', r'74 bluebird"}'),
    "arguments that come whole": call('{"a": "project bluebird"}'),
    "an event that nobody knows": numbered(
        [*recording()[:3], {"type": "response.whisper", "output_index": 0, "words": BAD}, *recording()[3:]]
    ),
    "an annotation": numbered(
        [
            *recording()[:5],
            {
                "type": "response.output_text.annotation.added",
                **PLACE,
                "annotation_index": 0,
                "annotation": {"type": "url_citation", "url": "x", "title": BAD, "start_index": 0, "end_index": 1},
            },
            *recording()[5:],
        ]
    ),
    **{kind: words(kind) for kind in ("refusal", "reasoning_text", "reasoning_summary_text")},
}


@pytest.mark.parametrize("place", HIDDEN)
async def test_a_hit_is_found_wherever_it_stands(async_client, upstream, place):
    upstream.events = HIDDEN[place]
    events = await collect(async_client(upstream.base_url, moderation=Moderation(RULES)).stream(**ASKED))
    assert events[-1].type == "response.incomplete"
    assert "bluebird" not in said(events)
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))


async def test_alternatives_that_nobody_judges_are_left_out(async_client, upstream):
    entry = {"token": "Fine.", "logprob": -0.1, "bytes": [], "top_logprobs": [{"token": "darn", "logprob": -1}]}
    upstream.events = with_changed("response.output_text.delta", logprobs=[entry])
    for event in upstream.events:
        if event["type"] == "response.output_text.done":
            event["logprobs"] = [entry]
    events = await collect(async_client(upstream.base_url, moderation=Moderation(RULES)).stream(**ASKED))
    assert events[-1].type == "response.completed"
    assert "darn" not in said(events)
    assert '"token": "Fine."' in said(events)


async def test_a_stream_that_does_not_follow_the_grammar_ends_all_the_same(async_client, upstream):
    whole = recording(BAD, size=4)
    upstream.events = numbered([whole[0], *whole[4:]])
    stream = async_client(upstream.base_url, moderation=Moderation(RULES, output="replace")).stream(**ASKED)
    events = await collect(stream)
    assert events[-1].response.status == "incomplete"
    assert events[-1].response.output_text == f"Listen: {REPLACEMENT}"
    assert "bluebird" not in said(events)


async def test_the_tokens_of_an_answer_that_was_cut_are_counted(async_client, upstream):
    upstream.events = recording(BAD)
    made = await async_client(upstream.base_url, moderation=Moderation(RULES)).create(**ASKED)
    assert made.usage.output_tokens > 0
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens


# Input


async def test_an_input_that_is_flagged_is_not_sent(async_client, in_thread, upstream):
    records = []
    asked = {"model": "m", "input": [{"role": "user", "content": BAD}]}
    options = {"moderation": Moderation(RULES, input="stop"), "observers": records.append}
    with pytest.raises(ContentFlagged, match=r"flagged: house\. Change the input") as caught:
        await async_client(upstream.base_url, **options).create(**asked)
    assert caught.value.verdict.flagged == {"house"}
    with pytest.raises(ContentFlagged):
        await in_thread(upstream.base_url, lambda c: c.create(**asked), **options)
    with pytest.raises(ContentFlagged):
        await async_client(upstream.base_url, **options).create(**ASKED, instructions=BAD)
    assert not upstream.requests
    assert [record.side for record in records if isinstance(record, Flagged)] == ["input"] * 3


async def test_an_input_may_only_be_reported(async_client, upstream):
    records = []
    moderation = Moderation(RULES, input="report", output="off")
    client = async_client(upstream.base_url, moderation=moderation, observers=records.append)
    assert (await client.create(model="m", input=BAD)).output_text == TEXT
    assert [record.action for record in records if isinstance(record, Flagged)] == ["report"]


async def test_words_that_parts_hide_together_are_found(async_client, upstream):
    parts = [{"type": "input_text", "text": text} for text in ("project blue", "bird")]
    client = async_client(upstream.base_url, moderation=Moderation(RULES, input="stop"))
    with pytest.raises(ContentFlagged):
        await client.create(model="m", input=[{"role": "user", "content": parts}])


# The moderations endpoint


class Judging(Recorded):
    """Also answers POST /moderations: what has `bluebird` in it is flagged."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_to_judge: list[list[str]] = []
        self.fault = None

    def answer(self, request):
        if not request.target.endswith("/moderations"):
            return super().answer(request)
        if self.fault is not None:
            return self.fault
        texts = request.json()["input"]
        self.asked_to_judge.append(texts)
        results = [
            {
                "flagged": "bluebird" in text,
                "categories": {"violence": "bluebird" in text, "hate": False},
                "category_scores": {"violence": 0.7 if "bluebird" in text else 0.01, "hate": 0.3},
                "category_applied_input_types": {},
            }
            for text in texts
        ]
        return json_answer({"id": "modr_1", "model": "omni-moderation-latest", "results": results})


@pytest.fixture
async def judging():
    async with Judging() as up:
        yield up


async def test_the_moderations_endpoint_judges_a_window_at_a_time(async_client, in_thread, judging):
    moderation = Moderation(Moderations(window=20, overlap=30))
    client = async_client(judging.base_url, moderation=moderation)
    assert (await client.create(**ASKED)).output_text == TEXT
    judging.events = recording(("Well. " * 20) + BAD)
    made = await client.create(**ASKED)
    assert made.status == "incomplete"
    assert made.output_text.startswith("Well. Well. ")
    assert "bluebird" not in made.output_text
    assert 4 < len(judging.asked_to_judge) < 20
    again = await in_thread(judging.base_url, lambda c: c.create(**ASKED).output_text, moderation=moderation)
    assert again == made.output_text


async def test_a_threshold_overrides_what_the_endpoint_says(async_client, judging):
    judging.events = recording(BAD)
    for threshold, status in ((0.8, "completed"), (0.6, "incomplete"), (0.2, "incomplete")):
        client = async_client(judging.base_url, moderation=Moderation(Moderations(threshold=threshold)))
        assert (await client.create(**ASKED)).status == status


@pytest.mark.parametrize("fault", [error_answer(400), json_answer({"id": "m", "model": "o", "results": []})])
async def test_what_could_not_be_judged_does_not_pass_unless_told_so(async_client, judging, fault):
    judging.fault = fault
    with pytest.raises(ModerationFailed, match="with fails_open=True"):
        await async_client(judging.base_url, moderation=Moderation(Moderations())).create(**ASKED)
    await judging.all_closed(but=1)
    for moderation in (Moderation(Moderations(), fails_open=True), Moderation(Moderations(), output="report")):
        assert (await async_client(judging.base_url, moderation=moderation).create(**ASKED)).output_text == TEXT


async def test_who_answers_at_once_spares_the_others_the_work(async_client, judging):
    judging.events = recording(BAD)
    made = await async_client(judging.base_url, moderation=Moderation([Moderations(), RULES])).create(**ASKED)
    assert made.status == "incomplete"
    assert not judging.asked_to_judge


async def test_a_deadline_holds_while_a_moderator_thinks(async_client, upstream):
    clock = FakeClock()

    class Slow:
        window, overlap = 0, 10

        async def judge(self, passages, call):
            await call.io.sleep(100, call.deadline)
            return CLEAN

    client = async_client(upstream.base_url, moderation=Moderation(Slow()), clock=clock, deadline=5)
    asking = asyncio.create_task(client.create(**ASKED))
    await until(lambda: 100.0 in clock.waiting)
    await clock.advance(5)
    with pytest.raises(DeadlineExceeded):
        await asking
    await upstream.all_closed(but=0)


async def test_a_moderator_of_ones_own(async_client, upstream):
    class Shout:
        window, overlap = 0, 0

        async def judge(self, passages, call):
            is_loud = any(passage.text.isupper() for passage in passages)
            return Verdict(frozenset({"shouting"})) if is_loud else CLEAN

    upstream.events = recording("HEY", size=3)
    made = await async_client(upstream.base_url, moderation=Moderation(Shout())).create(**ASKED)
    assert (made.status, made.output_text) == ("incomplete", "")


async def test_a_status_error_of_the_server_is_as_it_was(async_client, upstream):
    upstream.always(error_answer(500))
    with pytest.raises(ServerFailed):
        await async_client(upstream.base_url, moderation=Moderation(RULES), retry=False).create(**ASKED)


# Options


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Moderation(RULES, output="block"), "moderation.output"),
        (lambda: Moderation(RULES, input="replace"), "moderation.input"),
        (lambda: Moderation(RULES, replacement=""), "moderation.replacement"),
        (lambda: Moderation(RULES, fails_open="no"), "moderation.fails_open"),
        (lambda: Moderation("rules"), "moderation.moderator"),
        (lambda: Moderation([]), "moderation.moderator"),
        (lambda: RuleList(), "moderation.moderator"),
        (lambda: RuleList(words={"house": "bluebird"}), "moderation.words['house']"),
        (lambda: RuleList(patterns={"cards": [r"\d+", "(?=x)"]}), "moderation.patterns['cards'][1]"),
        (lambda: Moderations(window=-1), "moderation.window"),
        (lambda: Moderations(threshold=2), "moderation.threshold"),
        (lambda: AsyncClient(AsyncOpenAI(api_key="none"), moderation=True), "moderation"),
        (lambda: AsyncClient(AsyncOpenAI(api_key="none"), moderation={}), "moderation.moderator"),
    ],
)
def test_a_wrong_option_fails_at_once_and_with_its_name(make, option):
    with pytest.raises(OptionError) as caught:
        make()
    assert caught.value.option == option


def test_moderations_may_be_another_servers():
    other = OpenAI(api_key="none", base_url="http://127.0.0.1:1/v1")
    assert Moderations(openai_client=other).window == 400
