"""How many tokens of context an upstream gives a model. The APIs have no word for it, so each server is asked its way.

    vLLM           GET /v1/models     max_model_len
    llama-server   GET /props         default_generation_settings.n_ctx
    LM Studio      GET /api/v0/models loaded_context_length, else max_context_length
    Ollama         GET /api/ps        context_length of a loaded model, else num_ctx of POST /api/show

Ollama cuts what does not fit, without a word, and begins with 4096 tokens on most machines, whatever the model could
do: so its model's own limit is not taken for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import msgspec

from antiphon.config.probe import ListedModel, NoAnswer, ask

__all__ = ["ENOUGH_FOR_CODEX", "window_of"]

ENOUGH_FOR_CODEX: Final = 32_000
"""Tokens. Codex's instructions, tools and a few files take that much."""

PATIENCE: Final = 2.0

_NUM_CTX: Final = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)


class _Generation(msgspec.Struct):
    n_ctx: int | None = None


class _Props(msgspec.Struct):
    default_generation_settings: _Generation


class _Loaded(msgspec.Struct):
    id: str = ""
    name: str = ""
    context_length: int | None = None
    loaded_context_length: int | None = None
    max_context_length: int | None = None


class _LMStudio(msgspec.Struct):
    data: list[_Loaded]


class _Running(msgspec.Struct):
    models: list[_Loaded]


class _Shown(msgspec.Struct):
    parameters: str = ""


def window_of(base_url: str, model: str, listed: ListedModel | None) -> int | None:
    """The context window of a model, in tokens; None if its server does not say."""
    if listed is not None and listed.max_model_len:
        return listed.max_model_len
    root = base_url.rstrip("/").removesuffix("/v1")
    return next((window for window in _answers(root, model) if window), None)


Question: TypeAlias = Callable[[str, str], int | None]


def _answers(root: str, model: str) -> Iterator[int | None]:
    for question in _QUESTIONS:
        try:
            yield question(root, model)
        except (NoAnswer, msgspec.DecodeError, UnicodeDecodeError):
            continue


def _llama_server(root: str, _model: str) -> int | None:
    return msgspec.json.decode(_get(f"{root}/props"), type=_Props).default_generation_settings.n_ctx


def _lm_studio(root: str, model: str) -> int | None:
    data = msgspec.json.decode(_get(f"{root}/api/v0/models"), type=_LMStudio).data
    found = next((entry for entry in data if entry.id == model), _Loaded())
    return found.loaded_context_length or found.max_context_length


def _ollama_loaded(root: str, model: str) -> int | None:
    models = msgspec.json.decode(_get(f"{root}/api/ps"), type=_Running).models
    return next((entry.context_length for entry in models if entry.name in (model, f"{model}:latest")), None)


def _ollama_set(root: str, model: str) -> int | None:
    shown = msgspec.json.decode(_get(f"{root}/api/show", msgspec.json.encode({"model": model})), type=_Shown)
    found = _NUM_CTX.search(shown.parameters)
    return int(found[1]) if found else None


_QUESTIONS: Final[tuple[Question, ...]] = (_llama_server, _ollama_loaded, _ollama_set, _lm_studio)


def _get(url: str, body: bytes | None = None) -> bytes:
    reply = ask(url, body=body, connect=PATIENCE, patience=PATIENCE)
    if reply.status != 200:
        raise NoAnswer(f"status {reply.status}")
    return reply.body
