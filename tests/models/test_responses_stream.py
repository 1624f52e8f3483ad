"""A Responses stream re-told: what the upstream says comes out of our machine, in the grammar, with our ids."""

import json
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine.ids import output_ids
from antiphon.models.responses_ids import ours
from antiphon.models.responses_stream import ResponseReader
from antiphon.models.upstream_errors import error_in_stream
from antiphon.turn import settings
from antiphon.turn.deltas import Delta, Finished, ItemDone, ItemStarted, Noted, Progress, Settled, Text
from antiphon.turn.machine import Machine
from antiphon.wire.errors import (
    APIError,
    InvalidRequest,
    QuotaExceeded,
    RateLimited,
    ServerOverloaded,
    Unavailable,
    UpstreamMalformed,
    UpstreamTimeout,
)
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import ReasoningConfig, ResponseError, Usage
from antiphon.wire.sse import SSESplitter
from antiphon.wire.struct import encode
from tests.support import response_events as told
from tests.support.grammar import check
from tests.support.sdk_oracle import validate_event

RESPONSE_ID = f"resp_{'0' * 40}"

RESULT = {"file_id": "file_1", "filename": "a.md", "score": 0.5, "text": "A passage.", "attributes": {}}
FAILED_CALL = {"type": "mcp_tool_execution_error", "content": []}
KINDS = {
    "reasoning": told.reasoning(
        "First I think.", "Then again.", text=("In my own words.",), encrypted_content="gAAAAB"
    ),
    "message": told.message(
        told.output_text("The fox jumps.", annotations=[told.url_citation(), told.url_citation(start=4, end=7)]),
        told.refusal("That is all."),
        "And more.",
        phase="final_answer",
    ),
    "logprobs": told.message(told.output_text("Very likely so.", logprobs=True)),
    "function_call": told.function_call("f", '{"city": "Paris"}', call_id="call_f", namespace="weather"),
    "custom_tool_call": told.custom_tool_call("c", "free text here", call_id="call_c"),
    "web_search_call": told.web_search_call("fox"),
    "file_search_call": told.file_search_call("fox", results=[RESULT]),
    "code_interpreter_call": told.code_interpreter_call("print(1 + 2)", outputs=[{"type": "logs", "logs": "3"}]),
    "image_generation_call": told.image_generation_call("aGk=", partial=["YQ==", "Yg=="]),
    "mcp_list_tools": told.mcp_list_tools("deploys", "list", "start"),
    "mcp_list_tools_failed": told.mcp_list_tools("deploys", error="unreachable"),
    "mcp_call": told.mcp_call("start", '{"name": "web"}'),
    "mcp_call_failed": told.mcp_call("start", '{"name": "web"}', error=FAILED_CALL),
    "shell_call": told.shell_call("ls -la now", "pwd", call_id="call_s"),
    "shell_call_output": told.shell_call_output("a b c", "d", call_id="call_s"),
    "apply_patch_call": told.apply_patch_call("a.py", "+ one\n- two\n", call_id="call_p"),
    "delete_file": told.apply_patch_call("b.py", None, call_id="call_d"),
    "compaction": told.compaction("gAAAAB"),
    "mcp_approval_request": told.mcp_approval_request("start", "{}"),
    "local_shell_call": told.local_shell_call("ls", "-la"),
    "computer_call": told.computer_call({"type": "screenshot"}),
    "sparkle_call": told.opaque("sparkle_call", "twinkling", "shining", level=3),
}


@dataclass
class Retold:
    """What came out of the machine, and of the reader before it."""

    events: list
    deltas: list[Delta]
    reader: ResponseReader

    @property
    def response(self):
        return self.events[-1]["response"]

    @property
    def output(self):
        """The items, without their ids."""
        return [{name: value for name, value in item.items() if name != "id"} for item in self.response["output"]]

    @property
    def text(self):
        return "".join(delta.text for delta in self.deltas if isinstance(delta, Text))

    def types(self):
        return [event["type"].removeprefix("response.") for event in self.events]


def retell(reads, *, asked=frozenset()):
    """Have the machine tell what comes in these network reads."""
    reader = ResponseReader(fault=error_in_stream, asked=asked)
    splitter = SSESplitter()
    request = CreateResponse(input="Hi")
    machine = Machine(output_ids(RESPONSE_ID))
    events = machine.create(settings.opened(request, response_id=RESPONSE_ID, model="ours", created_at=1))
    events += machine.begin()
    deltas = []
    for chunk in [*reads, None]:
        if reader.over:
            break
        batch = reader.feed(splitter.feed(chunk) if chunk is not None else splitter.close())
        deltas += batch
        events += machine.feed(batch)
    if reader.ended:
        last = reader.finish(reader.usage or Usage())
        deltas += last
        events += machine.feed(last) + machine.finish(2)
    else:
        events += machine.fail(ResponseError(code="server_error", message="cut"))
    return Retold([json.loads(encode(event)) for event in events], deltas, reader)


def retell_events(events, **options):
    return retell(told.sse_of(events), **options)


def plain(item):
    """An item without nulls, and without what the API leaves open."""
    return {name: value for name, value in item.items() if value is not None}


# Every kind


@pytest.mark.parametrize("name", KINDS)
def test_an_item_of_any_kind_is_told_as_the_upstream_told_it(name):
    events = told.response_events(KINDS[name])
    retold = retell_events(events)
    check(retold.events)
    assert [plain(item) for item in retold.output] == [plain(KINDS[name].done)]
    assert retold.types() == [event["type"].removeprefix("response.") for event in events]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("sparkle_call", "logprobs")])
def test_what_is_told_are_events_of_the_official_sdk(name):
    for event in retell_events(told.response_events(KINDS[name])).events:
        if not event["type"].startswith("response.apply_patch_call_operation_diff"):
            assert validate_event(event) == []


@pytest.mark.parametrize("interleaved", [False, True])
def test_items_of_all_kinds_are_told_one_after_the_other_and_side_by_side(interleaved):
    items = list(KINDS.values())
    retold = retell_events(told.response_events(*items, interleaved=interleaved))
    check(retold.events)
    assert [plain(item) for item in retold.output] == [plain(item.done) for item in items]


def test_ids_are_ours_and_carry_the_upstreams():
    retold = retell_events(told.response_events(told.message("Hi").named("msg_68af")))
    assert retold.response["id"] == RESPONSE_ID
    assert [item["id"] for item in retold.response["output"]] == [ours("msg_68af")]


def test_events_of_an_unknown_kind_keep_what_they_hold_and_get_our_numbers():
    events = told.response_events(told.message("Hi"), KINDS["sparkle_call"].named("sp_1"))
    sparkles = [event for event in retell_events(events).events if "sparkle_call." in event["type"]]
    assert [event.pop("sequence_number") for event in sparkles] == [9, 10]
    assert sparkles == [
        {"type": f"response.sparkle_call.{step}", "step": step, "output_index": 1, "item_id": ours("sp_1")}
        for step in ("twinkling", "shining")
    ]


def test_an_unknown_event_of_no_item_and_of_a_known_one_is_not_told():
    events = told.response_events(told.message("Hi"))
    strange = [{"type": "response.rate_limits"}, {"type": "response.message.sparkle", "output_index": 0}]
    retold = retell_events([*events[:4], *strange, *events[4:]])
    assert retold.types() == [event["type"].removeprefix("response.") for event in events]


@given(st.lists(st.sampled_from(list(KINDS.values())), max_size=4), st.booleans(), st.data())
def test_the_answer_does_not_depend_on_how_the_stream_was_cut(items, interleaved, data):
    stream = b"".join(told.responses_stream(*items, interleaved=interleaved))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)) | {0, len(stream)})
    reads = [stream[start:end] for start, end in pairwise(cuts)]
    assert retell(reads).events == retell([stream]).events


# The response as a whole


def test_usage_settings_and_names_come_with_the_end():
    usage = {"input_tokens": 10, "output_tokens": 5, "output_tokens_details": None, "total_tokens": None}
    retold = retell_events(
        told.response_events(
            told.message("Hi"),
            usage=usage,
            service_tier="flex",
            temperature=0.7,
            top_p=0.5,
            reasoning={"effort": "medium", "summary": None},
            tool_usage={"web_search": {"num_requests": 1}},
            moderation=None,
        ),
        asked={"temperature"},
    )
    (settled,) = (delta.fields for delta in retold.deltas if isinstance(delta, Settled))
    assert settled["service_tier"] == "flex"
    assert settled["top_p"] == 0.5
    assert settled["reasoning"] == ReasoningConfig(effort="medium")
    assert settled["tool_usage"] == {"web_search": {"num_requests": 1}}
    assert not {"temperature", "moderation"} & set(settled)
    assert retold.response["usage"]["total_tokens"] == 15
    assert retold.response["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert retold.response["model"] == "ours"
    assert [delta.fact for delta in retold.deltas if isinstance(delta, Noted)] == [
        {"upstream_response_id": "resp_upstream", "model": "upstream-model"}
    ]


def test_a_setting_that_cannot_be_read_does_not_spoil_the_others():
    retold = retell_events(told.response_events(reasoning={"effort": "sparkling"}, service_tier="flex"))
    (settled,) = (delta.fields for delta in retold.deltas if isinstance(delta, Settled))
    assert settled["service_tier"] == "flex"
    assert "reasoning" not in settled


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("content_filter", "content_filter"),
        ("max_messages", "max_messages"),
        ("steered", "steered"),
        ("max_tokens", "max_output_tokens"),
    ],
)
def test_a_response_that_was_cut_says_why(reason, expected):
    retold = retell_events(told.response_events(told.message("Hi there").cut(3), end="incomplete", reason=reason))
    check(retold.events)
    assert retold.deltas[-1] == Finished(expected)
    assert retold.response["incomplete_details"] == {"reason": expected}


def test_an_end_that_says_completed_of_a_response_that_is_incomplete_is_incomplete():
    events = told.response_events(told.message("Hi"))
    events[-1]["response"] |= {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    assert retell_events(events).deltas[-1] == Finished("content_filter")


def test_nothing_after_the_end_counts():
    events = told.response_events(told.message("Hi"))
    assert retell_events([*events, *events]).events == retell_events(events).events


# Failures


def failure_of(*events):
    reader = retell_events([*told.response_events(told.message("Hi"))[:5], *events]).reader
    assert isinstance(reader.failure, APIError)
    return reader.failure


def failed(**error):
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", Unavailable),
        ("sparkle", Unavailable),
        ("server_is_overloaded", ServerOverloaded),
        ("rate_limit_exceeded", RateLimited),
        ("insufficient_quota", QuotaExceeded),
        ("context_length_exceeded", InvalidRequest),
        ("invalid_prompt", InvalidRequest),
        ("image_too_large", InvalidRequest),
        ("bio_policy", InvalidRequest),
        ("vector_store_timeout", UpstreamTimeout),
        ("invalid_api_key", UpstreamMalformed),
    ],
)
def test_a_failed_response_raises_what_its_error_means(code, kind):
    error = {"code": code, "message": "It went wrong."}
    for event in (failed(**error), {"type": "error", **error}, {"type": "error", "error": {"type": "x", **error}}):
        raised = failure_of(event)
        assert type(raised) is kind
        if kind is InvalidRequest:
            assert (raised.code, raised.message) == (code, "It went wrong.")


def test_an_error_names_its_param():
    assert failure_of({"type": "error", "code": "invalid_value", "message": "No.", "param": "input"}).param == "input"


@pytest.mark.parametrize(("hint", "seconds"), [("11.054s", 11.054), ("20ms", 0.02), ("3 s", 3.0), ("later", None)])
def test_how_long_to_wait_is_read_from_the_message(hint, seconds):
    message = f"Rate limit reached. Please try again in {hint}."
    assert failure_of(failed(code="rate_limit_exceeded", message=message)).retry_after == seconds


def test_a_cancelled_response_is_a_failure():
    cancelled = {"type": "response.cancelled", "response": {"status": "cancelled", "error": None}}
    assert isinstance(failure_of(cancelled), UpstreamMalformed)


def test_an_error_object_without_a_type_is_a_failure():
    retold = retell([*told.responses_stream(told.message("Hi"))[:6], b'data: {"error": {"code": "slow_down"}}\n\n'])
    assert isinstance(retold.reader.failure, RateLimited)


def test_what_was_said_before_a_failure_in_the_same_read_is_told():
    chunks = told.responses_stream(told.message("Hello there"), end="failed")
    retold = retell([b"".join(chunks)])
    assert retold.text == "Hello there"
    assert isinstance(retold.reader.failure, Unavailable)


def test_the_usage_of_a_failed_response_is_known():
    events = told.response_events(told.message("Hi"), end="failed", usage=told.USAGE)
    usage = retell_events(events).reader.usage
    assert usage is not None
    assert usage.output_tokens == 23


@pytest.mark.parametrize("data", [b"{", b"[]", b'"x"', b"NaN", b'{"choices": []}', b'{"type": "response.completed"}'])
def test_what_is_no_event_is_malformed(data):
    reader = retell([*told.responses_stream(told.message("Hi"))[:3], b"data: " + data + b"\n\n"]).reader
    assert isinstance(reader.failure, UpstreamMalformed)


def test_keepalives_and_markers_say_nothing():
    chunks = told.responses_stream(told.message("Hi"))
    extra = [
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":0}\n\n',
        b"data: [DONE]\n\n",
        b": ping\n\n",
    ]
    mixed = [part for chunk in chunks for part in (*extra, chunk)]
    assert retell(mixed).events == retell(chunks).events


def test_a_stream_without_names_of_events_is_read_by_their_types():
    chunks = [chunk.split(b"\n", 1)[1] for chunk in told.responses_stream(*KINDS.values())]
    assert retell(chunks).events == retell(told.responses_stream(*KINDS.values())).events


# What an upstream leaves out or does twice


def dropped(events, *parts):
    return [event for event in events if not any(part in event["type"] for part in parts)]


def unnumbered(events):
    return [{name: value for name, value in event.items() if name != "sequence_number"} for event in events]


def in_any_order(items):
    """Items that are opened late have later places."""
    return sorted((plain(item) for item in items), key=lambda item: json.dumps(item, sort_keys=True))


LEFT_OUT = [
    (".delta",),
    (".done",),
    ("output_item.done",),
    ("output_item.added",),
    ("content_part.added",),
    ("part.added", "part.done"),
    ("part.done", "text.done", "refusal.done"),
    ("output_text", "refusal", "summary", "reasoning_text", "content_part"),
    ("output_item.added", "output_item.done"),
    ("in_progress", "searching", "generating", "interpreting", "compacting"),
    ("annotation",),
    ("arguments", "code", "input"),
    ("command", "output_content", "diff"),
]


@pytest.mark.parametrize("parts", LEFT_OUT, ids=lambda parts: "+".join(parts))
@pytest.mark.parametrize("interleaved", [False, True])
def test_what_an_upstream_leaves_out_is_made_up_for(parts, interleaved):
    kinds = [item for name, item in KINDS.items() if name not in ("logprobs", "shell_call_output")]
    events = dropped(told.response_events(*kinds, interleaved=interleaved), *parts)
    retold = retell_events(unnumbered(events))
    check(retold.events)
    assert in_any_order(retold.output) == in_any_order(item.done for item in kinds)


@pytest.mark.parametrize("name", KINDS)
def test_an_event_that_is_sent_twice_is_told_once(name):
    events = told.response_events(KINDS[name])
    expected = retell_events(events).events
    for index in range(len(events)):
        assert retell_events([*events[: index + 1], *events[index:]]).events == expected


def test_a_read_that_comes_twice_is_told_once():
    chunks = told.responses_stream(told.message("The quick brown fox jumps over it."))
    middle = b"".join(chunks[4:9])
    once = retell([*chunks[:4], middle, *chunks[9:]])
    assert retell([*chunks[:4], middle, middle, *chunks[9:]]).events == once.events
    assert retell([*chunks[:4], middle + middle, *chunks[9:]]).events == once.events


def test_words_that_repeat_are_not_taken_for_an_event_sent_twice():
    events = told.response_events(told.message("no no"))
    same = [{**event, "sequence_number": 0} | ({"delta": "no"} if "delta" in event else {}) for event in events]
    assert retell_events(same).text == "nono"


def test_an_upstream_that_counts_in_its_own_way_is_heard():
    events = [
        {**event, "sequence_number": index % 3}
        for index, event in enumerate(told.response_events(told.message("A b c d")))
    ]
    assert retell_events(events).text == "A b c d"


def test_a_text_that_ends_with_more_than_was_said_is_told_to_its_end():
    events = told.response_events(told.message("The quick brown fox."))
    deltas = [index for index, event in enumerate(events) if event["type"].endswith("text.delta")]
    retold = retell_events(unnumbered(event for index, event in enumerate(events) if index not in deltas[-2:]))
    check(retold.events)
    assert retold.text == "The quick brown fox."


def test_a_text_that_ends_with_something_else_stays_as_it_was_said():
    events = told.response_events(told.message("The quick brown fox."))
    retold = retell_events(unnumbered(event for index, event in enumerate(events) if index != 5))
    check(retold.events)
    assert retold.text == "The brown fox."
    assert retold.output[0]["content"][0]["text"] == "The brown fox."


def test_an_item_that_opens_with_all_that_is_in_it_is_told_once():
    events = told.response_events(KINDS["function_call"])
    events[2]["item"]["arguments"] = KINDS["function_call"].done["arguments"]
    assert retell_events(events).events == retell_events(told.response_events(KINDS["function_call"])).events


def test_arguments_that_began_before_their_call_are_told_whole_at_their_end():
    events = told.response_events(KINDS["function_call"])
    added = events.pop(2)
    retold = retell_events(unnumbered([*events[:3], added, *events[3:]]))
    check(retold.events)
    assert [plain(item) for item in retold.output] == [plain(KINDS["function_call"].done)]


def test_ids_that_change_with_each_event_are_those_of_the_beginning():
    events = told.response_events(told.message("Hi there"), KINDS["function_call"])
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"other_{number}"
        if event["type"].endswith("item.done"):
            event["item"]["id"] = f"other_{number}"
    retold = retell_events(events)
    check(retold.events)
    assert [item["id"] for item in retold.response["output"]] == [ours("item_0"), ours("item_1")]


def test_a_call_keeps_the_names_by_which_it_was_opened():
    events = told.response_events(KINDS["function_call"])
    events[-2]["item"] |= {"call_id": "call_other", "name": "g"}
    item = retell_events(events).output[0]
    assert (item["call_id"], item["name"]) == ("call_f", "f")


def test_two_items_with_one_index_are_two_items():
    events = told.response_events(told.message("Hi there"), KINDS["function_call"])
    for event in events:
        if "output_index" in event:
            event["output_index"] = 0
    retold = retell_events(events)
    check(retold.events)
    assert [item["type"] for item in retold.output] == ["message", "function_call"]


def test_events_without_an_index_belong_to_their_item():
    items = [KINDS["reasoning"], told.message("Hi there"), KINDS["function_call"]]
    events = told.response_events(*items)
    without = [{name: value for name, value in event.items() if name != "output_index"} for event in events]
    assert retell_events(without).events == retell_events(events).events


def test_two_items_with_one_id_get_two():
    events = told.response_events(told.message("One").named("msg_1"), told.message("Two").named("msg_1"))
    retold = retell_events(events)
    check(retold.events)
    first, second = (item["id"] for item in retold.response["output"])
    assert first == ours("msg_1")
    assert second.startswith("msg_")
    assert second != first


def test_messages_of_the_input_in_the_output_are_no_answer():
    user = {"id": "msg_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    events = told.response_events(told.message("Hello"))
    output = [{"type": f"response.output_item.{step}", "output_index": 1, "item": user} for step in ("added", "done")]
    retold = retell_events(unnumbered([*events[:2], *output, *events[2:]]))
    check(retold.events)
    assert [item["role"] for item in retold.output] == ["assistant"]


def test_a_huge_index_costs_nothing():
    events = told.response_events(KINDS["shell_call"])
    for event in events:
        if "command_index" in event:
            event["command_index"] += 10**12
    retold = retell_events(events)
    check(retold.events)
    assert retold.output[0]["action"]["commands"] == ["ls -la now", "pwd"]


@pytest.mark.parametrize(("name", "early", "late"), [
    ("image_generation_call", "generating", "partial_image"),
    ("image_generation_call", "partial_image", "completed"),
    ("web_search_call", "searching", "completed"),
    ("code_interpreter_call", "interpreting", "completed"),
])  # fmt: skip
def test_a_step_that_comes_after_a_later_one_is_not_told(name, early, late):
    events = told.response_events(KINDS[name])
    first = next(event for event in events if event["type"].endswith(f".{early}"))
    events.remove(first)
    after = max(index for index, event in enumerate(events) if event["type"].endswith(f"_call.{late}"))
    retold = retell_events(unnumbered([*events[: after + 1], first, *events[after + 1 :]]))
    check(retold.events)


def test_code_is_told_to_run_when_it_runs_not_when_it_is_done():
    retold = retell_events(told.response_events(KINDS["code_interpreter_call"]))
    steps = [getattr(delta, "step", "done") for delta in retold.deltas if isinstance(delta, Progress | ItemDone)]
    assert steps == ["interpreting", "completed", "done"]


def test_a_shell_command_without_words_is_told_before_the_next():
    item = told.shell_call("", "pwd", call_id="call_s")
    retold = retell_events(told.response_events(item))
    check(retold.events)
    assert retold.output[0]["action"]["commands"] == ["", "pwd"]


def test_an_output_that_ends_with_other_words_than_were_printed_keeps_those():
    events = told.response_events(told.shell_call_output("a b c", call_id="call_s"))
    retold = retell_events(unnumbered(event for index, event in enumerate(events) if index != 4))
    check(retold.events)
    assert retold.output[0]["output"][0]["stdout"] == "a c"


DISTURBED = st.sampled_from(["drop", "twice", "swap"])


@given(st.lists(st.sampled_from(list(KINDS)), max_size=3, unique=True), st.booleans(), st.data())
def test_whatever_an_upstream_does_to_its_events_the_grammar_holds(names, interleaved, data):
    events = told.response_events(*(KINDS[name] for name in names), interleaved=interleaved)
    if data.draw(st.booleans()):
        events = unnumbered(events)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(events) - 2))
        match data.draw(DISTURBED):
            case "drop":
                del events[at]
            case "twice":
                events.insert(at, events[at])
            case "swap":
                events[at], events[at + 1] = events[at + 1], events[at]
        if len(events) < 2:
            break
    check(retell_events(events).events)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3), st.just([]), st.just({})
)


def disturb(value, data):
    """Change or remove something inside a JSON value."""
    if isinstance(value, list) and value:
        disturb(value[data.draw(st.integers(0, len(value) - 1))], data)
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        if isinstance(value[name], dict | list) and value[name] and data.draw(st.booleans()):
            disturb(value[name], data)
        elif data.draw(st.booleans()):
            value[name] = data.draw(JUNK)
        else:
            del value[name]


@given(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=2, unique=True), st.data())
def test_nonsense_in_an_event_is_told_or_is_a_failure_but_never_a_crash(names, data):
    events = told.response_events(*(KINDS[name] for name in names))
    types = [event["type"] for event in events]
    for _ in range(data.draw(st.integers(1, 3))):
        disturb(events[data.draw(st.integers(0, len(events) - 1))], data)
    retold = retell_events([{**event, "type": kind} for event, kind in zip(events, types, strict=True)])
    terminal = {"failed"} if retold.reader.failure is not None else {"completed", "incomplete"}
    assert retold.types()[-1] in terminal


# One JSON body


def test_a_response_in_one_json_body_is_told_as_if_it_had_been_streamed():
    items = list(KINDS.values())
    reader = ResponseReader(fault=error_in_stream)
    deltas = reader.whole(json.dumps(told.responses_json(*items)).encode())
    assert reader.ended
    machine = Machine(output_ids(RESPONSE_ID))
    request = CreateResponse(input="Hi")
    events = machine.create(settings.opened(request, response_id=RESPONSE_ID, model="ours", created_at=1))
    events += machine.begin() + machine.feed(deltas) + machine.feed(reader.finish(reader.usage)) + machine.finish(2)
    retold = [json.loads(encode(event)) for event in events]
    check(retold)
    output = [plain({**item, "id": None}) for item in retold[-1]["response"]["output"]]
    assert output == [plain(item.done) for item in items]


def test_an_incomplete_response_in_one_json_body_is_incomplete():
    reader = ResponseReader(fault=error_in_stream)
    deltas = reader.whole(json.dumps(told.responses_json(told.message("Hi"), end="incomplete")).encode())
    assert [type(delta) for delta in deltas] == [Noted, ItemStarted, ItemDone]
    assert reader.finish(reader.usage)[-1] == Finished("max_output_tokens")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (told.responses_json(end="failed"), Unavailable),
        ({"error": {"code": "rate_limit_exceeded", "message": "Slow down."}}, RateLimited),
        ({"error": "text"}, Unavailable),
        ({**told.responses_json(), "status": "queued"}, UpstreamMalformed),
        ({"choices": []}, UpstreamMalformed),
        ([], UpstreamMalformed),
    ],
)
def test_a_json_body_that_is_no_finished_response_is_a_failure(body, kind):
    reader = ResponseReader(fault=error_in_stream)
    assert all(isinstance(delta, Noted) for delta in reader.whole(json.dumps(body).encode()))
    assert type(reader.failure) is kind


# What is counted where the upstream does not


def test_words_and_thoughts_are_kept_for_counting():
    items = [KINDS["reasoning"], told.message("Hello there.", "And more."), KINDS["function_call"]]
    for events in (told.response_events(*items), dropped(told.response_events(*items), "delta", "part", "text")):
        reader = retell_events(unnumbered(events)).reader
        thoughts = "".join(reader.thoughts)
        assert all(thought in thoughts for thought in ("First I think.", "Then again.", "In my own words."))
        assert "".join(reader.words) == 'Hello there.And more.{"city": "Paris"}'
