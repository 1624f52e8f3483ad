"""The parameters of a request, for type checkers: those of `responses.create`, the SDK's own, and ours."""

from __future__ import annotations

from collections.abc import Mapping

from openai import Timeout
from openai.types.responses.response_create_params import ResponseCreateParamsBase

__all__ = ["Params"]


class Params(ResponseCreateParamsBase, total=False):
    """What `Client.create` and `Client.stream` take, all by keyword."""

    deadline: float | None
    """Seconds for the whole request, in the place of the client's."""
    timeout: float | Timeout | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, object] | None
    extra_body: object | None
