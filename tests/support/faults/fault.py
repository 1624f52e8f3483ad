"""One fault: what the upstream does, how the request must end, and when it strikes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.support.answers import Answer

Outcome = Literal["http_400", "http_429", "http_502", "http_503", "http_504", "completed", "incomplete", "failed"]
Strikes = Literal["before", "after"]

# The HTTP statuses that belong to a class.
STATUSES: Mapping[Outcome, frozenset[int]] = {
    "http_400": frozenset({400, 404, 413, 422}),
    "http_429": frozenset({429}),
    "http_502": frozenset({502}),
    "http_503": frozenset({503}),
    "http_504": frozenset({504}),
}

TEXT = "The quick brown fox jumps over the lazy dog, naïve and 狐."
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. Calling it gives the answer.

    `strikes` says whether it is met before or after the first output. `text` is the output text: the whole of it when
    the request completes, what the partial text is the beginning of when it does not; None where there is none to tell.
    """

    name: str
    outcome: Outcome
    strikes: Strikes
    answer: Callable[[], Answer] = field(repr=False)
    also: frozenset[Outcome] = frozenset()
    text: str | None = TEXT

    def __call__(self) -> Answer:
        return self.answer()

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """All outcomes that are right."""
        return frozenset((self.outcome, *self.also))


def fault(
    name: str,
    outcome: Outcome,
    strikes: Strikes,
    answer: Callable[[], Answer],
    *,
    also: Iterable[Outcome] = (),
    text: str | None = TEXT,
) -> Fault:
    """Make one row of a table."""
    return Fault(name, outcome, strikes, answer, frozenset(also), text)


def table(*groups: Sequence[Fault]) -> dict[str, Fault]:
    """Join groups of faults under their names, which must differ."""
    faults = [each for group in groups for each in group]
    joined = {each.name: each for each in faults}
    if len(joined) != len(faults):
        raise ValueError("two faults have the same name")
    return joined
