"""Waiting until files in some folders may have changed.

Rules: notices of the kernel (inotify) end a wait at once, where there are any. Besides, a wait
looks at the folders, at most `LOOK` seconds apart: a network file system gives no notice of what
another machine writes, a folder that was made again has no watch yet, and inotify may be missing or
used up. No change is missed, one between two waits neither. A change may be reported twice.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeAlias

from lmdbstore.threads.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Changes"]

LOOK = 1.0  # seconds between two looks at the folders, at most

# File systems keep times in steps of up to two seconds: a file that was changed in the step of a
# look may have changed again since, and show nothing of it.
STEP = 2.0

_Entry: TypeAlias = tuple[int, ...]


class Changes:
    """Waits for changes in folders: a file grew, shrank, appeared, vanished or has a new name.

    It belongs to one thread, and is not for use after a fork.
    """

    def __init__(
        self,
        folders: Iterable[Path],
        wanted: Callable[[str], bool] = lambda _name: True,
        *,
        notices: bool = True,
    ) -> None:
        """Watch `folders`, which need not exist, from now on; folders inside of them do not count.

        Only entries whose name is `wanted` count. Without `notices`, inotify is not used.
        """
        self._wanted = wanted
        self._notices = Notices.make() if notices else None
        self._states: dict[Path, dict[str, _Entry] | None] = {}
        self.set(folders)
        self._looked = time.monotonic()

    def set(self, folders: Iterable[Path]) -> None:
        """Watch these folders; new ones from now on, and the others without a gap."""
        before = self._states
        self._states = {folder: before.get(folder) for folder in folders}
        self._watch()
        for folder in self._states.keys() - before:
            self._states[folder] = self._state(folder)

    def wait(self, timeout: float) -> bool:
        """Wait for at most `timeout` seconds; return whether there may have been a change.

        It is one since the last wait that returned True, or since a folder was given.
        """
        end = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            noticed = self._pause(max(0.0, min(end, self._looked + LOOK) - now))
            # A notice is looked at, too: else the next look would report it again.
            if self._look() or noticed:
                return True
            if time.monotonic() >= end:
                return False

    def close(self) -> None:
        """End the watches; nothing else may be called then."""
        if self._notices is not None:
            self._notices.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pause(self, seconds: float) -> bool:
        """Wait for notices; return whether there were any that count."""
        if self._notices is not None:
            return self._notices.wait(seconds, self._wanted)
        time.sleep(seconds)
        return False

    def _watch(self) -> None:
        if self._notices is not None:
            self._notices.watch(self._states)

    def _look(self) -> bool:
        """Look at the folders; return whether they differ from what was seen before."""
        self._watch()  # first: what changes after the look is noticed
        before = self._states
        self._states = {folder: self._state(folder) for folder in before}
        self._looked = time.monotonic()
        return self._states != before

    def _state(self, folder: Path) -> dict[str, _Entry] | None:
        """Return what shows the changes in a folder; None if it cannot be read, or is not there."""
        now, found = time.time(), {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self._wanted(entry.name):
                        with suppress(OSError):  # it vanished, or its target cannot be reached
                            found[entry.name] = _state_of(entry.stat(), now)
        except OSError:
            return None
        return found


def _state_of(status: os.stat_result, now: float) -> _Entry:
    if not stat.S_ISREG(status.st_mode):
        return (status.st_dev, status.st_ino)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_mode,  # it may have become readable
        now - status.st_mtime < STEP,  # once it is older, its time is final: a change to look at
    )
