"""Cache: an answer that was given is given again, as a real stream, and equal requests of one moment share one call.

    client = AsyncClient(AsyncOpenAI(), cache=True)                       # in memory
    client = AsyncClient(AsyncOpenAI(), cache={"file": "answers.sqlite", "ttl": 86400})

Two requests are equal if all is that shapes the answer (`antiphon.policy.cache_key`): the server, the key and headers
that it is asked with, the model, the whole context, tools, format, sampling, limits. Kept is what may be said again
(`antiphon.policy.repeat`): whole answers of words and of calls that the application answers. No request fails of the
cache: what it cannot read is a miss, and what it cannot write is not kept.

A replay has ids of its own (`antiphon.client.replay`), and costs nothing; its `usage` is that of the original.
Requests in the background, and those of a conversation, are not served: what they mean changes at the server.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from zlib import crc32

import msgspec

from antiphon.client import options
from antiphon.client.asked import items_of, plain, request_of
from antiphon.client.border import NOT_OUTPUT, fields_of, response_in, sdk_event, usage_of
from antiphon.client.call import Ask, Call, Flow
from antiphon.client.entries import Entries, Memory
from antiphon.client.errors import OptionError
from antiphon.client.flights import BlockingFlight, Flight, LoopingFlight
from antiphon.client.records import Cached, FirstOutput, Mark
from antiphon.client.replay import again, original_id, with_original_ids
from antiphon.policy.cache_key import SILENT, cache_key, digest
from antiphon.policy.repeat import Recording, has_answer_for_others
from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Settled
from antiphon.turn.input import Turn
from antiphon.turn.usage import added
from antiphon.wire.errors import APIError
from antiphon.wire.response import Usage, decode_response
from antiphon.wire.struct import UNSET

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

__all__ = ["Cache", "CacheStatistics", "replayed_from"]

_VERSION: Final = b"\x01"
_ON_THE_SIDE: Final = sorted(SILENT - {"model", "input", "previous_response_id", "conversation"})
_OF_THE_PROGRAM: Final = ("accept", "cache-control", "content-type", "user-agent", "x-stainless-")
_DAY: Final = 86400.0


def replayed_from(response_id: str) -> str | None:
    """The id of the response that a replay repeats; None if it is no replay."""
    return original_id(response_id)


class CacheStatistics(msgspec.Struct):
    """What a cache has done since it was made."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stored: int = 0
    unreadable: int = 0
    """Entries that were damaged, and are removed."""
    saved: Usage = msgspec.field(default_factory=Usage)
    """Tokens that did not have to be paid for."""


class Cache:
    """The answers that may be given again. Implements `antiphon.client.call.Layer`; several clients may share one.

    `ttl`: seconds that an answer is kept. `max_entries`, `max_bytes`: what is used least goes beyond that.
    `max_entry_bytes`: what is longer is not kept. `models`: whose answers are kept; none named: all. `file`: an SQLite
    file; without one they are in memory. `namespace`: what one part of a program keeps, another does not see.
    `now`: the time, for tests. Raises OptionError.
    """

    def __init__(
        self,
        *,
        ttl: float = _DAY,
        max_entries: int = 10_000,
        max_bytes: int = 64 * 2**20,
        max_entry_bytes: int = 2**20,
        models: Sequence[str] = (),
        file: str | Path | None = None,
        namespace: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.statistics = CacheStatistics()
        self._ttl = options.seconds("cache.ttl", ttl) or math.inf
        self._max_entry_bytes = options.count("cache.max_entry_bytes", max_entry_bytes)
        self._models = _names("cache.models", models)
        self._namespace = str(namespace)
        self._now = now
        limits = options.count("cache.max_entries", max_entries), options.count("cache.max_bytes", max_bytes)
        self._entries: Entries = Memory(*limits) if file is None else _file(file, *limits)
        self._flights: dict[_Name, Flight] = {}
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Forget all answers."""
        self._entries.clear()

    def close(self) -> None:
        """Close the file. What comes later is a miss."""
        self._entries.close()

    def __len__(self) -> int:
        return len(self._entries)

    def __call__(self, call: Call, ask: Ask) -> Flow:
        """Answer a call, by what is kept if that is there."""
        call.params = with_original_ids(call.params)
        key = self._key(call)
        return ask(call) if key is None else self._answer(call, ask, key)

    # Keys

    def _key(self, call: Call) -> bytes | None:
        """What the answer is kept under; None if the cache has nothing to do with it."""
        if call.is_background or call.params.get("conversation") or _control(call) == "no-store":
            return None
        if self._models and call.model not in self._models:
            return None
        request = request_of(call.params)
        if request is None:
            return None
        turn = Turn(request=request, items=items_of(request), project=self._namespace)
        if not has_answer_for_others(turn):
            return None
        try:
            return cache_key(turn, _identity(call))
        except TypeError:  # what goes beside the request is no JSON
            return None

    # Answers

    async def _answer(self, call: Call, ask: Ask, key: bytes) -> Flow:
        since = call.io.monotonic()
        kept = None if _control(call) == "no-cache" else self._find(key)
        async with aclosing(self._follow(call, ask, key) if kept is None else self._replay(call, kept)) as flow:
            async for event in flow:
                _note_output(call, event, since)
                self._settle(call, event)
                yield event

    async def _replay(self, call: Call, kept: Sequence[Mapping[str, Any]]) -> Flow:
        self._note(call, "hit")
        for fields in again(kept, plain(call.params), self._now()):
            yield sdk_event(fields)

    async def _follow(self, call: Call, ask: Ask, key: bytes) -> Flow:
        flight = self._flight(call, ask, key)
        self._note(call, "miss" if flight.followers[0] is call else "shared")
        at = 0
        try:
            while (event := await call.io.call(partial(flight.next, at), call.deadline)) is not None:
                at += 1
                call.attempts = flight.call.attempts
                yield event
        finally:
            call.attempts = flight.call.attempts
            await flight.leave(call)
            for payer in flight.followers[:1]:
                payer.cache = "miss"

    def _settle(self, call: Call, event: ResponseStreamEvent) -> None:
        """Note what an event tells of the answer, and what it saved."""
        if (response := response_in(event)) is None:
            return
        call.response_id = response.id
        usage = usage_of(response)
        if call.cache != "miss" and usage is not None:
            with self._lock:
                self.statistics.saved = added(self.statistics.saved, usage)

    def _note(self, call: Call, mark: Mark) -> None:
        call.cache = mark
        with self._lock:
            self.statistics.hits += mark == "hit"
            self.statistics.misses += mark == "miss"
            self.statistics.shared += mark == "shared"
        call.tell(Cached(number=call.number, model=call.model, mark=mark))

    # Flights

    def _flight(self, call: Call, ask: Ask, key: bytes) -> Flight:
        """The flight of an equal call, joined, or a new one."""
        name = (key, id(call.io), call.is_streamed, _on_the_side(call))
        with self._lock:
            flight = self._flights.get(name)
            if flight is None or _control(call) == "no-cache" or not flight.join(call):
                kind = LoopingFlight if call.io.has_loop else BlockingFlight
                flight = kind(ask, call, partial(self._landed, name))
                self._flights[name] = flight
        return flight

    def _landed(self, name: _Name, events: list[ResponseStreamEvent] | None) -> None:
        """Keep the answer, if it may be kept. Who comes now finds it, or begins another flight."""
        if events is not None:
            self._keep(name[0], events)
        with self._lock:
            self._flights.pop(name, None)

    # Entries

    def _find(self, key: bytes) -> list[dict[str, Any]] | None:
        data = self._entries.get(key, self._now())
        if data is None:
            return None
        events = _unpacked(data)
        if events is None:
            self._entries.remove(key)
            with self._lock:
                self.statistics.unreadable += 1
        return events

    def _keep(self, key: bytes, events: list[ResponseStreamEvent]) -> None:
        if not _may_be_said_again(events[-1]):
            return
        told = [fields_of(event) for event in events]
        data = _packed(told)
        if len(data) <= self._max_entry_bytes:
            now = self._now()
            self._entries.put(key, data, until=now + self._ttl, now=now)
            with self._lock:
                self.statistics.stored += 1


_Name: TypeAlias = tuple[bytes, int, bool, bytes]
"""What the requests of a flight have in common: the key, the client, how they are read, what they say on the side."""


def _note_output(call: Call, event: ResponseStreamEvent, since: float) -> None:
    """The first output of an answer, as its follower sees it."""
    if call.first_output is None and event.type not in NOT_OUTPUT:
        call.first_output = call.io.monotonic() - since
        call.tell(FirstOutput(number=call.number, model=call.model, seconds=call.first_output))


def _control(call: Call) -> str:
    """What the request says to caches: `no-cache`, `no-store`, or nothing that we know."""
    headers = call.params.get("extra_headers") or {}
    said = {str(name).lower(): str(value).lower() for name, value in headers.items()}.get("cache-control", "")
    return next((word for word in ("no-store", "no-cache") if word in said), "")


def _identity(call: Call) -> bytes:
    """What shapes an answer beside the request: whom it goes to, as whom, and what comes before it there."""
    client = call.openai
    extras = plain({f"own_{name}": call.params[name] for name in ("extra_body", "extra_query") if name in call.params})
    headers = _told({**client.default_headers, **(call.params.get("extra_headers") or {})})
    previous = call.params.get("previous_response_id")
    place = [str(client.base_url), client.api_key, headers, _told(client.default_query)]
    return digest(call.model, place, extras, previous if isinstance(previous, str) else None)


def _told(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Headers, or what is in a query, save what the SDK says of itself, and what is said to caches."""
    told = ((name.lower(), str(value)) for name, value in fields.items() if isinstance(value, str | int | float))
    return sorted((name, value) for name, value in told if not name.startswith(_OF_THE_PROGRAM))


def _on_the_side(call: Call) -> bytes:
    """What a server may refuse that shapes no answer."""
    return digest(plain({name: call.params[name] for name in _ON_THE_SIDE if name in call.params}))


def _may_be_said_again(event: ResponseStreamEvent) -> bool:
    """Whether the last event tells of an answer that is good for another request, by the server's own rules."""
    if event.type != "response.completed":
        return False
    try:
        response = decode_response(msgspec.json.encode(fields_of(event.response)))
    except APIError:
        return False
    recording = Recording()
    items = [delta for key, item in enumerate(response.output) for delta in (ItemStarted(key, item), ItemDone(key))]
    moderation = None if response.moderation is UNSET else response.moderation
    recording.hear([*items, Settled({"moderation": moderation}), Finished()])
    return recording.answer is not None


# Bytes


def _packed(events: Sequence[Mapping[str, Any]]) -> bytes:
    data = msgspec.json.encode(events)
    return _VERSION + crc32(data).to_bytes(4, "big") + data


def _unpacked(data: bytes) -> list[dict[str, Any]] | None:
    """The events in some bytes; None if they are damaged, or another version's."""
    head, body = data[:5], data[5:]
    if head != _VERSION + crc32(body).to_bytes(4, "big"):
        return None
    try:
        return msgspec.json.decode(body, type=list[dict[str, Any]])
    except msgspec.MsgspecError:
        return None


# Options


def _names(option: str, given: object) -> frozenset[str]:
    if isinstance(given, str) or not isinstance(given, Sequence | frozenset | set):
        raise OptionError(option, f"takes a list of names, not {given!r}")
    return frozenset(map(str, given))


def _file(file: str | Path, max_entries: int, max_bytes: int) -> Entries:
    if not isinstance(file, str | Path):
        raise OptionError("cache.file", f"takes a path, not {type(file).__name__}")
    from antiphon.client.entries_file import SQLiteFile

    return SQLiteFile(Path(file), max_entries, max_bytes)
