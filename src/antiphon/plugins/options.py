"""Settings as the options of what is reached over HTTP."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from antiphon.config.keys import key_source
from antiphon.config.settings import EmbeddingsSettings, UpstreamModeratorSettings, UpstreamSettings
from antiphon.models.upstream import UpstreamOptions

__all__ = ["Reached", "options_of"]

O = TypeVar("O", bound=UpstreamOptions)  # noqa: E741

Reached: TypeAlias = UpstreamSettings | EmbeddingsSettings | UpstreamModeratorSettings


def options_of(settings: Reached, kind: type[O]) -> O:
    """Each option has the value of the setting of the same name, or its own default where there is none.

    Where there is but one `timeout`, the whole answer is waited for so long.
    """
    given: dict[str, Any] = {
        name: getattr(settings, name) for name in kind.__struct_fields__ if name in settings.__struct_fields__
    }
    if not isinstance(settings, UpstreamSettings):
        given["first_token_timeout"] = settings.timeout
    given["headers"] = {name: value.reveal() for name, value in settings.headers.items()}
    given["verify"] = str(settings.ca_file) if settings.ca_file else settings.verify
    given["api_key"] = key_source(settings)
    return kind(**given)
