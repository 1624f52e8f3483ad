"""The optimiser: the same question in fewer tokens, and what it saved."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI

from antiphon.client import AsyncClient, OptionError
from antiphon.client.optimiser import Optimiser
from antiphon.client.records import Optimised

pytestmark = pytest.mark.anyio

LONG = "A long story about a fox. " * 40
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}


def user(content, **more) -> dict:
    return {"role": "user", "content": content, **more}


def assistant(text) -> dict:
    return {"role": "assistant", "content": text}


async def sent(async_client, upstream, optimiser, **asked):
    """What goes to the server, and what observers are told."""
    records = []
    client = async_client(upstream.base_url, optimiser=optimiser, observers=records.append)
    await client.create(model="m", **asked)
    return upstream.requests[-1].json(), [record for record in records if isinstance(record, Optimised)]


async def test_the_oldest_exchanges_are_left_out_whole_until_the_rest_fits(async_client, in_thread, upstream):
    items = [
        {"role": "developer", "content": "Be brief."},
        *[message for turn in range(6) for message in (user(f"{turn} {LONG}"), assistant(f"{turn} {LONG}"))],
        user("And now?", vendor_hint=1),
    ]
    optimiser = Optimiser(context_window=2000)
    body, (told,) = await sent(async_client, upstream, optimiser, input=items)
    assert body["input"] == [items[0], *items[-7:]]
    assert told.dropped == 6
    assert 1000 < told.tokens_saved == optimiser.saved
    await in_thread(upstream.base_url, lambda c: c.create(model="m", input=items), optimiser=optimiser)
    assert upstream.requests[-1].json() == body


async def test_what_fits_is_sent_as_it_is(async_client, upstream):
    items = [user(LONG), assistant(LONG), user("And now?")]
    body, told = await sent(async_client, upstream, {"context_window": {"m": 100_000}}, input=items)
    assert body["input"] == items
    assert told == []
    body, told = await sent(async_client, upstream, {"context_window": {"other": 64}}, input=items)
    assert body["input"] == items


async def test_a_call_is_never_parted_from_its_output(async_client, upstream):
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": LONG}
    items = [user(LONG), call, output, assistant(LONG), user("And now?")]
    body, _ = await sent(async_client, upstream, {"context_window": 600}, input=items)
    assert body["input"] == items[-1:]


async def test_an_attachment_is_sent_once(async_client, upstream):
    items = [user([IMAGE, {"type": "input_text", "text": "What is it?"}]), assistant("A dot."), user([IMAGE])]
    body, (told,) = await sent(async_client, upstream, True, input=items)
    assert body["input"][:2] == items[:2]
    assert body["input"][2]["content"] == [{"type": "input_text", "text": "[The same image as above.]"}]
    assert (told.deduplicated, told.dropped) == (1, 0)
    assert told.tokens_saved > 0


async def test_no_text_is_ever_changed(async_client, upstream):
    code = "def f():\n    return  {'a':   1}\n\n\n" * 200
    items = [user(code), user(code), user([{"type": "input_text", "text": code}])]
    body, told = await sent(async_client, upstream, True, input=items)
    assert body["input"] == items
    assert told == []


async def test_tools_are_sent_in_one_order_each_as_it_was(async_client, upstream):
    tools = [
        {"type": "function", "name": name, "parameters": {"z": 1, "a": 2}, "strict": True} for name in ("beta", "alpha")
    ]
    body, _ = await sent(async_client, upstream, True, input="Hi.", tools=tools)
    again, _ = await sent(async_client, upstream, True, input="Hi.", tools=tools[::-1])
    assert body["tools"] == again["tools"] == tools[::-1]
    assert list(body["tools"][0]["parameters"]) == ["z", "a"]
    as_sent, _ = await sent(async_client, upstream, {"stable_prefix": False}, input="Hi.", tools=tools)
    assert as_sent["tools"] == tools


async def test_the_callers_own_list_is_not_changed(async_client, upstream):
    items = [user([IMAGE]), user([IMAGE])]
    await sent(async_client, upstream, True, input=items)
    assert items == [user([IMAGE]), user([IMAGE])]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"context_window": "big"}, "optimiser.context_window"),
        ({"context_window": 3}, "optimiser.context_window"),
        ({"context_window": {"m": 0}}, "optimiser.context_window['m']"),
        ({"deduplicate": "yes"}, "optimiser.deduplicate"),
        ({"encoding": "gpt2"}, "optimiser.encoding"),
        ({"max_chars": 4000}, "optimiser.max_chars"),
    ],
)
def test_a_wrong_option_fails_when_the_client_is_built(given, option):
    with pytest.raises(OptionError) as caught:
        AsyncClient(AsyncOpenAI(api_key="none"), optimiser=given)
    assert caught.value.option == option
