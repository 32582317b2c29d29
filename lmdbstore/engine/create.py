"""How a store comes to be: made whole in a folder beside its place, and given its name at the end.

The only states found in which a crash breaks an LMDB file for good lie before its first commit. So
a new store is made, committed and flushed under another name; renaming a folder is atomic. Of two
processes that make the same store at once, the second finds the first's and opens it. A folder that
is there and empty stays as it is, with its owner and rights; it is given the finished files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import NamedTuple

import lmdb

from lmdbstore.disk import format as fmt
from lmdbstore.disk.lmdb_errors import advice, map_advice
from lmdbstore.disk.meta_page import meta_at
from lmdbstore.errors import StoreOpenError, shown
from lmdbstore.processes.barrier import BARRIER_FILE, create_barrier_file, write_lock
from lmdbstore.processes.presence import LOCK_FILE
from lmdbstore.processes.snapshot_notes import SNAPSHOTS_FILE, create_snapshots_file

__all__ = [
    "DATA_FILE",
    "FILE_MODE",
    "MAKING",
    "NewStore",
    "check_is_lmdb",
    "check_plain",
    "create_store",
    "flush_folder",
    "provide_lock_file",
    "remove_flat",
    "rights",
    "sweep",
]

DATA_FILE = "data.mdb"
MAKING = ".lmdbstore-"  # how the name of a folder begins in which a store is being made
OURS = BARRIER_FILE, LOCK_FILE, SNAPSHOTS_FILE  # what may be in a folder before its data file is
FILE_MODE = 0o600  # for their owner alone: events may hold secrets
LOCK_HEAD, LOCK_SLOT = 128, 64  # bytes of its beginning, and for each reader
FIRST_READERS = 126  # that LMDB makes room for in the first opening
LOOKS = 4  # at a data file that looks damaged, before one that keeps its writers waiting
FIRST_MAP = 1 << 20  # bytes; room for the empty databases


class NewStore(NamedTuple):
    """What a store that is made is made with."""

    mode: int  # the rights of its files
    max_readers: int
    map_size: int  # bytes; too many for the address space show here, before anything is there


def create_store(path: str, new: NewStore, *, create: bool, readonly: bool) -> None:
    """Make an empty store at `path`, where none is, if that is allowed.

    Its files get the rights of `new.mode`, and its folder, if it is made, the right to look into it
    for all who may read them, whatever the umask.

    Raises:
        StoreOpenError: something else is in the way, or the folder cannot be made.
    """
    if os.path.exists(os.path.join(path, DATA_FILE)):
        return  # another process has just made it
    _check_free(path, create=create and not readonly, readonly=readonly)
    parent = path if os.path.isdir(path) else os.path.dirname(path)
    made = os.path.join(parent, f"{MAKING}{os.urandom(8).hex()}")
    try:
        try:
            os.mkdir(made, 0o700)
            _fill(made, new)
            _set_rights(made, new.mode)
            if parent == path:
                _move_in(made, path)
            else:
                _rename(made, path)
            flush_folder(parent)
        finally:
            remove_flat(made)
    except (OSError, lmdb.Error) as error:
        what = advice(error) or (map_advice(error) if isinstance(error, lmdb.Error) else "")
        raise StoreOpenError(f"the store {shown(path)} could not be made: {error}{what}") from error


def sweep(folder: str) -> None:
    """Remove what was being made in a store's folder when its maker was killed; we are alone there.

    A link in its place is removed and not followed.
    """
    import shutil  # few processes need it

    for name in os.listdir(folder):
        if name.startswith(MAKING):
            place = os.path.join(folder, name)
            if os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            else:
                os.unlink(place)


def rights(folder: str) -> int:
    """Return the rights of the data file in a folder, which the other files get too.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    return stat.S_IMODE(os.stat(os.path.join(folder, DATA_FILE)).st_mode)


def _set_rights(made: str, mode: int) -> None:
    for name in os.listdir(made):
        os.chmod(os.path.join(made, name), mode)
    os.chmod(made, mode | (mode & 0o444) >> 2)


def remove_flat(made: str) -> None:
    """Remove what was not renamed: a folder of plain files, if it is there at all."""
    with contextlib.suppress(OSError):
        for name in os.listdir(made):
            os.unlink(os.path.join(made, name))
        os.rmdir(made)


def _move_in(made: str, path: str) -> None:
    """Give a folder that is there its files; it is a store from the moment the data file is in.

    A link, which is never made over another: so of two processes one is first.
    """
    for name in (BARRIER_FILE, SNAPSHOTS_FILE, DATA_FILE):
        with contextlib.suppress(FileExistsError):
            os.link(os.path.join(made, name), os.path.join(path, name))


def _rename(made: str, path: str) -> None:
    try:
        os.rename(made, path)
    except OSError:
        # Another process has put its own store there meanwhile: then that is the store.
        if not os.path.exists(os.path.join(path, DATA_FILE)):
            raise


def check_plain(path: str) -> None:
    """Raise StoreOpenError if a file of the store is a link or a device, and not a plain file.

    LMDB would follow a link, and write into what somebody else has chosen; opening a pipe would
    wait for ever. Who may write to the folder can put a link there a moment later: so a folder of
    others is no place for a store of one's own.
    """
    for name in (DATA_FILE, *OURS):
        place = os.path.join(path, name)
        try:
            kind = os.lstat(place).st_mode
        except (OSError, ValueError):  # there is none, or what opens it will say so
            continue
        if not stat.S_ISREG(kind):
            what = "a symbolic link" if stat.S_ISLNK(kind) else "no plain file"
            raise StoreOpenError(
                f"{name} of the store {shown(path)} is {what}, not used; remove it if it does "
                "not belong there (the store's folder itself may be a link)"
            )


def check_is_lmdb(path: str, *, readonly: bool, locked: bool = False) -> None:
    """Raise StoreOpenError if the data file in a folder is not LMDB's, is cut off, or damaged.

    LMDB finds the first out for itself, but only when it has made a lock file beside it; by the
    second the process would die (SIGBUS); by the third the last write can be missing.
    """
    name = os.path.join(path, DATA_FILE)
    try:
        for _ in range(LOOKS):  # others may write meanwhile
            file = _look_at(name)
            if file is None or (file.follow and file.size >= file.needed):
                break
        else:
            # Whom the barrier's lock belongs to would wait for itself.
            with contextlib.nullcontext() if locked else write_lock(path, wait=True):
                _look_again(name, readonly=readonly)
    except OSError as error:
        raise StoreOpenError(f"the store {shown(path)} could not be opened: {error}") from error
    if file is None:
        raise StoreOpenError(f"{shown(name)} is not an LMDB file, or a damaged one")


class _Look(NamedTuple):
    """What a look at a data file has shown."""

    size: int  # bytes
    needed: int  # bytes; how long it must be by the newer of its meta pages
    transactions: list[int]  # what its meta pages are of

    @property
    def follow(self) -> bool:
        """Whether its two states follow each other, as they do but for that of a new file."""
        return abs(self.transactions[0] - self.transactions[1]) == 1 or not any(self.transactions)


def _look_again(name: str, *, readonly: bool) -> None:
    """Look while nobody writes, and raise StoreOpenError if something is wrong with the file."""
    file = _look_at(name)
    if file is None:
        return  # as was seen before
    if not file.follow:
        numbers = " and ".join(map(str, file.transactions))
        raise StoreOpenError(
            f"{shown(name)} is damaged: its meta pages are of the transactions {numbers}, which do "
            "not follow each other, so the last write may be missing; repair it"
        )
    if file.size < file.needed:
        _check_short(name, file, readonly=readonly)


def _check_short(name: str, file: _Look, *, readonly: bool) -> None:
    """Raise StoreOpenError if a file that is too short lacks more than free pages.

    A page at the end that was taken and given back in one transaction (of an event that was saved
    and deleted in one group commit) is never written, and never read.
    """
    from lmdb.verify import VerifyError, verify

    try:
        whole = not verify(name, subdir=False)  # type: ignore[no-untyped-call]  # it has no types
    except VerifyError:
        whole = False
    if not whole:
        raise StoreOpenError(
            f"{shown(name)} is cut off: it has {file.size:,} bytes of {file.needed:,}; reading on "
            "would end the process; take it from a backup"
        )
    if not readonly:  # so that the next opening need not look through all of it
        os.truncate(name, file.needed)


def _look_at(name: str) -> _Look | None:
    """Look at the meta pages of a file; None if it is not LMDB's."""
    with open(name, "rb") as file:
        first = meta_at(file, 0)
        second = first and meta_at(file, first.page_size)
        if first is None or second is None:
            return None
        later = max(first, second)
        return _Look(
            os.fstat(file.fileno()).st_size,
            (later.last_page + 1) * later.page_size,
            [first.transaction, second.transaction],
        )


def _check_free(path: str, *, create: bool, readonly: bool) -> None:
    if os.path.lexists(path):
        if not os.path.isdir(path):
            raise StoreOpenError(f"{shown(path)} is not a folder; a store is a folder of its own")
        names = os.listdir(path)
        others = [name for name in names if not name.startswith(MAKING) and name not in OURS]
        if others and DATA_FILE not in names:  # which another process may just have put there
            raise StoreOpenError(
                f"the folder {shown(path)} holds other things and no store; choose an empty or a "
                "new one"
            )
    if not create:
        how = "without readonly=True" if readonly else "with create=True"
        raise StoreOpenError(f"there is no store at {shown(path)}; open it {how} to make one")
    if not os.path.isdir(os.path.dirname(path)):
        raise StoreOpenError(
            f"the folder {shown(os.path.dirname(path))} is not there; make it first"
        )


def provide_lock_file(folder: str, max_readers: int) -> None:
    """Make the lock file of a store, if it is not there: a copy of the data file alone has none.

    LMDB would make it with holes, map it, and die (SIGBUS) when the disk has no room for them.

    Raises:
        StoreOpenError: it cannot be made. Where the right is missing LMDB says so, or does without.
    """
    place = os.path.join(folder, LOCK_FILE)
    if os.path.lexists(place):
        return
    made = os.path.join(folder, f"{MAKING}{os.urandom(8).hex()}")
    try:
        try:
            _allocate(
                made, max_readers, rights(folder)
            )  # who may write events may note that it reads
            os.link(made, place)  # whole from the moment that others see it
        finally:
            with contextlib.suppress(OSError):
                os.unlink(made)
    except FileExistsError:
        return  # another process was first
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreOpenError(f"{place!r} could not be made: {error}{advice(error)}") from error


def _allocate(name: str, readers: int, mode: int) -> None:
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, LOCK_HEAD + LOCK_SLOT * readers)
    finally:
        os.close(descriptor)


def _fill(folder: str, new: NewStore) -> None:
    _allocate(os.path.join(folder, LOCK_FILE), max(new.max_readers, FIRST_READERS), FILE_MODE)
    environment = lmdb.open(
        os.fsencode(folder),  # as str it would have to be UTF-8
        map_size=max(new.map_size, FIRST_MAP),
        mode=FILE_MODE,
        max_dbs=8,
        create=False,
        sync=True,
    )
    try:
        txn = environment.begin(write=True)
        for name in (fmt.TIMELINE, fmt.IDS, fmt.COMMITS, fmt.SIGNATURES):
            environment.open_db(name, txn=txn)
        environment.open_db(fmt.FLAGS, txn=txn, dupsort=True, dupfixed=True)
        meta = environment.open_db(fmt.META, txn=txn)
        for key, value, database in (
            (fmt.FORMAT, fmt.encode_checked(fmt.VERSION), meta),
            (fmt.NEXT, fmt.encode_number(1), meta),
            (fmt.TRANSACTION, fmt.encode_checked(txn.id()), None),
        ):
            if not txn.put(key, value, db=database):
                raise StoreOpenError(f"the store could not be made: {key!r} was not written")
        txn.commit()
        environment.sync(True)
    finally:
        environment.close()
    create_barrier_file(folder, FILE_MODE)
    create_snapshots_file(folder, FILE_MODE)
    flush_folder(folder)


def flush_folder(folder: str) -> None:
    """Flush the names in a folder to disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
