"""What every moderator does."""

from __future__ import annotations

from antiphon.policy.verdict import Passage, Verdict
from antiphon.ports import Moderator


class ModeratorContract:
    """Fixtures: `moderator`, and two texts: `flagged`, which it flags, and `clean`, which it does not."""

    async def test_a_text_is_flagged_or_it_is_not(self, moderator: Moderator, flagged: str, clean: str) -> None:
        assert (await judged(moderator, flagged)).is_flagged
        assert not (await judged(moderator, clean)).is_flagged
        await moderator.aclose()

    async def test_what_is_flagged_has_a_score_between_0_and_1(self, moderator: Moderator, flagged: str) -> None:
        verdict = await judged(moderator, flagged)
        assert all(0 <= score <= 1 for score in verdict.scores.values())
        assert any(verdict.scores.get(category, 0) > 0 for category in verdict.flagged)
        await moderator.aclose()

    async def test_one_flagged_passage_among_others_is_found(
        self, moderator: Moderator, flagged: str, clean: str
    ) -> None:
        assert (await judged(moderator, clean, flagged, clean)).is_flagged
        await moderator.aclose()

    async def test_who_can_place_a_hit_places_it_in_its_passage(
        self, moderator: Moderator, flagged: str, clean: str
    ) -> None:
        verdict = await judged(moderator, clean, flagged)
        if verdict.at is not None:
            index, start = verdict.at
            assert index == 1
            assert 0 <= start < len(flagged)
        await moderator.aclose()

    async def test_nothing_is_clean(self, moderator: Moderator) -> None:
        assert not (await judged(moderator)).is_flagged
        await moderator.aclose()

    async def test_who_answers_at_once_wants_no_window_and_all_others_do(self, moderator: Moderator) -> None:
        found = moderator.judge([Passage("Hello.")])
        assert isinstance(found, Verdict) == (moderator.window == 0)
        assert moderator.overlap >= 0
        if not isinstance(found, Verdict):
            await found
        await moderator.aclose()


async def judged(moderator: Moderator, *texts: str) -> Verdict:
    """The verdict on some texts, when it has come."""
    found = moderator.judge([Passage(text) for text in texts])
    return found if isinstance(found, Verdict) else await found
