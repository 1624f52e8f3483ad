"""What every test stands on: one event loop, deterministic properties in CI, no key of whoever runs the tests."""

import os
from importlib.util import find_spec

import pytest
from hypothesis import settings

from tests.support.watchdog import Watchdog

KEPT = frozenset({"ANTIPHON_NODE", "ANTIPHON_NODE_MODULES", "ANTIPHON_CODEX"})
"""Where Node, its packages and Codex are. Tests that need them skip when these are not set."""

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)


def is_provider_setting(name: str) -> bool:
    """Whether an environment variable may hold a key or settings that would lead a test to a real provider."""
    prefixes = ("OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "ANTIPHON_")
    return name not in KEPT and (name.startswith(prefixes) or name.endswith("_API_KEY"))


def pytest_configure(config: pytest.Config) -> None:
    """Forget the keys before any module of ours is imported; watch for tests that hang."""
    forget_keys()
    config.pluginmanager.register(Watchdog())
    settings.load_profile("ci" if os.environ.get("CI") else "local")


def forget_keys() -> None:
    """Let no test spend them."""
    for name in filter(is_provider_setting, list(os.environ)):
        del os.environ[name]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the server has: uvloop, where it exists."""
    return "asyncio", {"use_uvloop": find_spec("uvloop") is not None}
