"""Whatever a model may say, as hypothesis strategies: every kind of item, several at a time, broken off anywhere.

A *thread* is what is said of one item; a turn is threads woven into each other. What the deltas of a thread leave out
is said by the whole item at its end, or never: then the end of the turn closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Key,
    Noted,
    Opaque,
    PartStarted,
    Progress,
    Reasoning,
    Refusal,
    Settled,
    Summary,
    Text,
    Usage,
)
from antiphon.wire import content, items, response
from antiphon.wire.struct import UNSET
from antiphon.wire.struct import Opaque as OpaqueItem
from tests.wire.strategies import JSON

Draw = Callable[[st.SearchStrategy[Any]], Any]

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
PIECES = st.lists(WORDS, max_size=4)
NAMES = st.text("abcxyz_", min_size=1, max_size=8)
EVENT_NAMES = NAMES | st.sampled_from(["naïve", "two\nlines", ""])
OBJECTS = st.dictionaries(NAMES, JSON, max_size=2)
REASONS = st.sampled_from(["max_output_tokens", "max_messages", "content_filter", "steered"])
ANNOTATIONS = st.sampled_from(
    [
        content.UrlCitation(start_index=0, end_index=3, title="Fox", url="https://example.com/fox"),
        content.FileCitation(file_id="file_1", filename="fox.txt", index=3),
        content.ContainerFileCitation(
            container_id="cntr_1", file_id="cfile_1", filename="fox.png", start_index=0, end_index=3
        ),
        content.FilePath(file_id="file_2", index=0),
    ]
)
LOGPROBS = st.none() | st.lists(
    st.builds(
        lambda token, likely: content.Logprob(
            token=token,
            logprob=-0.25,
            bytes=list(token.encode()),
            top_logprobs=[
                content.TopLogprob(token=other, logprob=-1.5, bytes=list(other.encode())) for other in likely
            ],
        ),
        WORDS,
        st.lists(WORDS, max_size=1),
    ),
    max_size=2,
)
FIGURES = st.builds(
    lambda inward, outward, cached, reasoned: response.Usage(
        input_tokens=inward,
        input_tokens_details=response.InputTokensDetails(cached_tokens=cached),
        output_tokens=outward,
        output_tokens_details=response.OutputTokensDetails(reasoning_tokens=reasoned),
        total_tokens=inward + outward,
    ),
    *[st.integers(0, 1000)] * 4,
)


@dataclass
class Told:
    """One item: how it begins, the deltas that tell all of it (under any key), and how its source has it at the end."""

    start: Any
    deltas: Callable[[Key], list[Delta]]
    whole: Any


@dataclass
class Story:
    """A whole response: what is said in each turn, and whether it was asked for in the background."""

    turns: list[list[Delta]] = field(default_factory=list)
    background: bool = False

    @property
    def deltas(self) -> list[Delta]:
        return [delta for turn in self.turns for delta in turn]


# Parts


@dataclass
class Part:
    """A content part: its kind, its words, and for text what goes with them."""

    kind: Any
    words: list[tuple[str, Any]]
    annotations: list[Any]

    def deltas(self, key: Key | None) -> list[Delta]:
        said = [_word(self.kind, text, tokens, key) for text, tokens in self.words]
        return [PartStarted(self.kind, key), *said, *(Annotated(annotation, key) for annotation in self.annotations)]

    def whole(self) -> Any:
        text = "".join(word for word, _ in self.words)
        match self.kind:
            case "output_text":
                tokens = [entry for _, entries in self.words for entry in entries or ()]
                return content.OutputText(text=text, annotations=self.annotations, logprobs=tokens)
            case "refusal":
                return content.Refusal(refusal=text)
            case "reasoning_text":
                return content.ReasoningText(text=text)
            case _:
                return content.SummaryText(text=text)


def _word(kind: str, text: str, tokens: Any, key: Key | None) -> Delta:
    match kind:
        case "output_text":
            return Text(text, key, tokens)
        case "refusal":
            return Refusal(text, key)
        case "reasoning_text":
            return Reasoning(text, key)
        case _:
            return Summary(text, key)


def parts(*kinds: str) -> st.SearchStrategy[list[Part]]:
    def part(kind: str) -> st.SearchStrategy[Part]:
        is_text = kind == "output_text"
        words = st.tuples(WORDS, LOGPROBS if is_text else st.none())
        annotations = st.lists(ANNOTATIONS, max_size=2) if is_text else st.just([])
        return st.builds(Part, st.just(kind), st.lists(words, max_size=3), annotations)

    return st.lists(st.sampled_from(kinds).flatmap(part), max_size=3)


# Items, kind by kind


def _of_parts(told: Sequence[Part]) -> Callable[[Key], list[Delta]]:
    return lambda key: [delta for part in told for delta in part.deltas(key)]


@st.composite
def message(draw: Draw) -> Told:
    told = draw(parts("output_text", "refusal"))
    phase = draw(st.sampled_from([UNSET, "commentary", "final_answer"]))
    start = items.Message(role="assistant", status="in_progress", content=[], phase=phase)
    status = draw(st.sampled_from(["completed", "incomplete"]))
    whole = msgspec.structs.replace(start, status=status, content=[part.whole() for part in told])
    return Told(start, _of_parts(told), whole)


@st.composite
def reasoning(draw: Draw) -> Told:
    told = draw(parts("summary_text", "reasoning_text"))
    started, ended = draw(st.sampled_from([("in_progress", "completed"), (UNSET, UNSET)]))
    start = items.Reasoning(summary=[], status=started)
    summary = [part.whole() for part in told if part.kind == "summary_text"]
    thoughts = [part.whole() for part in told if part.kind == "reasoning_text"]
    sealed = draw(st.sampled_from([UNSET, None, "c2VjcmV0"]))
    whole = items.Reasoning(summary=summary, content=thoughts or UNSET, encrypted_content=sealed, status=ended)
    return Told(start, _of_parts(told), whole)


def _written(pieces: Sequence[str], *then: Callable[[Key], Delta]) -> Callable[[Key], list[Delta]]:
    return lambda key: [*(Arguments(key, piece) for piece in pieces), *(step(key) for step in then)]


def _steps(*steps: str, **fields: Any) -> list[Callable[[Key], Delta]]:
    return [lambda key, step=step: Progress(key, step, dict(fields)) for step in steps]


@st.composite
def function_call(draw: Draw) -> Told:
    pieces = draw(PIECES)
    namespace = draw(st.sampled_from([UNSET, "zoo"]))
    start = items.FunctionCall(call_id="call_1", name="feed", arguments="", namespace=namespace, status="in_progress")
    status = draw(st.sampled_from(["completed", "incomplete"]))
    return Told(start, _written(pieces), msgspec.structs.replace(start, arguments="".join(pieces), status=status))


@st.composite
def custom_tool_call(draw: Draw) -> Told:
    pieces = draw(PIECES)
    start = items.CustomToolCall(call_id="call_1", name="sql", input="", status="in_progress")
    return Told(start, _written(pieces), msgspec.structs.replace(start, input="".join(pieces), status="completed"))


@st.composite
def mcp_call(draw: Draw) -> Told:
    pieces = draw(PIECES)
    start = items.McpCall(server_label="zoo", name="feed", arguments="", output=None, error=None, status="in_progress")
    ending = draw(
        st.sampled_from(
            [
                {"status": "completed", "output": "fed"},
                {"status": "failed", "error": {"type": "http_error", "code": 502, "message": "Bad gateway"}},
                {"status": "incomplete"},
            ]
        )
    )
    step = ending["status"] if draw(st.booleans()) and ending["status"] != "incomplete" else "calling"
    whole = msgspec.structs.replace(start, arguments="".join(pieces), **ending)
    return Told(start, _written(pieces, *_steps(step)), whole)


@st.composite
def code_interpreter_call(draw: Draw) -> Told:
    pieces = draw(PIECES)
    start = items.CodeInterpreterCall(container_id="cntr_1", code="", outputs=None, status="in_progress")
    steps = draw(st.sampled_from([(), ("interpreting",), ("interpreting", "interpreting"), ("completed",)]))
    outputs = draw(st.none() | st.just([items.OutputLogs(logs="fox\n"), items.OutputImage(url="https://example.com")]))
    status = "completed" if "completed" in steps else draw(st.sampled_from(["completed", "failed", "incomplete"]))
    whole = msgspec.structs.replace(start, code="".join(pieces), outputs=outputs, status=status)
    return Told(start, _written(pieces, *_steps(*steps)), whole)


@st.composite
def file_search_call(draw: Draw) -> Told:
    start = items.FileSearchCall(queries=[], results=None, status="in_progress")
    found = items.FileSearchResult(file_id="file_1", filename="fox.txt", score=0.5, text="A fox.", attributes={})
    results = draw(st.sampled_from([None, [], [found]]))
    status = draw(st.sampled_from(["completed", "failed", "incomplete"]))
    whole = items.FileSearchCall(queries=["foxes"], results=results, status=status)
    return Told(start, _written((), *_steps(*draw(st.lists(st.just("searching"), max_size=2)))), whole)


@st.composite
def web_search_call(draw: Draw) -> Told:
    start = items.WebSearchCall(status="in_progress")
    sources = draw(st.sampled_from([UNSET, [{"type": "url", "url": "https://example.com"}]]))
    actions = [
        items.Search(query="foxes", sources=sources),
        items.OpenPage(url="https://example.com"),
        items.FindInPage(pattern="fox", url="https://example.com"),
    ]
    status = draw(st.sampled_from(["completed", "failed"]))
    whole = items.WebSearchCall(action=draw(st.sampled_from(actions)), status=status)
    return Told(start, _written((), *_steps(*draw(st.lists(st.just("searching"), max_size=2)))), whole)


@st.composite
def image_generation_call(draw: Draw) -> Told:
    start = items.ImageGenerationCall(status="in_progress", result=None)
    previews = draw(st.lists(WORDS, max_size=2))
    steps = [step for preview in previews for step in _steps("partial_image", partial_image_b64=preview)]
    steps += _steps(*draw(st.lists(st.just("generating"), max_size=1)))
    ending = draw(st.sampled_from([{"status": "completed", "result": "Zm94"}, {"status": "failed"}]))
    whole = items.ImageGenerationCall(**ending)
    return Told(start, _written((), *draw(st.permutations(steps))), whole)


@st.composite
def mcp_list_tools(draw: Draw) -> Told:
    start = items.McpListTools(server_label="zoo", tools=[])
    tool = items.McpListedTool(name="feed", input_schema={"type": "object"}, description="Feeds.")
    whole = draw(
        st.sampled_from(
            [
                items.McpListTools(server_label="zoo", tools=[tool]),
                items.McpListTools(server_label="zoo", tools=[], error="no route to the zoo"),
            ]
        )
    )
    step = "failed" if whole.error else "completed"
    return Told(start, _written((), *_steps(*draw(st.sampled_from([(), (step,)])))), whole)


@st.composite
def shell_call(draw: Draw) -> Told:
    commands = draw(st.lists(PIECES, max_size=3))
    start = items.ShellCall(
        call_id="call_1", action=items.ShellAction(commands=[]), environment=None, status="in_progress"
    )
    limit = draw(st.sampled_from([UNSET, None, 1000]))
    action = items.ShellAction(commands=["".join(pieces) for pieces in commands], timeout_ms=limit)
    whole = msgspec.structs.replace(start, action=action, status="completed")

    def deltas(key: Key) -> list[Delta]:
        pieces = [(index, piece) for index, told in enumerate(commands) for piece in ("", *told)]
        return [Command(key, index, piece) for index, piece in pieces]

    return Told(start, deltas, whole)


@st.composite
def shell_call_output(draw: Draw) -> Told:
    ends = st.sampled_from([items.Exit(exit_code=0), items.Exit(exit_code=1), items.Timeout()])
    printed = draw(st.lists(st.tuples(PIECES, PIECES, ends), max_size=2))
    outputs = [
        items.ShellOutput(stdout="".join(out), stderr="".join(err), outcome=outcome) for out, err, outcome in printed
    ]
    start = items.ShellCallOutput(call_id="call_1", output=[], max_output_length=None, status="in_progress")
    whole = msgspec.structs.replace(start, output=outputs, status="completed")

    def deltas(key: Key) -> list[Delta]:
        told: list[Delta] = []
        for index, (out, err, _) in enumerate(printed):
            told += [CommandOutput(key, index, stdout=piece) for piece in out]
            told += [CommandOutput(key, index, stderr=piece) for piece in err]
            told.append(CommandOutput(key, index, output=[outputs[index]]))
        return told

    return Told(start, deltas, whole)


@st.composite
def apply_patch_call(draw: Draw) -> Told:
    pieces = draw(PIECES)
    kind = draw(st.sampled_from([items.CreateFile, items.UpdateFile, items.DeleteFile]))
    empty, full = ({}, {}) if kind is items.DeleteFile else ({"diff": ""}, {"diff": "".join(pieces)})
    start = items.ApplyPatchCall(call_id="call_1", operation=kind(path="fox.txt", **empty), status="in_progress")
    whole = msgspec.structs.replace(start, operation=kind(path="fox.txt", **full), status="completed")
    return Told(start, _written(pieces if full else ()), whole)


@st.composite
def compaction(draw: Draw) -> Told:
    steps = _steps(*draw(st.sampled_from([(), ("compacting",)])))
    whole = items.Compaction(encrypted_content="c2VjcmV0")
    return Told(items.Compaction(encrypted_content="c2Vj"), _written((), *steps), whole)


SILENT: list[Any] = [
    items.McpApprovalRequest(server_label="zoo", name="feed", arguments="{}"),
    items.McpApprovalResponse(approval_request_id="mcpr_1", approve=True),
    items.LocalShellCall(call_id="c", action=items.LocalShellAction(command=["ls"]), status="completed"),
    items.LocalShellCallOutput(output="fox", status="completed"),
    items.ComputerCall(call_id="c", actions=[{"type": "screenshot"}], status="completed"),
    items.ComputerCallOutput(
        call_id="c", output=content.ComputerScreenshot(image_url="data:image/png;base64,aGk="), status="completed"
    ),
    items.ApplyPatchCallOutput(call_id="c", status="failed", output="no such file"),
    items.ToolSearchCall(call_id=None, arguments={}, execution="server", status="completed"),
    items.ToolSearchOutput(call_id=None, tools=[], execution="server", status="completed"),
    items.Program(call_id="c", code="feed(fox)", fingerprint="f"),
    items.ProgramOutput(call_id="c", result="fed", status="completed"),
    items.AdditionalTools(role="developer", tools=[]),
    items.FunctionCallOutput(call_id="c", output="fed", status="completed"),
    items.CustomToolCallOutput(call_id="c", output="fed", status="completed"),
]
"""Items of which nothing is told between their beginning and their end."""


def silent() -> st.SearchStrategy[Told]:
    return st.sampled_from(SILENT).map(lambda item: Told(item, lambda _: [], item))


@st.composite
def opaque(draw: Draw) -> Told:
    """An item of a kind that only its source understands, and events of its own."""
    fields = {**draw(OBJECTS), **draw(st.sampled_from([{}, {"status": "in_progress"}]))}
    fields.pop("id", None)
    kind = f"x:{draw(NAMES)}"
    events = draw(st.lists(OBJECTS, max_size=3))
    names = [f"response.{kind}.{draw(EVENT_NAMES)}" for _ in events]
    status = {"status": "completed"} if "status" in fields else {}
    told = [{**event, "type": name} for event, name in zip(events, names, strict=True)]
    start, whole = ({"type": kind, **fields}, {"type": kind, **fields, **status, "result": draw(JSON)})
    return Told(OpaqueItem(start), lambda key: [Opaque(key, event) for event in told], OpaqueItem(whole))


KINDS: dict[str, st.SearchStrategy[Told]] = {
    "message": message(),
    "reasoning": reasoning(),
    "function_call": function_call(),
    "custom_tool_call": custom_tool_call(),
    "mcp_call": mcp_call(),
    "code_interpreter_call": code_interpreter_call(),
    "file_search_call": file_search_call(),
    "web_search_call": web_search_call(),
    "image_generation_call": image_generation_call(),
    "mcp_list_tools": mcp_list_tools(),
    "shell_call": shell_call(),
    "shell_call_output": shell_call_output(),
    "apply_patch_call": apply_patch_call(),
    "compaction": compaction(),
    "silent": silent(),
    "opaque": opaque(),
}
ITEMS = st.one_of(KINDS.values())


WITH_RESULTS = (items.McpCall, items.CodeInterpreterCall, items.ImageGenerationCall)
"""Kinds whose whole form holds what no item can begin with."""


# Threads, turns and stories


def _own(item: Any, key: Key, **fields: Any) -> Any:
    """The item with a call_id that no other has, if its kind has one, and with other fields."""
    if isinstance(item, OpaqueItem):
        return OpaqueItem(item.fields | fields)
    if isinstance(getattr(item, "call_id", None), str):
        fields["call_id"] = f"call_{key}"
    return msgspec.structs.replace(item, **fields)


@st.composite
def keyed(draw: Draw, key: Key) -> list[Delta]:
    """An item under a key: told to the end, broken off and said whole, given whole at its start, or left open."""
    told = draw(ITEMS)
    named = draw(st.sampled_from([{}, {"id": f"item_{key}"}, {"id": "item_of_all"}]))
    start, whole = (_own(item, key, **named) for item in (told.start, told.whole))
    deltas = told.deltas(key)
    some = draw(st.integers(0, len(deltas)))
    match draw(st.sampled_from(["said", "broken off", "given", "left"])):
        case "given" if not isinstance(whole, WITH_RESULTS):
            return [ItemStarted(key, whole), ItemDone(key)]
        case "said" | "given":
            return [ItemStarted(key, start), *deltas, ItemDone(key)]
        case "broken off":
            return [ItemStarted(key, start), *deltas[:some], ItemDone(key, whole)]
        case _:
            return [ItemStarted(key, start), *deltas[:some]]


def unkeyed() -> st.SearchStrategy[list[Delta]]:
    """Words that belong to whatever message or reasoning is being said."""
    words = st.one_of(
        st.builds(Text, WORDS, st.none(), LOGPROBS),
        st.builds(Refusal, WORDS),
        st.builds(Reasoning, WORDS),
        st.builds(Summary, WORDS),
        st.builds(Annotated, ANNOTATIONS),
        st.builds(PartStarted, st.sampled_from(["output_text", "refusal", "reasoning_text", "summary_text"])),
    )
    return st.lists(words, max_size=6)


def asides() -> st.SearchStrategy[list[Delta]]:
    """What is said about the turn, not in it."""
    return st.lists(
        st.one_of(
            st.builds(Usage, FIGURES),
            st.just(Settled({"service_tier": "flex"})),
            st.just(Noted({"model": "upstream"})),
        ),
        max_size=2,
    )


@st.composite
def woven(draw: Draw, threads: Sequence[list[Delta]]) -> list[Delta]:
    """The threads in one, each in its own order."""
    order = draw(st.permutations([number for number, thread in enumerate(threads) for _ in thread]))
    left = [iter(thread) for thread in threads]
    return [next(left[number]) for number in order]


@st.composite
def turns(draw: Draw, number: int = 0, *, is_last: bool = True) -> list[Delta]:
    """A turn, with its end. What cuts a turn cuts something in it."""
    count = draw(st.integers(0, 3))
    threads = [draw(keyed(f"{number}.{index}")) for index in range(count)]
    said = draw(woven([*threads, draw(unkeyed()), draw(asides())]))
    reason = draw(st.none() | REASONS) if is_last else None
    return [*said, *([Text(draw(WORDS))] if reason else []), Finished(reason)]


@st.composite
def stories(draw: Draw) -> Story:
    """One or two turns: the first may be the call of a hosted tool, after which the model is asked again."""
    count = draw(st.integers(1, 2))
    told = [draw(turns(number, is_last=number == count - 1)) for number in range(count)]
    return Story(told, draw(st.booleans()))
