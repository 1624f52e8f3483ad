"""An own price file: what a mistake in it is told like, and that the example and the page about it are right."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.config.load import load
from antiphon.config.settings import ConfigError
from antiphon.policy.prices import EXAMPLE, Prices, PricesError
from antiphon.policy.prices.file import read
from antiphon.wire.response import InputTokensDetails, Usage

PAGE = (Path(__file__).parents[2] / "docs" / "prices.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
NOW = datetime(2026, 11, 21, tzinfo=UTC)

M = '[[price]]\nmodel = "m"\ninput = 1\n'
NUMBER = "expected a number from 0 to 1000000, with up to 12 decimal places"
KEYS = (
    "cache_write, cached_input, from, input, long_context, model, output, reasoning, request, tiers, tools, until, "
    "upstream"
)

MISTAKES = {
    "no TOML": (M + "output = \n", 4, "", "this is no TOML: Invalid value (at line 4, column 10)"),
    "a text without an end": (M + 'upstream = """x\n\n', 6, "", "this is no TOML"),
    "the same key twice": (M + "input = 2\n", 4, "", "this is no TOML: Cannot overwrite a value"),
    "an endless number": (M + "output = " + "9" * 5000, 4, "", "this is no TOML"),
    "too deep": ("x = " + "[" * 100_000, 1, "", "this is no TOML: nested too deeply"),
    "an unknown table": (M + "\n[[prices]]\n", 5, "prices", "there is no such key; there are price, tool"),
    "an unknown key": (M + "cached = 1\n", 4, "price[0].cached", f"there is no such key; there are {KEYS}"),
    "a table that is none": ("\nprice = 1", 2, "price", "expected an array of tables"),
    "a row that is no table": ("\nprice = [1]", 2, "price[0]", "expected a table"),
    "a single table": ('# x\n[price]\nmodel = "m"', 2, "price", "expected an array of tables"),
    "no model": (M + "\n\n[[price]]\ninput = 1\n", 6, "price[1]", "must be set"),
    "an empty model": ('[[price]]\nmodel = " "\ninput = 1', 2, "price[0].model", "expected a text that is not empty"),
    "a model that is a number": ("[[price]]\nmodel = 1\ninput = 1", 2, "price[0].model", "expected a text"),
    "no input": ('[[price]]\nmodel = "m"\noutput = 1', 1, "price[0].input", "must be set; 0 if it is free"),
    "an address as upstream": (M + 'upstream = "http://h/v1"', 4, "price[0].upstream", "expected a host, a host:port"),
    "a negative price": (M + "output = -0.01", 4, "price[0].output", NUMBER),
    "a huge price": (M + "output = 1e7", 4, "price[0].output", NUMBER),
    "no number": (M + "output = nan", 4, "price[0].output", NUMBER),
    "an endless price": (M + "output = inf", 4, "price[0].output", NUMBER),
    "too many places": (M + "output = 1e-13", 4, "price[0].output", NUMBER),
    "a price as a text": (M + 'output = "1"', 4, "price[0].output", "expected a number"),
    "a price as a truth": (M + "output = true", 4, "price[0].output", "expected a number"),
    "a date as a text": (M + 'from = "2026-01-01"', 4, "price[0].from", "expected a date, such as 2026-01-31, without"),
    "an end before its beginning": (
        M + "until = 2026-01-01\nfrom = 2026-01-01",
        4,
        "price[0].until",
        "must be later than from",
    ),
    "no threshold": (M + "[[price.long_context]]\ninput = 1", 4, "price[0].long_context[0].above", "must be set"),
    "half a token": (
        M + "long_context = [\n  { above = 0.5 },\n]",
        6,
        "price[0].long_context[0].above",
        "expected a number of tokens",
    ),
    "thresholds that fall": (
        M + "[[price.long_context]]\nabove = 2\n[[price.long_context]]\nabove = 2",
        7,
        "price[0].long_context[1].above",
        "must be larger than in the step before",
    ),
    "a long context of what has no short one": (
        M + "[[price.long_context]]\nabove = 2\noutput = 1",
        6,
        "price[0].long_context[0].output",
        "needs output outside of long_context",
    ),
    "a tier that is no table": (M + "tiers = { flex = 0.5 }", 4, "price[0].tiers.flex", "expected a table"),
    "tiers that are no table": (M + "tiers = 0.5", 4, "price[0].tiers", "expected a table"),
    "a factor and a price": (
        M + "[price.tiers.flex]\nfactor = 0.5\noutput = 1",
        6,
        "price[0].tiers.flex.output",
        "factor is set too, and only one of them can be",
    ),
    "a tool without a price": (M + "[price.tools.x]", 4, "price[0].tools.x.call", "must be set, or session"),
    "a tool without a name": ("[[tool]]\ncall = 1", 1, "tool[0].name", "must be set"),
    "two prices at a time": (
        M + "until = 2026-02-01\n" + M + "from = 2026-01-31",
        5,
        "price[1]",
        "an entry above it is for the same at the same time",
    ),
    "two prices of a tool at a time": (
        '[[tool]]\nname = "x"\ncall = 1\n[[tool]]\nname = "X"\nsession = 1',
        4,
        "tool[1]",
        "an entry above it is for the same at the same time",
    ),
}


@pytest.mark.parametrize(("text", "line", "key", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_line_its_key_and_its_reason(tmp_path, text, line, key, reason):
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(PricesError) as caught:
        read(tmp_path / "prices.toml")
    error = caught.value
    assert (error.file, error.line) == ("prices.toml", line)
    assert error.key.startswith(key) if key == "price[1]" else error.key == key
    assert error.reason.startswith(reason)
    assert str(error).startswith(f"prices.toml, line {line}: ")


def test_lines_are_those_of_an_editor_whatever_ends_them(tmp_path):
    (tmp_path / "prices.toml").write_bytes((M + "# a\x85b \u2028 c\n" + "output = -1\n").replace("\n", "\r\n").encode())
    with pytest.raises(PricesError) as caught:
        read(tmp_path / "prices.toml")
    assert caught.value.line == 5


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_told(tmp_path, content):
    path = tmp_path / "prices.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PricesError, match=r"^prices\.toml: cannot be read: "):
        read(path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_is_in_it_a_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with suppress(PricesError):
        read(path)


# At the start


def test_the_server_refuses_a_wrong_price_file_with_its_line(tmp_path):
    (tmp_path / "prices.toml").write_text(M + "output = -1\n")
    (tmp_path / "antiphon.toml").write_text('[prices]\nfile = "prices.toml"\n')
    with pytest.raises(ConfigError) as caught:
        load(environ={"HOME": "/"}, folder=tmp_path)
    assert str(caught.value) == f"prices.toml, line 4: price[0].output: {NUMBER}"


def test_the_server_refuses_a_price_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(environ={"HOME": "/", "ANTIPHON_PRICES_FILE": "gone.toml"}, folder=tmp_path)
    assert str(caught.value) == "prices.file: there is no file gone.toml"


def test_the_server_takes_a_right_price_file_relative_to_its_own(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.toml").write_text(M)
    (tmp_path / "sub" / "antiphon.toml").write_text('[prices]\nfile = "p.toml"\n')
    config = load(environ={"HOME": "/"}, folder=tmp_path, file=Path("sub/antiphon.toml"))
    assert config.prices.file == tmp_path / "sub" / "p.toml"


# The example, and the page


def test_the_example_costs_what_its_table_says():
    prices = Prices.load(EXAMPLE)
    used = Usage(
        input_tokens=1_000_000, input_tokens_details=InputTokensDetails(cached_tokens=400_000), output_tokens=1_000_000
    )
    totals = {"gpt-5": "10.8", "gpt-5-mini": "2.66", "gpt-4o": "12.5", "gpt-4o-mini": "0.75"}
    for model, total in totals.items():
        cost = prices.cost(model, used, at=NOW)
        assert (cost.total, cost.source) == (Decimal(total), "example.toml")


def test_the_page_shows_the_example_as_it_ships():
    assert EXAMPLE.read_text() in BLOCKS


def test_the_page_tells_every_key():
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert {*KEYS.split(", "), "above", "factor", "call", "session", "name"} <= told


def test_the_pages_longer_example_costs_what_the_page_says(tmp_path):
    (text,) = (block for block in BLOCKS if "tiers" in block)
    (tmp_path / "prices.toml").write_text(text)
    prices = Prices.load(tmp_path / "prices.toml")
    assert len(tomllib.loads(text)["price"]) == 3
    used = Usage(
        input_tokens=300_000, input_tokens_details=InputTokensDetails(cached_tokens=100_000), output_tokens=10_000
    )
    cost = prices.cost(
        "house-model-2", used, at=NOW, upstream="https://llm.example/v1", service_tier="flex",
        tools={"web_search_calls": 2, "code_interpreter_sessions": 1},
    )  # fmt: skip
    (sentence,) = re.findall(r"costs (\$.*)\.\n", PAGE)
    said = re.findall(r"\$([\d.]+)", sentence)
    assert [Decimal(part) for part in said] == [
        cost.input, cost.cached_input, cost.output, cost.tools, cost.total
    ]  # fmt: skip
