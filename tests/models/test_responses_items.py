"""Items between us and a Responses upstream: read leniently, sent back with the upstream's own ids."""

import json

import pytest

from antiphon.models.responses_ids import ours, theirs
from antiphon.models.responses_items import Reach, annotation, begun, received, sendable
from antiphon.wire import items as wire
from antiphon.wire.content import InputText, OutputText, ReasoningText, SummaryText, UrlCitation
from antiphon.wire.items import decode_item
from antiphon.wire.struct import UNSET, Opaque, encode, type_of
from tests.support import response_events as told

MARK = "k3xq"
REACH = Reach(mark=MARK)
FOREIGN = "zzzz"
REFUSAL = {"type": "refusal", "refusal": "No."}

KINDS = [
    told.reasoning("Thinking."),
    told.message("Hello."),
    told.function_call("f", "{}"),
    told.custom_tool_call("c", "text"),
    told.web_search_call("q"),
    told.file_search_call("q"),
    told.code_interpreter_call("1 + 1"),
    told.image_generation_call("aGk="),
    told.mcp_list_tools("deploys", "a"),
    told.mcp_call("a", "{}"),
    told.shell_call("ls"),
    told.shell_call_output("a"),
    told.apply_patch_call("a.py", "+ x"),
    told.apply_patch_call("a.py", None),
    told.compaction("gAAA"),
    told.mcp_approval_request("a", "{}"),
    told.local_shell_call("ls"),
    told.computer_call({"type": "screenshot"}),
    told.opaque("sparkle_call", level=3),
]
NAMES = [each.done["type"] for each in KINDS]


def receive(**fields):
    return received(json.dumps(fields).encode(), MARK)


def send(item, **reach):
    """What is sent of one item, as JSON; None if it is left out."""
    sent = sendable([item], Reach(mark=MARK, **reach))
    return json.loads(encode(sent[0])) if sent else None


# From the upstream


@pytest.mark.parametrize("item", KINDS, ids=NAMES)
def test_an_item_of_any_kind_is_received_with_our_id_and_all_that_it_holds(item):
    sent = {"id": "abc_1", **item.done}
    got = json.loads(encode(receive(**sent)))
    assert got.pop("id") == ours("abc_1", MARK)
    assert {name: value for name, value in got.items() if value is not None} == {
        name: value for name, value in item.done.items() if value is not None
    }


@pytest.mark.parametrize("item", KINDS[:-1], ids=NAMES[:-1])
def test_an_item_begins_without_what_events_will_tell_of_it(item):
    started = json.loads(encode(begun(receive(id="abc_1", **item.done))))
    expected = {"id": ours("abc_1", MARK), **item.added}
    for name in set(started) & set(expected) - {"encrypted_content"}:
        assert started[name] == expected[name], name


def test_an_approval_that_a_call_names_has_our_id_too():
    call = receive(**{**told.mcp_call("a", "{}").done, "id": "mcp_1", "approval_request_id": "mcpr_1"})
    assert call.approval_request_id == ours("mcpr_1", MARK)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"type": "message", "id": "m_1"}, {"role": "assistant", "content": []}),
        ({"type": "message", "role": "assistant", "content": None}, {"content": []}),
        (
            {"type": "message", "role": "assistant", "content": [{"type": "sparkle"}, REFUSAL]},
            {"content": [REFUSAL]},
        ),
        ({"type": "function_call", "id": "f_1", "name": "f"}, {"call_id": "f_1", "arguments": ""}),
        (
            {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}", "status": "done"},
            {"arguments": "{}"},
        ),
        ({"type": "reasoning", "summary": None}, {"summary": []}),
        ({"type": "mcp_list_tools", "server_label": "s", "tools": None}, {"tools": []}),
        ({"type": "shell_call", "call_id": "c"}, {"action": {"commands": []}}),
    ],
)
def test_an_item_that_lacks_what_it_should_have_is_received_as_it_is_meant(sent, expected):
    got = json.loads(encode(receive(**sent)))
    assert {name: got[name] for name in expected} == expected


def test_a_text_with_an_annotation_that_nobody_knows_keeps_the_text():
    part = {"type": "output_text", "text": "Hello.", "annotations": [{"type": "sparkle"}]}
    assert receive(type="message", role="assistant", content=[part]).content == [OutputText(text="Hello.")]


def test_an_item_of_a_known_kind_that_no_event_tells_is_kept_as_it_came_if_it_cannot_be_read():
    got = receive(type="web_search_call", id="ws_1", action={"type": "sparkle"})
    assert got == Opaque({"type": "web_search_call", "id": ours("ws_1", MARK), "action": {"type": "sparkle"}})


@pytest.mark.parametrize("sent", [{"type": "function_call", "name": 1}, {"level": 3}])
def test_an_item_whose_insides_cannot_be_told_is_none(sent):
    assert receive(**sent) is None


def test_an_annotation_is_typed_if_it_is_known_and_kept_if_it_is_not():
    assert annotation(told.url_citation()) == UrlCitation(
        start_index=0, end_index=3, title="Fox", url="https://example.com/fox"
    )
    assert annotation({"type": "sparkle"}) == {"type": "sparkle"}


# To the upstream


@pytest.mark.parametrize("item", KINDS, ids=NAMES)
def test_an_item_goes_back_as_it_came_with_the_id_that_the_upstream_gave(item):
    own = {"id": "abc_1", **item.done}
    if own["type"] == "reasoning":
        own["encrypted_content"] = "gAAA"
    back = send(receive(**own))
    assert {name: value for name, value in back.items() if value is not None} == {
        name: value for name, value in own.items() if value is not None
    }


@pytest.mark.parametrize("item", KINDS, ids=NAMES)
def test_an_id_that_the_upstream_did_not_give_is_left_out_unless_the_kind_needs_one(item):
    our_id = "abc_0123"
    item = decode_item({"id": our_id, **item.done})
    if type_of(item) == "reasoning":
        item.encrypted_content = "gAAA"
    needed = {
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_list_tools"),
        *("mcp_call", "mcp_approval_request", "local_shell_call", "computer_call"),
    }
    assert send(item).get("id") == (our_id if type_of(item) in needed else None)


def test_a_message_without_an_id_of_the_upstreams_has_no_status():
    user = wire.Message(id="msg_1", role="user", status="completed", content=[InputText(text="Hi")])
    assert send(user) == {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}],
    }


def test_the_phase_of_a_message_is_sent_back():
    assert send(receive(id="msg_1", **told.message("Hi", phase="commentary").done))["phase"] == "commentary"


def test_what_only_output_has_is_not_sent():
    output = wire.FunctionCallOutput(id="fco_1", call_id="c", output="1", status="completed", created_by="me")
    assert send(output) == {"type": "function_call_output", "call_id": "c", "output": "1", "status": "completed"}
    custom = wire.CustomToolCallOutput(call_id="c", output="1", status="completed")
    assert "status" not in send(custom)


def test_an_approval_names_the_request_as_the_upstream_does():
    answer = wire.McpApprovalResponse(id="item_1", approval_request_id=ours("mcpr_1", MARK), approve=True)
    assert send(answer) == {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    assert (
        send(wire.McpApprovalResponse(approval_request_id="mcpr_own", approve=False))["approval_request_id"]
        == "mcpr_own"
    )


def test_a_reference_is_never_sent():
    assert send(wire.ItemReference(id=ours("msg_1", MARK))) is None


def reasoning(own="rs_1", *, mark=MARK, encrypted=None, text=None):
    return wire.Reasoning(
        id=ours(own, mark) if own else UNSET,
        summary=[SummaryText(text="In short.")],
        content=[ReasoningText(text=text)] if text else UNSET,
        encrypted_content=encrypted or UNSET,
    )


def test_encrypted_reasoning_goes_back_with_its_id_and_without_its_words():
    assert send(reasoning(encrypted="gAAA", text="words")) == {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "In short."}],
        "encrypted_content": "gAAA",
    }


def test_encrypted_reasoning_whose_id_a_client_dropped_goes_back_without():
    sent = send(reasoning(own=None, encrypted="gAAA"))
    assert sent["encrypted_content"] == "gAAA"
    assert "id" not in sent


def test_reasoning_that_another_upstream_encrypted_is_left_out():
    assert send(reasoning(mark=FOREIGN, encrypted="gAAA")) is None


def test_reasoning_that_another_upstream_encrypted_goes_on_in_plain_words_if_it_has_some():
    item = reasoning(mark=FOREIGN, encrypted="gAAA", text="words")
    sent = send(item)
    assert sent["content"] == [{"type": "reasoning_text", "text": "words"}]
    assert "encrypted_content" not in sent
    assert theirs(sent["id"], FOREIGN) == "rs_1"


def test_reasoning_in_plain_words_goes_to_an_upstream_that_reads_it():
    assert send(reasoning(text="words"))["content"] == [{"type": "reasoning_text", "text": "words"}]
    assert send(reasoning(text="words"), reads_reasoning=False) is None


def test_an_upstream_that_stores_finds_its_reasoning_by_id():
    sent = send(reasoning(text="words"), stores=True)
    assert (sent["id"], "content" in sent) == ("rs_1", False)
    assert send(reasoning(mark=FOREIGN), stores=True) is None


def test_reasoning_of_which_nothing_can_be_read_is_left_out():
    assert send(reasoning()) is None
    assert send(reasoning(encrypted="gAAA"), unseals=False) is None


def test_ids_of_the_items_after_reasoning_that_is_left_out_are_left_out_until_somebody_else_speaks():
    def call():
        return wire.FunctionCall(id=ours("fc_1", MARK), call_id="c", name="f", arguments="{}")

    output = wire.FunctionCallOutput(call_id="c", output="1")
    sent = sendable([call(), reasoning(), call(), output, call()], REACH)
    assert [each.id or None for each in sent] == ["fc_1", None, None, "fc_1"]
