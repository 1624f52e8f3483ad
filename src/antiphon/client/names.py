"""Names of events: those of the API, and those that older texts use."""

from __future__ import annotations

from difflib import get_close_matches

from antiphon.client.border import name_of, names
from antiphon.wire.events import EVENTS
from antiphon.wire.spellings import ALIASES

__all__ = ["ALIASES", "wire_name"]


def wire_name(kind: object) -> str:
    """The name that an event has on the wire, of its class in the SDK or of one of its names.

    Raises ValueError for what is neither: a handler that waits for a name which nobody sends would never be called.
    """
    if isinstance(kind, type):
        if (name := name_of(kind)) is None:
            raise ValueError(f"{kind.__name__} is no class of event of the openai SDK")
        return name
    name = str(kind)
    name = ALIASES.get(name, name)
    known = names() | EVENTS.keys()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise ValueError(f"there is no event {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return name
