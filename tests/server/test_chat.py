"""POST /v1/chat/completions and what is stored of it, as a client sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from antiphon.config.settings import ChatSettings, RehearsalSettings, RouteSettings
from antiphon.engine.engine import EngineSettings
from antiphon.plugins import Models
from antiphon.testing import ScriptedModel, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Reasoning, Text
from antiphon.wire.errors import InvalidRequest, RateLimited, Unavailable
from antiphon.wire.items import FunctionCall
from tests.stores.disk import rows
from tests.support import chat_oracle
from tests.support.chat_chunks import chat_stream
from tests.support.serving import Serving, serving
from tests.support.upstream import FakeUpstream, Gate, error_answer, stream
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
USER = {"role": "user", "content": "Hi."}
LOOK_UP = {"type": "function", "function": {"name": "look_up"}}


async def ask(s: Serving, *messages: dict[str, Any], model: str = "scripted", **fields: Any) -> tuple[int, Any, Any]:
    return await s.ask("POST", PATH, {"model": model, "messages": list(messages) or [USER], **fields})


async def completed(s: Serving, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    status, completion, _ = await ask(s, *messages, **fields)
    assert status == 200, completion
    chat_oracle.check(completion)
    return completion


async def streamed(s: Serving, *messages: dict[str, Any], model: str = "scripted", **fields: Any) -> bytes:
    body = {"model": model, "messages": list(messages) or [USER], "stream": True, **fields}
    async with s.http.post(s.url + PATH, json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        return await answer.read()


def calls() -> Sequence[Any]:
    call = FunctionCall(call_id="call_1", name="look_up", arguments="", status="in_progress")
    return [[ItemStarted(0, call)], [Arguments(0, "{}")], [ItemDone(0), Finished()]]


# Create


async def test_a_completion_comes_whole_or_in_chunks_and_is_the_same():
    async with serving() as s:
        whole = await completed(s)
        chunks = chat_oracle.whole_stream(await streamed(s, stream_options={"include_usage": True}))
    assert whole["choices"][0]["message"]["content"] == "Hello there."
    assert chat_oracle.assembled(chunks) == chat_oracle.said_in(whole)
    assert chunks[-1]["usage"] == whole["usage"]
    assert {chunk["model"] for chunk in chunks} == {"scripted"}


async def test_the_model_is_asked_as_by_a_responses_request():
    model = ScriptedModel()
    async with serving(model) as s:
        await completed(s, {"role": "developer", "content": "Be brief."}, USER, max_tokens=5, tools=[LOOK_UP])
    (turn,) = model.turns
    assert [(item.role, item.content[0].text) for item in turn.items] == [("developer", "Be brief."), ("user", "Hi.")]
    assert turn.request.max_output_tokens == 5
    assert [tool.name for tool in turn.request.tools] == ["look_up"]
    assert not turn.request.store


async def test_a_conversation_with_tools_goes_on_with_their_outputs():
    model = ScriptedModel(lambda turn: calls() if len(turn.items) == 1 else said("Sunny."))
    async with serving(model) as s:
        first = await completed(s, tools=[LOOK_UP])
        message = first["choices"][0]["message"]
        output = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sun"}
        second = await completed(s, USER, message, output, tools=[LOOK_UP])
    assert first["choices"][0]["finish_reason"] == "tool_calls"
    assert second["choices"][0]["message"]["content"] == "Sunny."


async def test_reasoning_is_told_and_may_be_sent_back():
    model = ScriptedModel([[Reasoning("Hm.")], [Text("Yes."), Finished()]])
    async with serving(model) as s:
        message = (await completed(s))["choices"][0]["message"]
        assert message["reasoning_content"] == "Hm."
        await completed(s, USER, message, USER)
    assert [type(item).__name__ for item in model.turns[-1].items] == ["Message", "Reasoning", "Message", "Message"]


async def test_names_of_messages_are_left_out_and_the_client_is_told():
    async with serving() as s:
        _, _, headers = await ask(s, {**USER, "name": "Ada"})
        assert "names of messages" in headers["x-antiphon-notes"]
        _, _, headers = await ask(s)
        assert "x-antiphon-notes" not in headers


async def test_obfuscation_pads_chunks_when_it_is_asked_for():
    async with serving() as s:
        padded = await streamed(s, stream_options={"include_obfuscation": True, "include_usage": True})
        plain = await streamed(s)
    *chunks, usage = chat_oracle.whole_stream(padded)
    assert all(chunk["obfuscation"] for chunk in chunks)
    assert "obfuscation" not in usage
    assert b"obfuscation" not in plain


async def test_a_server_that_marks_the_ends_of_streams_marks_this_one_once():
    async with serving(done_marker=True) as s:
        chat_oracle.whole_stream(await streamed(s))


async def test_silence_is_filled_with_comments():
    held = asyncio.Event()
    async with serving(ScriptedModel([[], held, [Text("Hi."), Finished()]]), keepalive=0.01) as s:
        reading = asyncio.create_task(streamed(s))
        await until(lambda: s.engine.runs)
        await asyncio.sleep(0.05)
        held.set()
        data = await reading
    assert b": keepalive\n\n" in data
    chat_oracle.whole_stream(data)


# Refusals and failures


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"seed": 1}, "seed", "unsupported_parameter"),
        ({"stop": "."}, "stop", "unsupported_parameter"),
        ({"top_k": 1}, "top_k", "unknown_parameter"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": ""}]}, "messages[0].role", "invalid_value"),
        ({"model": "nobody"}, "model", "model_not_found"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], param: str, code: str):
    async with serving() as s:
        status, body, _ = await s.ask("POST", PATH, {"model": "scripted", "messages": [USER], **fields})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, code)


async def test_what_only_this_api_has_goes_to_a_model_that_takes_it():
    model = ScriptedModel(chat_parameters=frozenset({"seed"}), pass_through=frozenset({"top_k"}))
    async with serving(model) as s:
        await completed(s, seed=1, top_k=2)
        status, body, _ = await ask(s, stop=".")
        assert (status, body["error"]["param"]) == (400, "stop")
        status, body, _ = await s.ask("POST", "/v1/responses", {"model": "scripted", "input": "Hi.", "seed": 1})
        assert (status, body["error"]["code"]) == (400, "unknown_parameter")
    assert model.turns[0].request.extra == {"seed": 1, "top_k": 2}


@pytest.mark.parametrize("way", [{}, {"stream": True}])
async def test_a_refusal_of_the_upstream_is_a_status_and_names_the_parameter_of_the_chat(way: dict[str, Any]):
    refusal = InvalidRequest("Too few.", param="max_output_tokens", code="integer_below_min_value")
    async with serving(ScriptedModel([refusal])) as s:
        status, body, _ = await ask(s, max_tokens=5, **way)
    assert (status, body["error"]["param"]) == (400, "max_tokens")


@pytest.mark.parametrize("way", [{}, {"stream": True}])
async def test_a_limit_of_the_upstream_keeps_its_hint(way: dict[str, Any]):
    async with serving(ScriptedModel([RateLimited("Slow down.", retry_after=7)])) as s:
        status, body, headers = await ask(s, **way)
    assert (status, body["error"]["type"], headers["retry-after"]) == (429, "rate_limit_error", "7")


async def test_an_answer_that_breaks_off_is_an_error_and_no_completion():
    async with serving(ScriptedModel([[Text("Half")], Unavailable("It broke.", code="upstream_cut")])) as s:
        status, body, _ = await ask(s, store=True)
        assert (status, body["error"]["code"]) == (503, "upstream_cut")
        data = await streamed(s, store=True)
        frames = [json.loads(frame[6:]) for frame in data.decode().split("\n\n")[:-2]]
        assert frames[-1]["error"]["message"] == "It broke."
        assert data.endswith(b"data: [DONE]\n\n")
        _, page, _ = await s.ask("GET", PATH)
    assert page["data"] == []


async def test_an_answer_that_is_cut_short_is_a_completion_that_says_so():
    async with serving(ScriptedModel([[Text("Half"), Finished("max_output_tokens")]])) as s:
        choice = (await completed(s))["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "Half")


@pytest.mark.parametrize("way", [{}, {"stream": True}])
@pytest.mark.parametrize("store", [True, False])
async def test_a_client_that_leaves_closes_the_upstream(way: dict[str, Any], store: bool):
    model = ScriptedModel([[Text("Half")], asyncio.Event()])
    async with serving(model) as s:
        body = {"model": "scripted", "messages": [USER], "store": store, **way}
        asking = asyncio.create_task(s.ask("POST", PATH, body))
        await until(lambda: model.open)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await until(lambda: not model.open)
        await until(lambda: not s.engine.runs)
        _, page, _ = await s.ask("GET", PATH)
    assert page["data"] == []


# What is stored


async def test_nothing_is_stored_unless_it_is_asked_for(tmp_path):
    async with serving(folder=tmp_path) as s:
        made = await completed(s)
        chunks = chat_oracle.whole_stream(await streamed(s, store=False))
        for completion in (made["id"], chunks[0]["id"]):
            status, body, _ = await s.ask("GET", f"{PATH}/{completion}")
            assert (status, body["error"]["code"]) == (404, "completion_not_found")
    assert rows(tmp_path, "SELECT * FROM responses") == rows(tmp_path, "SELECT * FROM chats") == []


@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_a_stored_completion_is_the_one_that_was_told(way: str):
    async with serving() as s:
        if way == "whole":
            made = await completed(s, store=True, metadata={"a": "b"})
        else:
            data = await streamed(s, store=True, metadata={"a": "b"}, stream_options={"include_usage": True})
            chunks = chat_oracle.whole_stream(data)
        status, found, _ = await s.ask("GET", f"{PATH}/{made['id'] if way == 'whole' else chunks[0]['id']}")
    assert status == 200
    assert found["metadata"] == {"a": "b"}
    if way == "whole":
        assert found == made
    else:
        assert chat_oracle.said_in(found) == chat_oracle.assembled(chunks)
        assert found["usage"] == chunks[-1]["usage"]


async def test_a_stored_completion_is_in_the_store_when_its_first_chunk_is_sent(tmp_path):
    held = asyncio.Event()
    model = ScriptedModel([[Text("Half")], held, [Text(" and half."), Finished()]])
    async with serving(model, folder=tmp_path) as s:
        body = {"model": "scripted", "messages": [USER], "stream": True, "store": True}
        async with s.http.post(s.url + PATH, json=body) as answer:
            await answer.content.readany()
            assert rows(tmp_path, "SELECT request FROM chats") == [(json.dumps(body).encode(),)]
            held.set()
            await answer.read()


async def test_the_response_behind_a_completion_can_be_continued_and_goes_with_it():
    async with serving() as s:
        made = await completed(s, store=True)
        response_id = made["id"].replace("chatcmpl-", "resp_")
        await s.create(previous_response_id=response_id)
        status, body, _ = await s.ask("DELETE", f"{PATH}/{made['id']}")
        assert (status, body) == (200, {"object": "chat.completion.deleted", "id": made["id"], "deleted": True})
        for path in (f"{PATH}/{made['id']}", f"{PATH}/{made['id']}/messages", f"/v1/responses/{response_id}"):
            assert (await s.ask("GET", path))[0] == 404
        assert (await s.ask("DELETE", f"{PATH}/{made['id']}"))[0] == 404


async def test_a_response_is_no_completion():
    async with serving() as s:
        response = await s.create()
        completion = response["id"].replace("resp_", "chatcmpl-")
        for method, body in (("GET", None), ("POST", {"metadata": {}}), ("DELETE", None)):
            assert (await s.ask(method, f"{PATH}/{completion}", body))[0] == 404
        assert (await s.ask("GET", f"/v1/responses/{response['id']}"))[0] == 200


async def test_metadata_can_be_replaced():
    async with serving() as s:
        made = await completed(s, store=True, metadata={"a": "b"})
        _, updated, _ = await s.ask("POST", f"{PATH}/{made['id']}", {"metadata": {"c": "d"}})
        assert updated == {**made, "metadata": {"c": "d"}}
        assert (await s.ask("GET", f"{PATH}/{made['id']}"))[1] == updated
        _, updated, _ = await s.ask("POST", f"{PATH}/{made['id']}", {"metadata": None})
        assert updated["metadata"] == {}
        status, body, _ = await s.ask("POST", f"{PATH}/{made['id']}", {"metadata": {"a": 1}})
        assert (status, body["error"]["param"]) == (400, "metadata.a")


async def test_the_list_is_filtered_and_paged():
    async with serving() as s:
        ids = [(await completed(s, store=True, metadata={"n": str(n), "all": "yes"}))["id"] for n in range(5)]
        _, page, _ = await s.ask("GET", f"{PATH}?limit=2")
        assert [each["id"] for each in page["data"]] == ids[:2]
        assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
        _, page, _ = await s.ask("GET", f"{PATH}?limit=9&after={ids[1]}")
        assert ([each["id"] for each in page["data"]], page["has_more"]) == (ids[2:], False)
        _, page, _ = await s.ask("GET", f"{PATH}?order=desc&limit=1")
        assert [each["id"] for each in page["data"]] == ids[-1:]
        _, page, _ = await s.ask("GET", f"{PATH}?metadata[n]=3&metadata[all]=yes")
        assert [each["id"] for each in page["data"]] == [ids[3]]
        _, page, _ = await s.ask("GET", f"{PATH}?metadata[n]=3&metadata[all]=no")
        assert page["data"] == []
        _, page, _ = await s.ask("GET", f"{PATH}?model=other")
        assert page["data"] == []


@pytest.mark.parametrize("query", ["metadata=a", "metadata[]=a", "metadata[a][b]=c", "metadata[a]b=c", "metadata[a=b"])
async def test_metadata_that_are_no_pairs_are_refused(query: str):
    async with serving() as s:
        status, body, _ = await s.ask("GET", f"{PATH}?{query}")
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "metadata", "invalid_type")


@pytest.mark.parametrize(("query", "param"), [("limit=0", "limit"), ("order=up", "order"), ("after=x", "after")])
async def test_a_wrong_query_names_its_parameter(query: str, param: str):
    async with serving() as s:
        made = await completed(s, store=True)
        for path in (PATH, f"{PATH}/{made['id']}/messages"):
            status, body, _ = await s.ask("GET", f"{path}?{query}")
            assert (status, body["error"]["param"]) == (400, param)


async def test_the_messages_of_a_stored_completion_are_those_that_were_sent():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    call = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    sent = [
        {"role": "user", "content": parts, "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A fox."},
    ]
    async with serving() as s:
        made = await completed(s, *sent, store=True, tools=[LOOK_UP])
        _, page, _ = await s.ask("GET", f"{PATH}/{made['id']}/messages")
        first, second, third = page["data"]
        assert (first["content"], first["content_parts"], first["name"]) == (None, parts, "Ada")
        assert second["tool_calls"] == [call]
        assert (third["content"], third["tool_call_id"]) == ("A fox.", "call_1")
        _, page, _ = await s.ask("GET", f"{PATH}/{made['id']}/messages?order=desc&limit=1&after={third['id']}")
        assert ([each["id"] for each in page["data"]], page["has_more"]) == ([second["id"]], True)


async def test_completions_outlive_the_process(tmp_path):
    async with serving(folder=tmp_path) as s:
        made = await completed(s, store=True)
    async with serving(folder=tmp_path) as s:
        assert (await s.ask("GET", f"{PATH}/{made['id']}"))[1] == made


async def test_a_completion_goes_on_without_its_client_where_that_is_configured(tmp_path):
    held = asyncio.Event()
    model = ScriptedModel([[Text("Half")], held, [Text(" and half."), Finished()]])
    async with serving(model, folder=tmp_path, settings=EngineSettings(on_disconnect="continue")) as s:
        body = {"model": "scripted", "messages": [USER], "stream": True, "store": True}
        async with aiohttp.ClientSession() as leaving, leaving.post(s.url + PATH, json=body) as answer:
            await answer.content.readany()
        held.set()
        await until(lambda: not s.engine.runs)
        _, page, _ = await s.ask("GET", PATH)
    assert [each["choices"][0]["message"]["content"] for each in page["data"]] == ["Half and half."]


# Over an upstream that speaks it


def over(upstream: FakeUpstream) -> Models:
    return Models({"chat": ChatSettings(backend="chat_completions", base_url=upstream.base_url, model="upstream")})


async def test_an_upstream_gets_the_parameters_that_only_it_knows():
    async with FakeUpstream() as upstream:
        upstream.always(stream(chat_stream("Hello.")))
        async with serving(over(upstream)) as s:
            made = await completed(s, model="chat", seed=7, stop=["."], presence_penalty=0.5, max_tokens=3)
        (request,) = upstream.requests
    assert made["choices"][0]["message"]["content"] == "Hello."
    sent = request.json()
    assert (sent["seed"], sent["stop"], sent["presence_penalty"], sent["max_tokens"]) == (7, ["."], 0.5, 3)


async def test_of_a_route_only_the_lines_that_take_a_parameter_are_asked():
    async with FakeUpstream() as upstream:
        upstream.always(stream(chat_stream("Hello.")))
        chat = ChatSettings(backend="chat_completions", base_url=upstream.base_url)
        route = RouteSettings(backend="route", models=("built-in", "chat"))
        models = Models({"built-in": RehearsalSettings(backend="rehearsal"), "chat": chat, "route": route})
        async with serving(models) as s:
            without = await completed(s, model="route")
            made = await completed(s, model="route", seed=7)
        assert len(upstream.requests) == 1
    assert made["choices"][0]["message"]["content"] == "Hello."
    assert without["choices"][0]["message"]["content"] != "Hello."


async def test_an_upstream_that_refuses_is_passed_on():
    async with FakeUpstream() as upstream:
        upstream.always(error_answer(400, "No such thing.", type="invalid_request_error", param="stop", code="odd"))
        async with serving(over(upstream)) as s:
            status, body, _ = await ask(s, model="chat", stop=".")
    assert (status, body["error"]["param"], body["error"]["message"]) == (400, "stop", "No such thing.")


async def test_a_client_that_leaves_a_stream_leaves_the_upstream():
    gate = Gate()
    async with FakeUpstream() as upstream:
        upstream.always(stream(chat_stream("Hello there.")).gated(gate))
        async with serving(over(upstream)) as s:
            asking = asyncio.create_task(streamed(s, model="chat"))
            await upstream.received()
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking
            await upstream.closed_by_peer()
