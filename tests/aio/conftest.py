"""Threads of a closed store end soon after the call that closed it: then the test has ended."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True, scope="session")
def uvloop_is_ready() -> None:
    """Run uvloop once: its first loop leaves a pipe open for good, which is no leak of a test."""
    with suppress(ImportError):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.sleep(0))


@pytest.fixture(autouse=True)
def threads_end(nothing_leaks: None) -> Iterator[None]:
    """Wait for the threads, before what is left counts as a leak."""
    assert nothing_leaks is None
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("lmdbstore.aio"):
            thread.join(LONG)
