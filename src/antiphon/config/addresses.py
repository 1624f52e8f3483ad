"""Addresses: where a server listens, how its clients write that, and what cannot be meant by one."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

__all__ = ["base_url_of", "fault_of", "is_loopback"]

_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read here, not bound
"""Addresses that stand for all of a machine's, and where this machine itself finds them."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def base_url_of(host: str, port: int) -> str:
    """The base URL of a server that listens there, as a client on the same machine reaches it."""
    host = _ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


_SUFFIXES: Final = ("/chat/completions", "/responses", "/models", "/embeddings")


def fault_of(base_url: str) -> str:
    """Why a text cannot be the base URL of a server; empty if it can."""
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError as error:
        return f"expected an address: {error}"
    if url.scheme not in ("http", "https") or not url.hostname:
        return "expected an address like http://127.0.0.1:8484/v1"
    if url.username is not None or url.password is not None:
        return "an address must hold no password: use api_key or headers"
    if url.query or url.fragment:
        return "expected an address without a query"
    wrong = next((suffix for suffix in _SUFFIXES if url.path.rstrip("/").endswith(suffix)), "")
    return f"expected the address up to /v1, without {wrong}" if wrong else ""
