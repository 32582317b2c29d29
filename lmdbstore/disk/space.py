"""Whether a disk has room for what is to be written: asked first, so that nothing is begun."""

from __future__ import annotations

import os

from lmdbstore.errors import EventWriteException, shown

__all__ = ["check_space"]


def check_space(folder: str, needed: int) -> None:
    """Raise EventWriteException if the file system of a folder has fewer free bytes than needed."""
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise EventWriteException(
            f"the disk of {shown(folder)} cannot be looked at: {error}"
        ) from error
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise EventWriteException(
            f"the disk of {shown(folder)} has {free:,} bytes free and up to {needed:,} are needed; "
            "free some space, or choose another disk"
        )
