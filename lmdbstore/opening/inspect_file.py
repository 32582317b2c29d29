"""Checking a data file before LMDB opens it.

LMDB detects a file that is not its own, but only after it has made a lock file next to it. A file
that is cut off would end the process (SIGBUS), and a damaged one may lack the last write.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.files import way_of
from lmdbstore.disk.meta_page import META_BYTES, meta_in
from lmdbstore.errors import OpenBusy, StoreOpenError, shown
from lmdbstore.processes.barrier import write_lock
from lmdbstore.threads.deadline import FOREVER, Deadline

from .page_errors import page_errors

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

__all__ = ["inspect_data_file"]

USUAL_PAGE = 4096  # bytes; both meta pages are then read at once
LOOKS = 4  # checks of a data file that seems damaged, before one that makes writers wait


def inspect_data_file(
    folder: StoreFolder,
    descriptor: int,
    *,
    readonly: bool,
    locked: bool = False,
    deadline: Deadline = FOREVER,
) -> int:
    """Return the bytes that the data file in a folder needs; `descriptor` is one of that file.

    `locked`: the caller holds the lock of the barrier. Otherwise this waits for a write to end if
    the file seems damaged, and raises OpenBusy at the deadline.

    Raises:
        StoreOpenError: the file is not LMDB's, is cut off, or damaged.
    """
    try:
        for _ in range(LOOKS):  # another process may write at the same time
            file = _look_at(descriptor)
            if file is None or (file.follow and file.size >= file.needed):
                break
        else:
            # The holder of the barrier's lock would wait for itself.
            lock = partial(write_lock, folder, wait=True, deadline=deadline, kind=OpenBusy)
            with contextlib.nullcontext() if locked else lock():
                _check_locked(folder, descriptor, readonly=readonly)
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be opened: {error}"
        ) from error
    if file is None:
        raise StoreOpenError(
            f"{shown(folder.named(folder.data))} is not an LMDB file, or a damaged one"
        )
    return max(file.size, file.needed)


class _MetaPages(NamedTuple):
    """The size and the meta pages of a data file."""

    size: int  # bytes
    needed: int  # bytes; the least length by the newer of its meta pages
    transactions: list[int]  # the transaction numbers of its meta pages

    @property
    def follow(self) -> bool:
        """Whether the two meta pages are of consecutive transactions, or of a new file."""
        return abs(self.transactions[0] - self.transactions[1]) == 1 or not any(self.transactions)


def _check_locked(folder: StoreFolder, descriptor: int, *, readonly: bool) -> None:
    """Check the file while no process writes, and raise StoreOpenError if it is damaged."""
    name = folder.named(folder.data)
    file = _look_at(descriptor)
    if file is None:
        return  # it was replaced since; LMDB will refuse it
    if not file.follow:
        numbers = " and ".join(map(str, file.transactions))
        raise StoreOpenError(
            f"{shown(name)} is damaged: its meta pages are of the transactions {numbers}, which do "
            "not follow each other, so the last write may be missing; repair it"
        )
    if file.size < file.needed:
        _check_short(folder, descriptor, file, readonly=readonly)


def _check_short(folder: StoreFolder, descriptor: int, file: _MetaPages, *, readonly: bool) -> None:
    """Raise StoreOpenError if a file that is too short lacks more than free pages.

    A page at the end that was allocated and freed in one transaction (an event was saved and
    deleted in one group commit) is never written, and never read.
    """
    way = way_of(descriptor)  # whatever is put at the path
    name = way if os.path.exists(way) else folder.data
    if page_errors(name):
        raise StoreOpenError(
            f"{shown(folder.named(folder.data))} is cut off: it has {file.size:,} bytes of "
            f"{file.needed:,}, and reading the rest would end the process; restore it from a "
            "backup, or repair it"
        )
    if not readonly:  # so that the next opening need not verify the whole file
        os.truncate(name, file.needed)


def _look_at(descriptor: int) -> _MetaPages | None:
    """Read the meta pages of a file; None if it is not LMDB's."""
    head = os.pread(descriptor, USUAL_PAGE + META_BYTES, 0)
    first = meta_in(head)
    if first is None:
        return None
    at = first.page_size
    second = meta_in(head[at:] if at == USUAL_PAGE else os.pread(descriptor, META_BYTES, at))
    if second is None:
        return None
    later = max(first, second)
    return _MetaPages(
        os.fstat(descriptor).st_size,
        (later.last_page + 1) * later.page_size,
        [first.transaction, second.transaction],
    )
