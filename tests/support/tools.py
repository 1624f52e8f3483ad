"""Programs that only some machines have. A test that needs one skips, visibly, where it is missing."""

from __future__ import annotations

import os

import pytest


def needs(variable: str, what: str) -> pytest.MarkDecorator:
    """Skip unless an environment variable says where a program is."""
    return pytest.mark.skipif(not os.environ.get(variable), reason=f"{what} is not here: {variable} is not set")


needs_node = needs("ANTIPHON_NODE_MODULES", "the Node SDK")
needs_codex = needs("ANTIPHON_CODEX", "Codex")
