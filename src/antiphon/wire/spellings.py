"""Spellings of events that older texts use, and what they mean. They are understood, and never given out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["ALIASES"]

ALIASES: Final[Mapping[str, str]] = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.function_call.arguments.delta": "response.function_call_arguments.delta",
    "response.function_call.arguments.done": "response.function_call_arguments.done",
    "response.file_search.call.in_progress": "response.file_search_call.in_progress",
    "response.file_search.call.searching": "response.file_search_call.searching",
    "response.file_search.call.completed": "response.file_search_call.completed",
    "response.code_interpreter.in_progress": "response.code_interpreter_call.in_progress",
    "response.code_interpreter.call.in_progress": "response.code_interpreter_call.in_progress",
    "response.code_interpreter.call.interpreting": "response.code_interpreter_call.interpreting",
    "response.code_interpreter.call.completed": "response.code_interpreter_call.completed",
    "response.code_interpreter.call.code_delta": "response.code_interpreter_call_code.delta",
    "response.code_interpreter.call.code_done": "response.code_interpreter_call_code.done",
}
"""A spelling that was never sent → the type that it means."""
