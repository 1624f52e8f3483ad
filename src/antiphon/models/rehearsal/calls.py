"""Which tools a message calls, and with what.

A function fits when words of its name are in the message, or when words of its description are and the message holds
values for its arguments. What is left when each fits is decided by `tool_choice` and `parallel_tool_calls`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from antiphon.models.rehearsal import acts
from antiphon.models.rehearsal.acts import Act, Ids
from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.directives import Call
from antiphon.models.rehearsal.grammar import custom_input, meant_for
from antiphon.models.rehearsal.offers import Offer
from antiphon.models.rehearsal.patches import Operation, commands, operations
from antiphon.models.rehearsal.schema import satisfying, validator
from antiphon.models.rehearsal.values import Values, fenced, parts_of
from antiphon.models.rehearsal.words import STOP_WORDS, words_in
from antiphon.wire import items
from antiphon.wire.struct import UNSET
from antiphon.wire.tools import (
    ApplyPatchTool,
    CodeInterpreterTool,
    CustomTool,
    FunctionTool,
    LocalShellTool,
    ShellTool,
)

_NAMED_WHOLE = 100
_NAMED = 6
_DESCRIBED = 2
_MENTIONED = 1
_FITS = 6
_FITS_WEAKLY = 2
_MOST_CALLS = 8
_ENDINGS = ("ings", "ing", "ers", "ed", "es", "s", "e")


class Unmade(msgspec.Struct, frozen=True):
    """A call that could not be made, and why, in words for the user."""

    reason: str


# Choosing


def fitting(offers: Sequence[Offer], message: str) -> list[Offer]:
    """The tools that a message asks for, best first."""
    words = _stems(words_in(message))
    shared = Counter(part for offer in offers for part in _name_parts(offer))
    scored = [(_score(offer, message, words, shared), -index, offer) for index, offer in enumerate(offers)]
    ranked = sorted(scored, key=lambda entry: entry[:2], reverse=True)
    best = ranked[0][0] if ranked else 0
    if best < _FITS:
        return [ranked[0][2]] if best >= _FITS_WEAKLY and _has_values(ranked[0][2], message) else []
    least = _NAMED_WHOLE if best >= _NAMED_WHOLE else _FITS
    return [offer for score, _, offer in ranked[:_MOST_CALLS] if score >= least]


def best_of(offers: Sequence[Offer], message: str) -> Offer:
    """The tool that fits best, even if none fits."""
    words = _stems(words_in(message))
    shared = Counter(part for offer in offers for part in _name_parts(offer))
    return max(offers, key=lambda offer: _score(offer, message, words, shared))


def _score(offer: Offer, message: str, words: frozenset[str], shared: Counter[str]) -> int:
    match offer.tool:
        case FunctionTool() | CustomTool():
            return _score_named(offer, message, words, shared)
        case ShellTool() | LocalShellTool():
            return _FITS if commands(message) else 0
        case ApplyPatchTool():
            return _FITS if operations(message) else 0
        case CodeInterpreterTool():
            return _FITS if fenced(message) else 0


def _score_named(offer: Offer, message: str, words: frozenset[str], shared: Counter[str]) -> int:
    """Points for a tool that has a name. A part of the name that many tools share says less."""
    if ("_" in offer.name and offer.name in message) or f"`{offer.name}`" in message:
        return _NAMED_WHOLE
    named = sum(_NAMED // shared[part] for part in _name_parts(offer) & words)
    described = _DESCRIBED * len(_stems(words_in(_description(offer))) & words)
    mentioned = _MENTIONED * len(_stems(_argument_words(offer)) & words)
    return named + min(described, _FITS - 1) + mentioned


def _name_parts(offer: Offer) -> frozenset[str]:
    return _stems(parts_of(offer.name))


def _description(offer: Offer) -> str:
    description = getattr(offer.tool, "description", UNSET)
    return description if isinstance(description, str) else ""


def _properties(offer: Offer) -> dict[str, Any]:
    parameters = offer.tool.parameters if isinstance(offer.tool, FunctionTool) else None
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return properties if isinstance(properties, dict) else {}


def _argument_words(offer: Offer) -> Iterator[str]:
    for name, rule in _properties(offer).items():
        yield from parts_of(name)
        options = rule.get("enum") if isinstance(rule, dict) else None
        yield from (str(option).lower() for option in (options if isinstance(options, list) else ()))


def _stems(words: Any) -> frozenset[str]:
    """Words that mean something, without their endings."""
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS and len(word) > 2)


def _stem(word: str) -> str:
    ending = next((ending for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) > 2), "")
    return word.removesuffix(ending)


def _has_values(offer: Offer, message: str) -> bool:
    """Whether the message holds what a tool needs: a value for each argument of a function, an input."""
    if isinstance(offer.tool, CustomTool):
        return meant_for(offer.tool, message) is not None
    values, needed = Values(message, ignored_by(offer)), _required(offer)
    return bool(needed) and all(values.holds(name) for name in needed)


def _required(offer: Offer) -> list[str]:
    parameters = offer.tool.parameters if isinstance(offer.tool, FunctionTool) else None
    needed = parameters.get("required") if isinstance(parameters, dict) else None
    return [str(name) for name in needed] if isinstance(needed, list) else []


def ignored_by(offer: Offer) -> frozenset[str]:
    """The words of a message that name the tool, and are no values."""
    return parts_of(offer.name) | parts_of(offer.namespace or "")


# Making


def make(offer: Offer, message: str, ids: Ids, dice: Dice) -> list[Act] | Unmade:
    """The calls of one tool that a message asks for."""
    match offer.tool:
        case FunctionTool():
            return _functions(offer, offer.tool, message, ids, dice)
        case CustomTool():
            return _custom(offer, offer.tool, message, ids, dice)
        case ShellTool():
            return [_shell(commands(message) or ["echo rehearsal"], ids)]
        case LocalShellTool():
            return [_local_shell(command, ids) for command in commands(message) or ["echo rehearsal"]]
        case ApplyPatchTool():
            return [_patch(operation, ids) for operation in operations(message) or [_A_FILE]]
        case CodeInterpreterTool():
            return [interpreted(fenced(message) or 'print("rehearsal")\n', ids)]


def _functions(offer: Offer, tool: FunctionTool, message: str, ids: Ids, dice: Dice) -> list[Act] | Unmade:
    schema = tool.parameters if isinstance(tool.parameters, dict) else {"type": "object", "properties": {}}
    arguments = satisfying(schema, message, dice, ignored_by(offer), frugal=True)
    if not isinstance(arguments, dict):
        return Unmade(f"I found no arguments for `{tool.name}` that satisfy its schema.")
    return [function(offer, entry, ids) for entry in _several(schema, arguments, message)]


def _several(schema: dict[str, Any], arguments: dict[str, Any], message: str) -> list[dict[str, Any]]:
    """The arguments once for each thing that the message lists, where one of them is an argument."""
    listed = Values(message).names[:_MOST_CALLS]
    key = next((key for key, value in arguments.items() if value in listed), None)
    check = validator(schema)
    if key is None or check is None:
        return [arguments]
    return [entry for value in listed if check(entry := {**arguments, key: value})]


def function(offer: Offer, arguments: Any, ids: Ids) -> Act:
    """One call of a function. `arguments` is JSON as text, or a value."""
    written = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    call = items.FunctionCall(
        call_id=ids.call_id(), name=offer.name, arguments="", namespace=offer.namespace or UNSET, status="in_progress"
    )
    return acts.written("function_call", ids.key(), call, written)


def _custom(offer: Offer, tool: CustomTool, message: str, ids: Ids, dice: Dice) -> list[Act] | Unmade:
    text = custom_input(tool, message, dice)
    if text is None:
        return Unmade(f"I found no input for `{tool.name}` that its grammar accepts.")
    return [custom(offer, text, ids)]


def custom(offer: Offer, text: str, ids: Ids) -> Act:
    """One call of a custom tool."""
    call = items.CustomToolCall(call_id=ids.call_id(), name=offer.name, input="", namespace=offer.namespace or UNSET)
    return acts.written("custom_tool_call", ids.key(), call, text)


def _shell(lines: Sequence[str], ids: Ids) -> Act:
    action = items.ShellAction(commands=[], timeout_ms=None, max_output_length=None)
    call = items.ShellCall(call_id=ids.call_id(), action=action, status="in_progress")
    return acts.shell(ids.key(), call, lines)


def _local_shell(command: str, ids: Ids) -> Act:
    action = items.LocalShellAction(command=["bash", "-lc", command], env={})
    call = items.LocalShellCall(call_id=ids.call_id(), action=action, status="completed")
    return acts.whole("local_shell_call", ids.key(), call)


_A_FILE = items.CreateFile(path="rehearsal.txt", diff="+rehearsal\n")


def _patch(operation: Operation, ids: Ids) -> Act:
    if isinstance(operation, items.DeleteFile):
        call = items.ApplyPatchCall(call_id=ids.call_id(), operation=operation, status="completed")
        return acts.whole("apply_patch_call", ids.key(), call)
    empty = msgspec.structs.replace(operation, diff="")
    call = items.ApplyPatchCall(call_id=ids.call_id(), operation=empty, status="in_progress")
    return acts.written("apply_patch_call", ids.key(), call, operation.diff)


def interpreted(code: str, ids: Ids) -> Act:
    """A call of the code interpreter with code from the message, and the admission that it was not run."""
    outputs: list[Any] = [items.OutputLogs(logs="rehearsal does not run code: there is no output.\n")]
    return acts.interpreted(ids.key(), code, "cntr_rehearsal", outputs)


def asked_for(call: Call, offers: Sequence[Offer], message: str, ids: Ids, dice: Dice) -> list[Act] | Unmade:
    """What `#call` asks for. A tool that was not offered is called as a function: models do that, too."""
    found = next((offer for offer in offers if offer.answers_to(call.name)), None)
    if found is None:
        namespace, _, name = call.name.rpartition(".")
        return [function(Offer(FunctionTool(name=name), namespace or None), call.words or "{}", ids)]
    if not call.words:
        return make(found, message, ids, dice)
    match found.tool:
        case FunctionTool():
            return [function(found, call.words, ids)]
        case CustomTool():
            return [custom(found, call.words, ids)]
        case ShellTool():
            return [_shell([call.words], ids)]
        case LocalShellTool():
            return [_local_shell(call.words, ids)]
        case CodeInterpreterTool():
            return [interpreted(call.words, ids)]
        case ApplyPatchTool():
            return make(found, call.words, ids, dice)
