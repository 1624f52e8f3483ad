"""What a turn says to rehearsal: the newest message, what came before, what tools answered, what is attached.

All that decides the words is read from the items and the settings of the request; ids, which differ from run to run,
are not. What this response has said already (a run that is taken over) is kept apart: the same plan is made again,
and goes on behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.models.rehearsal.dice import Dice, count
from antiphon.models.rehearsal.directives import Line, separate
from antiphon.turn.input import CLIENT_CALLS, Turn
from antiphon.wire import items
from antiphon.wire.content import InputFile, InputImage, InputText, OutputText, Refusal
from antiphon.wire.items import Item
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import UNSET, Opaque, encode, type_of
from antiphon.wire.tools import FormatJsonObject, FormatJsonSchema

TOKENS_A_FILE: Final = 256
"""What an image or a file counts: rehearsal does not look into them."""

_ANSWERS = (
    items.FunctionCallOutput,
    items.CustomToolCallOutput,
    items.ComputerCallOutput,
    items.LocalShellCallOutput,
    items.ShellCallOutput,
    items.ApplyPatchCallOutput,
    items.McpApprovalResponse,
    items.ToolSearchOutput,
)
_SILENT = frozenset(("id", "status", "call_id", "created_by"))
"""Keys of items that differ from run to run, or say nothing."""


class Output(msgspec.Struct):
    """What a tool answered."""

    name: str
    arguments: str
    text: str


class Reading(msgspec.Struct):
    """A turn as rehearsal understands it."""

    request: CreateResponse
    message: str
    """The newest words of the user, without directives."""
    lines: list[Line]
    """The directives among them."""
    earlier: list[tuple[str, str]]
    """Role and words of the messages before."""
    outputs: list[Output]
    """What tools answered since."""
    passages: list[items.FileSearchResult]
    """What a file search found since."""
    attachments: list[InputImage | InputFile]
    said: list[str]
    """The kinds of the items that this response has finished before it was interrupted."""
    half: str
    """What was said of a message that is to be continued."""
    half_notes: int
    """How many annotations that part has."""
    call_ids: list[str]
    dice: Dice

    @property
    def fresh(self) -> bool:
        """Whether the newest message is the newest thing heard: no tool has answered since."""
        return not self.outputs

    @property
    def newcomer(self) -> bool:
        """Whether rehearsal has not spoken in this conversation yet."""
        return not any(role == "assistant" for role, _ in self.earlier)

    @property
    def format(self) -> FormatJsonSchema | FormatJsonObject | None:
        """The form that the answer must have, None for text."""
        form = self.request.text.format if self.request.text else UNSET
        return form if isinstance(form, FormatJsonSchema | FormatJsonObject) else None

    @property
    def verbosity(self) -> str:
        """`low`, `medium` or `high`."""
        asked = self.request.text.verbosity if self.request.text else UNSET
        return asked or "medium"

    def said_by(self, role: str) -> list[str]:
        """What a role said before, oldest first."""
        return [text for who, text in self.earlier if who == role and text]


def read(turn: Turn) -> Reading:
    """Read a turn."""
    heard, said = _split(turn)
    newest = max((at for at, item in enumerate(heard) if _is_user(item)), default=-1)
    text = "\n".join(_words(heard[newest])) if newest >= 0 else ""
    message, lines = separate(text)
    return Reading(
        request=turn.request,
        message=message,
        lines=lines,
        earlier=list(_earlier(heard[: max(newest, 0)])),
        outputs=list(_outputs(heard, newest + 1)),
        passages=list(_passages([*heard[newest + 1 :], *said])),
        attachments=list(_attachments(heard, newest)),
        said=[type_of(item) for item in said if getattr(item, "status", None) != "incomplete"],
        half=text_of(turn.prefix),
        half_notes=sum(len(part.annotations) for part in _parts(turn.prefix) if isinstance(part, OutputText)),
        call_ids=[_call_id(item) for item in turn.items],
        dice=Dice(_fingerprint(turn.request, heard)),
    )


def _is_user(item: Item) -> bool:
    return isinstance(item, items.Message) and item.role == "user"


def _earlier(heard: Iterable[Item]) -> Iterable[tuple[str, str]]:
    for item in heard:
        if isinstance(item, items.Message):
            yield item.role, separate(text_of(item))[0]


def _is_heard(item: Item) -> bool:
    """Whether an item comes from outside: from who asks, or from a tool."""
    if isinstance(item, items.FileSearchCall):
        return bool(item.results)
    return isinstance(item, _ANSWERS) or (isinstance(item, items.Message) and item.role != "assistant")


def _split(turn: Turn) -> tuple[list[Item], list[Item]]:
    """What a turn answers to, and what its response has already said (never anything in its first run)."""
    end = len(turn.items)
    if turn.number or turn.prefix is not None:
        end = max((at + 1 for at, item in enumerate(turn.items) if _is_heard(item)), default=end)
    return turn.items[:end], turn.items[end:]


def text_of(item: Any) -> str:
    """The text of a message."""
    return "\n".join(_words(item))


def _words(item: Any) -> list[str]:
    if isinstance(content := getattr(item, "content", None), str):
        return [content]
    return [part.refusal if isinstance(part, Refusal) else part.text for part in _parts(item) if _is_text(part)]


def _parts(item: Any) -> list[Any]:
    """The parts of a message, none if it is a string or no message."""
    content = getattr(item, "content", None)
    return content if isinstance(content, list) else []


def _is_text(part: Any) -> bool:
    return isinstance(part, InputText | OutputText | Refusal)


def _outputs(heard: Sequence[Item], start: int) -> Iterable[Output]:
    """What tools answered after the newest message, each with the call that it answers."""
    calls = {_call_id(item): item for item in heard if isinstance(item, CLIENT_CALLS)}
    for item in heard[start:]:
        if isinstance(item, _ANSWERS):
            call = calls.get(_call_id(item))
            yield Output(_name_of(call or item), _asked(call), output_text(item))


def _call_id(item: Any) -> str:
    return getattr(item, "call_id", None) or ""


def _name_of(item: Any) -> str:
    name = getattr(item, "name", None)
    return name if isinstance(name, str) else type_of(item).removesuffix("_output").removesuffix("_call")


def _asked(call: Any) -> str:
    """What was asked of a tool, as text."""
    match call:
        case items.FunctionCall():
            return call.arguments
        case items.CustomToolCall():
            return call.input
        case items.ShellCall():
            return "; ".join(call.action.commands)
        case items.LocalShellCall():
            return " ".join(call.action.command)
    return ""


def output_text(item: Any) -> str:
    """What a tool answered, as text."""
    match item:
        case items.ShellCallOutput():
            return "\n".join(entry.stdout + entry.stderr for entry in item.output).strip()
        case items.ApplyPatchCallOutput():
            return item.output or item.status
        case items.McpApprovalResponse():
            return "approved" if item.approve else "not approved"
        case items.ComputerCallOutput():
            return "a screenshot"
        case items.ToolSearchOutput():
            return ", ".join(str(tool.get("name", "")) for tool in item.tools)
    output = item.output
    return output if isinstance(output, str) else "\n".join(part.text for part in output if _is_text(part))


def _passages(later: Iterable[Item]) -> Iterable[items.FileSearchResult]:
    for item in later:
        if isinstance(item, items.FileSearchCall):
            yield from (result for result in item.results or () if result.text)


def _attachments(heard: Sequence[Item], newest: int) -> Iterable[InputImage | InputFile]:
    """Images and files of the newest messages of the user, back to what the assistant said last."""
    start = max((at for at in range(newest) if not _is_user(heard[at])), default=-1)
    for item in heard[start + 1 : newest + 1]:
        yield from (part for part in _parts(item) if isinstance(part, InputImage | InputFile))


# What decides the words, and what they count


def _fingerprint(request: CreateResponse, heard: Iterable[Item]) -> str:
    """A number for all that decides the words. Directives do not: a fault cuts the very words said without it."""
    settings = (request.instructions, request.tools, request.tool_choice, request.text, request.reasoning)
    digest = hashlib.sha256(encode([_plain(setting) for setting in settings]))
    for item in heard:
        digest.update(encode(_telling(item, separate(text_of(item))[0])))
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return None if value is UNSET else value


def _telling(item: Item, text: str = "") -> Any:
    """An item without what says nothing. A message is its role, `text` and attachments, however it was sent."""
    if isinstance(item, items.Message):
        return [item.role, text, [part for part in _parts(item) if not _is_text(part)]]
    fields = item.fields if isinstance(item, Opaque) else msgspec.to_builtins(item, enc_hook=_fields_of)
    return {key: value for key, value in fields.items() if key not in _SILENT}


def _fields_of(value: Any) -> Any:
    return value.fields


def input_tokens(turn: Turn) -> int:
    """Rehearsal's tokens in all that a turn gives it, without what the same response has said."""
    request = turn.request
    settings = [setting for setting in (request.tools, request.text) if setting]
    total = count(request.instructions or "") + sum(count(encode(setting).decode()) for setting in settings)
    return total + sum(_tokens_of(item) for item in _split(turn)[0])


def _tokens_of(item: Item) -> int:
    if isinstance(item, items.Message):
        files = sum(not _is_text(part) for part in _parts(item))
        return count(text_of(item)) + TOKENS_A_FILE * files
    return count(encode(_telling(item)).decode())
