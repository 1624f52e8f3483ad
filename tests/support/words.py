"""Cutting a text into pieces like tokens, so that no two deltas in a row are the same."""

from __future__ import annotations

import re


def split_words(text: str) -> list[str]:
    """Cut a text before each space; the pieces joined are the text, and an empty text has none."""
    return re.findall(r"\s*\S+|\s+\Z", text)
