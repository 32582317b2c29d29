"""Verifying a store, open or by its folder.

Rules: damage that keeps a store from being opened is found without opening it: this checks the
pages, the names of the databases and the format version, read the way `repair` reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import NAMES, is_store
from lmdbstore.disk.folder import DATA_FILE, StoreFolder
from lmdbstore.disk.last_state import last_state
from lmdbstore.engine.session import Session
from lmdbstore.errors import (
    EventReadException,
    InvalidOption,
    OpenBusy,
    StoreInUse,
    StoreOpenError,
    shown,
)
from lmdbstore.opening.options import Options, checked_limit, checked_progress, folder_of, one_of
from lmdbstore.processes.barrier import write_lock
from lmdbstore.processes.presence import present_in
from lmdbstore.threads.deadline import Deadline

from .comparison import Comparison
from .findings import Finding, FindingKind
from .page_check import folder_kept_open, page_findings

if TYPE_CHECKING:
    import os

    from .walk import Progress

__all__ = ["verify", "verify_session"]


def verify(
    path: str | os.PathLike[str],
    *,
    pages: bool = False,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> list[Finding]:
    """Return all errors in the store in the folder `path`; see `LMDBEventStore.verify`.

    With `pages` the pages of the file are checked before it is opened, and it is not opened if any
    is damaged. Only this call is safe for a file that may be damaged or comes from elsewhere. If
    this process has the store open, use the method of the store.

    If damage keeps the store from being opened (a file that is cut off, a missing database), that
    damage is returned, and the records are not compared.

    It waits for other processes no longer than `timeout` seconds; None is no limit.

    Raises:
        InvalidOption: an argument has an invalid value.
        StoreOpenError: there is no store, or it cannot be opened though it is not damaged; the
            message says why.
        StoreInUse: the store is being compacted or repaired.
        StoreBusy: others opened it, or with `pages` wrote to it, until the time limit.
        EventReadException: the store could not be read.
    """
    folder = StoreFolder(folder_of(path))
    pages = one_of("pages", pages, (True, False))
    progress = checked_progress(progress)
    limit = checked_limit(timeout)
    deadline = Deadline(limit)
    folder.check_plain()
    if not folder.has_store:
        raise StoreOpenError(f"there is no store at {shown(folder.path)}")
    with present_in(folder):  # so that no process replaces the file in the meantime
        if pages and (found := page_findings(folder, deadline)):
            return found
        try:
            left = None if limit is None else deadline.left
            session = Session(folder.path, Options(readonly=True), timeout=left)
        except (InvalidOption, StoreInUse, OpenBusy):
            raise
        except StoreOpenError:
            if found := page_findings(folder, deadline) or _missing(folder, deadline):
                return found
            raise
    with session:
        return verify_session(session, progress=progress)


def verify_session(
    session: Session, *, pages: bool = False, progress: Progress | None = None
) -> list[Finding]:
    """Return all errors in an open store; see `LMDBEventStore.verify`."""
    if pages:
        environment = session.current()
        environment.check_outside("a check of the pages", EventReadException)
        with folder_kept_open(environment) as folder:
            if found := page_findings(folder, session.deadline()):
                return found
    with session.hold() as held:
        return Comparison(held.read, progress).run()


def _missing(folder: StoreFolder, deadline: Deadline) -> list[Finding]:
    """Return the missing parts of a store with sound pages."""
    notes: list[str] = []
    lock = write_lock(folder, wait=True, deadline=deadline)
    with lock, open(folder.data, "rb") as file:
        pages, trees = last_state(file, notes.append)
        if not is_store(trees):
            return []
        version, seed = (pages.lookup(trees.get(fmt.META), key) for key in (fmt.FORMAT, fmt.SEED))
    found = [
        Finding(FindingKind.DATABASE, name.decode(), "it is missing")
        for name in sorted(NAMES - trees.keys())
    ]
    return found + (_wrong_in_meta(version, seed, notes) if fmt.META in trees else [])


def _wrong_in_meta(version: bytes | None, seed: bytes | None, notes: list[str]) -> list[Finding]:
    found = [Finding(FindingKind.TRANSACTION, DATA_FILE, what) for what in notes]
    number = fmt.decode_checked(version or b"")
    for kind, value in ((FindingKind.SEED, seed), (FindingKind.FORMAT, version)):
        if fmt.decode_checked(value or b"") is None:
            was = "there is none" if value is None else f"it is {shown(value)}"
            found.insert(0, Finding(kind, fmt.META.decode(), was))
    return found if number in (None, fmt.VERSION) else []  # another version is not damage
