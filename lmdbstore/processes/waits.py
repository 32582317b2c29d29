"""Waiting for the lock of another process with a time limit, and what is said when it is over.

Rules: without a limit the system's own queue is used, which wakes a waiter at once and is fair.
With a limit the lock is tried again and again, because `flock` has no time limit; a call with a
limit may so be overtaken by those without. A limit of 0 tries once.
"""

from __future__ import annotations

import fcntl
import time
from typing import TYPE_CHECKING, TypeVar

from lmdbstore.errors import StoreBusy, shown

from .lock_list import held_up_by

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.threads.deadline import Deadline

__all__ = [
    "FIRST_WAIT",
    "GROWTH",
    "LONGER",
    "LONGEST_WAIT",
    "NEVER_WAIT",
    "THREAD",
    "UNNAMED",
    "busy",
    "flock_within",
]

B = TypeVar("B", bound="StoreBusy")

# Seconds between two tries. A durable write takes about a millisecond, so the first waits are a
# fraction of that; they grow because some writes are long.
FIRST_WAIT, LONGEST_WAIT, GROWTH = 0.0001, 0.005, 1.5
UNNAMED = "a process that the system does not name"
THREAD = "another thread of this process"
# Remedies in messages, which the command line gives in its own words.
LONGER = "(timeout=)"
NEVER_WAIT = ", or open the store with consistency='snapshot', whose reads never wait"


def flock_within(descriptor: int, kind: int, deadline: Deadline) -> bool:
    """Lock a file; return False if others held it until the time limit. Ctrl-C ends the wait."""
    if deadline.limit is None:
        fcntl.flock(descriptor, kind)
        return True
    pause = FIRST_WAIT
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline.left
            if not left:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * GROWTH, LONGEST_WAIT)
        else:
            return True


def busy(  # noqa: PLR0913  the parts of a message
    kind: type[B],
    folder: StoreFolder,
    deadline: Deadline,
    *,
    work: str,
    outcome: str,
    locks: tuple[str, ...],
    remedy: str = "",
    unknown: str = UNNAMED,
) -> B:
    """Return the exception for a wait that is over.

    `work` is what was waited for, `locks` are the files whose lock the holder has, and `unknown`
    is said of the holder if the system does not list it.
    """
    by = held_up_by(*locks) or unknown
    return kind(
        f"the store {shown(folder.path)} is busy: waited {deadline.whole or 0:.3g} s for {work} of "
        f"{by}; {outcome}; let that end, or wait longer {LONGER}{remedy}"
    )
