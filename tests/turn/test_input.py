"""What a request and its history become before a model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.input import CLIENT_CALLS, assemble, effective, is_half_a_call, references, resolve
from antiphon.wire.content import InputImage, InputText, OutputText
from antiphon.wire.errors import InvalidRequest, NotFound
from antiphon.wire.items import Item, ItemReference, Message, decode_item
from antiphon.wire.struct import Opaque, encode
from tests.turn.telling import Ids


def own(*given: Any) -> list[Item]:
    """Items as a client writes them, decoded and settled."""
    return effective([decode_item(encode(item), f"input[{index}]") for index, item in enumerate(given)], Ids())


# What a client may leave out


def test_a_string_is_one_message_of_the_user() -> None:
    assert effective("Hi", Ids()) == [
        Message(id="msg_1", role="user", status="completed", content=[InputText(text="Hi")])
    ]


@pytest.mark.parametrize(
    ("role", "part"),
    [("user", InputText), ("system", InputText), ("developer", InputText), ("assistant", OutputText)],
)
def test_the_text_of_an_easy_message_becomes_a_part_of_its_role(role: Any, part: Any) -> None:
    (item,) = own({"role": role, "content": "Hi"})
    assert item == Message(id="msg_1", role=role, status="completed", content=[part(text="Hi")])


def test_a_message_of_parts_is_kept_as_it_is() -> None:
    parts = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://example.com/fox.png"},
    ]
    (item,) = own({"type": "message", "role": "user", "content": parts})
    assert item.content == [InputText(text="Look"), InputImage(image_url="https://example.com/fox.png")]


def test_ids_statuses_and_phases_that_are_given_are_kept() -> None:
    given = {"id": "msg_theirs", "role": "assistant", "content": "Hi", "status": "incomplete", "phase": "commentary"}
    (item,) = own(given)
    assert (item.id, item.status, item.phase) == ("msg_theirs", "incomplete", "commentary")


def test_an_item_without_an_id_gets_one_of_its_kind() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "feed", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "fed"}
    assert [item.id for item in own({"role": "user", "content": "Hi"}, call, output)] == ["msg_1", "fc_2", "item_3"]


def test_an_unknown_item_is_kept_as_it_came() -> None:
    assert own({"type": "x:dance", "steps": 3}) == [Opaque({"type": "x:dance", "steps": 3})]


# References

STORED = Message(id="msg_stored", role="assistant", status="completed", content=[OutputText(text="Hi")])


def test_a_reference_becomes_the_item_it_stands_for() -> None:
    given = own({"role": "user", "content": "And?"}, {"type": "item_reference", "id": "msg_stored"})
    assert references(given) == ["msg_stored"]
    assert resolve(given, {"msg_stored": STORED})[1] is STORED


def test_a_reference_to_nothing_is_not_found() -> None:
    with pytest.raises(NotFound, match="Item with id 'msg_none' not found") as caught:
        resolve([ItemReference(id="msg_none")], {})
    assert (caught.value.param, caught.value.status) == ("input", 404)


def test_items_that_are_no_references_are_left_alone() -> None:
    given = own({"role": "user", "content": "Hi"})
    assert references(given) == []
    assert resolve(given, {}) == given


# Calls and their outputs

PATCH = {"type": "update_file", "path": "fox.txt", "diff": "@@"}
PRINTED = {"stdout": "fox", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "function_call": ({"name": "feed", "arguments": "{}"}, {"output": "fed"}),
    "custom_tool_call": ({"name": "sql", "input": "select"}, {"output": "fed"}),
    "computer_call": ({"action": {"type": "screenshot"}}, {"output": {"type": "computer_screenshot"}}),
    "local_shell_call": ({"action": {"type": "exec", "command": ["ls"]}}, {"output": "fox"}),
    "shell_call": ({"action": {"commands": ["ls"]}}, {"output": [PRINTED]}),
    "apply_patch_call": ({"operation": PATCH}, {"status": "completed"}),
}
each_pair = pytest.mark.parametrize("kind", PAIRS)


def call(kind: str, call_id: str = "c", **fields: Any) -> Item:
    return own({"type": kind, "call_id": call_id, **PAIRS[kind][0], **fields})[0]


def answer(kind: str, call_id: str = "c", **fields: Any) -> Item:
    return own({"type": f"{kind}_output", "call_id": call_id, **PAIRS[kind][1], **fields})[0]


def test_every_call_that_a_client_answers_is_tested() -> None:
    assert {kind.__struct_config__.tag for kind in CLIENT_CALLS} == PAIRS.keys()


@each_pair
def test_a_call_and_its_output_pair_in_any_order(kind: str) -> None:
    pair = [call(kind), answer(kind)]
    assert assemble([], pair) == pair
    assert assemble([], pair[::-1]) == pair[::-1]


@each_pair
def test_a_call_of_the_history_is_answered_by_the_request(kind: str) -> None:
    history, given = [call(kind)], [answer(kind)]
    assert assemble(history, given) == [*history, *given]


@each_pair
def test_a_call_without_an_output_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        assemble([call(kind)], own({"role": "user", "content": "Well?"}))
    assert caught.value.message == f"No tool output found for {kind.replace('_', ' ')} c."
    assert (caught.value.param, caught.value.status) == ("input", 400)


@each_pair
def test_an_output_without_a_call_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        assemble([call(kind, "other"), answer(kind, "other")], [answer(kind)])
    assert caught.value.message == f"No tool call found for {kind.replace('_', ' ')} output with call_id c."
    assert caught.value.param == "input"


@each_pair
def test_a_half_call_of_the_history_is_left_out(kind: str) -> None:
    status = "in_progress" if kind == "apply_patch_call" else "incomplete"
    half, asked = call(kind, status=status), own({"role": "user", "content": "Go on"})
    assert is_half_a_call(half)
    assert assemble([half], asked) == asked
    assert assemble([], [half, *asked]) == asked


def test_a_half_call_that_was_answered_all_the_same_stays() -> None:
    half, given = call("function_call", status="incomplete"), answer("function_call")
    assert assemble([half], [given]) == [half, given]


def test_what_is_no_call_may_be_half_said() -> None:
    half = Message(id="msg_1", role="assistant", status="incomplete", content=[OutputText(text="Half")])
    assert not is_half_a_call(half)
    assert assemble([half], []) == [half]


def test_a_call_that_is_there_twice_needs_one_output() -> None:
    twice = [call("function_call"), call("function_call"), answer("function_call"), answer("function_call")]
    assert assemble(twice[:1], twice[1:3]) == twice[:3]
    assert assemble(twice[:2], twice[2:]) == twice


def test_an_output_does_not_answer_a_call_of_another_kind() -> None:
    with pytest.raises(InvalidRequest, match=r"No tool output found for custom tool call c\."):
        assemble([call("custom_tool_call")], [answer("function_call")])


def test_an_output_without_a_call_id_answers_nothing_and_is_no_orphan() -> None:
    given = own({"type": "function_call_output", "output": "fed"})
    assert assemble([], given) == given


@pytest.mark.parametrize(
    "output",
    [
        {"type": "local_shell_call_output", "id": "c", "output": "fox"},
        {"type": "local_shell_call_output", "id": "lsho_1", "call_id": "c", "output": "fox"},
        {"type": "local_shell_call_output", "call_id": "c", "output": "fox"},
        {"type": "function_call_output", "call_id": "c", "output": "fox"},
    ],
    ids=["by its id", "by call_id beside an id", "by call_id alone", "as a function"],
)
def test_a_local_shell_is_answered_in_each_of_its_forms(output: dict[str, Any]) -> None:
    history, given = [call("local_shell_call")], own(output)
    assert assemble(history, given) == [*history, *given]


def test_history_comes_first() -> None:
    first, then = own({"role": "user", "content": "One"}), own({"role": "user", "content": "Two"})
    assert assemble(first, then) == first + then


@given(
    st.lists(st.tuples(st.sampled_from(sorted(PAIRS)), st.integers(0, 9)), max_size=6, unique_by=lambda pair: pair[1]),
    st.data(),
)
def test_calls_and_outputs_pair_in_any_order_and_any_number(pairs: Sequence[Any], data: st.DataObject) -> None:
    both = [item for kind, number in pairs for item in (call(kind, f"c{number}"), answer(kind, f"c{number}"))]
    mixed = data.draw(st.permutations(both))
    place = data.draw(st.integers(0, len(mixed)))
    assert assemble(mixed[:place], mixed[place:]) == mixed
    if mixed:
        with pytest.raises(InvalidRequest):
            assemble(mixed[1:], [])
