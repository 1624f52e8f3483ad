"""A plain OpenAI-shaped server: it says what was recorded, and knows of the Responses API only the paths.

It is not ours in any part: what works here works against any server that speaks the API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.answers import Answer, error_answer, json_answer, stream
from tests.support.response_events import sse_of
from tests.support.upstream import FakeUpstream, Request

Json = dict[str, Any]

ID = "resp_recorded"
TEXT = "Größe: 3 µm."


def response(status: str, *, background: bool = False, text: str | None = None, **fields: Any) -> Json:
    """A small Response; `text` is all of its output."""
    output = [] if text is None else [message(text, "completed")]
    made = {"id": ID, "object": "response", "created_at": 1, "status": status, "model": "m", "output": output}
    return {**made, "background": background, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], **fields}


def message(text: str | None, status: str) -> Json:
    """A message with one part, or with none."""
    content = [] if text is None else [part(text)]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content}


def part(text: str) -> Json:
    """A part of text."""
    return {"type": "output_text", "text": text, "annotations": []}


def recording(text: str = TEXT, *, background: bool = False, size: int = 4, model: str = "m") -> list[Json]:
    """All events of an answer, in numbered order."""
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }
    deltas = [text[at : at + size] for at in range(0, len(text), size)]
    told = {"background": background, "model": model}
    events: list[Json] = [
        {"type": "response.created", "response": response("in_progress", **told)},
        {"type": "response.in_progress", "response": response("in_progress", **told)},
        {"type": "response.output_item.added", "output_index": 0, "item": message(None, "in_progress")},
        {"type": "response.content_part.added", **place, "part": part("")},
        *({"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []} for delta in deltas),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": message(text, "completed")},
        {"type": "response.completed", "response": response("completed", text=text, usage=usage, **told)},
    ]
    return numbered(events)


def numbered(events: Iterable[Json]) -> list[Json]:
    """The events with their numbers."""
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def failed(code: str | None = "server_error", *, before: Sequence[Json] = ()) -> list[Json]:
    """The events of an answer that fails."""
    error = None if code is None else {"code": code, "message": "It went wrong."}
    begun = list(before) or recording()[:2]
    return [
        *begun,
        {"type": "response.failed", "response": response("failed", error=error), "sequence_number": len(begun)},
    ]


Change = Callable[[Answer, int], Answer]


class Recorded(FakeUpstream):
    """Serves one recording. `change` may spoil each streamed answer; it gets the answer and how many came before."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Json] | None = None
        self.change: Change = lambda answer, _: answer
        self.streams = 0
        self.cancelled: list[str] = []
        self.handler = self.answer

    def answer(self, request: Request) -> Answer:
        """What is said to one request."""
        split = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        match request.method, split.path.split("/")[2:]:
            case "POST", ["responses"]:
                return self._create(request.json())
            case "GET", ["responses", _] if query.get("stream") == "true":
                return self._stream(self._all(background=True), int(query.get("starting_after", -1)))
            case "GET", ["responses", _]:
                return json_answer(self._all(background=True)[-1]["response"])
            case "POST", ["responses", response_id, "cancel"]:
                self.cancelled.append(response_id)
                return json_answer(response("cancelled", background=True))
        return error_answer(404, "There is nothing here.", type="invalid_request_error", code="unknown_url")

    def _create(self, body: Json) -> Answer:
        if body["model"] == "nobody":
            kind = {"type": "invalid_request_error", "param": "model", "code": "model_not_found"}
            return error_answer(400, "The model 'nobody' does not exist.", **kind)
        events = self._all(background=bool(body.get("background")), model=body["model"])
        return self._stream(events, -1) if body.get("stream") else json_answer(events[-1]["response"])

    def _all(self, **told: Any) -> list[Json]:
        return recording(**told) if self.events is None else self.events

    def _stream(self, events: list[Json], after: int) -> Answer:
        self.streams += 1
        rest = [event for event in events if event["sequence_number"] > after]
        return self.change(stream(sse_of(rest)), self.streams - 1)

    def spoil_first(self, change: Callable[[Answer], Answer]) -> None:
        """Spoil the next streamed answer, and none after it."""
        self.streams = 0
        self.change = lambda answer, before: change(answer) if before == 0 else answer

    def asked(self, part: str) -> list[Request]:
        """The requests whose target has something in it."""
        return [request for request in self.requests if part in request.target]


def bodies(requests: Iterable[Request]) -> list[Json]:
    """What was posted."""
    return [json.loads(request.body) for request in requests if request.body]
