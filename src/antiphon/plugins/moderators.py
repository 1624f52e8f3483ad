"""The moderators of a configuration, and the operator's policy."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.config.check import BUILT_IN_MODERATOR
from antiphon.config.rules import rules_of
from antiphon.config.settings import (
    Config,
    JudgeSettings,
    ModeratorSettings,
    RulesSettings,
    UpstreamModeratorSettings,
    WindowedSettings,
)
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.models.moderators import Asked, Judge, RuleList, UpstreamModerator
from antiphon.models.upstream import UpstreamOptions
from antiphon.plugins.options import options_of
from antiphon.policy.rules import BUILT_IN, Rules
from antiphon.ports import Model, Moderator

__all__ = ["moderation_of"]


def moderation_of(config: Config, model: Callable[[str], Model]) -> Moderation:
    """All moderators, and the policy. `model` gives the one that judges, when it is first asked. Raises ConfigError."""
    source = config.source.name if config.source else ""
    moderators = {name: _moderator(name, each, model, source) for name, each in config.moderators.items()}
    moderators.setdefault(BUILT_IN_MODERATOR, RuleList(lambda: Rules(BUILT_IN)))
    asked = config.moderation
    policy = ModerationPolicy(asked.input, asked.output, asked.moderator, asked.fail == "open")
    return Moderation(moderators, policy)


def _moderator(name: str, settings: ModeratorSettings, model: Callable[[str], Model], source: str) -> Moderator:
    match settings:
        case RulesSettings():
            rules = rules_of(settings, source, f'moderators."{name}"')
            return RuleList(lambda: rules)
        case JudgeSettings(model=judge, policy=policy, timeout=timeout):
            return Judge(lambda: model(judge), judge, _asked(settings), policy=policy, timeout=timeout)
        case UpstreamModeratorSettings():
            return UpstreamModerator(options_of(settings, UpstreamOptions), _asked(settings))
    raise TypeError(f"{type(settings).__name__} is no moderator's")


def _asked(settings: WindowedSettings) -> Asked:
    return Asked(window=settings.window, overlap=settings.overlap, threshold=settings.threshold)
