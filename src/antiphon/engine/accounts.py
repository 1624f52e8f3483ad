"""Accounts: who asks, answered from memory; and how the directory is changed, by this process and by others.

The directory is held whole, as a snapshot. To authenticate is to hash the given key and to look the hash up: nothing is
read and nothing is written for it, and every key that is none takes the same way to the same refusal.

A change is decided on a snapshot and carried out if that is still the newest; else it is decided once more. What other
processes change (the command line, beside a running server) is seen within `POLL` seconds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from hmac import compare_digest
from typing import Final, TypeVar

from antiphon.policy.access import Denied, HostedToolPermissions, Principal, hashed, why_foreign
from antiphon.policy.administration import Edit
from antiphon.policy.directory import DEFAULT, EMPTY, Change, Directory, Key, first_rows
from antiphon.ports import AccountStore, Clock
from antiphon.wire.errors import APIError, Conflict, PermissionDenied
from antiphon.wire.items import AdditionalTools, Item
from antiphon.wire.struct import type_of
from antiphon.wire.tools import Tool

__all__ = ["ADMIN", "CONFIGURED", "OPEN", "POLL", "UNKNOWN", "Accounts", "NoKeys"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

POLL: Final = 0.25
"""Seconds between two looks whether another process has changed something."""

MARKED: Final = 60.0
"""Seconds in which a second use of a key is not marked."""

_TRIES: Final = 20
"""How often a change is decided again, because another process was faster."""

OPEN: Final = Principal(organization=DEFAULT, project=None, kind="open", role="open")
"""Anybody, on a server that needs no key."""

CONFIGURED: Final = Principal(
    organization=DEFAULT, project=DEFAULT, kind="service_account", role="project.member", key_id="key_configured"
)
"""Who has the one key of the configuration."""

ADMIN: Final = Principal(
    organization=DEFAULT, project=None, kind="admin", role="organization.owner", key_id="key_configured_admin"
)
"""Who has the admin key of the configuration."""

UNKNOWN: Final = Denied(
    "expired", "Incorrect API key provided. Send a key of this server as 'Authorization: Bearer KEY'."
)
"""What every key is told that is none: wrong, unknown, malformed, expired, revoked."""


class NoKeys(Exception):
    """A server that is not for everybody has no key: nobody could use it."""


class Accounts:
    """The directory in memory, and who may ask."""

    def __init__(
        self,
        store: AccountStore,
        clock: Clock,
        *,
        opens: bool = True,
        configured: Callable[[], str | None] = lambda: None,
        admin_key: str | None = None,
        polls: bool = True,
    ) -> None:
        """`opens`: without any key everybody may ask. `configured` gives the one key of the configuration.

        `polls`: whether other processes may change the accounts.
        """
        self.store = store
        self.clock = clock
        self.directory = EMPTY
        self.on_change: Callable[[Directory], object] = lambda _: None
        """Told of each new directory."""
        self._opens = opens
        self._configured = configured
        self._admin = hashed(admin_key.encode()) if admin_key else None
        self._polls = polls
        self._used: dict[str, float] = {}
        self._unmarked: dict[str, float] = {}
        self._changing = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    # Life

    async def start(self) -> None:
        """Read the directory, or begin one. Raises Unavailable, or NoKeys."""
        await self.refresh()
        if not self.directory.organizations:
            await self.change(lambda directory, now: (_beginning(directory, now), None))
        if not self._opens and not self.has_key(self.clock.now()):
            raise NoKeys
        if self._polls:
            self._watching = asyncio.create_task(self._watch())
            self._watching.add_done_callback(_tell_of_a_defect)

    async def aclose(self) -> None:
        """Look no more, and mark what was used."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        try:
            await self._mark()
        except APIError as error:
            _log.warning("when keys were used last could not be written: %s", error.message)

    async def _watch(self) -> None:
        """See what others change. While that cannot be seen, what was known last counts."""
        is_blind = False
        while True:
            await self.clock.sleep(POLL)
            try:
                await self.refresh()
                await self._mark()
                is_blind = False
            except APIError as error:
                if not is_blind:
                    _log.error("changes of keys cannot be seen at the moment: %s", error.message)
                is_blind = True

    async def refresh(self) -> None:
        """Read the directory if it has changed. Raises Unavailable."""
        if await self.store.revision() == self.directory.revision:
            return
        found = await self.store.load()
        if found.revision > self.directory.revision:
            self.directory = found
            self.on_change(found)

    # Who asks

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask. Raises what the configured key's source raises."""
        return self._opens and not self.directory.closed and self._admin is None and self._configured() is None

    def authenticate(
        self, key: bytes, organization: str | None = None, project: str | None = None
    ) -> Principal | Denied:
        """Who has a key. The other two are the headers OpenAI-Organization and OpenAI-Project.

        Raises what the source of the configured key raises.
        """
        now = self.clock.now()
        principal = self._holder(hashed(key), now)
        if principal is None:
            return UNKNOWN
        if principal.key_id is None:
            return principal
        if denied := why_foreign(principal, organization, project):
            return denied
        if project and principal.project is None and not self._serves(principal.organization, project):
            return Denied("project", "OpenAI-Project header names no project of this organization.")
        if now - self._used.get(principal.key_id, 0.0) >= MARKED:
            self._used[principal.key_id] = self._unmarked[principal.key_id] = now
        return principal

    def project_of(self, principal: Principal, named: str | None) -> str:
        """The project that a request is for: that of the key; without one the one that a header names."""
        if principal.project is not None:
            return principal.project
        return named if named and self._serves(principal.organization, named) else DEFAULT

    def _holder(self, digest: str, now: float) -> Principal | None:
        """Who has the key with a hash. All ways are gone each time, so that none is faster."""
        found = self.directory.holders.get(digest)
        configured = self._configured()
        if compare_digest(digest, "" if configured is None else hashed(configured.encode())):
            found = CONFIGURED
        if compare_digest(digest, self._admin or ""):
            found = ADMIN
        if found is None:
            return OPEN if self.is_open else None
        return found if found.expires_at is None or now < found.expires_at else None

    def _serves(self, organization: str, project: str) -> bool:
        found = self.directory.project(organization, project)
        return found is not None and found.archived_at is None

    def owner_of(self, key_id: str) -> str:
        """The user or service account who has a key; empty where nobody is known by it."""
        key = self.directory.keys.get(key_id)
        return "" if key is None else key.owner

    def has_key(self, now: float) -> bool:
        """Whether anybody has a key that is good now."""
        configured = self._admin is not None or self._configured() is not None
        holders = self.directory.holders.values()
        return configured or any(each.expires_at is None or now < each.expires_at for each in holders)

    # What a project may use

    def allows_model(self, project: str, model: str) -> bool:
        """Whether a project may name a model. What is no project here is restricted elsewhere, or not at all."""
        found = self.directory.projects.get(project)
        return found is None or found.models.allows(model)

    def permit_model(self, project: str, model: str, *, param: str = "model") -> None:
        """Raises PermissionDenied for a model that a project may not name, whether there is such a model or not."""
        if not self.allows_model(project, model):
            message = f"The project '{project}' does not have access to the model '{model[:200]}'."
            raise PermissionDenied(message, param=param, code="model_not_allowed")

    def permit_tools(self, project: str, tools: Sequence[Tool], items: Sequence[Item] = ()) -> None:
        """Raises PermissionDenied for a hosted tool that a project may not use, in a request or in its context."""
        found = self.directory.projects.get(project)
        if found is None or found.tools == HostedToolPermissions():
            return
        for place, kind in _tools(tools, items):
            if not found.tools.allows(kind):
                message = f"The project '{project}' may not use the hosted tool '{kind[:64]}'."
                raise PermissionDenied(message, param=place, code="tool_not_allowed")

    # When keys were used

    def used_at(self, key: Key) -> float | None:
        """When a key was used last, to the minute."""
        times = [time for time in (key.used_at, self._used.get(key.id)) if time is not None]
        return max(times, default=None)

    async def _mark(self) -> None:
        if self._unmarked:
            times, self._unmarked = self._unmarked, {}
            await self.store.used(times)

    # Changes

    async def change(self, decide: Callable[[Directory, float], tuple[Change, T]]) -> T:
        """Carry out what is decided on the newest directory, and the time. Raises what `decide` does, and Unavailable.

        `decide` may be asked several times; only its last answer counts.
        """
        async with self._changing:
            await self.refresh()
            for _ in range(_TRIES):
                directory = self.directory
                change, result = decide(directory, self.clock.now())
                done = await self.store.write(change, directory.revision)
                await self.refresh()
                if done:
                    return result
        raise Conflict("Others change the accounts at the moment. Try again.", retry_after=1)

    async def edit(self, by: Principal, decide: Callable[[Edit], T], address: str | None = None) -> T:
        """Carry out what somebody does by `antiphon.policy.administration`. Raises what `change` raises."""

        def decided(directory: Directory, now: float) -> tuple[Change, T]:
            edit = Edit(directory, now, by, secrets.token_bytes, address)
            result = decide(edit)
            return edit.change(), result

        return await self.change(decided)


def _tell_of_a_defect(watching: asyncio.Task[None]) -> None:
    if not watching.cancelled() and (error := watching.exception()) is not None:
        _log.critical("changes of keys are not seen any more: restart the server", exc_info=error)


def _beginning(directory: Directory, now: float) -> Change:
    return Change(() if directory.organizations else first_rows(now))


def _tools(tools: Sequence[Tool], items: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """Where each tool stands, and its type."""
    for index, tool in enumerate(tools):
        yield f"tools[{index}]", type_of(tool)
    for item in items:
        for declared in item.tools if isinstance(item, AdditionalTools) else ():
            yield "input", str(declared.get("type", ""))
