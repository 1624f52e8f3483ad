"""One output item of a stream: judges its own events from `output_item.added` to `output_item.done`.

Every method that judges yields what is wrong, as text; it goes on after a violation, so that one fault is told once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.grammar_tables import (
    ADDED,
    CLOSED_STATUSES,
    COUNTED_BY_DONE,
    DONE,
    FULL_TEXT,
    INDEX,
    KEPT,
    KINDS,
    KNOWN_ITEM_EVENTS,
    LISTS,
    OPENS_EMPTY,
    OPENS_INDEX,
    PART_FAMILIES,
    PARTS,
    REPEATED,
    SAID_BY_THE_MODEL,
    WITHOUT_ITEM_ID,
)

Json = dict[str, Any]


def at(value: Any, path: Sequence[str]) -> Any:
    """Follow keys into nested objects; None where one is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _family(name: str) -> str:
    return name.rpartition(".")[0]


def _tokens(logprobs: Any) -> list[Any]:
    """Take the tokens out of logprobs: the fields beside them differ between deltas and parts."""
    return [at(entry, ("token",)) for entry in logprobs or ()]


class Item:
    """One output item as its events have told it so far."""

    def __init__(self, index: int, added: Json) -> None:
        self.index = index
        self.added = added
        self.done: Json | None = None
        self.id = str(added.get("id"))
        self.type = str(added.get("type"))
        self._kind = KINDS.get(self.type)
        self._last = ADDED
        self._counts: dict[str, int] = defaultdict(int)  # how many of each index were given out
        self._told: dict[str, Any] = {key: [] for key in LISTS.get(self.type, ())}  # by the keys of REPEATED
        self._output: dict[str, str] = defaultdict(str)  # stdout and stderr of the command at command_index
        self._open_part({})

    def _open_part(self, part: Json) -> None:
        self._part = part
        self._deltas: list[str] = []
        self._logprob_tokens: list[Any] = []
        self._annotations: list[Any] = []
        self._text: Any = None

    def opening(self) -> Iterator[str]:
        """Judge the item of `output_item.added`."""
        if not self.added.get("id") or not self.added.get("type"):
            yield "the item has no id or no type"
        for path in OPENS_EMPTY.get(self.type, ()):
            if at(self.added, path):
                yield f"the item opens with {'.'.join(path)} already told"
        for key in LISTS.get(self.type, ()):
            if not isinstance(self.added.get(key), list):
                yield f"the item opens without the list {key}"
        if self.type in SAID_BY_THE_MODEL and self.added.get("status") not in ("in_progress", None):
            yield f"the item opens with status {self.added['status']}"

    def event(self, name: str, event: Json) -> Iterator[str]:
        """Judge any event after the first; `name` has no prefix `response.`."""
        if self.done is not None:
            yield f"comes after item {self.index} ({self.type}) was done"
        elif name == DONE:
            yield from self._order(name, at(event, ("item", "status")))
            yield from self._close(event.get("item"))
        else:
            yield from self._owner(name, event)
            if self._kind is not None:
                yield from self._order(name)
                yield from self._tell(name, event)

    def _owner(self, name: str, event: Json) -> Iterator[str]:
        if event.get("item_id") != self.id and not (name in WITHOUT_ITEM_ID and "item_id" not in event):
            yield f"item_id {event.get('item_id')!r} instead of {self.id!r}"
        if self._kind is None and name in KNOWN_ITEM_EVENTS:
            yield f"belongs to another type of item than {self.type}"

    def _order(self, name: str, status: object = None) -> Iterator[str]:
        last, self._last = self._last, name
        if self._kind is None or (status in self._kind.unfinished and last in self._kind.cut):
            return
        allowed = self._kind.follows.get(last, frozenset())
        if name not in allowed:
            expected = ", ".join(sorted(allowed)) or "nothing"
            yield f"follows {last} in item {self.index} ({self.type}); only {expected} may"

    def _close(self, done: object) -> Iterator[str]:
        if not isinstance(done, dict):
            yield "carries no item"
            return
        self.done = done
        for key, expected in (("id", self.id), ("type", self.type)):
            if done.get(key) != expected:
                yield f"the done item has {key} {done.get(key)!r}, the added one {expected!r}"
        for key in KEPT:
            if self.added.get(key) is not None and done.get(key) != self.added[key]:
                yield f"{key} changed from {self.added[key]!r} to {done.get(key)!r}"
        is_half_a_patch = (
            self.type == "apply_patch_call" and done.get("status") == "in_progress"
        )  # its only word for it
        if self._kind is not None and done.get("status") not in CLOSED_STATUSES and not is_half_a_patch:
            yield f"the item is done with status {done.get('status')}"
        for key, value in self._told.items():
            if at(done, REPEATED[key]) != value:
                yield f"the done item's {'.'.join(REPEATED[key])} is not what its events told"

    def _tell(self, name: str, event: Json) -> Iterator[str]:
        """Count the indexes, gather the deltas, and compare each `done` with them."""
        yield from self._indexes(name, event)
        yield from self._part_type(name)
        match _family(name), name.rpartition(".")[2]:
            case "shell_call_output_content", "delta":
                yield from self._shell_output_delta(event.get("delta"))
            case "shell_call_output_content", "done":
                yield from self._shell_output_done(event.get("output"))
            case _, "delta":
                yield from self._delta(name, event)
            case "output_text.annotation", "added":
                yield from self._counted("annotation_index", event, len(self._annotations))
                self._annotations.append(event.get("annotation"))
            case "shell_call_command", "added":
                self._deltas = [str(event.get("command", ""))]  # usually empty: the deltas go on from it
            case _, "added":
                yield from self._part_added(event.get("part"))
            case _, "done" if name in FULL_TEXT:
                yield from self._full_text(name, event)
            case _, "done":
                yield from self._part_done(name, event.get("part"))
            case _, "partial_image":
                yield from self._counted("partial_image_index", event, self._counts["partial_image_index"])
                self._counts["partial_image_index"] += 1

    def _counted(self, key: str, event: Json, expected: int) -> Iterator[str]:
        if event.get(key) != expected or type(event.get(key)) is not int:
            yield f"{key} {event.get(key)!r} instead of {expected}"

    def _indexes(self, name: str, event: Json) -> Iterator[str]:
        key = INDEX.get(_family(name))
        if key is None:
            return
        counted_by_done = _family(name) in COUNTED_BY_DONE
        self._counts[key] += name in OPENS_INDEX
        yield from self._counted(key, event, self._counts[key] - (not counted_by_done))
        self._counts[key] += counted_by_done and name.endswith(".done")

    def _part_type(self, name: str) -> Iterator[str]:
        """A part of one type is not told by the events of another."""
        family = _family(name).removesuffix(".annotation")
        if family in PART_FAMILIES and self._part and PARTS[self._part["type"]][1] != family:
            yield f"cannot tell a part of type {self._part['type']}"

    def _delta(self, name: str, event: Json) -> Iterator[str]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            yield f"delta is {delta!r}"
        else:
            self._deltas.append(delta)
        if name == "output_text.delta":
            yield from self._logprobs(event)
            self._logprob_tokens += _tokens(event.get("logprobs"))

    def _logprobs(self, holder: Json) -> Iterator[str]:
        if not isinstance(holder.get("logprobs"), list):
            yield f"logprobs is {holder.get('logprobs')!r}, not a list"

    def _full_text(self, name: str, event: Json) -> Iterator[str]:
        key, family, joined = FULL_TEXT[name], _family(name), "".join(self._deltas)
        text = event.get(key)
        if text != joined:
            yield f"{key} is not the concatenation of its deltas: {text!r} and {joined!r}"
        if name == "output_text.done":
            yield from self._logprobs(event)
            if _tokens(event.get("logprobs")) != self._logprob_tokens:
                yield "logprobs are not those of the deltas"
        if family in PART_FAMILIES:
            self._text = text
        elif family in INDEX:
            self._told.setdefault(family, []).append(text)
        else:
            self._told[family] = text

    def _part_added(self, part: object) -> Iterator[str]:
        self._open_part({})
        if not isinstance(part, dict) or part.get("type") not in PARTS:
            yield f"carries the part {part!r}"
            return
        self._open_part(part)
        if part.get(PARTS[part["type"]][0]) != "":
            yield "the part opens with its text already told"
        yield from self._part_lists(part)

    def _part_lists(self, part: Json) -> Iterator[str]:
        if part["type"] == "output_text":
            yield from self._logprobs(part)
            if not isinstance(part.get("annotations"), list):
                yield f"annotations is {part.get('annotations')!r}, not a list"

    def _part_done(self, name: str, part: object) -> Iterator[str]:
        if not isinstance(part, dict) or part.get("type") not in PARTS or part["type"] != self._part.get("type"):
            yield f"carries the part {part!r}, the added one was of type {self._part.get('type')}"
            return
        if part.get(PARTS[part["type"]][0]) != self._text:
            yield "the part's text is not the one told before"
        yield from self._part_lists(part)
        if part["type"] == "output_text" and part.get("annotations") != self._annotations:
            yield "the part's annotations are not those told before"
        if part["type"] == "output_text" and _tokens(part.get("logprobs")) != self._logprob_tokens:
            yield "the part's logprobs are not those told before"
        self._told.setdefault("summary" if part["type"] == "summary_text" else "content", []).append(part)

    def _shell_output_delta(self, delta: object) -> Iterator[str]:
        if not isinstance(delta, dict) or not delta.keys() & {"stdout", "stderr"}:
            yield f"delta is {delta!r}"
            return
        for key in ("stdout", "stderr"):
            self._output[key] += delta.get(key) or ""

    def _shell_output_done(self, output: object) -> Iterator[str]:
        if not isinstance(output, list):
            yield f"output is {output!r}"
            return
        for key, told in self._output.items():
            if "".join(str(at(entry, (key,)) or "") for entry in output) != told:
                yield f"{key} is not the concatenation of its deltas"
        self._output.clear()
        self._told.setdefault("shell_call_output_content", []).extend(output)
