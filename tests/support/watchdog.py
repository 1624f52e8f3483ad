"""Says what the tasks of a test that hangs are waiting for; the stacks of its threads (faulthandler's) do not tell."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Generator

import pytest


class Watchdog:
    """A plugin of pytest. It is made before pytest captures the output, and keeps the real one."""

    def __init__(self, patience: float = 120.0) -> None:
        """`patience` is how many seconds a test may take before it is called hung."""
        self._patience = patience
        self._out = os.fdopen(os.dup(2), "w", buffering=1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch one test."""
        timer = threading.Timer(self._patience, self.tell, (item.nodeid,))
        timer.daemon = True
        timer.start()
        try:
            return (yield)
        finally:
            timer.cancel()

    def tell(self, name: str) -> None:
        """Print the stacks of all tasks."""
        print(f"\n{name} hangs. Its tasks:", file=self._out)
        for task in [found for found in gc.get_objects() if isinstance(found, asyncio.Task)]:
            if not task.done():
                task.print_stack(file=self._out)
