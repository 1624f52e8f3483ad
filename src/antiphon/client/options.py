"""Options: what a client can be told, checked when it is built, so that a wrong one fails there and with its name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec

from antiphon.client.call import Layer
from antiphon.client.errors import OptionError
from antiphon.client.records import Observer
from antiphon.policy import retry as policy

__all__ = [
    "NO_RETRY",
    "RetrySettings",
    "count",
    "flag",
    "layers",
    "observers",
    "one_of",
    "part",
    "rate",
    "seconds",
    "settings",
    "share",
    "text",
]

C = TypeVar("C", bound=Callable[..., Any])
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class RetrySettings(policy.RetrySettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, how soon, and at whose cost the server is asked again. Times are in seconds.

    As the server's own, but with the patience of the SDK: a caller has nobody else to pass a 429 on to.
    """

    base: policy.Seconds = 0.5
    patience: Annotated[float, msgspec.Meta(ge=0)] = policy.LONGEST_HINT


NO_RETRY: Final = RetrySettings(attempts=1)


def settings(option: str, given: object, kind: type[S]) -> S | None:
    """The settings that an option means: settings, a mapping of them, True or False. Raises OptionError."""
    if given is True:
        return kind()
    if given is False or given is None:
        return None
    if isinstance(given, Mapping):
        return _converted(option, {**given}, kind)
    if isinstance(given, kind):
        return _converted(option, msgspec.structs.asdict(given), kind)
    raise OptionError(option, f"takes {kind.__name__}, a mapping, True or False, not {type(given).__name__}")


def _converted(option: str, values: dict[Any, Any], kind: type[S]) -> S:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        field = place.removesuffix("`")
        raise OptionError(f"{option}{field}", reason) from None


def part(option: str, given: object, kind: type[T], *, bare: bool) -> T | None:
    """The part of a client that an option means: one that was made, or its own options. Raises OptionError.

    `bare`: True means one without options.
    """
    match given:
        case None | False:
            return None
        case True if bare:
            return kind()
        case Mapping():
            known = inspect.signature(kind).parameters
            for name in given:
                if name not in known:
                    raise OptionError(f"{option}.{name}", f"there is no such option; there are {', '.join(known)}")
            for name, parameter in known.items():
                if parameter.default is parameter.empty and name not in given:
                    raise OptionError(f"{option}.{name}", "must be given")
            return kind(**given)
        case _ if isinstance(given, kind):
            return given
    others = ", True" if bare else ""
    raise OptionError(option, f"takes {kind.__name__}, a mapping of its options{others} or None, not {given!r}")


def flag(option: str, given: object) -> bool:
    """Yes or no. Raises OptionError."""
    if not isinstance(given, bool):
        raise OptionError(option, f"takes True or False, not {given!r}")
    return given


def share(option: str, given: object) -> float:
    """A number from 0 to 1. Raises OptionError."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise OptionError(option, f"takes a number from 0 to 1, not {given!r}")
    return float(given)


def text(option: str, given: object) -> str:
    """A text that is not empty. Raises OptionError."""
    if not isinstance(given, str) or not given:
        raise OptionError(option, f"takes a text, not {given!r}")
    return given


def one_of(option: str, given: T, values: Iterable[T]) -> T:
    """One of some words. Raises OptionError."""
    if given not in (known := list(values)):
        raise OptionError(option, f"takes one of {', '.join(map(repr, known))}, not {given!r}")
    return given


def seconds(option: str, given: object) -> float | None:
    """A time; None for none. Raises OptionError."""
    return _positive(option, given, "seconds")


def rate(option: str, given: object) -> float | None:
    """So many a second; None for as many as there are. Raises OptionError."""
    return _positive(option, given, "a number of requests a second")


def _positive(option: str, given: object, what: str) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given) or given <= 0:
        raise OptionError(option, f"takes {what}, more than 0, not {given!r}")
    return float(given)


def count(option: str, given: object, least: int = 1) -> int:
    """A whole number. Raises OptionError."""
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise OptionError(option, f"takes a whole number, {least} or more, not {given!r}")
    return given


def observers(option: str, given: Observer | Iterable[Observer] | None) -> tuple[Observer, ...]:
    """One function, or several. Raises OptionError."""
    if given is None:
        return ()
    return (given,) if callable(given) else _callables(option, given, "functions of a record")


def layers(option: str, given: Iterable[Layer]) -> tuple[Layer, ...]:
    """What stands around the asking, the outermost first. Raises OptionError."""
    return _callables(option, given, "functions of a call and what to ask")


def _callables(option: str, given: Iterable[C] | C, wanted: str) -> tuple[C, ...]:
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for each in several:
        if not callable(each):
            raise OptionError(option, f"takes {wanted}, not {type(each).__name__}")
    return several
