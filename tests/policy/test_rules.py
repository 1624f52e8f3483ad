"""Words and patterns are found however they are written, as words, and in a time that nobody can stretch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.rules import BUILT_IN, BadPattern, Rules
from antiphon.policy.text import MOST_UNCOUNTED, normal, tail_start, unescaped
from antiphon.policy.verdict import Passage

RULES = Rules({"words": ["forbidden phrase", "ass", "敏感", "Straße", "über"]}, {"numbers": [r"\d{3}-\d{4}"]})


def found(text: str, rules: Rules = RULES, **where: bool) -> set[str]:
    return set(rules.judge([Passage(text, **where)]).flagged)


@pytest.mark.parametrize(
    "text",
    [
        "a forbidden phrase.",
        "FORBIDDEN Phrase",
        "forbidden \n\t phrase",
        "for\u200bbid\u00adden phrase",
        "".join(chr(ord(letter) + 0xFEE0) for letter in "forbidden") + " phrase",
        "这个敏感词",
        "这是ass词",
        "STRASSE",
        "die straße",
        "u\u0308ber",
        "what an ass!",
    ],
)
def test_a_word_is_found_however_it_is_written(text):
    assert found(text) == {"words"}


@pytest.mark.parametrize("text", ["class", "assign", "forbiddenphrase", "forbidden, phrase", "", "uber", "ass\u0301"])
def test_a_word_is_not_found_within_another(text):
    assert found(text) == set()


def test_a_hit_counts_whatever_stands_around_the_stretch():
    assert found("an ass", ends=False) == set()
    assert found("ass ign", begins=False) == set()
    assert found(" ass,", begins=False, ends=False) == {"words"}
    assert found("an ass", ends=True) == {"words"}
    assert found("123-4567", begins=False, ends=False) == {"numbers"}


def test_the_place_of_a_hit_is_where_it_begins_in_the_text_as_it_came():
    text = "Wéll\u200b, a \u200bforbidden   phrase"
    verdict = RULES.judge([Passage("clean"), Passage(text)])
    assert verdict.at is not None
    index, start = verdict.at
    assert index == 1
    assert text[:start].rstrip("\u200b ") == "Wéll\u200b, a"


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(", "a*", "x?"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern):
    with pytest.raises(BadPattern) as refused:
        Rules({}, {"c": ["fine", pattern]})
    assert (refused.value.category, refused.value.index) == ("c", 1)


def test_an_expression_that_would_backtrack_for_ever_does_not():
    rules = Rules({}, {"c": [r"(a|aa)+$", r"(x+x+)+y"]})
    assert found("a" * 20_000 + "b" + "x" * 20_000, rules, ends=False) == set()


def test_a_pattern_sees_letters_of_either_case():
    rules = Rules({}, {"c": [r"secret-[A-Z]+"]})
    assert found("SECRET-abc.", rules) == {"c"}


def test_the_built_in_rules_flag_what_they_list():
    rules = Rules(BUILT_IN)
    for category, words in BUILT_IN.items():
        for word in words:
            assert category in found(f"Well, {word}.", rules)


def test_no_rules_find_nothing_and_hold_nothing_back():
    rules = Rules()
    assert (found("anything", rules), rules.overlap) == (set(), 0)


def test_what_is_held_back_is_longer_than_the_longest_word_in_any_form():
    assert Rules({"c": ["abc"]}).overlap == 5
    assert Rules({"c": ["é"]}).overlap == 4
    assert Rules({"c": ["abc"]}, {"d": ["x"]}, reach=50).overlap == 52


# Text


@pytest.mark.parametrize(
    ("text", "count", "tail"),
    [
        ("abcdef", 2, "ef"),
        ("ab", 5, "ab"),
        ("abc", 0, ""),
        ("a    b", 3, "a    b"),
        ("xa\u200b\u200bb", 2, "a\u200b\u200bb"),
        ("x \n \u200b y", 3, "x \n \u200b y"),
    ],
)
def test_only_what_is_seen_counts_in_a_tail(text, count, tail):
    assert text[tail_start(text, count) :] == tail


def test_a_tail_has_an_end_however_much_white_space_it_has():
    text = "x" + " " * (MOST_UNCOUNTED * 2)
    assert len(text) - tail_start(text, 3) == MOST_UNCOUNTED + 3


@given(st.text(max_size=40), st.integers(0, 12))
def test_a_tail_holds_at_least_as_many_characters_as_count(text, count):
    start = tail_start(text, count)
    assert start == 0 or len(text) - start >= count


def test_json_escapes_are_read():
    assert unescaped(r"\u0062\u0061d \"x\" \ud83d\ude00\n") == 'bad "x" \U0001f600\n'


@given(st.text(max_size=30))
def test_a_text_that_is_normal_stays_as_it_is(text):
    assert normal(normal(text)) == normal(text) or not text.isascii()
