"""The parameters of `ChatCompletions.create`, for type checkers: those of `chat.completions.create`."""

from __future__ import annotations

from collections.abc import Mapping

from openai import Timeout
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsBase,
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

__all__ = ["Either", "Streamed", "Whole"]


class Whole(CompletionCreateParamsNonStreaming, total=False):
    """A completion that comes whole."""

    timeout: float | Timeout | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None


class Streamed(CompletionCreateParamsStreaming, total=False):
    """A completion that comes in chunks."""

    timeout: float | Timeout | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None


class Either(CompletionCreateParamsBase, total=False):
    """Which of both is known at run time only."""

    stream: bool | None
    timeout: float | Timeout | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None
