"""How a response of an upstream ends: its usage, the settings that it decided, why it was cut, what its failure means.

Fields are read one by one, so that one which is not as it should be does not spoil the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

import msgspec

from antiphon.turn.deltas import IncompleteReason
from antiphon.wire.errors import APIError, RateLimited
from antiphon.wire.moderation import ResponseModeration
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, ReasoningConfig, Usage
from antiphon.wire.struct import UNSET
from antiphon.wire.tools import TextConfig

__all__ = ["ALWAYS", "UNASKED", "Fields", "field", "incomplete_reason", "refusal", "settled", "usage_of"]

T = TypeVar("T")
Json = dict[str, Any]
Fields = Mapping[str, msgspec.Raw]
"""The keys of a Response, with values that are not decoded yet."""


def field(fields: Fields, name: str, kind: type[T]) -> T | None:
    """One field; None if it is absent, null or not of this kind."""
    raw = fields.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw, type=kind | None)
    except msgspec.ValidationError:
        return None


# --- Settings

ALWAYS: Final[dict[str, Any]] = {
    "service_tier": str,
    "tool_usage": Json,
    "moderation": ResponseModeration,
    "input_transformations": list[Json],
    "prompt_cache_diagnostics": Json,
}
"""What only the upstream knows, whatever was asked for."""

UNASKED: Final[dict[str, Any]] = {
    "temperature": float,
    "top_p": float,
    "top_logprobs": int,
    "max_output_tokens": int,
    "parallel_tool_calls": bool,
    "frequency_penalty": float,
    "presence_penalty": float,
    "truncation": str,
    "reasoning": ReasoningConfig,
    "text": TextConfig,
    "prompt_cache_retention": str,
    "prompt_cache_options": Json,
}
"""What the upstream decides where the request did not."""


def settled(fields: Fields, asked: Collection[str]) -> Json:
    """The settings of the response that were the upstream's to decide; `asked` are those that the request had."""
    kinds = ALWAYS | {name: kind for name, kind in UNASKED.items() if name not in asked}
    found = {name: field(fields, name, kind) for name, kind in kinds.items() if name in fields}
    return {name: value for name, value in found.items() if value is not None}


# --- Usage


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_tokens_details: Json | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int
    total_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


def usage_of(fields: Fields) -> Usage | None:
    """The upstream's figures; details that it does not give are 0."""
    usage = field(fields, "usage", _Usage)
    if usage is None:
        return None
    inputs = usage.input_tokens_details or _InputDetails()
    outputs = usage.output_tokens_details or _OutputDetails()
    return Usage(
        input_tokens=usage.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=inputs.cached_tokens or 0,
            cache_write_tokens=inputs.cache_write_tokens or 0,
            cache_write_tokens_details=inputs.cache_write_tokens_details or UNSET,
        ),
        output_tokens=usage.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=outputs.reasoning_tokens or 0),
        total_tokens=usage.total_tokens or usage.input_tokens + usage.output_tokens,
    )


# --- Incomplete and failed

_REASONS: Final[dict[str, IncompleteReason]] = {
    "max_output_tokens": "max_output_tokens",
    "max_messages": "max_messages",
    "content_filter": "content_filter",
    "steered": "steered",
}


class _Details(msgspec.Struct):
    reason: str | None = None


def incomplete_reason(fields: Fields) -> IncompleteReason:
    """Why the response was cut. Other servers have other words for running out of tokens, and few other reasons."""
    details = field(fields, "incomplete_details", _Details)
    return _REASONS.get((details and details.reason) or "", "max_output_tokens")


_REFUSED: Final = frozenset(
    {
        *("data_residency_mismatch", "bio_policy", "misalignment_policy_violation", "content_policy_violation"),
        *("invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode"),
        *("image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation"),
        *("image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image"),
        *("image_file_not_found", "invalid_encrypted_content"),
    }
)
"""Codes of a failed response that say that it is the request's fault, and that the table for all upstreams lacks."""

_WAIT: Final = re.compile(r"try again in (\d+(?:\.\d+)?) ?(ms|s)", re.IGNORECASE)


def refusal(error: Json, fault: Callable[[Any], APIError]) -> APIError:
    """What the error of an `error` event or of a failed response means; `fault` knows what error objects mean.

    There is no Retry-After in a stream: OpenAI says it in the message.
    """
    meant = fault({**error, **_plainer(error.get("code"))})
    wait = _WAIT.search(meant.message) if isinstance(meant, RateLimited) and meant.retry_after is None else None
    if wait is not None:
        meant.retry_after = float(wait[1]) / (1000 if wait[2].lower() == "ms" else 1)
    return meant


def _plainer(code: object) -> Json:
    """A code of this API alone, in words that are known of any upstream."""
    if code == "vector_store_timeout":
        return {"code": "timeout"}
    return {"status": 400} if code in _REFUSED else {}
