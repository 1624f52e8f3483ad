"""Moderation: who judges what of a response, and what is said of it.

Two may ask for it: the operator, for every response, and a request, for itself. Neither takes away what the other has
asked for. A side, input or output, is *scored* (the Response tells what was found) or *blocked* (what is flagged does
not pass). A moderator that fails lets nothing pass that it should have blocked, unless the policy fails open.

The input is judged before anything is stored and before any model is asked: `Moderation.admit`. The output is judged by
`antiphon.engine.gated`, while it is said.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from antiphon.policy.strings import strings_of
from antiphon.policy.verdict import CLEAN, Passage, Told, Verdict, merged, result_of, together, verdict_of
from antiphon.ports import Moderator
from antiphon.turn.input import Moderated
from antiphon.wire.content import InputImage, InputText
from antiphon.wire.errors import APIError, InvalidRequest, Unavailable
from antiphon.wire.items import Item, Message
from antiphon.wire.moderation import ModerationError, ResponseModeration
from antiphon.wire.moderations import (
    CreateModeration,
    ModerationCreated,
    ModerationImage,
    ModerationInput,
    ModerationText,
)
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import UNSET

__all__ = ["Moderation", "ModerationPolicy", "Panel", "Plan", "Side"]

_log = logging.getLogger(__name__)

Mode = Literal["off", "score", "block"]
_OPENAIS = ("omni-moderation-", "text-moderation-")
"""Names that clients send without having chosen them."""

_OFF = ModerationError(code="not_moderated", message="Nobody has asked for the moderation of this side.")


class ModerationPolicy(msgspec.Struct, frozen=True):
    """What the operator asks for, of every response."""

    input: Mode = "off"
    output: Mode = "off"
    moderator: str | None = None
    """Who judges, and who answers for a moderator that nobody named. None: the first there is."""
    fails_open: bool = False
    """Whether what a moderator could not judge may pass."""


class Panel:
    """Moderators that judge together."""

    def __init__(self, moderators: Iterable[Moderator], *, fails_open: bool) -> None:
        self.moderators = sorted(moderators, key=lambda moderator: moderator.window)  # who answers at once is first
        self.fails_open = fails_open
        self.failure: ModerationError | None = None
        """Why not all was judged."""

    @property
    def overlap(self) -> int:
        """Characters that are held back of a text that goes on."""
        return max((moderator.overlap for moderator in self.moderators), default=0)

    @property
    def window(self) -> int:
        """Characters that are judged at a time; 0: whatever there is."""
        return max((moderator.window for moderator in self.moderators), default=0)

    def judge(self, passages: Sequence[Passage], images: Sequence[str] = ()) -> Verdict | Awaitable[Verdict]:
        """Judge now, or later. A hit of one who answers at once spares the others the work."""
        verdict, later = CLEAN, []
        for moderator in self.moderators:
            found = moderator.judge(passages, images)
            if not isinstance(found, Verdict):
                later.append(self._heard(found))
            elif found.is_flagged:
                return found
        return self._all(later) if later else verdict

    async def _all(self, later: Sequence[Awaitable[Verdict]]) -> Verdict:
        return merged(await asyncio.gather(*later))

    async def _heard(self, verdict: Awaitable[Verdict]) -> Verdict:
        try:
            return await verdict
        except APIError as error:
            _log.warning("a moderator failed: %s", error.message)
            self.failure = ModerationError(code="moderation_failed", message=error.message)
            if self.fails_open:
                return CLEAN
            message = "What this response says cannot be moderated at the moment."
            raise Unavailable(message, code="moderation_unavailable", retry_after=error.retry_after) from error


class Side:
    """One side of a response: who blocks it, and who only scores it."""

    def __init__(self, modes: Mapping[str, Mode], moderators: Mapping[str, Moderator], *, fails_open: bool) -> None:
        def panel(mode: Mode, *, fails_open: bool) -> Panel | None:
            chosen = [moderators[name] for name, its_mode in modes.items() if its_mode == mode]
            return Panel(chosen, fails_open=fails_open) if chosen else None

        self.blocks = panel("block", fails_open=fails_open)
        self.scores = panel("score", fails_open=True)
        self.names = [name for name, mode in modes.items() if mode != "off"]

    def __bool__(self) -> bool:
        return bool(self.names)

    def told(self, verdict: Verdict) -> Told:
        """What the Response says of this side."""
        if not self:
            return _OFF
        failures = [panel.failure for panel in (self.blocks, self.scores) if panel is not None and panel.failure]
        return failures[0] if failures and not verdict.is_flagged else result_of(verdict, ", ".join(self.names))


class Plan(msgspec.Struct):
    """What is moderated of one response."""

    input: Side
    output: Side
    is_ours: bool
    """Whether the request's own `moderation` is for us, and none of the upstream's business."""
    is_theirs: bool
    """Whether it goes to the upstream."""


class Moderation:
    """The moderators of this server, and the operator's policy."""

    def __init__(
        self, moderators: Mapping[str, Moderator] | None = None, policy: ModerationPolicy | None = None
    ) -> None:
        self.moderators = dict(moderators or {})
        self.policy = policy or ModerationPolicy()
        self.default = self.policy.moderator or next(iter(self.moderators), None)
        """Who judges where nobody was named."""

    async def aclose(self) -> None:
        """Close all moderators."""
        for moderator in self.moderators.values():
            await moderator.aclose()

    # Responses

    def plan(self, request: CreateResponse, *, relays: bool) -> Plan | None:
        """What is moderated of a response; None if nothing is. Raises InvalidRequest for a moderator nobody knows."""
        asked = request.moderation
        if asked is None and self.policy.input == "off" and self.policy.output == "off":
            return None
        is_ours = asked is not None and asked.model in self.moderators
        if asked is not None and not is_ours and not relays:
            raise self._unknown(asked.model, "moderation.model")
        return Plan(
            input=self._side(request, "input", is_ours=is_ours),
            output=self._side(request, "output", is_ours=is_ours),
            is_ours=is_ours,
            is_theirs=asked is not None and not is_ours,
        )

    def _side(self, request: CreateResponse, side: Literal["input", "output"], *, is_ours: bool) -> Side:
        """The stricter of what operator and request ask of one moderator."""
        modes: dict[str, Mode] = {}
        asked = request.moderation
        if asked is not None and is_ours:
            wanted = getattr(asked.policy, side, None)
            modes[asked.model] = "score" if wanted is None else wanted.mode
        operators: Mode = getattr(self.policy, side)
        if operators != "off" and self.default is not None and modes.get(self.default) != "block":
            modes[self.default] = operators
        return Side(modes, self.moderators, fails_open=self.policy.fails_open)

    async def admit(self, plan: Plan | None, request: CreateResponse, items: Sequence[Item]) -> Told | None:
        """What is found in the input; None if the Response says nothing of it.

        Raises InvalidRequest (400 `content_policy_violation`) if it is blocked, and Unavailable if it cannot be judged.
        """
        if plan is None or not (plan.input or plan.output):
            return None
        passages = [Passage(words) for words in _read(request, items)]
        images = [image for item in items for image in _images(item)]
        found = []
        for panel in (plan.input.blocks, plan.input.scores):
            if panel is not None and (passages or images):
                verdict = panel.judge(passages, images)
                found.append(verdict if isinstance(verdict, Verdict) else await verdict)
                if panel is plan.input.blocks and found[0].is_flagged:
                    raise _blocked(found[0])
        return plan.input.told(merged(found))

    # POST /moderations

    async def classify(self, request: CreateModeration) -> ModerationCreated:
        """Judge what was sent. Raises InvalidRequest for a moderator nobody knows."""
        name = self._named(request.model)
        moderator = self.moderators[name]
        verdicts = await asyncio.gather(*(_judged(moderator, group) for group in request.groups))
        results = [verdict_of(verdict) for verdict in verdicts]
        return ModerationCreated(id=f"modr-{secrets.token_hex(16)}", model=name, results=results)

    def _named(self, name: str | None) -> str:
        if name in self.moderators:
            return str(name)
        if self.default is not None and (name is None or name.startswith(_OPENAIS)):
            return self.default
        raise self._unknown(name or "", "model")

    def _unknown(self, name: str, param: str) -> InvalidRequest:
        listed = ", ".join(self.moderators) or "none"
        message = f"The moderator '{name[:100]}' does not exist. Configured moderators: {listed}."
        return InvalidRequest(message, param=param, code="model_not_found")


def moderation_of(plan: Plan, moderated: Moderated, verdict: Verdict) -> ResponseModeration:
    """The `moderation` of a Response after a turn. Input that was judged before a restart is not judged again."""
    moderated.output = together(moderated.output, plan.output.told(verdict))
    lost = ModerationError(code="not_kept", message="The input was judged before the server was restarted.")
    return ResponseModeration(input=moderated.input or (lost if plan.input else _OFF), output=moderated.output)


async def _judged(moderator: Moderator, group: Sequence[ModerationInput]) -> Verdict:
    texts = [part if isinstance(part, str) else part.text for part in group if isinstance(part, (str, ModerationText))]
    images = [part.image_url.url for part in group if isinstance(part, ModerationImage)]
    found = moderator.judge([Passage(text) for text in texts], images)
    return found if isinstance(found, Verdict) else await found


def _read(request: CreateResponse, items: Sequence[Item]) -> list[str]:
    """What the model is going to read: instructions, prompt variables and items; a message's parts also joined."""
    variables = request.prompt.variables if request.prompt is not None else None
    words = strings_of([request.instructions, None if variables is UNSET else variables])
    for item in items:
        words += strings_of(item)
        if isinstance(item, Message) and len(item.content) > 1 and not isinstance(item.content, str):
            words.append("".join(part.text for part in item.content if isinstance(part, InputText)))
    return [each for each in dict.fromkeys(words) if each.strip()]


def _images(item: Item) -> list[str]:
    parts = item.content if isinstance(item, Message) and not isinstance(item.content, str) else []
    return [part.image_url for part in parts if isinstance(part, InputImage) and part.image_url]


def _blocked(verdict: Verdict) -> InvalidRequest:
    categories = ", ".join(sorted(verdict.flagged))
    message = f"The input was flagged by the moderation policy of this server: {categories}."
    return InvalidRequest(message, param="input", code="content_policy_violation")
