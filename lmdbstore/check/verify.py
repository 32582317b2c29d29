"""What is done to a store as a whole, by its folder: looking whether it is sound.

Rules: what keeps a store from being opened is found, where it is damage, without opening it: by a
look at the pages, and at the names of the databases and the format version, as `repair` reads them.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.disk.databases import NAMES, is_store
from lmdbstore.disk.folder import DATA_FILE, StoreFolder
from lmdbstore.disk.last_state import last_state
from lmdbstore.engine.options import Options, checked_progress, folder_of, one_of
from lmdbstore.engine.session import Session
from lmdbstore.errors import (
    EventReadException,
    InvalidOption,
    StoreInUse,
    StoreOpenError,
    shown,
)
from lmdbstore.processes.barrier import write_lock
from lmdbstore.processes.presence import Presence

from .comparison import Comparison
from .findings import Finding, FindingKind
from .page_check import page_findings

if TYPE_CHECKING:
    import os

    from .walk import Progress

__all__ = ["verify", "verify_session"]


def verify(
    path: str | os.PathLike[str], *, pages: bool = False, progress: Progress | None = None
) -> list[Finding]:
    """Return all that is wrong with the store in the folder `path`: see `LMDBEventStore.verify`.

    With `pages` the pages of the file are looked at before it is opened, and it is not opened if
    any is damaged. So this, and only this, is safe for a file that may be damaged or that somebody
    else has made. Use the method of the store where this process has it open.

    Where damage keeps the store from being opened, that is what is returned, and the records are
    not compared: a file that is cut off, a database that is missing.

    Raises:
        InvalidOption: an argument has no such value.
        StoreOpenError: there is no store, or one that cannot be opened though it is not damaged;
            the message says why.
        StoreInUse: the store is being compacted or repaired.
        EventReadException: the store could not be read.
    """
    folder = StoreFolder(folder_of(path))
    pages = one_of("pages", pages, (True, False))
    progress = checked_progress(progress)
    folder.check_plain()
    if not folder.has_store:
        raise StoreOpenError(f"there is no store at {shown(folder.path)}")
    with closing(Presence(folder)):  # so that nobody puts another file in place in the meantime
        if pages and (found := page_findings(folder)):
            return found
        try:
            session = Session(folder.path, Options(readonly=True))
        except (InvalidOption, StoreInUse):
            raise
        except StoreOpenError:
            if found := page_findings(folder) or _missing(folder):
                return found
            raise
    with session:
        return verify_session(session, progress=progress)


def verify_session(
    session: Session, *, pages: bool = False, progress: Progress | None = None
) -> list[Finding]:
    """Return all that is wrong with an open store; see `LMDBEventStore.verify`."""
    if pages:
        environment = session.current()
        environment.check_outside("a check of the pages", EventReadException)
        if found := page_findings(environment.folder):
            return found
    with session.hold() as held:
        return Comparison(held.read, progress).run()


def _missing(folder: StoreFolder) -> list[Finding]:
    """Return what is missing of a store whose pages are sound."""
    notes: list[str] = []
    with write_lock(folder, wait=True), open(folder.data, "rb") as file:
        pages, trees = last_state(file, notes.append)
        if not is_store(trees):
            return []
        version = pages.lookup(trees.get(fmt.META), fmt.FORMAT)
    found = [
        Finding(FindingKind.DATABASE, name.decode(), "it is missing")
        for name in sorted(NAMES - trees.keys())
    ]
    return found + (_wrong_in_meta(version, notes) if fmt.META in trees else [])


def _wrong_in_meta(version: bytes | None, notes: list[str]) -> list[Finding]:
    found = [Finding(FindingKind.TRANSACTION, DATA_FILE, what) for what in notes]
    number = fmt.decode_checked(version or b"")
    if number is None:
        was = "there is none" if version is None else f"it is {shown(version)}"
        return [Finding(FindingKind.FORMAT, fmt.META.decode(), was), *found]
    return found if number == fmt.VERSION else []  # another version is no damage
