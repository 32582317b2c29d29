"""Repairing a damaged store: all indexes are rebuilt from the records, in a new file.

Rules: the damaged file is read page by page without LMDB, which it could mislead, and is not
written to (see `damaged_file`). The new file is a store like any other, made in a folder inside the
store's folder; it takes the old file's name only after it is flushed and verified. Records that
could not be kept are reported, and then the old file is kept under another name. Memory does not
grow with the store, except by one bit for each local id.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.databases import number_of_events
from lmdbstore.disk.files import (
    NotFlushedError,
    adopt_rights,
    check_space,
    exchange,
    in_temporary_folder,
    remove_temporary,
)
from lmdbstore.disk.folder import DATA_FILE, StoreFolder
from lmdbstore.engine.session import Session
from lmdbstore.errors import EventWriteException, StoreMoved, StoreOpenError, shown
from lmdbstore.opening.options import Options, checked_progress, folder_of, one_of
from lmdbstore.opening.place import check_folder
from lmdbstore.processes.presence import alone_in
from lmdbstore.write.seal import seal_all

from .damaged_file import DamagedFile
from .restore import restore
from .verify import verify_session

if TYPE_CHECKING:
    from lmdbstore.disk.files import Directory
    from lmdbstore.processes.presence import Presence

    from .findings import Finding
    from .walk import Progress

__all__ = ["Repaired", "repair"]

NEW = "new"  # the name of the new store in its temporary folder


class Repaired(NamedTuple):
    """The result of `repair`."""

    events: int  # in the repaired store
    left_out: list[Finding]  # records, checkpoints and pages that could not be kept or read
    old_file: str | None  # the path of the damaged file, if anything was left out
    # The identity of the store was lost, or its next local id, and it has a new one: positions from
    # before are not valid, or not all of them.
    new_identity: bool = False


def repair(
    path: str | os.PathLike[str], *, keep_changed: bool = False, progress: Progress | None = None
) -> Repaired:
    """Rebuild all indexes of a store from its records.

    No process may have the store open, and none can open it until this ends. The new file replaces
    the old one only after it is flushed and `verify` finds nothing in it; until then, and if this
    fails or is interrupted, the old file is untouched. Events keep their order and their local ids;
    only if two claim the same one, one of them gets a new one. It needs as much free disk space as
    the old file takes.

    A record is left out if it cannot be read, or does not agree with its checksum (a flipped bit),
    or if it is a live one that no index has, so that its event may have been deleted. Of a damaged
    run all other records are kept. Checkpoints and the states of cursors are kept, except those
    that do not agree with their checksums. If anything is left out, the old file is kept in the
    folder, as `damaged-<time in UTC>.mdb`. To see the records left out, copy it to a folder of its
    own as `data.mdb`, and repair it there with `keep_changed`. The new store is sealed.

    Args:
        path: The store's folder.
        keep_changed: Keep readable records that may have changed since they were written. Check
            them yourself: afterwards they count as unchanged.
        progress: Called from time to time with the number of events done and their total.

    Raises:
        InvalidOption: an argument has an invalid value.
        StoreInUse: a process has the store open, possibly this one.
        StoreOpenError: there is no store, or it cannot be repaired; the message says why.
        StoreMoved: the folder was moved in the meantime; the message says what was done.
        EventWriteException: the new file could not be written, for example on a full disk.
    """
    folder = StoreFolder(folder_of(path))
    keep_changed = one_of("keep_changed", keep_changed, (True, False))
    progress = checked_progress(progress)
    folder.check_plain()
    if not folder.has_store:
        raise StoreOpenError(f"there is no store at {shown(folder.path)}")
    with alone_in(folder) as presence:
        try:
            return _repaired(presence, progress, keep_changed=keep_changed)
        except NotFlushedError as error:
            raise EventWriteException(
                f"the store {shown(folder.path)} was repaired, but its folder could not be flushed "
                f"({error}), and a power cut may bring the old file back; check the disk"
            ) from error
        except OSError as error:
            raise EventWriteException(
                f"the store {shown(folder.path)} could not be repaired, and is as it was: {error}"
            ) from error


def _repaired(presence: Presence, progress: Progress | None, *, keep_changed: bool) -> Repaired:
    """Repair the store in an open folder, wherever its path leads by now."""
    folder, directory = presence.folder, presence.directory
    identity = directory.identity
    check_folder(folder.path, identity)
    remove_temporary(directory)
    check_space(directory, os.stat(folder.data).st_size)

    def work(made: Directory) -> Repaired:
        with open(folder.data, "rb") as file:
            source = DamagedFile(file, folder.named(folder.data), keep_changed=keep_changed)
            try:
                events = _rebuild(source, StoreFolder(f"{made.way}/{NEW}"), progress)
            except StoreMoved as error:  # of the new store
                check_folder(folder.path, identity, "nothing was repaired")
                raise EventWriteException(
                    "nothing was repaired: the temporary folder of the new file was removed"
                ) from error
        check_folder(folder.path, identity, "nothing was repaired")
        kept_as = _replace(presence, made, keep=bool(source.left_out))
        kept = source.lineage is not None and source.has_next
        return Repaired(events, source.left_out, kept_as, new_identity=not kept)

    repaired = in_temporary_folder(directory, work)
    check_folder(folder.path, identity, "the store that moved was repaired, and no other one")
    return repaired


def _rebuild(source: DamagedFile, made: StoreFolder, progress: Progress | None) -> int:
    """Write the records to keep into a new store; return how many events it has."""
    try:
        # Flushed once, at the end: no process sees it before.
        session = Session(made.path, Options(durability="none"), create=True)
    except StoreOpenError as error:
        raise EventWriteException(f"nothing was repaired: {error}") from error
    with session:
        restore(source, session, progress)
        seal_all(session.write, compress=source.has_compressed)
        session.current().flush()
        if findings := verify_session(session, pages=True):
            raise EventWriteException(
                f"the repaired file does not verify, and the store is as it was: {findings[0]}"
            )
        return session.read(number_of_events)


def _replace(presence: Presence, made: Directory, *, keep: bool) -> str | None:
    """Put the new file in place; return the path of the old one, if it is kept."""
    folder, directory = presence.folder, presence.directory
    adopt_rights(f"{made.way}/{NEW}/{DATA_FILE}", folder.data)
    kept_as = _kept_aside(directory) if keep else None
    try:
        exchange(made, f"{NEW}/{DATA_FILE}", directory, DATA_FILE)
    except BaseException:
        # If it was not replaced:
        if kept_as is not None and os.path.samefile(folder.data, f"{folder.way}/{kept_as}"):
            os.unlink(kept_as, dir_fd=directory.descriptor)
        raise
    return None if kept_as is None else os.path.join(folder.path, kept_as)


def _kept_aside(directory: Directory) -> str:
    """Give the damaged file a second, free name, and return it."""
    inside = directory.descriptor
    when = time.strftime("damaged-%Y%m%dT%H%M%S", time.gmtime())
    for number in count():
        name = f"{when}-{number}.mdb" if number else f"{when}.mdb"
        with suppress(FileExistsError):
            os.link(DATA_FILE, name, src_dir_fd=inside, dst_dir_fd=inside)
            return name
    raise AssertionError  # `count` never ends
