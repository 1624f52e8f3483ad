"""Words and patterns are found however they are written, as words, and in a time that nobody can stretch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy import rules as rules_module
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


# Large texts


class Work:
    """Counts the characters that are looked at: those of each search, and those that are made normal."""

    def __init__(self, monkeypatch):
        self.done = 0
        self.longest = 0
        search_for, make_normal = rules_module._search_for, rules_module.normal
        monkeypatch.setattr(rules_module, "_search_for", lambda expression: self.counted(search_for(expression)))
        monkeypatch.setattr(rules_module, "normal", self.counted(make_normal))

    def counted(self, look):
        def looking(text):
            self.done += len(text)
            self.longest = max(self.longest, len(text))
            return look(text)

        return looking

    def of(self, rules, *texts):
        """What a verdict on some texts takes, in looks at each character."""
        self.done = 0
        rules.judge([Passage(text) for text in texts])
        return self.done / sum(map(len, texts))


@pytest.fixture
def work(monkeypatch):
    return Work(monkeypatch)


LARGE = 2**21
ALL_HITS = " ".join(word for words in BUILT_IN.values() for word in words)


@pytest.mark.parametrize("size", [LARGE // 2, LARGE, LARGE * 2])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_clean_text_is_looked_at_once_by_each_rule_however_large_it_is(work, size, letter):
    rules = Rules(BUILT_IN)
    assert work.of(rules, f"{letter * 8} " * (size // 9)) < 1.2 * (len(BUILT_IN) + 1)


@pytest.mark.parametrize(
    "text",
    [
        "fine words " * (LARGE // 11) + ALL_HITS,
        ALL_HITS + " fine words" * (LARGE // 11),
        f"{ALL_HITS}. " * (LARGE // 200),
    ],
    ids=["at the end", "at the beginning", "all over"],
)
def test_hits_in_a_large_text_are_found_and_placed_in_a_few_looks(work, text):
    rules = Rules(BUILT_IN)
    assert work.of(rules, text) < 3 * (len(BUILT_IN) + 1)
    assert found(text, rules) == set(BUILT_IN)
    verdict = rules.judge([Passage(text)])
    assert verdict.at == (0, max(0, text.index(ALL_HITS) - 1))


def test_no_look_is_longer_than_a_stretch_so_that_others_may_work_between_two(work):
    rules = Rules(BUILT_IN, {"c": ["x{3}y"]})
    work.of(rules, "fine words " * (LARGE // 11))
    assert work.longest < 64 * 1024


@pytest.mark.parametrize(
    "phrase", ["forbidden phrase", "fo\u200brbidden" + " " * 4000 + "phrase", "123-4567", "u\u0308ber"]
)
def test_a_hit_is_found_wherever_it_stands_in_a_large_text(phrase):
    step = 7 * (RULES.overlap + MOST_UNCOUNTED)
    for at in range(step - len(phrase) - 2, step + 3, 1 if len(phrase) < 100 else 97):
        text = "x" * (at - 1) + f" {phrase} " + "x" * step
        verdict = RULES.judge([Passage(text)])
        assert verdict.is_flagged
        assert verdict.at in ((0, at - 1), (0, at))


def test_what_stands_at_the_edge_of_a_stretch_is_no_edge_of_a_word():
    shared = RULES.overlap + MOST_UNCOUNTED
    for at in range(-5, 5):
        assert found("x" * (7 * shared + at) + "ass " + "x" * 16 * shared) == set()
        assert found("x" * (8 * shared + at) + " ass" + "x" * 16 * shared) == set()


def test_the_place_is_that_of_the_first_hit_however_far_the_others_are():
    text = "the number 123-4567 " + "fine words " * 10_000 + "an ass"
    verdict = RULES.judge([Passage(text)])
    assert (verdict.flagged, verdict.at) == ({"numbers", "words"}, (0, text.index("123")))


def test_a_thousand_words_are_one_small_expression():
    words = [f"word{number}" for number in range(1000)]
    expression = rules_module._words(words)
    assert len(expression) < 20 * len(words)
    assert found("a WORD999 b", Rules({"c": words})) == {"c"}
    assert found("a word9999 b", Rules({"c": words})) == set()


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
