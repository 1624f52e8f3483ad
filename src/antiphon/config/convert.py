"""Makes the values of a TOML file, or the text of a variable, into settings; tells what is wrong in their words.

msgspec says *Expected `int`, got `str` - at `$.port`*. Here that becomes a ConfigError with the file, the whole key,
and the nearest valid name where one was mistaken.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from antiphon.config.settings import ConfigError, Secret

__all__ = ["as_struct", "as_type", "nearest"]

S = TypeVar("S", bound=msgspec.Struct)

_WHERE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_CHOICE: Final = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at what was probably meant, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def as_struct(sent: dict[str, Any], struct: type[S], source: str, key: str, base: Path) -> S:
    """A table as its struct. Paths are relative to `base`. Raises ConfigError."""
    try:
        made = msgspec.convert(sent, struct, dec_hook=_hook(base))
    except msgspec.ValidationError as error:
        raise _told(error, struct, source, key) from error
    for field in struct.__struct_fields__:
        if isinstance(value := getattr(made, field), float) and not math.isfinite(value):
            raise ConfigError(source, f"{key}.{field}", "expected a finite number")
    return made


def as_type(sent: Any, kind: Any, source: str, key: str, base: Path, *, lax: bool = False) -> Any:
    """One value as its type; `lax` takes text for numbers and truth. Raises ConfigError."""
    try:
        return msgspec.convert(sent, kind, strict=not lax, dec_hook=_hook(base))
    except msgspec.ValidationError as error:
        reason, path = _split(error)
        raise ConfigError(source, _joined(key, path), _reason(reason, kind)) from error


def _hook(base: Path) -> Callable[[type, Any], Any]:
    """What msgspec asks for the types that TOML does not have. A value that was read before is left as it is.

    Its errors become msgspec's own, which know the place.
    """

    def read(kind: type, value: Any) -> Any:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        if not value:
            raise ValueError("Expected a text that is not empty")
        return Secret(value) if kind is Secret else base / Path(value).expanduser()

    return read


# Complaints


def _told(error: msgspec.ValidationError, struct: type[msgspec.Struct], source: str, key: str) -> ConfigError:
    reason, path = _split(error)
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    if not path and (unknown := _UNKNOWN.fullmatch(reason)):
        hint = nearest(unknown["name"], fields)
        return ConfigError(source, _joined(key, unknown["name"]), f"there is no such setting{hint}")
    if not path and (missing := _MISSING.fullmatch(reason)):
        return ConfigError(source, _joined(key, missing["name"]), "must be set")
    kind = fields.get(re.split(r"[.\[]", path)[0])
    return ConfigError(source, _joined(key, path), _reason(reason, kind))


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong, and where."""
    complaint = str(error)
    where = _WHERE.search(complaint)
    return (complaint[: where.start()], where["path"]) if where else (complaint, "")


def _joined(key: str, path: str) -> str:
    return ".".join(filter(None, (key, path))).replace(".[", "[")


def _reason(complaint: str, kind: Any) -> str:
    """A complaint in our words; with the values there are, if it is one of a few."""
    if choice := _CHOICE.fullmatch(complaint):
        words = [str(word) for word in _choices(kind)]
        hint = nearest(choice["value"].strip("'\""), words)
        return f"expected one of {', '.join(words)}, got {choice['value']}{hint}"
    return complaint[:1].lower() + complaint[1:].replace("`", "")


def _choices(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((found for inner in get_args(kind) if (found := _choices(inner))), ())
