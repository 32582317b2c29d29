"""Descriptors that another part of the program may have closed, as daemons do (`os.closerange`).

The system gives the number of a closed descriptor to the next file that is opened. Then a lock, a
write or a close by that number harms a file that is not ours. So one of the descriptors of a store
has a mark, its file position, which nothing else uses: a descriptor of the same number that someone
else opened has another position, and so has one that the same store opened later. The others are
lost with it.
"""

from __future__ import annotations

import itertools
import os

__all__ = ["LOST", "close_quietly", "is_open_here", "is_ours", "marked", "others_are_open"]

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
