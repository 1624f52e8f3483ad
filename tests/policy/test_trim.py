"""What is left of a context that is too long, or that says something twice."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.trim import SAME_FILE, SAME_IMAGE, deduplicate, fit, in_stable_order, may_exceed
from antiphon.policy.weight import tokens_in
from antiphon.turn.input import assemble
from antiphon.wire.items import Item, decode_item
from antiphon.wire.struct import encode
from antiphon.wire.tools import decode_tool

PNG = "data:image/png;base64,aGk="
OTHER = "data:image/png;base64,aG8="


def words(text: str) -> int:
    """A tokenizer that can be checked by eye: words."""
    return len(text.split())


def user(text: str = "one two three four five six seven") -> Item:
    return decode_item({"role": "user", "content": [{"type": "input_text", "text": text}]})


def model(text: str = "one two three four five six seven") -> Item:
    return decode_item({"role": "assistant", "content": [{"type": "output_text", "text": text}]})


def system(text: str = "one two three four five six seven") -> Item:
    return decode_item({"role": "system", "content": [{"type": "input_text", "text": text}]})


def thought() -> Item:
    return decode_item(
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "one two three four five six"}]}
    )


def call(name: str) -> Item:
    return decode_item({"type": "function_call", "call_id": name, "name": "f", "arguments": "one two three four five"})


def output(name: str) -> Item:
    return decode_item({"type": "function_call_output", "call_id": name, "output": "one two three four five six seven"})


def kept(items: list[Item], limit: int, **options: Any) -> list[int]:
    """The places of what is left."""
    left = fit(items, limit, words, **options).items
    return [place for place, item in enumerate(items) if any(item is other for other in left)]


# Truncation. Each item weighs ten: seven words and three for being an item.


def test_what_fits_stays_as_it_is():
    items = [user(), model(), user()]
    fitted = fit(items, 30, words)
    assert (fitted.items, fitted.dropped, fitted.saved) == (items, 0, 0)


def test_the_oldest_exchange_goes_first_and_no_more_than_must():
    items = [user(), model(), user(), model(), user()]
    assert kept(items, 49) == [2, 3, 4]
    assert kept(items, 30) == [2, 3, 4]
    assert kept(items, 29) == [4]
    fitted = fit(items, 30, words)
    assert (fitted.dropped, fitted.saved) == (2, 20)


def test_an_answer_does_not_stay_without_its_question():
    items = [user(), model(), user()]
    assert kept(items, 29) == [2]


def test_the_last_user_message_stays_however_long_it_is():
    assert kept([user(), model(), user("word " * 100)], 10) == [2]


def test_system_and_developer_messages_stay_where_they_are():
    items = [system(), user(), model(), system(), user()]
    assert kept(items, 30) == [0, 3, 4]
    assert kept(items, 0) == [0, 3, 4]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "compaction", "encrypted_content": "c2VhbGVk"},
        {"type": "additional_tools", "role": "developer", "tools": []},
    ],
    ids=lambda item: item["type"],
)
def test_what_stands_for_more_than_itself_stays(item):
    assert kept([decode_item(item), user(), model(), user()], 12) == [0, 3]


def test_of_an_agents_loop_the_oldest_steps_go_and_the_last_one_stays():
    loop = [user(), thought(), call("a"), output("a"), thought(), call("b"), output("b"), call("c"), output("c")]
    assert kept(loop, 70) == [0, 4, 5, 6, 7, 8]
    assert kept(loop, 30) == [0, 7, 8]
    assert kept(loop, 0) == [0, 7, 8]


def test_calls_side_by_side_are_one_step():
    loop = [user(), thought(), call("a"), call("b"), output("b"), output("a"), call("c"), output("c")]
    assert kept(loop, 60) == [0, 6, 7]


def test_a_call_and_its_output_are_never_parted_wherever_they_stand():
    items = [user(), call("a"), user(), output("a"), model(), user()]
    assert kept(items, 58) == [5]
    late = [user(), call("a"), user(), model(), user(), output("a")]
    assert kept(late, 20) == [0, 1, 4, 5]


def test_a_context_without_a_user_message_keeps_its_last_step():
    assert kept([call("a"), output("a"), call("b"), output("b")], 20) == [2, 3]


def test_a_repeated_attachment_weighs_once_if_it_will_be_sent_once():
    items = [picture(PNG), picture(PNG), user()]
    assert kept(items, 800) == [1, 2]
    assert kept(items, 800, deduplicated=True) == [0, 1, 2]


def test_an_attachment_whose_first_copy_is_dropped_weighs_in_the_next():
    items = [picture(PNG), user(), picture(PNG), user()]
    fitted = fit(items, 100, words, deduplicated=True)
    assert fitted.items == [items[3]]
    assert fit(items, 791, words, deduplicated=True).dropped == 1


CONTEXTS = st.lists(
    st.sampled_from(["user", "model", "system", "thought", "a", "b", "c", "A", "B", "C", "picture"]), max_size=14
)
MADE: dict[str, Any] = {"user": user, "model": model, "system": system, "thought": thought}


def context(names: list[str]) -> list[Item]:
    """Items by name: small letters are calls, capitals their outputs; each once, none without its other."""
    names = [name for place, name in enumerate(names) if len(name) > 1 or name not in names[:place]]
    names = [name for name in names if len(name) > 1 or name.swapcase() in names]
    made = []
    for name in names:
        if name == "picture":
            made.append(picture(PNG))
        elif len(name) == 1:
            made.append(call(name) if name.islower() else output(name.lower()))
        else:
            made.append(MADE[name]())
    return made


@given(CONTEXTS, st.integers(0, 2000), st.booleans())
def test_whatever_is_left_is_whole_in_order_and_has_what_must_stay(names, limit, deduplicated):
    items = context(names)
    before = copy.deepcopy(items)
    fitted = fit(items, limit, words, deduplicated=deduplicated)
    places = [next(place for place, item in enumerate(items) if item is other) for other in fitted.items]
    assert places == sorted(places)
    assert items == before
    assert len(items) - len(places) == fitted.dropped
    assert assemble([], fitted.items) == fitted.items  # no call without its output
    users = [place for place, item in enumerate(items) if getattr(item, "role", "") == "user"]
    assert not users or users[-1] in places
    assert {place for place, item in enumerate(items) if getattr(item, "role", "") == "system"} <= set(places)


@given(CONTEXTS, st.integers(0, 2000), st.booleans())
def test_the_tokens_that_are_saved_are_those_that_are_missing(names, limit, deduplicated):
    items = context(names)
    fitted = fit(items, limit, words, deduplicated=deduplicated)

    def weight(of: list[Item]) -> int:
        sent = deduplicate(of)[0] if deduplicated else of
        copies = len([item for item in sent if SAME_IMAGE in str(item)])
        return sum(3 + tokens_in(json.loads(encode(item)), words) for item in sent) + copies * (8 - words(SAME_IMAGE))

    assert weight(items) - weight(fitted.items) == fitted.saved
    again = fit(fitted.items, limit, words, deduplicated=deduplicated)
    assert weight(fitted.items) <= limit or not again.dropped


@given(st.lists(st.text(max_size=50), max_size=5), st.integers(0, 300))
def test_the_quick_look_is_never_surprised(texts, limit):
    items = [user(text) for text in texts]
    if not may_exceed(items, limit):
        assert fit(items, limit, words).dropped == 0


def test_the_quick_look_knows_that_an_image_is_more_than_its_address():
    assert may_exceed([picture(None, file_id="file_1")], 700)
    assert not may_exceed([picture(None, file_id="file_1")], 900)


# Attachments


def picture(url: str | None, **fields: Any) -> Item:
    part = {"type": "input_image", **({"image_url": url} if url else {}), **fields}
    return decode_item({"role": "user", "content": [part]})


def document(**fields: Any) -> Item:
    return decode_item({"role": "user", "content": [{"type": "input_file", **fields}]})


def parts(items: list[Item]) -> list[str]:
    """What the first part of each message is, or says."""
    said = [json.loads(encode(item)) for item in items]
    found = [(item.get("content") or item.get("output"))[0] for item in said]
    return [part.get("text", part["type"]) for part in found]


def test_an_image_that_was_shown_is_not_sent_again():
    items, left_out, saved = deduplicate([picture(PNG), model(), picture(PNG), picture(PNG)])
    assert parts([items[0], *items[2:]]) == ["input_image", SAME_IMAGE, SAME_IMAGE]
    assert (left_out, saved) == (2, 2 * (765 - 8))


def test_a_file_is_known_by_its_bytes_and_name_or_by_its_id():
    data = {"file_data": "aGk=", "filename": "a.txt"}
    same = deduplicate([document(**data), document(**data), document(file_id="f"), document(file_id="f")])
    assert parts(same[0]) == ["input_file", SAME_FILE, "input_file", SAME_FILE]
    other = [document(**data), document(**data | {"filename": "b.txt"}), document(file_data="aG8=", filename="a.txt")]
    assert deduplicate(other) == (other, 0, 0)


def test_what_a_tool_shows_again_is_not_sent_again_either():
    shown = {"call_id": "c", "output": [{"type": "input_image", "image_url": PNG}]}
    outputs = [decode_item({"type": kind, **shown}) for kind in ("function_call_output", "custom_tool_call_output")]
    assert parts(deduplicate([picture(PNG), *outputs])[0]) == ["input_image", SAME_IMAGE, SAME_IMAGE]


@pytest.mark.parametrize(
    "other",
    [picture(OTHER), picture(PNG, detail="low"), picture(None, file_id="file_1")],
    ids=["other bytes", "other detail", "an id"],
)
def test_what_may_be_something_else_is_sent(other):
    items = [picture(PNG), other]
    assert deduplicate(items) == (items, 0, 0)


def test_what_is_behind_an_address_may_have_changed():
    items = [picture("https://example.com/a.png")] * 2
    assert deduplicate(items) == (items, 0, 0)
    documents = [document(file_url="https://example.com/a.pdf")] * 2
    assert deduplicate(documents) == (documents, 0, 0)


def test_the_items_of_the_response_are_not_changed():
    items = [picture(PNG), picture(PNG)]
    before = copy.deepcopy(items)
    deduplicate(items)
    assert items == before


def test_text_is_never_touched_however_often_it_is_said():
    items = [user(), user(), call("a"), output("a"), output("a")]
    assert deduplicate(items) == (items, 0, 0)


# Order


def test_tools_have_one_order():
    names = ["weather", "alarm", "mail"]
    tools = [decode_tool({"type": "function", "name": name, "parameters": {}}) for name in names]
    tools += [decode_tool({"type": "custom", "name": "sql"}), decode_tool({"type": "x:new"})]
    ordered = in_stable_order(tools)
    assert ordered == in_stable_order(tools[::-1])
    assert [getattr(tool, "name", "") for tool in ordered] == ["sql", "alarm", "mail", "weather", ""]
