"""The text of a custom tool, out of arguments that are cut anywhere, also inside an escape."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.chat_input import CustomInput, wrapped


def text_of(*pieces: str) -> str:
    reader = CustomInput()
    return "".join([*map(reader.feed, pieces), reader.close()])


def cut(text: str, cuts: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(at for at in cuts if at < len(text))})
    return [text[start:end] for start, end in pairwise(bounds)]


@given(text=st.text(), ascii_only=st.booleans(), indent=st.sampled_from([None, 2]), cuts=st.lists(st.integers(0, 200)))
def test_any_cutting_of_the_wrapped_text_gives_the_text(
    text: str, ascii_only: bool, indent: int | None, cuts: list[int]
) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only, indent=indent)
    assert text_of(*cut(arguments, cuts)) == text


@given(
    arguments=st.lists(
        st.sampled_from(
            ['{"input"', ":", '"', "\\", "\\u", "d83d", "\\ude00", "\\n", "12", "x", "}", "{", " ", "\n", "\\ud83", "é"]
        )
    ).map("".join),
    cuts=st.lists(st.integers(0, 60)),
)
def test_any_cutting_of_anything_gives_the_same_text(arguments: str, cuts: list[int]) -> None:
    assert text_of(*cut(arguments, cuts)) == text_of(arguments)


@given(text=st.text())
def test_what_we_wrap_ourselves_is_read_back(text: str) -> None:
    assert text_of(wrapped(text)) == text


@pytest.mark.parametrize(
    "arguments",
    ["*** Begin Patch", '{"patch": "x"}', '{"input": 5}', '{"input": ["x"]}', "{}", '"input"', '{"inp', " " * 70, ""],
)
def test_a_model_that_ignores_the_wrapper_is_taken_at_its_word(arguments: str) -> None:
    assert text_of(arguments) == arguments
    assert text_of(*arguments) == arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a\\qb"}', "a\\qb"),
        ('{"input": "a\\u12G4"}', "a\\u12G4"),
        ('{"input": "\\ud83d b"}', "\ufffd b"),
        ('{"input": "\\ude00"}', "\ufffd"),
        ('{"input": "a", "more": "b"}', "a"),
        ('{"input": "cut here', "cut here"),
        ('{"input": "cut here\\', "cut here"),
        ('{"input": "cut here\\u00', "cut here"),
        ('{"input": "cut here\\ud83d\\u', "cut here\ufffd"),
    ],
)
def test_what_is_no_json_inside_the_string_is_taken_as_it_is(arguments: str, text: str) -> None:
    assert text_of(arguments) == text
    assert text_of(*arguments) == text


def test_the_text_is_told_while_it_comes() -> None:
    reader = CustomInput()
    assert [reader.feed(piece) for piece in ('{"in', 'put": "Hel', "lo\\", 'n"}')] == ["", "Hel", "lo", "\n"]
