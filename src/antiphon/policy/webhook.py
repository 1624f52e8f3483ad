"""Signatures of webhooks, as Standard Webhooks has them (https://www.standardwebhooks.com) and OpenAI uses them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha256
from hmac import digest
from typing import Final

__all__ = ["signature", "signing_key"]

_PREFIX: Final = "whsec_"


def signing_key(secret: str) -> bytes:
    """The bytes that a secret stands for: `whsec_` and base64, or any text. Raises ValueError if it is neither."""
    if not secret.startswith(_PREFIX):
        key = secret.encode()
    else:
        try:
            key = b64decode(secret.removeprefix(_PREFIX), validate=True)
        except Error as error:
            raise ValueError(f"expected base64 after {_PREFIX}") from error
    if not key:
        raise ValueError("expected a secret, got nothing")
    return key


def signature(key: bytes, webhook_id: str, stamp: str, body: bytes) -> str:
    """The value of `webhook-signature` for a body. `stamp`: Unix seconds, as they are in `webhook-timestamp`."""
    signed = b".".join((webhook_id.encode(), stamp.encode(), body))
    return "v1," + b64encode(digest(key, signed, sha256)).decode()
