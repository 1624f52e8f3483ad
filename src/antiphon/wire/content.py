"""The parts that messages, reasoning and tool outputs are made of, their annotations and log probabilities.

Limits of lengths are those of the API's specification, in characters.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from antiphon.wire.struct import UNSET, Maybe, Typed, Wire

__all__ = [
    "ANNOTATIONS",
    "INPUT_PARTS",
    "MAX_FILE_DATA",
    "MAX_IMAGE_URL",
    "MAX_TEXT",
    "OUTPUT_PARTS",
    "PARTS",
    "Annotation",
    "ComputerScreenshot",
    "ContainerFileCitation",
    "Detail",
    "FileCitation",
    "FilePath",
    "InputFile",
    "InputImage",
    "InputPart",
    "InputText",
    "Logprob",
    "OutputText",
    "Part",
    "ReasoningText",
    "Refusal",
    "SummaryText",
    "Text",
    "TopLogprob",
    "UrlCitation",
]

MAX_TEXT: Final = 10_485_760
MAX_IMAGE_URL: Final = 20_971_520
MAX_FILE_DATA: Final = 73_400_320

Detail = Literal["low", "high", "auto", "original"]


class FileCitation(Typed, tag="file_citation", kw_only=True):
    """A quotation from a file found by file search; `index` is the character of the text that it follows."""

    file_id: str
    filename: str
    index: int


class UrlCitation(Typed, tag="url_citation", kw_only=True):
    """A web page behind the characters `start_index` to `end_index` of the text."""

    start_index: int
    end_index: int
    title: str
    url: str


class ContainerFileCitation(Typed, tag="container_file_citation", kw_only=True):
    """A file that the code interpreter wrote."""

    container_id: str
    file_id: str
    filename: str
    start_index: int
    end_index: int


class FilePath(Typed, tag="file_path", kw_only=True):
    """A path in the text that stands for a file."""

    file_id: str
    index: int


Annotation = FileCitation | UrlCitation | ContainerFileCitation | FilePath


class TopLogprob(Wire, kw_only=True):
    """One of the likeliest tokens at a place. The parts carry `bytes` (UTF-8), the events do not."""

    token: str
    logprob: float
    bytes: Maybe[list[int] | None] = UNSET


class Logprob(Wire, kw_only=True):
    """The natural logarithm of the probability of a token that was written, and of those that might have been."""

    token: str
    logprob: float
    bytes: Maybe[list[int] | None] = UNSET
    top_logprobs: Maybe[list[TopLogprob] | None] = UNSET


class InputText(Typed, tag="input_text", kw_only=True):
    """Text given to the model."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)]
    prompt_cache_breakpoint: Maybe[dict[str, Any] | None] = UNSET


class InputImage(Typed, tag="input_image", kw_only=True):
    """An image given to the model, by URL (also `data:`) or as an uploaded file."""

    image_url: Maybe[Annotated[str, Meta(max_length=MAX_IMAGE_URL)] | None] = UNSET
    file_id: Maybe[str | None] = UNSET
    detail: Detail | None = "auto"
    prompt_cache_breakpoint: Maybe[dict[str, Any] | None] = UNSET


class InputFile(Typed, tag="input_file", kw_only=True):
    """A file given to the model: base64 data, a URL or an uploaded file."""

    file_data: Maybe[Annotated[str, Meta(max_length=MAX_FILE_DATA)] | None] = UNSET
    file_id: Maybe[str | None] = UNSET
    file_url: Maybe[str | None] = UNSET
    filename: Maybe[str | None] = UNSET
    detail: Maybe[Detail | None] = UNSET
    prompt_cache_breakpoint: Maybe[dict[str, Any] | None] = UNSET


class OutputText(Typed, tag="output_text", kw_only=True):
    """Text that the model wrote. `annotations` and `logprobs` are always there, if empty: strict clients need them."""

    text: str = ""
    annotations: list[Annotation] = []
    logprobs: list[Logprob] | None = []


class Refusal(Typed, tag="refusal", kw_only=True):
    """What the model said instead of an answer."""

    refusal: str = ""


class ReasoningText(Typed, tag="reasoning_text", kw_only=True):
    """Reasoning in the model's own words."""

    text: str = ""


class SummaryText(Typed, tag="summary_text", kw_only=True):
    """A summary of reasoning."""

    text: str = ""


class Text(Typed, tag="text", kw_only=True):
    """Text of an item in a conversation that neither user nor model wrote."""

    text: str


class ComputerScreenshot(Typed, tag="computer_screenshot", kw_only=True):
    """What a computer showed after an action."""

    image_url: Maybe[str | None] = UNSET
    file_id: Maybe[str | None] = UNSET
    detail: Maybe[Detail | None] = UNSET
    prompt_cache_breakpoint: Maybe[dict[str, Any] | None] = UNSET


InputPart = InputText | InputImage | InputFile
Part = (
    InputText | InputImage | InputFile | OutputText | Refusal | ReasoningText | SummaryText | Text | ComputerScreenshot
)

ANNOTATIONS: Final[dict[str, type[Wire]]] = {
    "file_citation": FileCitation,
    "url_citation": UrlCitation,
    "container_file_citation": ContainerFileCitation,
    "file_path": FilePath,
}
PARTS: Final[dict[str, type[Wire]]] = {
    "input_text": InputText,
    "input_image": InputImage,
    "input_file": InputFile,
    "output_text": OutputText,
    "refusal": Refusal,
    "reasoning_text": ReasoningText,
    "summary_text": SummaryText,
    "text": Text,
    "computer_screenshot": ComputerScreenshot,
}

INPUT_PARTS: Final = ("input_text", "input_image", "input_file")
"""What a message of role user, system or developer may hold."""

OUTPUT_PARTS: Final = ("output_text", "refusal")
"""What a message of role assistant may hold."""
