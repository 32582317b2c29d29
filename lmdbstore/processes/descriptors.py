"""Descriptors that another part of the program may have closed, as daemons do (`os.closerange`).

The system gives the number of a closed descriptor to the next file that is opened. Then a lock, a
write or a close by that number harms a file that is not ours. So one of the descriptors of a store
has a mark, its file position, which nothing else uses: a descriptor of the same number that someone
else opened has another position, and so has one that the same store opened later. The others are
lost with it.

A forked child inherits descriptors, and with them the locks (`flock`) of its parent: such a lock
lasts until it is released, or the child has closed the file, too. What an open store has open, the
child closes as it drops the store (see `engine.registry`). What a call opens and locks for itself
is in `_passing`, and the child closes that: its parent may be killed, and releases nothing then.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from typing import TYPE_CHECKING, Protocol, TypeVar

from lmdbstore.threads.forking import at_fork
from lmdbstore.threads.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "LOST",
    "LockedFile",
    "close_after_call",
    "close_quietly",
    "is_open_here",
    "is_ours",
    "marked",
    "open_for_call",
    "others_are_open",
]

LOST = (
    "another part of this program has closed the file descriptors of the store (as os.closerange "
    "does), so it cannot be used any more; close it, and open it after that"
)
# The next mark. No file of ours is read or written there.
_marks = itertools.count(1 << 40 | int.from_bytes(os.urandom(4), "little"))
NEAR = 8
STANDARD = 2  # input, output and errors: descriptors 0 to 2


def marked(descriptor: int) -> int:
    """Mark a descriptor as ours, and return the mark; raises OSError."""
    return os.lseek(descriptor, next(_marks), os.SEEK_SET)


def close_quietly(descriptor: int) -> None:
    """Close a descriptor that someone else may have closed."""
    try:  # noqa: SIM105  at each closing: `suppress` takes longer than the call
        os.close(descriptor)
    except OSError:
        pass


def is_ours(descriptor: int, mark: int) -> bool:
    """Whether a descriptor with this mark is still open, and not one of somebody else."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR) == mark
    except OSError:
        return False


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def is_open_here(identity: tuple[int, int], near: int) -> bool:
    """Whether this process has a file of this device and inode open; True if that is unknown.

    The descriptor is probably one of those after `near`.
    """
    if any(_identity(n) == identity for n in range(near + 1, near + 1 + NEAR)):
        return True
    try:
        return any(_identity(int(name)) == identity for name in os.listdir("/dev/fd"))
    except OSError:
        return True


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def others_are_open(near: int) -> bool:
    """Whether someone may have a file open under the number of a lost descriptor.

    The numbers of a store are about as high as that of one of its descriptors, `near`, or lower.
    """
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return True
    # That of the list itself is closed by now.
    return any(STANDARD < n <= near + NEAR and _is_open(n) for n in numbers)


# -- what a call opens for itself, and locks ------------------------------------------------------


class _Passing(Protocol):
    def close(self) -> None:
        """Release its lock and close it; it may be called again."""

    def abandon(self) -> None:
        """Close it in a forked child; the parent keeps the lock."""


P = TypeVar("P", bound=_Passing)

LONGEST = 1.0  # seconds for which a fork waits for an opening

_passing: set[_Passing] = set()  # changed in built-in calls, so that it needs no lock
_gate = Gate()  # so that no fork comes between an opening and its entry in that set


def open_for_call(opened: Callable[[], P]) -> P:
    """Open and lock something, which a forked child closes meanwhile, too; without a wait."""
    return _gate.run(_open, opened)


def _open(opened: Callable[[], P]) -> P:
    found = opened()
    _passing.add(found)
    return found


def close_after_call(found: _Passing) -> None:
    """Close what was opened for a call."""
    try:
        found.close()
    except BaseException:  # an interrupt: otherwise its lock would hold others up
        found.close()
        raise
    _passing.discard(found)


class LockedFile:
    """A file that is opened to be locked."""

    def __init__(self, path: str) -> None:
        """Open it; raises OSError. O_NONBLOCK is for a pipe, which opening would wait for."""
        self._descriptors: list[int] = []
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptors.extend(map(os.open, (path,), (flags,)))
        try:
            self._mark = marked(self.descriptor)
        except BaseException:  # it is a pipe
            os.close(self._descriptors.pop())
            raise

    @property
    def descriptor(self) -> int:
        """The open file; negative if it is closed."""
        return self._descriptors[0] if self._descriptors else -1

    def close(self) -> None:
        """Release the lock, even if a forked child still has the file open, and close the file."""
        if is_ours(descriptor := self.descriptor, self._mark):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self.abandon()

    def abandon(self) -> None:
        """Close the file in a forked child; the parent keeps the lock."""
        while self._descriptors:
            if is_ours(descriptor := self._descriptors.pop(), self._mark):
                os.close(descriptor)


def _renew() -> None:
    """Close, in a forked child, what calls of the parent have open."""
    global _gate  # noqa: PLW0603  threads of the parent may be inside of the inherited one
    _gate = Gate()
    while _passing:
        _passing.pop().abandon()


at_fork("files", gates=lambda: (_gate,), renew=_renew, limits=lambda: (LONGEST,))
