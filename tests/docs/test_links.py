"""Pages lead somewhere, and nothing in them waits to be filled in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"]
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)(?P<path>[^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path):
    broken = [match["path"] for match in _LINK.finditer(page.read_text()) if not (page.parent / match["path"]).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_line_that_waits_to_be_filled_in(page: Path):
    assert not re.search(r"^[A-Z]{4,}$|\bTODO\b|\bTBD\b", page.read_text(), re.MULTILINE)
