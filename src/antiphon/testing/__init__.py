"""For tests of applications and of this project: a model that says what it is told to, a clock that stands still."""

from __future__ import annotations

from antiphon.testing.cache import MemoryCache
from antiphon.testing.clock import FakeClock
from antiphon.testing.moderator import ScriptedModerator
from antiphon.testing.scripted import Only, ScriptedModel, said
from antiphon.testing.tool import ScriptedTool

__all__ = ["FakeClock", "MemoryCache", "Only", "ScriptedModel", "ScriptedModerator", "ScriptedTool", "said"]
