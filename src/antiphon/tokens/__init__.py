"""Token counts without a network: how many tokens a text has for the models that clients name.

The vocabularies ship in this package (NOTICE says whose they are), because tiktoken downloads them on first use.
Importing this module loads nothing. The first count of an encoding reads its vocabulary, some 0.3 s and 70 MB for
`o200k_base`, once a process: count off the event loop, or use `estimate`, which needs no tokenizer.
Nothing of ours is imported here.
"""

import re
from binascii import a2b_base64
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tiktoken import Encoding

__all__ = ["PATTERNS", "count", "encoding_for", "estimate"]

DEFAULT: Final = "o200k_base"

_CONTRACTION: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE: Final = r"[^\r\n\p{L}\p{N}]"

PATTERNS: Final = {
    "o200k_base": "|".join(
        (
            rf"{_BEFORE}?{_UPPER}*{_LOWER}+{_CONTRACTION}",
            rf"{_BEFORE}?{_UPPER}+{_LOWER}*{_CONTRACTION}",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    "cl100k_base": "|".join(
        (
            "'(?i:[sdmt]|ll|ve|re)",
            rf"{_BEFORE}?+\p{{L}}++",
            r"\p{N}{1,3}+",
            r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
            r"\s++$",
            r"\s*[\r\n]",
            r"\s+(?!\S)",
            r"\s",
        )
    ),
}
"""How each encoding cuts a text into pieces, in the syntax of tiktoken's regular expressions."""

_CL100K: Final = re.compile(
    r"(gpt-4|gpt-3\.5|gpt-35-turbo|davinci-002|babbage-002|text-embedding-(ada-002|3-small|3-large))($|[-:])"
)

_WINDOW: Final = 32_768
"""Characters that are tokenized in one go; tiktoken panics on runs of whitespace a few times as long."""

_BYTES_A_TOKEN: Final = 3
"""Fewer than prose, source code and JSON have (about 4); only rows of digits have fewer (2)."""


def count(text: str, encoding: str = DEFAULT) -> int:
    """Tokens of `text`. Names of special tokens in it (`<|endoftext|>`) count as the text that they are.

    The time is linear in the length: 0.4 s for a million characters of the worst kind, 30 ms for prose. Exact, save
    that each 32,768 characters without a space between words may count a token or two more or less. Lone surrogates
    count as U+FFFD. Raises KeyError for an encoding that is not in `PATTERNS`.
    """
    encode = _load(encoding).encode_ordinary
    return sum(len(encode(window)) for window in _windows(text))


def encoding_for(model: str) -> str:
    """Name of the encoding that `model` counts in, or that comes closest: unknown models count in `o200k_base`.

    A provider's prefix (`openai/gpt-4`) and a fine-tune's name (`ft:gpt-4:org::id`) are seen through.
    """
    name = model.rpartition("/")[2].removeprefix("ft:")
    return "cl100k_base" if _CL100K.match(name) else DEFAULT


def estimate(byte_length: int) -> int:
    """Tokens that a text of `byte_length` UTF-8 bytes hardly exceeds: for reservations, made without a tokenizer."""
    return -(-byte_length // _BYTES_A_TOKEN)


def _windows(text: str) -> Iterator[str]:
    """Cut a long text before spaces: both patterns begin a piece there, so the parts' counts add up to the whole's."""
    start = 0
    while len(text) - start > _WINDOW:
        end = _last_break(text, start, start + _WINDOW)
        yield text[start:end]
        start = end
    yield text[start:]


def _last_break(text: str, start: int, end: int) -> int:
    """Index of the last space in (start, end] that follows anything but whitespace, or `end` when there is none."""
    space = end + 1
    while (space := text.rfind(" ", start + 1, space)) > 0:
        if not text[space - 1].isspace():
            return space
    return end


@cache
def _load(encoding: str) -> "Encoding":
    """Build an encoding from the vocabulary file: lines of a token in base64, a space, its rank."""
    import gzip
    from importlib.resources import files

    from tiktoken import Encoding

    pattern = PATTERNS[encoding]
    packed = files(__name__).joinpath(f"{encoding}.tiktoken.gz").read_bytes()
    words = gzip.decompress(packed).split()
    ranks = dict(zip(map(a2b_base64, words[::2]), map(int, words[1::2]), strict=True))
    return Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
