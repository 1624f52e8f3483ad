"""What an upstream of POST /embeddings answers."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

from tests.support.answers import Answer, json_answer

VECTOR = (0.125, -0.5, 3.0)
"""Numbers that 32 bits hold exactly."""


def embeddings(count: int = 1, *, encoding: str = "float", vector: Sequence[float] = VECTOR, **fields: Any) -> Answer:
    """A list of so many equal vectors."""
    data = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if encoding == "base64" else list(vector)
    usage = {"prompt_tokens": 4 * count, "total_tokens": 4 * count}
    listed = [{"object": "embedding", "index": index, "embedding": data} for index in range(count)]
    return json_answer({"object": "list", "data": listed, "model": "upstreams-own", "usage": usage, **fields})
