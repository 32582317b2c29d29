"""What a test leaves behind: threads, descriptors, children and what was never closed.

It is told of the test that left it, and cleaned up, so that no other test is blamed for it later.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress
from typing import NamedTuple, Self

with suppress(ImportError):
    import ctypes  # noqa: F401  its first use may leave a file open for good: that is no leak

__all__ = ["Kept", "leaks"]

LAST_FAILURE = "last_type", "last_value", "last_traceback", "last_exc"  # in `sys`


class Kept(NamedTuple):
    """What the process has at one moment."""

    threads: set[threading.Thread]
    descriptors: set[str]
    children: set[int]

    @classmethod
    def now(cls) -> Self:
        """Look at all of it."""
        return cls(set(threading.enumerate()), _descriptors(), _children())

    def more_than(self, before: Kept) -> list[str]:
        """Name what was not there before."""
        found = [f"the thread {thread.name}" for thread in self.threads - before.threads]
        if len(self.descriptors) > len(before.descriptors):
            found += [f"the descriptor {one}" for one in self.descriptors - before.descriptors]
        return found + [f"the process {child}" for child in self.children - before.children]


def leaks(before: Kept) -> list[str]:
    """Name what was left since then, once it is cleaned up as far as that can be done.

    A failure keeps the frames of its test, and so all that was open in them, until the next test
    is called: they are let go here.
    """
    failed = hasattr(sys, LAST_FAILURE[0])
    found = Kept.now().more_than(before)
    if not found and not failed:
        return []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        _end(before)
        for name in LAST_FAILURE:
            with suppress(AttributeError):
                delattr(sys, name)
        gc.collect()
    unclosed = [str(one.message) for one in told if issubclass(one.category, ResourceWarning)]
    return found + unclosed


def _end(before: Kept) -> None:
    """End the timers and the children that were not there before."""
    for thread in set(threading.enumerate()) - before.threads:
        if isinstance(thread, threading.Timer):
            thread.cancel()
            thread.join()
    for child in _children() - before.children:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _descriptors() -> set[str]:
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return set()
    names = set()
    for descriptor in os.listdir(folder):
        with suppress(FileNotFoundError):  # the one that listed the folder
            names.add(f"{descriptor} {os.readlink(f'{folder}/{descriptor}')}")
    return names


def _children() -> set[int]:
    found: set[int] = set()
    with suppress(FileNotFoundError):  # a thread that has just ended; or a system that lists none
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
                found.update(map(int, file.read().split()))
    return found
