"""What models cost: terms, tiers, dates and names, with figures that are written out."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from antiphon.policy.prices import EXAMPLE, Cost, Prices
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MILLION = 1_000_000


def day(year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


def usage(given=0, output=0, *, cached=0, written=0, reasoning=0) -> Usage:
    return Usage(
        input_tokens=given,
        input_tokens_details=InputTokensDetails(cached_tokens=cached, cache_write_tokens=written),
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=given + output,
    )


def own(folder: Path, text: str) -> Prices:
    path = folder / "prices.toml"
    path.write_text(text)
    return Prices.load(path)


def terms(cost: Cost | None) -> dict[str, Decimal]:
    """The terms that are not 0."""
    assert cost is not None
    names = ("input", "cached_input", "cache_write", "output", "request", "tools", "total")
    return {name: value for name in names if (value := getattr(cost, name))}


ONE = '[[price]]\nmodel = "m"\ninput = 4\ncached_input = 1\ncache_write = 5\noutput = 20\n'


# Terms


def test_cached_and_written_tokens_are_parts_of_the_input_with_prices_of_their_own(tmp_path):
    cost = own(tmp_path, ONE).cost("m", usage(1000, 100, cached=600, written=300), at=NOW)
    assert terms(cost) == {
        "input": Decimal("0.0004"),
        "cached_input": Decimal("0.0006"),
        "cache_write": Decimal("0.0015"),
        "output": Decimal("0.002"),
        "total": Decimal("0.0045"),
    }


def test_reasoning_is_inside_the_output(tmp_path):
    prices = own(tmp_path, ONE)
    assert prices.cost("m", usage(0, 100, reasoning=90), at=NOW) == prices.cost("m", usage(0, 100), at=NOW)


def test_reasoning_may_have_a_price_of_its_own(tmp_path):
    prices = own(tmp_path, ONE + "reasoning = 3\n")
    assert terms(prices.cost("m", usage(0, 100, reasoning=90), at=NOW))["output"] == Decimal("0.00047")


def test_a_cache_without_a_price_costs_what_other_input_does(tmp_path):
    prices = own(tmp_path, '[[price]]\nmodel = "m"\ninput = 4\n')
    cost = prices.cost("m", usage(MILLION, cached=MILLION // 2, written=MILLION // 4), at=NOW)
    assert terms(cost) == {
        "input": Decimal(1), "cached_input": Decimal(2), "cache_write": Decimal(1), "total": Decimal(4)
    }  # fmt: skip


def test_a_kind_of_token_without_a_price_makes_the_cost_unknown_and_not_less(tmp_path):
    prices = own(tmp_path, '[[price]]\nmodel = "embedding"\ninput = 4\n')
    assert prices.cost("embedding", usage(10), at=NOW)
    assert prices.cost("embedding", usage(10, 1), at=NOW) is None
    assert prices.estimate("embedding", 10, 1, at=NOW) is None


def test_more_cached_tokens_than_there_are_make_no_negative_term(tmp_path):
    cost = own(tmp_path, ONE).cost("m", usage(10, 1, cached=50, written=-3, reasoning=7), at=NOW)
    assert terms(cost) == {
        "cached_input": Decimal("0.00005"), "output": Decimal("0.00002"), "total": Decimal("0.00007")
    }  # fmt: skip


def test_a_request_may_have_a_price_of_its_own(tmp_path):
    prices = own(tmp_path, ONE + "request = 0.005\n")
    assert terms(prices.cost("m", usage(), at=NOW)) == {"request": Decimal("0.005"), "total": Decimal("0.005")}
    assert terms(prices.estimate("m", 0, 0, at=NOW))["total"] == Decimal("0.005")


def test_a_sum_is_exact_whatever_precision_the_program_has_set(tmp_path):
    prices = own(tmp_path, '[[price]]\nmodel = "m"\ninput = 1.000000000001\noutput = 0\n')
    with localcontext(prec=3):
        cost = prices.cost("m", usage(123_456_789_012), at=NOW)
    assert cost is not None
    assert cost.total == Decimal("123456.789012123456789012")


# Long context


LONG = ONE + "[[price.long_context]]\nabove = 1000\ninput = 8\noutput = 30\n"


def test_above_the_threshold_the_other_price_holds_for_all_tokens(tmp_path):
    prices = own(tmp_path, LONG)
    assert terms(prices.cost("m", usage(1000, 100), at=NOW))["total"] == Decimal("0.006")
    assert terms(prices.cost("m", usage(1001, 100), at=NOW))["total"] == Decimal("0.011008")


def test_cached_tokens_count_for_the_threshold_and_keep_a_price_that_has_no_other(tmp_path):
    cost = own(tmp_path, LONG).cost("m", usage(2000, cached=1500), at=NOW)
    assert terms(cost) == {
        "input": Decimal("0.004"), "cached_input": Decimal("0.0015"), "total": Decimal("0.0055")
    }  # fmt: skip


def test_the_highest_threshold_that_was_passed_decides(tmp_path):
    prices = own(tmp_path, LONG + "[[price.long_context]]\nabove = 5000\ninput = 10\n")
    assert [terms(prices.cost("m", usage(n), at=NOW))["total"] * MILLION / n for n in (1000, 5000, 5001)] == [4, 8, 10]


# Service tiers


TIERS = LONG + "[price.tiers.flex]\nfactor = 0.5\n[price.tiers.priority]\ninput = 9\n"


def test_a_tier_is_a_factor_of_all_token_prices(tmp_path):
    prices = own(tmp_path, TIERS + "[price.tools.web_search]\ncall = 0.01\n")
    used = usage(2000, 100, cached=1000)
    half, whole = (prices.cost("m", used, at=NOW, service_tier=tier) for tier in ("flex", None))
    assert terms(half)["total"] * 2 == terms(whole)["total"]
    assert prices.cost("m", usage(), at=NOW, service_tier="flex", tools={"web_search_calls": 1}).tools == Decimal(
        "0.01"
    )


def test_a_tier_with_prices_of_its_own_keeps_the_others(tmp_path):
    cost = own(tmp_path, TIERS).cost("m", usage(2000, 100), at=NOW, service_tier="priority")
    assert terms(cost) == {"input": Decimal("0.018"), "output": Decimal("0.003"), "total": Decimal("0.021")}


def test_a_tier_may_have_its_own_long_context(tmp_path):
    prices = own(tmp_path, TIERS + "[[price.tiers.priority.long_context]]\nabove = 10\ninput = 11\noutput = 40\n")
    price = prices.price_of("m", at=NOW, service_tier="priority")
    assert [price.rates["input"].when(n) for n in (10, 11, 5000)] == [9, 11, 11]
    assert [price.rates["output"].when(n) for n in (10, 11, 5000)] == [20, 40, 40]


@pytest.mark.parametrize("tier", [None, "auto", "default", "standard"])
def test_the_standard_tier_has_several_names(tmp_path, tier):
    cost = own(tmp_path, TIERS).cost("m", usage(10), at=NOW, service_tier=tier)
    assert (cost.total, cost.unpriced) == (Decimal("0.00004"), ())


def test_a_tier_without_a_price_costs_what_the_standard_does_and_is_named(tmp_path):
    cost = own(tmp_path, TIERS).cost("m", usage(10), at=NOW, service_tier="scale")
    assert (cost.total, cost.unpriced) == (Decimal("0.00004"), ("service_tier scale",))


# Hosted tools


TOOLS = """
[[tool]]
name = "web_search"
call = 0.01
until = 2026-01-01
[[tool]]
name = "web_search"
call = 0.02
from = 2026-01-01
[[tool]]
name = "code_interpreter"
session = 0.03
"""


def test_hosted_tools_cost_by_call_or_by_session(tmp_path):
    used = {"web_search_calls": 3, "code_interpreter_sessions": 2}
    cost = own(tmp_path, ONE + TOOLS).cost("m", usage(), at=NOW, tools=used)
    assert terms(cost) == {"tools": Decimal("0.12"), "total": Decimal("0.12")}
    before = own(tmp_path, ONE + TOOLS).cost("m", usage(), at=day(2025, 12, 31), tools=used)
    assert terms(before)["tools"] == Decimal("0.09")


def test_a_tools_price_with_one_model_outweighs_that_with_all(tmp_path):
    prices = own(tmp_path, ONE + "[price.tools.web_search]\ncall = 0.5\n" + TOOLS)
    assert prices.cost("m", usage(), at=NOW, tools={"web_search_calls": 1}).total == Decimal("0.5")


def test_an_own_price_of_a_tool_outweighs_the_published_one(tmp_path):
    used = {"web_search_calls": 1, "file_search_calls": 1}
    cost = own(tmp_path, TOOLS).cost("gpt-5", usage(), at=NOW, upstream="openai", tools=used)
    assert cost.tools == Decimal("0.0225")


def test_a_tool_without_a_price_is_named(tmp_path):
    cost = own(tmp_path, ONE).cost("m", usage(), at=NOW, tools={"shell_calls": 1, "mcp_calls": 0})
    assert (cost.total, cost.unpriced) == (0, ("shell_calls",))


# Dates


DATED = """
[[price]]
model = "m"
until = 2026-01-01
input = 1
[[price]]
model = "m"
from = 2026-01-01
until = 2026-02-01T12:00:00+02:00
input = 2
"""


@pytest.mark.parametrize(
    ("at", "dollars"),
    [
        (day(2000, 1, 1), 1),
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), 1),
        (datetime(2026, 1, 1, tzinfo=UTC), 2),
        (day(2026, 1, 1).timestamp(), 2),
        (datetime(2026, 2, 1, 9, 59, tzinfo=UTC), 2),
        (datetime(2026, 2, 1, 10, 0, tzinfo=UTC), None),
    ],
)
def test_a_request_costs_what_held_when_it_was_made(tmp_path, at, dollars):
    cost = own(tmp_path, DATED).cost("m", usage(MILLION), at=at)
    assert (cost and cost.total) == dollars


def test_a_time_without_an_offset_is_in_utc(tmp_path):
    at = NOW.replace(year=2026, month=1, day=1, tzinfo=None)
    assert own(tmp_path, DATED).cost("m", usage(MILLION), at=at).total == 2


def test_published_prices_have_dates_too():
    prices = Prices()
    dear, cheap = (prices.price_of("o3", at=at, upstream="openai") for at in (day(2025, 6, 1), day(2025, 7, 1)))
    assert (dear.rates["input"].base, cheap.rates["input"].base) == (10, 2)


# Names


@pytest.mark.parametrize(
    "model", ["gpt-x", "GPT-X", "openai/gpt-x", "router/openai/gpt-x", "gpt-x-2026-03-01", "openai/gpt-x-20260301"]
)
def test_a_model_is_found_by_its_name_with_a_provider_and_as_a_snapshot(tmp_path, model):
    assert own(tmp_path, '[[price]]\nmodel = "gpt-x"\ninput = 1').cost(model, usage(MILLION), at=NOW).total == 1


@pytest.mark.parametrize("model", ["gpt-x-mini", "my-gpt-x", "gpt-x-2026", "gpt", "gpt-x/other"])
def test_another_name_is_another_model(tmp_path, model):
    prices = own(tmp_path, '[[price]]\nmodel = "gpt-x"\ninput = 1')
    assert prices.cost(model, usage(1), at=NOW, upstream="nobody") is None


def test_an_exact_name_comes_before_a_pattern_and_a_long_pattern_before_a_short_one(tmp_path):
    entries = {"*": 1, "gpt-4o*": 2, "gpt-4o-mini*": 3, "gpt-4o": 4, "gpt-4o-2024-05-13": 5}
    text = "".join(f'[[price]]\nmodel = "{model}"\ninput = {price}\n' for model, price in entries.items())
    prices = own(tmp_path, text)
    names = ["qwen", "gpt-4o-audio", "gpt-4o-mini-audio", "gpt-4o-2024-08-06", "gpt-4o-2024-05-13", "openai/gpt-4o"]
    assert [prices.cost(name, usage(MILLION), at=NOW).total for name in names] == [1, 2, 3, 4, 5, 4]


def test_in_a_pattern_only_the_star_is_special(tmp_path):
    prices = own(tmp_path, '[[price]]\nmodel = "a[bc]?*"\ninput = 1')
    assert prices.cost("a[bc]?d", usage(1), at=NOW)
    assert prices.cost("abcd", usage(1), at=NOW) is None


@pytest.mark.parametrize(
    ("upstream", "dollars"),
    [
        (None, 1),
        ("https://api.openai.com/v1", 1),
        ("http://GPU.test:8000/v1", 2),
        ("gpu.test:8000", 2),
        ("http://gpu.test:9000/v1", 3),
        ("azure", 4),
    ],
)
def test_an_entry_may_be_for_one_upstream(tmp_path, upstream, dollars):
    places = {1: None, 2: "gpu.test:8000", 3: "gpu.test:9000", 4: "Azure"}
    lines = {price: f'upstream = "{place}"\n' if place else "" for price, place in places.items()}
    prices = own(tmp_path, "".join(f'[[price]]\nmodel = "m"\n{line}input = {n}\n' for n, line in lines.items()))
    assert prices.cost("m", usage(MILLION), at=NOW, upstream=upstream).total == dollars


# What is unknown, and what is free


@pytest.mark.parametrize(
    ("model", "upstream"),
    [
        ("qwen3:8b", None),
        ("moonshine", "https://api.openai.com/v1"),
        ("gpt-5", "http://127.0.0.1:11434/v1"),
        ("gpt-5", "http://localhost:8000/v1"),
        ("gpt-5", "http://10.1.2.3/v1"),
        ("gpt-5", "http://[::1]:8080/v1"),
        ("gpt-5", "https://gateway.test/v1"),
        ("gpt-5", "nobody"),
        ("gpt-5" * 100, None),
        ("", None),
        ("/", None),
    ],
)
def test_what_nobody_lists_has_no_cost_which_is_not_0(model, upstream):
    assert Prices().cost(model, usage(1, 1), at=NOW, upstream=upstream) is None
    assert Prices().estimate(model, 1, 1, at=NOW, upstream=upstream) is None


def test_a_local_model_is_free_if_the_own_file_says_so(tmp_path):
    prices = own(tmp_path, '[[price]]\nmodel = "*"\nupstream = "localhost:11434"\ninput = 0\noutput = 0\n')
    assert prices.cost("qwen3:8b", usage(10, 10), at=NOW, upstream="http://localhost:11434/v1").total == 0
    assert prices.cost("qwen3:8b", usage(10, 10), at=NOW, upstream="http://localhost:8000/v1") is None


def test_moderation_is_free_and_an_embedding_costs_its_input():
    prices = Prices()
    assert prices.cost("omni-moderation-latest", usage(500), at=NOW, upstream="openai").total == 0
    cost = prices.cost("text-embedding-3-small", usage(MILLION), at=NOW, upstream="https://api.openai.com/v1")
    assert terms(cost) == {"input": Decimal("0.02"), "total": Decimal("0.02")}


def test_the_built_in_model_is_free_unless_the_own_file_makes_it_cost(tmp_path):
    assert Prices().cost("rehearsal", usage(10, 10), at=NOW).total == 0
    prices = own(tmp_path, '[[price]]\nmodel = "rehearsal"\ninput = 1\noutput = 1')
    assert prices.cost("rehearsal", usage(10, 10), at=NOW).total == Decimal("0.00002")


# An own file above the published prices


def test_an_own_price_outweighs_the_published_one_and_says_where_it_is_from():
    used = usage(0, MILLION)
    published = Prices().cost("gpt-5-mini", used, at=NOW, upstream="openai")
    example = Prices.load(EXAMPLE).cost("gpt-5-mini", used, at=NOW, upstream="openai")
    assert (published.total, published.model) == (2, "openai/gpt-5-mini")
    assert published.source.startswith("genai-prices ")
    assert (example.total, example.source) == (Decimal("2.5"), "example.toml")


def test_before_its_date_an_own_price_leaves_the_place_to_the_published_one():
    cost = Prices.load(EXAMPLE).cost("gpt-5-mini", usage(1), at=day(2025, 8, 6), upstream="openai")
    assert cost.source.startswith("genai-prices ")


# What it costs to know


def test_published_prices_are_read_only_when_nothing_else_tells():
    program = """
import sys
from antiphon.policy.prices import EXAMPLE, Prices
from antiphon.wire.response import Usage
prices = Prices.load(EXAMPLE)
ask = lambda model, upstream: prices.cost(model, Usage(input_tokens=1), at=1.8e9, upstream=upstream)
assert ask("gpt-5", "https://api.openai.com/v1") and ask("rehearsal", None) is not None
assert ask("qwen3", "http://127.0.0.1:11434/v1") is None
assert not {"genai_prices", "pydantic", "httpx2"} & set(sys.modules)
prices.preload(["http://127.0.0.1:11434/v1", "http://10.0.0.7/v1"])
assert "genai_prices" not in sys.modules
prices.preload(["http://127.0.0.1:11434/v1", "https://api.openai.com/v1"])
assert "genai_prices" in sys.modules
"""
    environment = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Estimates


def test_an_estimate_takes_the_dearest_way_the_tokens_can_go(tmp_path):
    prices = own(tmp_path, LONG)
    estimate = prices.estimate("m", 1000, 100, at=NOW)
    assert terms(estimate) == {"input": Decimal("0.005"), "output": Decimal("0.002"), "total": Decimal("0.007")}
    assert prices.estimate("m", 1001, 100, at=NOW).total == Decimal("0.011008")


def test_an_estimate_includes_the_calls_that_tools_may_make(tmp_path):
    prices = own(tmp_path, ONE + TOOLS)
    assert prices.estimate("m", 0, 0, at=NOW, tools={"web_search_calls": 4}).total == Decimal("0.08")
