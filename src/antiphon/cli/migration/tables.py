"""What becomes what on the way from Chat Completions to Responses. docs/migration.md has a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NONE: Final = "has no counterpart in the Responses API"

CALLS: Final[Mapping[str, str]] = {
    "create": "client.responses.create(…)",
    "parse": "client.responses.parse(…)",
    "stream": "client.responses.stream(…)",
}
"""Methods of `chat.completions`."""

STORED: Final[Mapping[str, str]] = {
    "retrieve": "client.responses.retrieve(…)",
    "delete": "client.responses.delete(…)",
    "list": "there is no list of responses: keep their ids",
    "update": "the metadata of a response do not change",
}
"""Methods of `chat.completions` for what is stored."""

PARAMETERS: Final[Mapping[str, str]] = {
    "messages": "input=…",
    "max_tokens": "max_output_tokens=…, 16 at least; reasoning counts",
    "max_completion_tokens": "max_output_tokens=…, 16 at least",
    "response_format": 'text={"format": …}; in parse() text_format=…',
    "reasoning_effort": 'reasoning={"effort": …}',
    "verbosity": 'text={"verbosity": …}',
    "functions": 'tools=[{"type": "function", "name": …, "parameters": …, "strict": False}]',
    "function_call": 'tool_choice=…: "none", "auto" or {"type": "function", "name": …}',
    "logprobs": 'include=["message.output_text.logprobs"]',
    "stream_options": "leave include_usage out: the usage is in response.completed",
    "web_search_options": 'tools=[{"type": "web_search", …}]',
    "n": f"{NONE}: send the request several times",
    "seed": NONE,
    "stop": NONE,
    "logit_bias": NONE,
    "presence_penalty": NONE,
    "frequency_penalty": NONE,
    "prediction": NONE,
    "audio": NONE,
    "modalities": NONE,
}
"""Parameters of `chat.completions.create` that `responses.create` does not have."""

NOT_STORED: Final = "store=False, to keep that nothing is stored: responses are stored unless the request says no"
STREAMED: Final = "events instead of chunks: if event.type == …"

RESULTS: Final[Mapping[str, str]] = {
    "message.content": "response.output_text",
    "message.refusal": "the part of type refusal in response.output",
    "message.parsed": "response.output_parsed",
    "message.tool_calls": "the items of type function_call in response.output: name, arguments, call_id",
    "message.function_call": "the item of type function_call in response.output",
    "message.annotations": "the annotations of the parts of response.output",
    "message.role": '"assistant"',
    "message": "response.output: put its items into the next input, or send previous_response_id=response.id",
    "delta.content": 'event.delta, if event.type == "response.output_text.delta"',
    "delta.refusal": 'event.delta, if event.type == "response.refusal.delta"',
    "delta.tool_calls": 'event.delta, if event.type == "response.function_call_arguments.delta"; '
    'whole calls come with "response.output_item.done"',
    "delta.function_call": 'event.delta, if event.type == "response.function_call_arguments.delta"',
    "delta.role": 'nothing: the role is in the item of "response.output_item.added"',
    "delta": 'event.delta, if event.type == "response.output_text.delta"',
    "finish_reason": "response.status, and response.incomplete_details.reason",
    "logprobs": "the logprobs of the parts of response.output",
    "": "response.output: there is one answer",
}
"""What stands behind `choices[0]`."""

USAGE: Final[Mapping[str, str]] = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "prompt_tokens_details": "input_tokens_details",
    "completion_tokens_details": "output_tokens_details",
}
"""What stands behind `usage`."""

PARTS: Final[Mapping[str, str]] = {
    "text": '{"type": "input_text", "text": …}, of the assistant "output_text"',
    "image_url": '{"type": "input_image", "image_url": "https://…"}: the URL itself',
    "file": '{"type": "input_file", "file_data": …, "filename": …}: without "file" around it',
    "input_audio": NONE,
}
"""Parts of a message."""

MESSAGES: Final[Mapping[str, str]] = {
    "tool": '{"type": "function_call_output", "call_id": …, "output": …}',
    "function": '{"type": "function_call_output", "call_id": …, "output": …}',
    "tool_calls": '{"type": "function_call", "call_id": …, "name": …, "arguments": …} for each call',
}
"""Messages that are items of another kind: by role, and those with calls."""

FLAT: Final[Mapping[tuple[str, str], str]] = {
    ("function", "function"): '{"type": "function", "name": …, "parameters": …, "strict": …}: without "function" '
    "around it; strict is true unless it is said",
    ("custom", "custom"): '{"type": "custom", "name": …}: without "custom" around it',
    ("json_schema", "json_schema"): '{"type": "json_schema", "name": …, "schema": …}: without "json_schema" around it',
    ("allowed_tools", "allowed_tools"): '{"type": "allowed_tools", "mode": …, "tools": …}: without "allowed_tools" '
    "around it",
}
"""Objects whose fields move up: type and the key that goes."""

EVENT_FIELDS: Final[Mapping[tuple[str, str], str]] = {
    ("response.failed", "error"): "event.response.error",
    ("error", "error"): "event.message, event.code and event.param",
    ("response.file_search_call.in_progress", "query"): "the queries of the item in response.output_item.done",
    ("response.file_search_call.searching", "query"): "the queries of the item in response.output_item.done",
    ("response.file_search_call.completed", "results"): "the results of the item in response.output_item.done, "
    'with include=["file_search_call.results"]',
    ("response.code_interpreter_call.in_progress", "code"): "event.delta of response.code_interpreter_call_code.delta",
    ("response.code_interpreter_call.interpreting", "code"): "event.code of response.code_interpreter_call_code.done",
}
"""Fields that events do not have, by the type of the event: what to read in their place."""

TEXTS: Final[Mapping[str, str]] = {
    "OPENAI_PROJECT_KEY": "OPENAI_API_KEY: no SDK reads OPENAI_PROJECT_KEY",
}
"""Other texts that mean nothing."""

NOT_AWAITED: Final = "await client.responses.create(…) of an AsyncOpenAI: the stream of OpenAI is read by a plain for"
MODULE_CALLS: Final = "client = openai.OpenAI(); client.responses.create(…)"
TYPES: Final = "the types in openai.types.responses"
ENDPOINT: Final = "/responses"
