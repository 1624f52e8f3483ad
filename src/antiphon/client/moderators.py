"""Moderators: who judges what goes to a model and what it says.

A moderator of your own is an object with `window`, `overlap` and `judge`, as `Moderator` has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import openai

from antiphon.client import options
from antiphon.client.call import Call
from antiphon.client.errors import ModerationFailed, OptionError
from antiphon.policy import rules
from antiphon.policy.rules import BUILT_IN, REACH, BadPattern
from antiphon.policy.verdict import Passage, Verdict, merged

if TYPE_CHECKING:
    from openai.types import Moderation as Judged

__all__ = ["BUILT_IN", "Moderations", "Moderator", "RuleList"]


class Moderator(Protocol):
    """Judges passages. What it waits for goes through `call.io`, so that it serves the async and the sync client."""

    @property
    def window(self) -> int:
        """Characters that should gather before it is asked; 0: it is asked at once."""
        ...

    @property
    def overlap(self) -> int:
        """Characters at the end of a text that goes on that are held back: a hit may begin there."""
        ...

    async def judge(self, passages: Sequence[Passage], call: Call) -> Verdict:
        """What is found in some passages. Raises ModerationFailed."""
        ...


class RuleList:
    """Words and patterns by category; no network, no waiting. Implements `Moderator`.

    Words are found whatever their case and form, and only as whole words. Patterns are regular expressions without
    look-around and back-references. See `antiphon.policy.rules`. Raises OptionError.
    """

    window = 0

    def __init__(
        self,
        words: Mapping[str, Sequence[str]] | None = None,
        patterns: Mapping[str, Sequence[str]] | None = None,
        *,
        reach: int = REACH,
    ) -> None:
        """`reach`: characters of the longest match of a pattern that is found however a text is cut."""
        if not (words or patterns):
            raise OptionError("moderation.moderator", "a RuleList without words and patterns finds nothing")
        for option, given in (("words", words), ("patterns", patterns)):
            _check(option, given)
        options.count("moderation.reach", reach)
        self._given: Any = (words, patterns)
        self._reach = reach
        if patterns:
            self._rules  # noqa: B018 - to compile them takes a moment, and finds what is wrong

    @cached_property
    def _rules(self) -> rules.Rules:
        try:
            return rules.Rules(*self._given, reach=self._reach)
        except BadPattern as error:
            raise OptionError(f"moderation.patterns[{error.category!r}][{error.index}]", str(error)) from None

    @property
    def overlap(self) -> int:
        """The longest hit, and one character on each side."""
        return self._rules.overlap

    async def judge(self, passages: Sequence[Passage], call: Call) -> Verdict:  # noqa: ARG002 - the port's
        """What is found, with the place of the first hit."""
        return self._rules.judge(passages)


def _check(option: str, given: Mapping[str, Sequence[str]] | None) -> None:
    for category, some in (given or {}).items():
        if isinstance(some, str) or not all(isinstance(each, str) for each in some):
            raise OptionError(f"moderation.{option}[{category!r}]", "takes a list of texts")


class Moderations:
    """The server's own POST /moderations, asked with the SDK's client. Implements `Moderator`.

    `threshold`: the score from which a category is flagged; without one the server says. `window`: characters that
    are judged at a time; each costs a request. `openai_client`: another client of the SDK than that of the answers.
    Raises OptionError.
    """

    def __init__(
        self,
        model: str = "omni-moderation-latest",
        *,
        threshold: float | None = None,
        window: int = 400,
        overlap: int = 100,
        openai_client: openai.OpenAI | openai.AsyncOpenAI | None = None,
    ) -> None:
        self._model = model
        self._threshold = None if threshold is None else options.share("moderation.threshold", threshold)
        self._client = openai_client
        self.window = options.count("moderation.window", window, 0)
        self.overlap = options.count("moderation.overlap", overlap, 0)

    async def judge(self, passages: Sequence[Passage], call: Call) -> Verdict:
        """Ask once about all passages."""
        client: Any = self._client or call.openai.with_options(max_retries=openai.DEFAULT_MAX_RETRIES)
        texts = [passage.text for passage in passages]
        try:
            made = await call.io.call(lambda: client.moderations.create(model=self._model, input=texts), call.deadline)
        except openai.APIError as error:
            raise ModerationFailed(f"The moderator {self._model} could not judge: {error.message}") from error
        results: list[Judged] = getattr(made, "results", None) or []
        if not results:
            raise ModerationFailed(f"The moderator {self._model} judged nothing.")
        return merged(self._verdict(result) for result in results)

    def _verdict(self, result: Judged) -> Verdict:
        found = result.to_dict()
        given: Any = found.get("category_scores") or {}
        scores = {str(name): float(score) for name, score in given.items() if isinstance(score, int | float)}
        if self._threshold is not None:
            return Verdict(frozenset(name for name, score in scores.items() if score >= self._threshold), scores)
        said: Any = found.get("categories") or {}
        flagged = frozenset(str(name) for name, is_flagged in said.items() if is_flagged)
        return Verdict(flagged or frozenset({"flagged"} if result.flagged else ()), scores)
