"""Whether what is sent as an image is one, as far as it can be told without decoding it.

A request that carries something else is well-formed and cannot be processed: 422, before any model is asked for it.
Only the input of a request is looked at. What is stored, or what an upstream says, is kept as it is.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Iterator, Sequence
from typing import Final

from antiphon.wire.content import ComputerScreenshot, InputImage
from antiphon.wire.errors import Unprocessable
from antiphon.wire.items import ComputerCallOutput, CustomToolCallOutput, FunctionCallOutput, Item, Message

__all__ = ["check_data", "check_images"]

_MARKER: Final = re.compile(r"data:[^,]{0,256};base64,", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_HEAD: Final = 16
"""Characters: the 12 bytes that a WebP needs to be told are the most."""
_KIND: Final = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP", re.DOTALL)


def check_images(items: Sequence[Item], path: str) -> None:
    """Refuse an image or a screenshot whose data are none. Raises Unprocessable, whose `param` names its `image_url`.

    `path` is where the items stand, as in `input`.
    """
    for index, item in enumerate(items):
        for place, image in _images(item):
            if isinstance(url := image.image_url, str):
                check_data(url, f"{path}[{index}].{place}.image_url")


def _images(item: Item) -> Iterator[tuple[str, InputImage | ComputerScreenshot]]:
    match item:
        case Message(content=list(parts)):
            name = "content"
        case FunctionCallOutput(output=list(parts)) | CustomToolCallOutput(output=list(parts)):
            name = "output"
        case ComputerCallOutput(output=screen):
            yield "output", screen
            return
        case _:
            return
    yield from ((f"{name}[{at}]", part) for at, part in enumerate(parts) if isinstance(part, InputImage))


def check_data(url: str, param: str) -> None:
    """Refuse the `data:` URL of what is no image; `param` is where it stands. Raises Unprocessable.

    An image may have 20 MB: its text is read once and never copied, and only its head is decoded.
    """
    if not url.startswith("data:"):
        return
    marker = _MARKER.match(url)
    if marker is None or (len(url) - marker.end()) % 4 or not _BASE64.fullmatch(url, marker.end()):
        message = f"Invalid '{param}': the data are not base64. Send 'data:image/png;base64,' and the bytes in base64."
        raise Unprocessable(message, param=param, code="invalid_base64_image")
    if not _KIND.match(a2b_base64(url[marker.end() : marker.end() + _HEAD])):
        message = f"Invalid '{param}': the data are not an image that is a PNG, JPEG, GIF or WebP."
        raise Unprocessable(message, param=param, code="invalid_image_format")
