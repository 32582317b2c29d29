"""Locks of open file descriptions on bytes of a file, on Linux.

Rules: the kernel drops such a lock with the last descriptor of its description. So nobody can
remove it, and closing another descriptor of the file does not drop it. A descriptor that may only
read is enough for a shared lock. A lock may lie beyond the end of the file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys

__all__ = ["REGION", "SUPPORTED", "locked_in", "place_of", "share", "unlock"]

SUPPORTED = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")
WITHOUT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)  # of some file systems

REGION = 1 << 60  # bytes; for the locks of one kind
FLOCK = struct.Struct("@hhqqi")  # C's `struct flock`: kind, whence, place, length, process
FACTOR, PRIME = 0x9E3779B97F4A7C15, (1 << 61) - 1  # of the hash


def place_of(*numbers: int) -> int:
    """Return a hash of numbers, below REGION."""
    place = 0
    for number in numbers:
        place = (place * FACTOR + number) % PRIME
    return place % REGION


def share(descriptor: int, place: int) -> bool:
    """Lock a byte shared; False if the file system has no such locks. Raises OSError."""
    return _set(descriptor, fcntl.F_RDLCK, place, 1)


def unlock(descriptor: int, place: int, length: int) -> bool:
    """Unlock bytes, all to the end if `length` is 0; otherwise like `share`."""
    return _set(descriptor, fcntl.F_UNLCK, place, length)


def _set(descriptor: int, kind: int, place: int, length: int) -> bool:
    try:
        wanted = FLOCK.pack(kind, os.SEEK_SET, place, length, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in WITHOUT:
            return False
        raise
    return True


def locked_in(descriptor: int, first: int, end: int) -> int:
    """Return the place of a lock of another description in a range; 0 if there is none.

    A lock that begins before the range is not ours: another program has locked the whole file.
    """
    if first >= end:
        return 0
    asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, end - first, 0)
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    kind, _, place, _, _ = FLOCK.unpack(found)
    return 0 if kind == fcntl.F_UNLCK or place < first else int(place)
