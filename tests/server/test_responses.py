"""The operations on responses, as a client sees them."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.engine import EngineSettings
from antiphon.testing import ScriptedModel, said
from antiphon.wire.errors import InvalidRequest, RateLimited, Unavailable
from tests.support import grammar, sdk_oracle
from tests.support.serving import events, serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

LONG = "A long answer that comes in many pieces, one after the other."


async def test_a_stream_follows_the_grammar_and_the_types_of_the_sdk():
    async with serving() as s:
        told = events(await s.stream())
    grammar.check(told)
    assert not [problem for event in told for problem in sdk_oracle.validate_event(event)]


async def test_plain_stream_and_retrieved_are_the_same_response():
    async with serving() as s:
        told = events(await s.stream())
        final = told[-1]["response"]
        _, retrieved, _ = await s.ask("GET", f"/v1/responses/{final['id']}")
        plain = await s.create()
    assert retrieved == final
    same = set(final) - {"id", "output", "created_at", "completed_at"}
    assert {key: plain[key] for key in same} == {key: final[key] for key in same}


async def test_a_stored_stream_can_be_continued_after_every_event_with_the_same_bytes():
    async with serving(ScriptedModel(said(LONG))) as s:
        whole = await s.stream()
        response_id = events(whole)[0]["response"]["id"]
        frames = [frame + b"\n\n" for frame in whole.split(b"\n\n") if frame]
        for number in range(-1, len(frames)):
            query = f"?stream=true&starting_after={number}"
            async with s.http.get(f"{s.url}/v1/responses/{response_id}{query}") as answer:
                assert await answer.read() == b"".join(frames[number + 1 :])


async def test_an_unstored_response_cannot_be_retrieved_and_leaves_no_row():
    async with serving() as s:
        response = await s.create(store=False)
        status, body, _ = await s.ask("GET", f"/v1/responses/{response['id']}")
        assert status == 404
        assert body["error"]["code"] == "response_not_found"
        status, body, _ = await s.ask(
            "POST",
            "/v1/responses",
            {"model": "scripted", "input": "Go on.", "previous_response_id": response["id"]},
        )
    assert status == 400
    assert body["error"]["code"] == "previous_response_not_found"
    assert body["error"]["param"] == "previous_response_id"


async def test_the_model_sees_input_and_output_of_the_chain_but_not_its_instructions():
    model = ScriptedModel()
    async with serving(model) as s:
        first = await s.create(input="One.", instructions="Be brief.")
        second = await s.create(input="Two.", previous_response_id=first["id"])
        await s.create(input="Three.", previous_response_id=second["id"])
    turn = model.turns[-1]
    assert [item.content[0].text for item in turn.items] == ["One.", "Hello there.", "Two.", "Hello there.", "Three."]
    assert turn.request.instructions is None


async def test_input_items_page_both_ways():
    async with serving() as s:
        items = [{"role": "user", "content": f"Number {number}."} for number in range(5)]
        response = await s.create(input=items)
        path = f"/v1/responses/{response['id']}/input_items"
        _, page, _ = await s.ask("GET", f"{path}?limit=2")
        assert [item["content"][0]["text"] for item in page["data"]] == ["Number 4.", "Number 3."]
        assert page["has_more"]
        assert page["last_id"] == page["data"][-1]["id"]
        _, page, _ = await s.ask("GET", f"{path}?limit=2&order=asc&after={page['first_id']}")
        assert page["data"] == []
        assert not page["has_more"]
        _, everything, _ = await s.ask("GET", f"{path}?order=asc")
        last = everything["data"][-1]["id"]
        _, page, _ = await s.ask("GET", f"{path}?order=asc&limit=3&before={last}")
        assert [item["content"][0]["text"] for item in page["data"]] == ["Number 1.", "Number 2.", "Number 3."]
        assert page["has_more"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=two", "limit"),
        ("order=up", "order"),
        ("after=msg_none", "after"),
        ("include[]=everything", "include[0]"),
    ],
)
async def test_a_wrong_query_names_its_parameter(query, param):
    async with serving() as s:
        response = await s.create()
        status, body, _ = await s.ask("GET", f"/v1/responses/{response['id']}/input_items?{query}")
    assert status == 400
    assert body["error"]["param"] == param


async def test_a_background_response_is_queued_at_once_and_completes():
    gate = asyncio.Event()
    async with serving(ScriptedModel([gate, *said()])) as s:
        response = await s.create(background=True)
        assert response["status"] == "queued"
        assert response["output"] == []
        gate.set()
        async with s.http.get(f"{s.url}/v1/responses/{response['id']}?stream=true") as answer:
            told = events(await answer.read())
        grammar.check(told)
        assert [event["type"] for event in told[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        _, retrieved, _ = await s.ask("GET", f"/v1/responses/{response['id']}")
    assert retrieved["status"] == "completed"
    assert retrieved == told[-1]["response"]


async def test_cancel_is_idempotent_and_ends_the_readers_stream():
    gate = asyncio.Event()
    model = ScriptedModel([*said(LONG)[:4], gate])
    async with serving(model) as s:
        response = await s.create(background=True)
        path = f"/v1/responses/{response['id']}"
        async with s.http.get(f"{s.url}{path}?stream=true") as answer:
            head = await answer.content.readuntil(b"output_text.delta")
            status, cancelled, _ = await s.ask("POST", f"{path}/cancel")
            rest = await answer.read()
        assert status == 200
        assert cancelled["status"] == "cancelled"
        assert cancelled["output"][0]["status"] == "incomplete"
        assert LONG.startswith(cancelled["output"][0]["content"][0]["text"])
        assert b"response.completed" not in head + rest
        assert (await s.ask("POST", f"{path}/cancel"))[1] == cancelled
        assert (await s.ask("GET", path))[1] == cancelled
        assert model.open == 0


async def test_what_is_over_or_in_the_foreground_cannot_be_cancelled():
    async with serving() as s:
        foreground = await s.create()
        background = await s.create(background=True)
        async with s.http.get(f"{s.url}/v1/responses/{background['id']}?stream=true") as answer:
            await answer.read()
        for response_id in (foreground["id"], background["id"]):
            status, body, _ = await s.ask("POST", f"/v1/responses/{response_id}/cancel")
            assert status == 400
            assert "Cannot cancel" in body["error"]["message"]


async def test_a_deleted_response_is_gone_and_a_running_one_stays():
    gate = asyncio.Event()
    async with serving(ScriptedModel(lambda turn: said() if "stay" not in str(turn.items) else [gate])) as s:
        response = await s.create()
        assert (await s.ask("DELETE", f"/v1/responses/{response['id']}"))[1] == {
            "id": response["id"],
            "object": "response",
            "deleted": True,
        }
        assert (await s.ask("DELETE", f"/v1/responses/{response['id']}"))[0] == 404
        assert (await s.ask("GET", f"/v1/responses/{response['id']}"))[0] == 404
        running = await s.create(input="stay", background=True)
        assert (await s.ask("DELETE", f"/v1/responses/{running['id']}"))[0] == 409
        gate.set()


async def test_a_refusal_before_the_first_output_is_an_http_status_with_its_hints():
    error = RateLimited("Slow down.", retry_after=7)
    async with serving(ScriptedModel([error])) as s:
        for stream in (False, True):
            body = {"model": "scripted", "input": "Hi.", "stream": stream}
            status, answer, headers = await s.ask("POST", "/v1/responses", body)
            assert status == 429
            assert answer["error"]["code"] == "rate_limit_exceeded"
            assert headers["retry-after"] == "7"
            assert headers["retry-after-ms"] == "7000"
        assert await s.engine.store.unfinished() == []


async def test_a_failure_after_the_hold_is_a_failed_response():
    late = asyncio.Event()
    model = ScriptedModel([late, InvalidRequest("Too long.", code="context_length_exceeded")])
    async with serving(model, settings=EngineSettings(hold=0.0)) as s:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            assert answer.status == 200
            late.set()
            told = events(await answer.read())
        assert told[-1]["type"] == "response.failed"
        assert told[-1]["response"]["error"] == {"code": "context_length_exceeded", "message": "Too long."}
        plain = await s.create()
        assert plain["status"] == "failed"


async def test_a_failure_in_the_middle_keeps_what_was_said():
    model = ScriptedModel([*said(LONG)[:5], Unavailable("The upstream is gone.")])
    async with serving(model) as s:
        told = events(await s.stream())
        grammar.check(told)
        final = told[-1]["response"]
        assert final["status"] == "failed"
        assert LONG.startswith(final["output"][0]["content"][0]["text"])
        assert (await s.ask("GET", f"/v1/responses/{final['id']}"))[1] == final


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("said_before", [0, 4])
async def test_a_client_that_leaves_closes_the_upstream(store, stream, said_before):
    gate = asyncio.Event()
    reached = asyncio.Event()

    def script(_):
        yield from said(LONG)[: said_before + 1] if said_before else []
        reached.set()
        yield gate

    model = ScriptedModel(script)
    async with serving(model) as s:
        body = {"model": "scripted", "input": "Hi.", "stream": stream, "store": store}
        task = asyncio.create_task(s.http.post(s.url + "/v1/responses", json=body))
        await reached.wait()
        assert model.open == 1
        if task.done():
            task.result().close()
        task.cancel()
        await until(lambda: not model.open)
        await s.engine.journal.barrier()
        assert await s.engine.store.unfinished() == []


async def test_a_stored_response_may_go_on_without_its_client():
    gate = asyncio.Event()
    model = ScriptedModel([*said(LONG)[:3], gate, *said(LONG)[3:]])
    async with serving(model, settings=EngineSettings(on_disconnect="continue")) as s:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            head = await answer.content.readuntil(b"output_text.delta")
        response_id = events(head.rpartition(b"\n\n")[0])[0]["response"]["id"]
        gate.set()
        async with s.http.get(f"{s.url}/v1/responses/{response_id}?stream=true") as answer:
            told = events(await answer.read())
    grammar.check(told)
    assert told[-1]["type"] == "response.completed"


async def test_a_silent_stream_is_kept_alive_by_comments():
    gate = asyncio.Event()
    async with serving(ScriptedModel([[], gate, *said()]), keepalive=0.02) as s:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            await answer.content.readuntil(b": keepalive\n\n")
            gate.set()
            told = events(await answer.read())
    assert told[-1]["type"] == "response.completed"


@pytest.mark.parametrize("name", ["conversation", "prompt", "context_management", "moderation"])
async def test_a_parameter_that_nobody_can_honour_is_refused_by_name(name):
    values = {
        "conversation": "conv_1",
        "prompt": {"id": "pmpt_1"},
        "context_management": [{"type": "compaction", "compact_threshold": 1000}],
        "moderation": {"model": "omni-moderation-latest"},
    }
    async with serving() as s:
        body = {"model": "scripted", "input": "Hi.", name: values[name]}
        status, answer, _ = await s.ask("POST", "/v1/responses", body)
    assert status == 400
    assert answer["error"]["param"] == ("moderation.model" if name == "moderation" else name)


async def test_a_parameter_passes_only_to_the_model_that_lets_it_through():
    open_model = ScriptedModel(name="open", pass_through=frozenset(("top_k",)))
    from antiphon.testing import Only

    async with serving(Only(ScriptedModel(), open=open_model)) as s:
        status, body, _ = await s.ask("POST", "/v1/responses", {"model": "scripted", "input": "x", "top_k": 5})
        assert status == 400
        assert body["error"]["param"] == "top_k"
        status, _, _ = await s.ask("POST", "/v1/responses", {"model": "open", "input": "x", "top_k": 5})
        assert status == 200
    assert open_model.turns[0].request.extra == {"top_k": 5}


async def test_input_tokens_are_counted_by_the_model():
    async with serving() as s:
        items = [{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}]
        status, body, _ = await s.ask("POST", "/v1/responses/input_tokens", {"model": "scripted", "input": items})
    assert status == 200
    assert body == {"object": "response.input_tokens", "input_tokens": 2}


async def test_models_are_listed_and_found_by_name():
    async with serving() as s:
        _, body, _ = await s.ask("GET", "/v1/models")
        assert [model["id"] for model in body["data"]] == ["scripted"]
        assert (await s.ask("GET", "/v1/models/scripted"))[1] == body["data"][0]
        status, error, _ = await s.ask("GET", "/v1/models/other/name")
    assert status == 404
    assert error["error"]["code"] == "model_not_found"
