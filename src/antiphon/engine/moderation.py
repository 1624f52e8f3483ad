"""Moderation: who judges what of a response, and what is said of it.

Two may ask for it: the operator, for every response, and a request, for itself. Neither takes away what the other has
asked for. A side, input or output, is *scored* (the Response tells what was found) or *blocked* (what is flagged does
not pass). A moderator that fails lets nothing pass that it should have blocked, unless the policy fails open.

Input that is to be blocked is judged before anything is stored and before any model is asked: `Moderation.admit`. The
output is judged by `antiphon.engine.gated`, while it is said. What is only scored holds nothing back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from antiphon.engine.side_by_side import side_by_side
from antiphon.policy.strings import strings_of
from antiphon.policy.verdict import (
    CLEAN,
    Account,
    Passage,
    Told,
    Verdict,
    account_of,
    merged,
    result_of,
    together,
)
from antiphon.ports import Moderator
from antiphon.turn.input import Moderated, Turn
from antiphon.wire.content import InputImage, InputText
from antiphon.wire.errors import APIError, InvalidRequest, Unavailable
from antiphon.wire.items import Item, Message
from antiphon.wire.moderation import ModerationError, ResponseModeration
from antiphon.wire.moderations import ModerationImage, ModerationInput
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import UNSET

__all__ = ["LARGE", "Apart", "Moderation", "ModerationPolicy", "Panel", "Plan", "Side"]

_log = logging.getLogger(__name__)

Mode = Literal["off", "score", "block"]
_OPENAIS = ("omni-moderation-", "text-moderation-")
"""Names that clients send without having chosen them."""

_OFF = ModerationError(code="not_moderated", message="Nobody has asked for the moderation of this side.")

LARGE: Final = 256 * 1024
"""Characters from which on even those who answer at once take too long for the event loop."""

Found: TypeAlias = Verdict | Awaitable[Verdict]

Apart: TypeAlias = Callable[[Callable[[], Found]], Awaitable[Found]]
"""Does a piece of work beside the event loop."""


class ModerationPolicy(msgspec.Struct, frozen=True):
    """What the operator asks for, of every response."""

    input: Mode = "off"
    output: Mode = "off"
    moderator: str | None = None
    """Who judges, and who answers for a moderator that nobody named. None: the first there is."""
    fails_open: bool = False
    """Whether what a moderator could not judge may pass."""


def _is_large(passages: Sequence[Passage]) -> bool:
    return sum(len(passage.text) for passage in passages) >= LARGE


class Panel:
    """Moderators that judge together."""

    def __init__(self, moderators: Iterable[Moderator], *, fails_open: bool, apart: Apart = asyncio.to_thread) -> None:
        self.moderators = sorted(moderators, key=lambda moderator: moderator.window)  # who answers at once is first
        self.fails_open = fails_open
        self._apart = apart
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

    def judge(self, passages: Sequence[Passage], images: Sequence[str] = (), account: Account | None = None) -> Found:
        """Judge now, or later. A hit of one who answers at once spares the others the work."""
        is_large = _is_large(passages)
        for place, moderator in enumerate(self.moderators):
            if is_large or moderator.window:
                return self._all(self.moderators[place:], passages, images, account)
            found = moderator.judge(passages, images, account)
            assert isinstance(found, Verdict), "who wants no window answers at once"
            if found.is_flagged:
                return found
        return CLEAN

    async def verdict(
        self, passages: Sequence[Passage], images: Sequence[str] = (), account: Account | None = None
    ) -> Verdict:
        """Judge, and wait for it. Where there is nothing to judge nobody is asked."""
        found = self.judge(passages, images, account) if passages or images else CLEAN
        return found if isinstance(found, Verdict) else await found

    async def _all(
        self,
        moderators: Sequence[Moderator],
        passages: Sequence[Passage],
        images: Sequence[str],
        account: Account | None,
    ) -> Verdict:
        """The verdicts of all together. One that fails leaves nothing to pass, unless the policy fails open."""

        async def heard(moderator: Moderator) -> Verdict:
            try:
                return await _verdict(moderator, passages, images, account, self._apart)
            except APIError as error:
                return self._failed(error)

        return merged(await side_by_side(heard, moderators))

    def _failed(self, error: APIError) -> Verdict:
        """What follows when a moderator fails. Raises Unavailable if what was not judged may not pass."""
        _log.warning("a moderator failed: %s", error.brief)
        self.failure = ModerationError(code="moderation_failed", message=error.message)
        if self.fails_open:
            return CLEAN
        message = "What this response says cannot be moderated at the moment."
        raise Unavailable(message, code="moderation_unavailable", retry_after=error.retry_after) from error


async def _verdict(
    moderator: Moderator, passages: Sequence[Passage], images: Sequence[str], account: Account | None, apart: Apart
) -> Verdict:
    """A verdict, when it has come. Who would answer at once judges what is large beside the event loop."""

    def judge() -> Found:
        return moderator.judge(passages, images, account)

    found = await apart(judge) if not moderator.window and _is_large(passages) else judge()
    return found if isinstance(found, Verdict) else await found


class Side:
    """One side of a response: who blocks it, and who only scores it."""

    def __init__(
        self, modes: Mapping[str, Mode], moderators: Mapping[str, Moderator], *, fails_open: bool, apart: Apart
    ) -> None:
        def panel(mode: Mode, *, fails_open: bool) -> Panel | None:
            chosen = [moderators[name] for name, its_mode in modes.items() if its_mode == mode]
            return Panel(chosen, fails_open=fails_open, apart=apart) if chosen else None

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
        self,
        moderators: Mapping[str, Moderator] | None = None,
        policy: ModerationPolicy | None = None,
        *,
        apart: Apart = asyncio.to_thread,
    ) -> None:
        """`apart` is where large texts are judged by those who do that themselves."""
        self.moderators = dict(moderators or {})
        self.policy = policy or ModerationPolicy()
        self.default = self.policy.moderator or next(iter(self.moderators), None)
        """Who judges where nobody was named."""
        self._apart = apart

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
        return Side(modes, self.moderators, fails_open=self.policy.fails_open, apart=self._apart)

    async def admit(self, plan: Plan, turn: Turn, items: Sequence[Item]) -> None:
        """Judge what a request has of its own, as far as it may be blocked; what is found stands in `turn.moderated`.

        What is only scored is judged while it is answered: `turn.moderated.scoring`. Raises InvalidRequest (400
        `content_policy_violation`) if it is blocked, and Unavailable if it cannot be judged.
        """
        if not (plan.input or plan.output):
            return
        passages = [Passage(words) for words in _read(turn.request, items)]
        images = [image for item in items for image in _images(item)]
        found = CLEAN
        if plan.input.blocks is not None:
            found = await plan.input.blocks.verdict(passages, images, account_of(turn))
            if found.is_flagged:
                raise _blocked(found)
        scores = plan.input.scores
        if scores is None:
            turn.moderated.input = plan.input.told(found)
            return

        async def score(turn: Turn) -> Told:
            scored = await scores.verdict(passages, images, account_of(turn))
            return plan.input.told(merged([found, scored]))

        turn.moderated.scoring = score

    # POST /moderations

    async def classify(self, name: str, groups: Sequence[Sequence[ModerationInput]], account: Account) -> list[Verdict]:
        """The verdict of a moderator on each group."""
        moderator = self.moderators[name]

        def judge(group: Sequence[ModerationInput]) -> Awaitable[Verdict]:
            texts = [
                part if isinstance(part, str) else part.text for part in group if not isinstance(part, ModerationImage)
            ]
            images = [part.image_url.url for part in group if isinstance(part, ModerationImage)]
            return _verdict(moderator, [Passage(text) for text in texts], images, account, self._apart)

        return await side_by_side(judge, groups)

    def named(self, name: str | None) -> str:
        """The moderator for a name. Raises InvalidRequest for one that nobody knows."""
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
    """The `moderation` of a Response after a turn. Input is not judged again after a restart."""
    moderated.output = together(moderated.output, plan.output.told(verdict))
    lost = ModerationError(code="not_kept", message="What was found in the input was lost with a restart.")
    return ResponseModeration(input=moderated.input or (lost if plan.input else _OFF), output=moderated.output)


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
