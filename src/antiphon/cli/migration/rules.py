"""Looks through a syntax tree for what `tables` names, and says where it stands."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from antiphon.cli.migration import tables
from antiphon.wire.spellings import ALIASES

__all__ = ["Finding", "read"]


class Finding(NamedTuple):
    """One place that is to change. Lines and columns count from 1."""

    line: int
    column: int
    kind: str
    """`call`, `parameter`, `result`, `message`, `tool`, `event`, `text`, `import` or `await`."""
    found: str
    change: str


def read(source: str | bytes) -> list[Finding]:
    """What is to change in a program. Raises SyntaxError or ValueError for what is no Python."""
    found: set[Finding] = set()
    told: set[ast.expr] = set()
    with warnings.catch_warnings(action="ignore"):  # odd escapes are not what is looked for
        tree = ast.parse(source)
    for node in ast.walk(tree):  # what is outside comes before what is inside
        if node in told:
            continue
        news = list(_rules(node))
        found.update(news)
        if news and isinstance(node, ast.Attribute | ast.Subscript):
            told.update(_links(node))
    return sorted(found)


def _rules(node: ast.AST) -> Iterator[Finding]:
    """What is to change at one node."""
    match node:
        case ast.Call():
            yield from _call(node)
        case ast.Attribute():
            yield from _result(node)
        case ast.Subscript():
            yield from _choice(node)
        case ast.Dict():
            yield from _object(node)
        case ast.Constant(value=str(text)):
            yield from _text(node, text)
        case ast.If():
            yield from _event(node)
        case ast.ImportFrom(module=str(module)) if module.startswith("openai.types.chat"):
            yield _at(node, "import", f"from {module}", tables.TYPES)
        case ast.AsyncFunctionDef():
            yield from _not_awaited(node)


def _at(node: ast.AST, kind: str, found: str, change: str, *, end: bool = False) -> Finding:
    """A finding at the start of a node; or, for a chain of attributes over several lines, where it ends."""
    place = ("end_lineno", "end_col_offset") if end else ("lineno", "col_offset")
    line, column = (getattr(node, name) for name in place)
    return Finding(line, column + (0 if end else 1), kind, found, change)


# Calls


def _call(call: ast.Call) -> Iterator[Finding]:
    chain = _chain(call.func)
    match chain:
        case [*_, "chat", "completions", method]:
            yield from _chat_call(call, method)
        case [*_, "chat", "completions", "messages", "list"]:
            yield _at(
                call.func, "call", "chat.completions.messages.list", "client.responses.input_items.list(…)", end=True
            )
        case [*_, "ChatCompletion", "create" | "acreate" as method]:
            yield _at(call.func, "call", f"openai.ChatCompletion.{method}", tables.MODULE_CALLS, end=True)
            yield from _parameters(call)
        case [*_, "responses", "create" | "parse" | "stream"]:
            yield from _parameters(call)


def _chat_call(call: ast.Call, method: str) -> Iterator[Finding]:
    change = tables.CALLS.get(method) or tables.STORED.get(method)
    if change is None:
        return
    yield _at(call.func, "call", f"chat.completions.{method}", change, end=True)
    if method not in tables.CALLS:
        return
    yield from _parameters(call)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "store" not in given and None not in given:
        yield _at(call.func, "parameter", "no store", tables.NOT_STORED, end=True)
    if _is_true(given.get("stream")):
        yield _at(given["stream"], "result", "stream=True", tables.STREAMED)


def _parameters(call: ast.Call) -> Iterator[Finding]:
    for keyword in call.keywords:
        change = tables.PARAMETERS.get(keyword.arg or "")
        if change is not None:
            yield _at(keyword, "parameter", f"{keyword.arg}=", change)


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _chain(node: ast.expr) -> list[str]:
    """The names of a chain of attributes: of `self.client.chat` it is `self`, `client`, `chat`."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(node.id)
    return names[::-1]


# Results


def _result(node: ast.Attribute) -> Iterator[Finding]:
    """What is read of a completion: the longest chain behind `choices[0]`, and figures of usage."""
    path = _behind_choice(node)
    if path is not None:
        yield _told(node, path)
    elif node.attr in tables.USAGE and _last(node.value) == "usage":
        yield _at(node, "result", f"usage.{node.attr}", f"usage.{tables.USAGE[node.attr]}", end=True)


def _choice(node: ast.Subscript) -> Iterator[Finding]:
    """`choices[0]` by itself, and answers that are read as objects: `["choices"][0]["message"]["content"]`."""
    path = _behind_choice(node)
    if path is not None:
        yield _told(node, path)


def _told(node: ast.expr, path: Sequence[str]) -> Finding:
    known = ".".join(path)
    return _at(node, "result", "choices[…]" + (f".{known}" if known else ""), tables.RESULTS[known], end=True)


def _behind_choice(node: ast.expr) -> list[str] | None:
    """The names behind `choices[…]` of a chain, as far as the table knows them; None if this is no such chain."""
    names: list[str] = []
    while (step := _step(node)) is not None:
        name, node = step
        names.append(name)
    is_choice = isinstance(node, ast.Subscript) and _last(node.value) == "choices"
    path = names[::-1]
    return path if is_choice and ".".join(path) in tables.RESULTS else None


def _links(node: ast.expr) -> Iterator[ast.expr]:
    """The shorter chains inside a chain."""
    while (step := _step(node)) is not None:
        node = step[1]
        yield node


def _step(node: ast.expr) -> tuple[str, ast.expr] | None:
    """The last name of a chain, and what it is read of: an attribute, or a key that is written out."""
    match node:
        case ast.Attribute(value=value, attr=name):
            return name, value
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            return name, value
    return None


def _last(node: ast.expr) -> str | None:
    step = _step(node)
    if step is not None:
        return step[0]
    return node.id if isinstance(node, ast.Name) else None


# Objects


def _object(node: ast.Dict) -> Iterator[Finding]:
    fields = _fields(node)
    kind, role = _words(fields.get("type")), _words(fields.get("role"))
    for (type_, inner), change in tables.FLAT.items():
        if kind == type_ and inner in fields:
            yield _at(node, "tool", f'{{"type": "{type_}", "{inner}": …}}', change)
    if role is not None:
        yield from _message(node, role, fields)


def _message(node: ast.Dict, role: str, fields: Mapping[str, ast.expr]) -> Iterator[Finding]:
    if role in tables.MESSAGES and fields.keys() & {"tool_call_id", "name"}:
        yield _at(node, "message", f'{{"role": "{role}", …}}', tables.MESSAGES[role])
    if "tool_calls" in fields or "function_call" in fields:
        yield _at(node, "message", f'{{"role": "{role}", "tool_calls": …}}', tables.MESSAGES["tool_calls"])
    content = fields.get("content")
    for part in content.elts if isinstance(content, ast.List | ast.Tuple) else ():
        kind = _words(_fields(part).get("type"))
        change = tables.PARTS.get(kind or "")
        if change is not None:
            yield _at(part, "message", f'{{"type": "{kind}", …}}', change)


def _fields(node: ast.expr) -> dict[str, ast.expr]:
    """The fields of a literal object whose names are written out."""
    pairs = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
    return {name: value for key, value in pairs if key is not None and (name := _words(key)) is not None}


def _words(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


# Texts and events


def _text(node: ast.Constant, text: str) -> Iterator[Finding]:
    if text in ALIASES:
        yield _at(node, "event", text, ALIASES[text])
    elif text in tables.TEXTS:
        yield _at(node, "text", text, tables.TEXTS[text])
    elif text.rstrip("/").endswith("/chat/completions") and not text.strip().count(" "):
        yield _at(node, "text", "/chat/completions", tables.ENDPOINT)


def _event(node: ast.If) -> Iterator[Finding]:
    """Fields that an event does not have, read where its type is known."""
    match node.test:
        case ast.Compare(
            left=ast.Attribute(value=ast.Name(id=event), attr="type"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=str(kind))],
        ):
            kind = ALIASES.get(kind, kind)
            for inner in _walk(node.body):
                match inner:
                    case ast.Attribute(value=ast.Name(id=name), attr=field) if name == event:
                        change = tables.EVENT_FIELDS.get((kind, field))
                        if change is not None:
                            yield _at(inner, "event", f"{event}.{field}", change)


def _walk(body: Iterable[ast.stmt]) -> Iterator[ast.AST]:
    for statement in body:
        yield from ast.walk(statement)


_CREATED: Final = (["responses", "create"], ["completions", "create"])


def _not_awaited(node: ast.AsyncFunctionDef) -> Iterator[Finding]:
    """An `async for` over what a call gave that was not awaited."""
    streams = {
        target.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Call)
        for target in inner.targets
        if isinstance(target, ast.Name) and _chain(inner.value.func)[-2:] in _CREATED
    }
    for inner in ast.walk(node):
        match inner:
            case ast.AsyncFor(iter=ast.Name(id=name)) if name in streams:
                yield _at(inner, "await", f"async for … in {name}", tables.NOT_AWAITED)
