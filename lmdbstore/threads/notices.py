"""Notices of the kernel about changes in folders (inotify), where there are any.

Rules: they say that something may have changed, and never what. They may be missing (another
system, no library, too many in use) or lost; who waits for them looks from time to time as well.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Notices"]


class Notices:
    """The kernel's notices of changes in folders (inotify)."""

    def __init__(self, inotify: Any, flags: Any) -> None:
        """Use `make`."""
        self._inotify = inotify
        self._watches: set[int] = set()
        self._stopped = False
        self._ignored = int(flags.IGNORED)  # the end of a watch; what ended it has a notice too
        self._mask = (
            flags.MODIFY
            | flags.ATTRIB
            | flags.CREATE
            | flags.DELETE
            | flags.MOVED_FROM
            | flags.MOVED_TO
            | flags.DELETE_SELF
            | flags.MOVE_SELF
            | flags.ONLYDIR
        )

    @classmethod
    def make(cls) -> Notices | None:
        """Return None if there are none: another system, no library, or too many in use."""
        if sys.platform != "linux":
            return None
        try:
            from inotify_simple import INotify, flags

            return cls(INotify(), flags)
        except (ImportError, OSError):
            return None

    def watch(self, folders: Iterable[Path | str]) -> bool:
        """Watch these folders, whatever folder is at each path now, and no others.

        Return whether there is any that could be watched.
        """
        watches = set()
        for folder in folders:
            # One that is missing, or one too many for the system, is only looked at.
            with suppress(OSError):
                watches.add(self._inotify.add_watch(folder, self._mask))
        for watch in self._watches - watches:
            with suppress(OSError):  # its folder is gone, and the watch with it
                self._inotify.rm_watch(watch)
        self._watches = watches
        return bool(watches)

    def wait(self, seconds: float, wanted: Callable[[str], bool]) -> bool:
        """Wait for a notice, at most so long; return whether one of them counts.

        A notice without a name is of a folder itself, or says that notices were lost.
        """
        end = time.monotonic() + seconds
        while not self._stopped:
            left = max(0.0, end - time.monotonic())
            for notice in self._inotify.read(math.ceil(left * 1000)):
                if notice.mask & ~self._ignored and (not notice.name or wanted(notice.name)):
                    return True
            if not left:
                break
        return False

    def stop(self) -> None:
        """Let a wait of another thread return, and every later one."""
        self._stopped = True
        for watch in self._watches:
            with suppress(OSError, ValueError):  # it was closed in the meantime
                self._inotify.rm_watch(watch)  # its end is a notice

    def close(self) -> None:
        """End the watches; nothing else may be called then."""
        self._inotify.close()
