from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from antiphon.wire import content, items
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import decode_item, keep_item
from antiphon.wire.struct import UNSET, Opaque, encode
from tests.wire import samples, strategies


@given(strategies.ITEMS)
def test_any_item_comes_back_as_it_was_sent(item: Any) -> None:
    assert decode_item(encode(item)) == item
    assert encode(decode_item(encode(item))) == encode(item)


@pytest.mark.parametrize("item", [*samples.OUTPUT_ITEMS, *samples.INPUT_ITEMS], ids=lambda item: type(item).__name__)
def test_an_item_is_read_from_bytes_raw_json_and_objects_alike(item: Any) -> None:
    sent = encode(item)
    assert decode_item(sent) == item
    assert decode_item(msgspec.Raw(sent)) == item
    assert decode_item(msgspec.json.decode(sent)) == item


def test_a_message_needs_no_type() -> None:
    assert decode_item(b'{"role":"user","content":"hi"}') == items.Message(role="user", content="hi")


@pytest.mark.parametrize(
    "sent", [b'{"id":"msg_1"}', b'{"type":null,"id":"msg_1"}', b'{"type":"item_reference","id":"msg_1"}']
)
def test_a_reference_needs_no_type(sent: bytes) -> None:
    assert decode_item(sent) == items.ItemReference(id="msg_1")


def test_an_id_of_null_is_no_id() -> None:
    assert decode_item(b'{"type":"compaction_trigger","id":null}') == items.CompactionTrigger(id=UNSET)


def test_an_image_without_detail_is_looked_at_as_the_model_likes() -> None:
    message = decode_item(b'{"role":"user","content":[{"type":"input_image","image_url":"https://u"}]}')
    assert message == items.Message(role="user", content=[content.InputImage(image_url="https://u", detail="auto")])


def test_an_item_of_unknown_type_is_kept_whole() -> None:
    sent = b'{"type":"x:note","text":"hi","id":"x_1","nested":{"b":[1,2.5,null]}}'
    item = decode_item(sent)
    assert isinstance(item, Opaque)
    assert (item.type, item.id) == ("x:note", "x_1")
    assert encode(item) == sent


def test_items_that_clients_send_without_ids_are_taken() -> None:
    for kind in items.ITEMS.values():
        for item in [*samples.OUTPUT_ITEMS, *samples.INPUT_ITEMS]:
            if isinstance(item, kind) and kind is not items.ItemReference:
                fields = msgspec.json.decode(encode(item))
                fields.pop("id", None)
                assert decode_item(fields).id is UNSET


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        (b"3", "input[1]", "invalid_type"),
        (b"[]", "input[1]", "invalid_type"),
        (b"null", "input[1]", "invalid_type"),
        (b"{}", "input[1].type", "missing_required_parameter"),
        (b'{"type":3}', "input[1].type", "invalid_type"),
        (b'{"type":"message","content":"x"}', "input[1].role", "missing_required_parameter"),
        (b'{"role":"user"}', "input[1].content", "missing_required_parameter"),
        (b'{"role":"user","content":3}', "input[1].content", "invalid_type"),
        (b'{"role":"user","content":null}', "input[1].content", "invalid_type"),
        (b'{"role":"critic","content":"x"}', "input[1].role", "invalid_value"),
        (b'{"role":"user","content":["x"]}', "input[1].content[0]", "invalid_type"),
        (b'{"role":"user","content":[{}]}', "input[1].content[0].type", "missing_required_parameter"),
        (b'{"role":"user","content":[{"type":"text","text":"x"}]}', "input[1].content[0]", "invalid_value"),
        (b'{"role":"user","content":[{"type":"nope"}]}', "input[1].content[0].type", "invalid_value"),
        (
            b'{"role":"user","content":[{"type":"input_text"}]}',
            "input[1].content[0].text",
            "missing_required_parameter",
        ),
        (
            b'{"role":"user","content":[{"type":"input_image","image_url":{"url":"u"}}]}',
            "input[1].content[0].image_url",
            "invalid_type",
        ),
        (
            b'{"role":"user","content":[{"type":"input_image","detail":"huge"}]}',
            "input[1].content[0].detail",
            "invalid_value",
        ),
        (b'{"role":"user","content":[{"type":"output_text","text":"x"}]}', "input[1].content[0]", "invalid_value"),
        (
            b'{"role":"assistant","content":[{"type":"refusal","refusal":""},{"type":"input_text","text":""}]}',
            "input[1].content[1]",
            "invalid_value",
        ),
        (b'{"type":"function_call","name":"f","arguments":"{}"}', "input[1].call_id", "missing_required_parameter"),
        (b'{"type":"function_call","name":"f","arguments":{},"call_id":"c"}', "input[1].arguments", "invalid_type"),
        (b'{"type":"function_call_output","call_id":"c","output":{}}', "input[1].output", "invalid_type"),
        (
            b'{"type":"function_call_output","call_id":"c","output":[{"type":"output_text"}]}',
            "input[1].output[0].type",
            "invalid_value",
        ),
        (b'{"type":"reasoning"}', "input[1].summary", "missing_required_parameter"),
        (
            b'{"type":"local_shell_call","call_id":"c","action":{"type":"exec","command":[],"env":{"A":1}}}',
            "input[1].action.env.A",
            "invalid_type",
        ),
        (
            b'{"type":"shell_call_output","call_id":"c","output":[{"stdout":"","stderr":"","outcome":{"type":"exit"}}]}',
            "input[1].output[0].outcome.exit_code",
            "missing_required_parameter",
        ),
        (b'{"type":"item_reference"}', "input[1].id", "missing_required_parameter"),
        (b'{"id":3}', "input[1].id", "invalid_type"),
        (b'{"role":"user","content":"\\ud800"}', None, "invalid_json"),
        (b'{"role":"user","content":"\xff"}', None, "invalid_json"),
    ],
)
def test_an_item_that_is_wrong_is_refused_by_the_name_of_the_place(sent: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_item(sent, "input[1]")
    assert (refusal.value.param, refusal.value.code) == (param, code)


def test_a_part_of_the_wrong_role_is_refused_with_the_parts_that_would_do() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_item(b'{"role":"assistant","content":[{"type":"input_text","text":"x"}]}')
    assert refusal.value.message == "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'."


def test_text_may_be_as_long_as_the_api_allows_and_no_longer() -> None:
    longest = {"role": "user", "content": [{"type": "input_text", "text": "x" * content.MAX_TEXT}]}
    decode_item(longest)
    longest["content"][0]["text"] += "x"  # type: ignore[index]
    with pytest.raises(InvalidRequest) as refusal:
        decode_item(longest, "input[0]")
    assert (refusal.value.param, refusal.value.code) == ("input[0].content[0].text", "string_above_max_length")


def test_an_item_of_another_server_that_is_not_what_we_know_is_kept_whole() -> None:
    sent = b'{"type":"function_call","id":"fc_1","arguments":{"a":1}}'
    assert encode(keep_item(sent)) == sent
    assert keep_item(b'{"role":"user","content":"hi"}') == items.Message(role="user", content="hi")


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": "foo"}, "image_url"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_data": "not base64"}, "file_data"),
        ({"type": "input_file", "file_data": "data:text/plain;base64,x"}, "file_data"),
    ],
)
def test_an_image_or_a_file_that_is_none_is_refused_by_name(part: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_item({"role": "user", "content": [part]}, "input[3]")
    assert refused.value.param == f"input[3].content[0].{param}"
