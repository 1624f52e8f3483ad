"""Ids that carry the upstream's: ours can be turned back, so nothing needs to remember which item was whose.

    msg_68af…        theirs, in the usual form   →   msg_upk3xq-68af…
    5f0e/1+a=        theirs, in any other form   →   item_ubk3xq-NWYwZS8xK2E9

The prefix stays, because clients look at it. `k3xq` marks the upstream that gave the id: another one does not know the
item, and cannot read what the first one encrypted. No id that this server makes by itself has this form.
"""

from __future__ import annotations

import re
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

__all__ = ["NO_MARK", "is_foreign", "mark_of", "ours", "theirs"]

NO_MARK = "aaaa"

_USUAL = re.compile(r"([a-z]{1,16})_([A-Za-z0-9_-]+)")
_OURS = re.compile(r"([a-z]{1,16})_u([pb])([a-z2-7]{4})-(.+)", re.DOTALL)


def mark_of(base_url: str) -> str:
    """The mark of an upstream: four letters or digits of a hash of its address."""
    return b32encode(sha256(base_url.rstrip("/").encode()).digest())[:4].decode().lower()


def ours(upstream_id: str, mark: str = NO_MARK) -> str:
    """Our id for an upstream's id. Different ids stay different."""
    if usual := _USUAL.fullmatch(upstream_id):
        prefix, rest = usual.groups()
        return f"{prefix}_up{mark}-{rest}"
    return f"item_ub{mark}-{urlsafe_b64encode(upstream_id.encode()).decode().rstrip('=')}"


def theirs(our_id: str, mark: str = NO_MARK) -> str | None:
    """The upstream's id that ours stands for; None for an id that `ours` did not make with this mark."""
    form = _OURS.fullmatch(our_id)
    if form is None:
        return None
    prefix, way, _, rest = form.groups()
    upstream_id = f"{prefix}_{rest}" if way == "p" else _decoded(rest)
    return upstream_id if upstream_id is not None and ours(upstream_id, mark) == our_id else None


def is_foreign(our_id: str, mark: str) -> bool:
    """Whether this id was given by another upstream."""
    form = _OURS.fullmatch(our_id)
    return form is not None and form[3] != mark


def _decoded(text: str) -> str | None:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return None
