"""Counting tokens: equal to tiktoken's own count, without a network, and bounded for any text."""

import gzip
import hashlib
import subprocess
import sys
from importlib.resources import files

import pytest
import tiktoken.model
import tiktoken_ext.openai_public as published
from hypothesis import given
from hypothesis import strategies as st

from antiphon import tokens

ENCODINGS = list(tokens.PATTERNS)


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def statement(encoding: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What tiktoken states of the encoding: its pattern, and in place of the ranks the digest of their file."""
    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda url, expected_hash: expected_hash)
    return getattr(published, encoding)()


def test_the_vocabulary_is_the_file_whose_digest_tiktoken_states(encoding: str, statement: dict) -> None:
    packed = files(tokens).joinpath(f"{encoding}.tiktoken.gz").read_bytes()
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == statement["mergeable_ranks"]


def test_the_pattern_is_the_one_that_tiktoken_states(encoding: str, statement: dict) -> None:
    assert tokens.PATTERNS[encoding] == statement["pat_str"]


def test_the_notice_names_the_digests(encoding: str, statement: dict) -> None:
    assert statement["mergeable_ranks"] in files(tokens).joinpath("NOTICE").read_text()


# The counts are those that OpenAI's cookbook and tokenizer page give for these texts.
@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 8, 9),
    ],
)
def test_known_texts_have_their_known_counts(text: str, o200k: int, cl100k: int) -> None:
    assert (tokens.count(text), tokens.count(text, "cl100k_base")) == (o200k, cl100k)


def test_an_unknown_encoding_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        tokens.count("hello", "p99k_base")


def test_the_name_of_a_special_token_counts_as_plain_text(encoding: str) -> None:
    assert tokens.count("<|endoftext|>", encoding) == 7


def test_lone_surrogates_count_as_replacement_characters(encoding: str) -> None:
    assert tokens.count("a\ud800b", encoding) == tokens.count("a\ufffdb", encoding)


@given(
    text=st.text(alphabet=st.sampled_from("aB7é中😀 '\n\r\t\u00a0\u2003.,/!_\u0301"), max_size=200),
    size=st.integers(2, 9),
)
def test_a_text_cut_before_spaces_counts_as_the_whole(text: str, size: int) -> None:
    whole = "x ".join(text[i : i + size] for i in range(0, len(text), size))
    for encoding in ENCODINGS:
        tokenizer = tokens._load(encoding)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tokens, "_WINDOW", size + 2)
            assert tokens.count(whole, encoding) == len(tokenizer.encode_ordinary(whole))


@pytest.mark.parametrize(
    "unit", [" ", "\n", " \t", "a", "A", "aA", "中", "😀", "e\u0301", "'", "1", "\u200d"], ids=ascii
)
def test_a_long_run_without_breaks_is_counted_in_short_pieces(
    unit: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = unit * (300_000 // len(unit)) + "x"
    seen: list[int] = []

    class Recorder:
        def encode_ordinary(self, window: str) -> list[int]:
            seen.append(len(window))
            return tokenizer.encode_ordinary(window)

    tokenizer = tokens._load(encoding)
    monkeypatch.setattr(tokens, "_load", lambda name: Recorder())
    assert 0 < tokens.count(text, encoding) <= len(text.encode())
    assert sum(seen) == len(text)
    assert max(seen) < 100_000  # at a few times as many, whitespace overflows the stack of tiktoken


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-5", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("openai/gpt-4", "cl100k_base"),
        ("ft:gpt-4:an-org::id", "cl100k_base"),
        ("ft:gpt-4o:an-org::id", "o200k_base"),
        ("qwen3", "o200k_base"),
        ("rehearsal", "o200k_base"),
        ("", "o200k_base"),
    ],
)
def test_a_model_counts_in_its_encoding_and_an_unknown_one_in_the_newest(model: str, encoding: str) -> None:
    assert tokens.encoding_for(model) == encoding


def test_models_that_tiktoken_knows_get_the_encoding_that_it_gives_them() -> None:
    known = {model: name for model, name in tiktoken.model.MODEL_TO_ENCODING.items() if name in ENCODINGS}
    assert {model: tokens.encoding_for(model) for model in known} == known


@pytest.mark.parametrize(("byte_length", "estimate"), [(0, 0), (1, 1), (3, 1), (4, 2), (3_000_000, 1_000_000)])
def test_an_estimate_is_a_third_of_the_bytes_rounded_up(byte_length: int, estimate: int) -> None:
    assert tokens.estimate(byte_length) == estimate


@pytest.mark.parametrize(
    "text", ["The river was wide and slow.", "for i in range(10):\n    print(i)\n", "服务器在任何模型前面。"]
)
def test_an_estimate_of_ordinary_text_is_not_below_its_count(text: str) -> None:
    assert tokens.estimate(len(text.encode())) >= tokens.count(text)


def test_importing_the_module_loads_no_tokenizer() -> None:
    code = "import sys, antiphon.tokens; sys.exit('tiktoken' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
