"""The backend for Responses upstreams, over real sockets."""

import asyncio
import json
from contextlib import aclosing

import pytest

from antiphon.engine.ids import output_ids
from antiphon.models.responses import Responses, ResponsesOptions
from antiphon.models.responses_ids import mark_of, ours
from antiphon.ports import Model
from antiphon.tokens import count as count_tokens
from antiphon.turn import settings
from antiphon.turn.deltas import Delta, Finished, ItemStarted, Text, Usage
from antiphon.turn.input import Turn, effective
from antiphon.turn.machine import Machine
from antiphon.wire.content import InputFile, InputImage, InputText
from antiphon.wire.errors import APIError, InvalidRequest, QuotaExceeded, Unavailable, UpstreamTimeout
from antiphon.wire.items import FunctionCallOutput, Item, Message
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import encode
from antiphon.wire.tools import FunctionTool
from tests.support import response_events as told
from tests.support.grammar import check
from tests.support.upstream import FakeUpstream, Gate, error_answer, json_answer, plain, stream

pytestmark = pytest.mark.anyio

RESPONSE_ID = f"resp_{'0' * 40}"
HELLO = told.message("Hello there, you.").named("msg_68af")


@pytest.fixture
async def upstream():
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def model(upstream):
    async with aclosing(model_of(upstream)) as model:
        yield model


def model_of(upstream, **options) -> Responses:
    return Responses(ResponsesOptions(base_url=upstream.base_url, model="upstream-model", api_key="sk-x", **options))


def turn_of(*items: Item, **fields) -> Turn:
    return Turn(
        request=CreateResponse(input="Hi", **fields), items=list(items) or effective("Hi", output_ids(RESPONSE_ID))
    )


async def say(model: Model, turn: Turn):
    """The events of a whole response, and its items as the next request has them."""
    machine = Machine(output_ids(RESPONSE_ID))
    events = machine.create(settings.opened(turn.request, response_id=RESPONSE_ID, model="ours", created_at=1))
    events += machine.begin()
    async for batch in model.stream(turn):
        events += machine.feed(batch)
    events += machine.finish(2)
    check([json.loads(encode(event)) for event in events])
    return events, machine.fold.response().output


async def hear(model: Model, turn: Turn) -> tuple[list[list[Delta]], APIError | None]:
    """The batches of a turn, and the error that ended it."""
    batches = []
    try:
        async for batch in model.stream(turn):
            batches.append(batch)  # noqa: PERF401 - what came before an error is kept
    except APIError as error:
        return batches, error
    return batches, None


def words(batches):
    return "".join(delta.text for batch in batches for delta in batch if isinstance(delta, Text))


def items_of(request):
    return request.json()["input"]


async def test_a_turn_is_asked_and_told(upstream, model):
    upstream.script = [stream(told.responses_stream(told.reasoning("Hm."), HELLO))]
    _, output = await say(model, turn_of())
    assert [item.id for item in output] == [
        ours("item_0", mark_of(upstream.base_url)),
        ours("msg_68af", mark_of(upstream.base_url)),
    ]
    (request,) = upstream.requests
    assert (request.method, request.target) == ("POST", "/v1/responses")
    assert request.headers["authorization"] == "Bearer sk-x"
    assert request.json()["model"] == "upstream-model"
    assert request.json()["stream"] is True


async def test_the_second_request_has_the_upstreams_own_ids_and_its_encrypted_reasoning(upstream, model):
    first = [
        told.reasoning("Hm.", encrypted_content="gAAAAB").named("rs_1"),
        told.message("I will look.", phase="commentary").named("msg_2"),
        told.function_call("look", "{}", call_id="call_3").named("fc_3"),
        told.web_search_call("fox").named("ws_4"),
        told.opaque("sparkle_call", "twinkling", level=3).named("sp_5"),
    ]
    upstream.script = [stream(told.responses_stream(*first)), stream(told.responses_stream(HELLO))]
    turn = turn_of()
    _, output = await say(model, turn)
    answered = FunctionCallOutput(id=f"fco_{'0' * 44}", call_id="call_3", output="a fox")
    await say(model, turn_of(*turn.items, *output, answered))
    user, *back, answer = items_of(upstream.requests[1])
    assert user == {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    assert [item["id"] for item in back] == ["rs_1", "msg_2", "fc_3", "ws_4", "sp_5"]
    assert back[0]["encrypted_content"] == "gAAAAB"
    assert back[1]["phase"] == "commentary"
    assert back[4] == {"type": "sparkle_call", "id": "sp_5", "level": 3, "status": "completed"}
    assert answer == {"type": "function_call_output", "call_id": "call_3", "output": "a fox"}


async def test_another_upstream_is_sent_neither_ids_nor_reasoning_of_the_first(upstream, model):
    upstream.script = [stream(told.responses_stream(told.reasoning("Hm.", encrypted_content="gAAAAB"), HELLO))]
    _, output = await say(model, turn_of())
    async with FakeUpstream() as other, aclosing(model_of(other)) as second:
        other.script = [stream(told.responses_stream(HELLO))]
        await say(second, turn_of(*output))
        (message,) = items_of(other.requests[0])
    assert (message["type"], "id" in message) == ("message", False)


async def test_the_first_batch_comes_with_the_first_output(upstream, model):
    gate = Gate()
    upstream.script = [stream(told.responses_stream(HELLO)).gated(gate)]
    batches = model.stream(turn_of())
    first = asyncio.ensure_future(anext(batches))
    for _ in range(2):
        await gate.reached()
        gate.release()
    await gate.reached()
    assert not first.done()
    gate.open()
    assert any(isinstance(delta, ItemStarted) for delta in await first)
    await batches.aclose()


async def test_an_exhausted_quota_is_a_refusal_though_the_stream_had_begun(upstream, model):
    error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your quota."}
    begin = told.response_events()[:2]
    failed = {"type": "response.failed", "response": told.response_object(status="failed", error=error)}
    upstream.script = [stream(told.sse_of([*begin, {"type": "error", "error": error}, failed]))]
    batches, raised = await hear(model, turn_of())
    assert batches == []
    assert isinstance(raised, QuotaExceeded)


async def test_one_batch_comes_of_one_read(upstream, model):
    events = told.responses_stream(told.message("a b c d e f"))
    upstream.script = [stream([b"".join(events[:6]), b"".join(events[6:])])]
    batches, _ = await hear(model, turn_of())
    assert len(batches) == 2
    assert words(batches) == "a b c d e f"


async def test_a_connection_is_used_again_after_an_answer_that_ended(upstream, model):
    upstream.script = [stream(told.responses_stream(HELLO), framing="length") for _ in range(3)]
    for _ in range(3):
        await hear(model, turn_of())
    assert len(upstream.connections) == 1


async def test_a_connection_whose_answer_has_only_to_end_is_not_closed(upstream, model):
    gate = Gate()
    chunks = told.responses_stream(HELLO)
    upstream.script = [stream(chunks).gated(gate), stream(chunks)]
    gate.release(len(chunks))
    batches, _ = await hear(model, turn_of())
    assert isinstance(batches[-1][-1], Finished)
    await hear(model, turn_of())
    assert len(upstream.connections) == 2
    assert upstream.connections[0].closed_by_peer_at is None


@pytest.mark.parametrize("after", [0, 1, 5])
async def test_the_upstream_is_closed_when_the_listening_task_is_cancelled(upstream, model, after):
    gate = Gate()
    upstream.script = [stream(told.responses_stream(HELLO)).gated(gate)]
    listening = asyncio.create_task(hear(model, turn_of()))
    for _ in range(after):
        await gate.reached()
        gate.release()
    await gate.reached()
    listening.cancel()
    await upstream.closed_by_peer()


async def test_the_upstream_is_closed_when_the_generator_is(upstream, model):
    gate = Gate()
    upstream.script = [stream(told.responses_stream(HELLO)).gated(gate)]
    gate.release(5)
    batches = model.stream(turn_of())
    await anext(batches)
    await batches.aclose()
    await upstream.closed_by_peer()


async def test_no_first_output_in_time_is_a_timeout_though_the_stream_had_begun(upstream):
    async with aclosing(model_of(upstream, first_token_timeout=0.1)) as model:
        answer = stream(told.responses_stream(HELLO))
        upstream.script = [answer.stall_after(answer.after(b"response.in_progress"))]
        batches, error = await hear(model, turn_of())
        assert batches == []
        assert isinstance(error, UpstreamTimeout)


async def test_a_json_body_though_a_stream_was_asked_for_is_told(upstream, model):
    upstream.script = [json_answer(told.responses_json(told.reasoning("Hm."), HELLO))]
    _, output = await say(model, turn_of())
    assert output[1].content[0].text == "Hello there, you."


# Usage


async def test_usage_is_counted_where_the_upstream_tells_none(upstream, model):
    upstream.script = [stream(told.responses_stream(told.reasoning(text=("Let me see.",)), HELLO, usage=None))]
    batches, _ = await hear(model, turn_of(instructions="Be short."))
    (usage,) = (delta.usage for batch in batches for delta in batch if isinstance(delta, Usage))
    thoughts = count_tokens("Let me see.")
    assert usage.output_tokens == thoughts + count_tokens("Hello there, you.")
    assert usage.output_tokens_details.reasoning_tokens == thoughts
    assert usage.input_tokens == count_tokens("Be short.") + count_tokens("Hi") + 3
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert isinstance(batches[-1][-1], Finished)


async def test_words_of_an_answer_that_breaks_off_are_counted_too(upstream, model):
    events = told.response_events(HELLO)
    upstream.script = [stream(told.sse_of(events[:-4]))]
    batches, error = await hear(model, turn_of())
    assert isinstance(error, Unavailable)
    (usage,) = (delta.usage for batch in batches for delta in batch if isinstance(delta, Usage))
    assert usage.output_tokens == count_tokens("Hello there, you.")


# What the upstream refuses of ours


ENCRYPTED = "reasoning.encrypted_content"


async def test_a_model_that_does_not_reason_is_asked_again_without_encrypted_reasoning_and_remembered(upstream, model):
    refusal = error_answer(
        400, "Encrypted content is not supported with this model.", type="invalid_request_error", param="include"
    )
    upstream.script = [refusal, *(stream(told.responses_stream(HELLO)) for _ in range(2))]
    for _ in range(2):
        batches, error = await hear(model, turn_of())
        assert (words(batches), error) == ("Hello there, you.", None)
    assert [request.json().get("include") for request in upstream.requests] == [[ENCRYPTED], None, None]


async def test_reasoning_that_cannot_be_decrypted_is_left_out_of_this_request_only(upstream, model):
    upstream.script = [
        stream(told.responses_stream(told.reasoning(encrypted_content="gAAAAB"), HELLO)),
        error_answer(400, "It could not be verified.", type="invalid_request_error", code="invalid_encrypted_content"),
        *(stream(told.responses_stream(HELLO)) for _ in range(2)),
    ]
    _, output = await say(model, turn_of())
    for _ in range(2):
        await say(model, turn_of(*output))
    sent = [[item["type"] for item in items_of(request)] for request in upstream.requests[1:]]
    assert sent == [["reasoning", "message"], ["message"], ["reasoning", "message"]]


async def test_plain_reasoning_that_the_upstream_refuses_is_not_sent_again(upstream, model):
    refusal = error_answer(400, "Too long.", code="array_above_max_length", param="input[0].content")
    upstream.script = [
        stream(told.responses_stream(told.reasoning(text=("Let me see.",)), HELLO)),
        refusal,
        *(stream(told.responses_stream(HELLO)) for _ in range(2)),
    ]
    _, output = await say(model, turn_of())
    for _ in range(2):
        await say(model, turn_of(*output))
    sent = [[item["type"] for item in items_of(request)] for request in upstream.requests[1:]]
    assert sent == [["reasoning", "message"], ["message"], ["message"]]


async def test_what_the_upstream_refuses_of_the_clients_is_the_clients_to_know(upstream, model):
    upstream.script = [
        error_answer(400, "No.", type="invalid_request_error", code="invalid_value", param="include[0]"),
    ]
    batches, error = await hear(model, turn_of(include=[ENCRYPTED]))
    assert batches == []
    assert isinstance(error, InvalidRequest)
    assert (error.param, error.code, error.message) == ("include[0]", "invalid_value", "No.")


# Counting


async def test_tokens_are_counted_by_the_upstream(upstream, model):
    upstream.script = [json_answer({"object": "response.input_tokens", "input_tokens": 11})]
    assert await model.count(turn_of(instructions="Be short.", temperature=0.5)) == 11
    (request,) = upstream.requests
    assert request.target == "/v1/responses/input_tokens"
    assert set(request.json()) == {"model", "input", "instructions"}


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_tokens_are_counted_here_where_the_upstream_cannot(upstream, model, status):
    upstream.always(plain(status, b"404 page not found"))
    assert await model.count(turn_of(instructions="Be short.")) == count_tokens("Be short.") + count_tokens("Hi") + 3


async def test_an_upstream_that_does_not_count_is_not_asked_twice(upstream, model):
    upstream.always(plain(404, b"404 page not found"))
    for _ in range(3):
        await model.count(turn_of())
    assert len(upstream.requests) == 1


async def test_a_request_that_the_upstream_refuses_to_count_is_refused(upstream, model):
    upstream.always(error_answer(400, "No.", type="invalid_request_error", code="invalid_value", param="input"))
    with pytest.raises(InvalidRequest):
        await model.count(turn_of())


async def test_images_files_and_tools_count_too(upstream, model):
    upstream.always(plain(404))
    parts = [
        InputText(text="What is this?"),
        InputImage(image_url="data:image/png;base64,AAAA", detail="low"),
        InputImage(image_url="https://example.com/a.png"),
        InputFile(file_data="A" * 400, filename="a.txt"),
    ]
    bare = await model.count(turn_of(Message(role="user", content=parts)))
    assert bare == 3 + count_tokens("What is this?") + 85 + 765 + 100
    tool = FunctionTool(name="f", parameters={"type": "object"})
    assert await model.count(turn_of(Message(role="user", content=parts), tools=[tool])) > bare


# The port


async def test_it_is_a_model(model):
    port: Model = model
    assert (port.name, port.continues, port.accept(CreateResponse(input="Hi"))) == ("upstream-model", False, ())


async def test_tools_that_are_left_out_are_named(upstream):
    async with aclosing(model_of(upstream, tools_left_out=frozenset({"function"}))) as model:
        request = CreateResponse(input="Hi", tools=[FunctionTool(name="f"), FunctionTool(name="g")])
        assert model.accept(request) == ("function",)
