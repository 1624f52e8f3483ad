"""The names that a model and its upstream go by."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["address_of", "names_of", "undated"]

_DATE: Final = re.compile(r"-20\d\d(?:-\d\d-\d\d|\d\d\d\d)\Z", re.ASCII)


def undated(model: str) -> str:
    """The model that a snapshot is of: `gpt-5-mini` for `gpt-5-mini-2025-08-07` and `gpt-5-mini-20250807`."""
    return _DATE.sub("", model)


def names_of(model: str) -> tuple[str, ...]:
    """What a model may be listed as, the most exact first: as it is, without its provider, without its date."""
    name = model.lower()
    forms = (name, name.partition("/")[2], name.rpartition("/")[2])
    return tuple(dict.fromkeys(form for form in (*forms, *map(undated, forms)) if form))


def address_of(upstream: str) -> str | None:
    """An upstream's address with its scheme, or None if it is the name of a provider or a backend."""
    if "://" in upstream:
        return upstream.lower()
    return f"https://{upstream.lower()}" if re.search(r"[.:]", upstream) else None
