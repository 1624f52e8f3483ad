"""`kill -9` in the middle of 20 streams: nothing that was acknowledged is lost. `scripts/soak` does it 100 times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durability.kill import one_round

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", range(5))
async def test_no_acknowledged_event_is_lost_and_every_stream_goes_on(seed: int, tmp_path: Path):
    outcome = await one_round(tmp_path, seed, ("normal", "full")[seed % 2])
    assert not outcome.problems
    assert outcome.cut
    assert outcome.resumed
