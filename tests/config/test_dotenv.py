"""`.env` files, as shells and other tools write them."""

import pytest

from antiphon.config.dotenv import parse

LINES = {
    "A=b": "b",
    "A = b ": "b",
    "export A=b": "b",
    "  export   A=b": "b",
    "A=": "",
    "A= # nothing": "",
    "A=b # comment": "b",
    "A=b#c": "b#c",
    "A='b # c'": "b # c",
    'A="b # c" # comment': "b # c",
    "A='it is $HOME'": "it is $HOME",
    r"A='a\nb'": r"a\nb",
    r'A="a\nb\t\"q\" \\ \$x \z"': 'a\nb\t"q" \\ $x \\z',
    'A="two\nlines"': "two\nlines",
    "A=b=c": "b=c",
    "A=sk-1-ü": "sk-1-ü",
    'A="open': '"open',
    "A=b\r\n": "b",
    "\ufeffA=b": "b",
}


@pytest.mark.parametrize(("text", "value"), LINES.items())
def test_a_value_is_read_as_a_shell_would_read_it(text, value):
    assert parse(text) == {"A": value}


@pytest.mark.parametrize("text", ["", "# A=b", "A", "A B=c", "1A=b", "=b", ": A=b", "if A=b; then"])
def test_what_is_no_assignment_is_skipped(text):
    assert parse(text) == {}


def test_of_several_values_the_last_counts_and_other_lines_do_not_matter():
    assert parse("A=1\n# c\n\nnonsense here\nB='x\ny'\nexport A=2\n") == {"A": "2", "B": "x\ny"}


def test_a_long_broken_file_is_read_in_no_time():
    assert parse('A="' + "\\a" * 50_000) == {"A": '"' + "\\a" * 50_000}
