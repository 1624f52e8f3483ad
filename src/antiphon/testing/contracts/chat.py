"""What every store of chat completions does: it keeps what was asked beside the response that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import msgspec

from antiphon.ports import Batch, Begin, ChatQuery, ChatStore, Store
from antiphon.testing.contracts.store import PROJECT, end, record

OpenChats: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Store, ChatStore]]]
"""Opens a store, and the chat completions in it."""

REQUEST = b'{"model": "model", "messages": []}'


class ChatStoreContract:
    """Fixture: `open_chats`."""

    async def test_a_completion_is_found_with_its_response_its_metadata_and_its_request(
        self, open_chats: OpenChats
    ) -> None:
        async with open_chats() as (store, chats):
            await _add(store, chats, 1, {"a": "b"})
            found = await chats.find(PROJECT, "resp_1")
            assert found is not None
            assert (found.key, found.metadata, found.request) == (1, {"a": "b"}, REQUEST)
            assert found.response == end(1).response

    async def test_no_project_finds_what_another_keeps(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await _add(store, chats, 1)
            assert await chats.find("theirs", "resp_1") is None
            assert await chats.page("theirs", ChatQuery(limit=9)) == []
            assert not await chats.describe("theirs", "resp_1", {"a": "b"})
            found = await chats.find(PROJECT, "resp_1")
            assert found is not None
            assert found.metadata == {}

    async def test_a_response_that_is_no_completion_is_none_here(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await store.write(Batch(changes=[Begin(record(1)), end(1)]))
            assert await chats.find(PROJECT, "resp_1") is None
            assert await chats.page(PROJECT, ChatQuery(limit=9)) == []

    async def test_one_that_runs_or_has_failed_is_not_known(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await store.write(Batch(changes=[Begin(record(1))]))
            await chats.keep(PROJECT, 1, {}, REQUEST)
            failed = msgspec.structs.replace(end(2), status="failed")
            await store.write(Batch(changes=[Begin(record(2)), failed]))
            await chats.keep(PROJECT, 2, {}, REQUEST)
            assert await chats.find(PROJECT, "resp_1") is None
            assert await chats.find(PROJECT, "resp_2") is None
            assert not await chats.describe(PROJECT, "resp_2", {})
            assert await chats.page(PROJECT, ChatQuery(limit=9)) == []
            await store.write(Batch(changes=[msgspec.structs.replace(end(1), status="incomplete")]))
            assert await _keys(chats) == [1]

    async def test_it_goes_with_its_response(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await _add(store, chats, 1, {"a": "b"})
            await store.delete(PROJECT, "resp_1")
            assert await chats.find(PROJECT, "resp_1") is None
            await _add(store, chats, 1)
            assert await _keys(chats, metadata={"a": "b"}) == []

    async def test_pages_go_on_in_both_orders(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            for key in range(1, 6):
                await _add(store, chats, key)
            assert await _keys(chats, limit=2) == [1, 2]
            assert await _keys(chats, limit=2, after=2) == [3, 4]
            assert await _keys(chats, limit=2, after=4) == [5]
            assert await _keys(chats, limit=2, newest_first=True) == [5, 4]
            assert await _keys(chats, limit=9, newest_first=True, after=4) == [3, 2, 1]

    async def test_a_query_takes_those_of_a_model_with_all_of_some_metadata(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await _add(store, chats, 1, {"a": "b", "c": "d"})
            await _add(store, chats, 2, {"a": "b", "c": "x"})
            await _add(store, chats, 3, {"c": "d"}, model="other")
            assert await _keys(chats, metadata={"a": "b"}) == [1, 2]
            assert await _keys(chats, metadata={"a": "b", "c": "d"}) == [1]
            assert await _keys(chats, metadata={"c": "d"}) == [1, 3]
            assert await _keys(chats, model="other") == [3]
            assert await _keys(chats, model="other", metadata={"c": "x"}) == []
            assert await _keys(chats, model="nobody") == []

    async def test_new_metadata_take_the_place_of_the_old(self, open_chats: OpenChats) -> None:
        async with open_chats() as (store, chats):
            await _add(store, chats, 1, {"a": "b"})
            assert await chats.describe(PROJECT, "resp_1", {"c": "d"})
            found = await chats.find(PROJECT, "resp_1")
            assert found is not None
            assert found.metadata == {"c": "d"}
            assert await _keys(chats, metadata={"a": "b"}) == []
            assert await _keys(chats, metadata={"c": "d"}) == [1]
            assert not await chats.describe(PROJECT, "resp_2", {"c": "d"})

    async def test_words_that_mean_something_to_a_database_are_words(self, open_chats: OpenChats) -> None:
        hostile = {"'; DROP TABLE chats; --": "%_\x00\u2028' OR 1=1"}
        async with open_chats() as (store, chats):
            await _add(store, chats, 1, hostile)
            await _add(store, chats, 2)
            assert await _keys(chats, metadata=hostile) == [1]
            assert await _keys(chats, model="' OR 1=1") == []
            assert await chats.find(PROJECT, "' OR 1=1") is None


async def _add(
    store: Store, chats: ChatStore, key: int, metadata: Mapping[str, str] | None = None, model: str = "model"
) -> None:
    """Write a response that is over, and that it is a completion."""
    begun = msgspec.structs.replace(record(key), model=model)
    await store.write(Batch(changes=[Begin(begun), end(key)]))
    await chats.keep(PROJECT, key, metadata or {}, REQUEST)


async def _keys(
    chats: ChatStore,
    *,
    limit: int = 9,
    after: int | None = None,
    newest_first: bool = False,
    model: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Sequence[int]:
    query = ChatQuery(limit, after, newest_first, model, dict(metadata or {}))
    return [found.key for found in await chats.page(PROJECT, query)]
