"""The processes that hold snapshots, and since when: notes in a side file, `snapshots`.

LMDB's reader table shows which process reads which state, but not since when. So each snapshot
leaves a note in the file: a slot of 32 bytes with four numbers (as in `disk.format`). They are the
process id, LMDB's number of the transaction whose state the snapshot holds, the nanoseconds of the
machine's monotonic clock when it was taken, and the number of the process's pid namespace (0 if the
system has none). A free slot is all zeros.

Rules:
- The reader table decides. A note without a reader in the table is of a snapshot that has ended,
  for example by a kill: the note is ignored, and its slot is used again. So the file does not grow
  beyond the number of snapshots that were ever open at once, and nothing depends on the removal of
  a note.
- No snapshot fails because of the file. If the file cannot be written (by a user without the right,
  on a read-only medium, on a full disk), a snapshot has no note.
- A note is removed before its transaction ends: later, another note might already be in its slot.
- A slot is chosen under a lock (`flock`), outside LMDB, with a wait of at most `PATIENCE`. Removing
  a note takes no lock, so that a finalizer can do it.
- A forked child does not touch the notes of its parent.
- The file is opened for the first note, or to list them: most openings of a store need neither. It
  is opened inside of the gate, because the number of a folder that was closed may lead to another.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.files import Directory
from lmdbstore.disk.folder import SNAPSHOTS_FILE
from lmdbstore.disk.format import decode_number, encode_number
from lmdbstore.disk.rights import give
from lmdbstore.threads.fork_lock import ForkLock

from .descriptors import close_quietly
from .lock_list import command, pid_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.disk.folder import Identity, StoreFolder
    from lmdbstore.disk.rights import Rights

__all__ = [
    "Note",
    "Notes",
    "Reader",
    "SnapshotInfo",
    "create_snapshots_file",
    "readers_in",
    "slots_in",
    "snapshots",
]

NUMBER, SLOT = 8, 32  # bytes
MOST = 1 << 16  # slots; bytes after them are not ours
PATIENCE, PAUSE = 0.5, 0.0005  # seconds
CLOSED = Directory(-1, "")


class SnapshotInfo(NamedTuple):
    """An open snapshot, in this process or another.

    A process of another pid namespace (of another container) has its id there, if it cannot be seen
    from here.
    """

    process: int
    command: str | None  # the name of the program; None if the system does not give it
    age: float | None  # seconds; None if it could not be noted
    behind: int  # commits since then; the space they freed cannot be used again yet
    namespace: int | None = None  # that of the id, as in `lsns`; 0: unknown; None: this one


class Noted(NamedTuple):
    """What a note says of a snapshot."""

    began: int  # nanoseconds of the monotonic clock
    namespace: int  # of the process id


class Reader(NamedTuple):
    """A reader in LMDB's reader table."""

    process: int
    transaction: int  # the one whose state it reads


def readers_in(table: str) -> Counter[Reader]:
    """Return the readers of LMDB's table that have a transaction open."""
    return Counter(reader for reader in slots_in(table) if reader.transaction >= 0)


def slots_in(table: str) -> list[Reader]:
    """Return the slots of LMDB's table that are taken; without a transaction, its number is -1."""
    # One line for each slot, after a heading; it ends with "-" if no transaction is open.
    lines = [line.split() for line in table.splitlines()[1:]]
    return [Reader(int(pid), -1 if txn == "-" else int(txn)) for pid, _, txn in lines]


def create_snapshots_file(folder: StoreFolder, rights: Rights) -> None:
    """Make the side file of a store, if it is missing and can be made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(OSError):  # then snapshots have no notes
        descriptor = os.open(folder.snapshots, flags, 0o600)
        try:
            give(descriptor, rights)
        finally:
            os.close(descriptor)


class _File:
    """A descriptor, closed with its last user."""

    __slots__ = ("_descriptors",)

    def __init__(self, folder: int) -> None:
        """Open the file in an open folder, for writing if that is allowed; raises OSError."""
        self._descriptors: list[int] = []
        flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # the last: in case it is a pipe
        opened = partial(os.open, SNAPSHOTS_FILE, dir_fd=folder)
        # Opened and kept by one call in C: an interrupt cannot come in between.
        try:
            self._descriptors.extend(map(opened, (flags | os.O_RDWR,)))
        except OSError:
            self._descriptors.extend(map(opened, (flags | os.O_RDONLY,)))

    @property
    def descriptor(self) -> int:
        """The open file; negative if it was given up."""
        return self._descriptors[0] if self._descriptors else -1

    def give_up(self) -> None:
        """Do not close the file: it may be another one by now."""
        self._descriptors.clear()

    def __del__(self, close: Callable[[int], None] = close_quietly) -> None:
        for descriptor in getattr(self, "_descriptors", ()):  # an interrupt came before the first
            close(descriptor)


class Note:
    """A note in the file; it lasts as long as this object."""

    __slots__ = ("_data", "_file", "_place", "_process")

    def __init__(self, file: _File, place: int, data: bytes) -> None:
        """Own the slot at `place`, which holds `data`."""
        self._file, self._place, self._data = file, place, data
        self._process = os.getpid()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Remove the note, unless the process is ending or is a child of the one that made it."""
        made = getattr(self, "_process", None)  # None: an interrupt came before
        if is_finalizing() or os.getpid() != made:
            return
        descriptor = self._file.descriptor
        with suppress(OSError):  # it may be closed; of another file the content would differ
            if os.pread(descriptor, SLOT, self._place) == self._data:
                os.pwrite(descriptor, bytes(SLOT), self._place)


class Notes:
    """The side file of one open store in one process."""

    def __init__(self, directory: Directory, identity: Identity) -> None:
        """Use the file in an open folder of this identity, if it exists and can be opened."""
        self._folder, self._identity = directory, identity
        self._file: _File | None = None
        self._choosing = ForkLock()

    def open(self) -> None:
        """Open the file, unless it is open or cannot be opened; called inside of the gate."""
        if self._file is None and self._folder.descriptor >= 0:
            with suppress(OSError):
                file = _File(self._folder.descriptor)
                # Afterwards: so it was the folder of the store, if the program has not closed that.
                if self._folder.identity == self._identity:
                    self._file = file

    def note(self, transaction: int, readers: Callable[[], Counter[Reader]]) -> Note | None:
        """Note that this process holds the state of a transaction from now on.

        Returns None if that fails. `readers` returns the contents of the reader table.
        """
        began = time.monotonic_ns()
        data = b"".join(map(encode_number, (os.getpid(), transaction, began, pid_namespace())))
        with suppress(OSError):
            return self._choosing.run(self._write, data, readers)
        return None

    def _write(self, data: bytes, readers: Callable[[], Counter[Reader]]) -> Note | None:
        file = self._file
        if file is None:
            return None
        try:
            if _lock(file.descriptor):
                place = _free_place(_slots(file.descriptor), readers)
                if place < MOST and os.pwrite(file.descriptor, data, place * SLOT) == SLOT:
                    return Note(file, place * SLOT, data)
        finally:
            fcntl.flock(file.descriptor, fcntl.LOCK_UN)
        return None

    def began(self) -> dict[Reader, list[Noted]]:
        """Return when the snapshots of each reader began, as far as that was noted.

        Called inside of the gate.
        """
        found: dict[Reader, list[Noted]] = {}
        self.open()
        file = self._file
        with suppress(OSError):
            for slot in _slots(file.descriptor) if file else ():
                reader, noted = _decoded(slot)
                found.setdefault(reader, []).append(noted)
        return found

    def close(self) -> None:
        """Release the file, for good; the folder is closed next."""
        self._folder, self._file = CLOSED, None

    def forget(self) -> None:
        """Leave the descriptors alone: someone else has closed them."""
        self._folder = CLOSED
        if self._file is not None:
            self._file.give_up()


def _lock(descriptor: int) -> bool:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:  # a process was stopped while it held the lock
                return False
            time.sleep(PAUSE)
        else:
            return True


def _slots(descriptor: int) -> list[bytes]:
    data = os.pread(descriptor, min(os.fstat(descriptor).st_size, MOST * SLOT), 0)
    return [data[at : at + SLOT] for at in range(0, len(data) // SLOT * SLOT, SLOT)]


def _free_place(slots: list[bytes], readers: Callable[[], Counter[Reader]]) -> int:
    with suppress(ValueError):
        return slots.index(bytes(SLOT))
    if not slots:
        return 0
    present = readers()
    for place, slot in enumerate(slots):
        if not present[_decoded(slot)[0]]:
            return place
    return len(slots)


def _decoded(slot: bytes) -> tuple[Reader, Noted]:
    process, transaction, began, namespace = (
        decode_number(slot[at : at + NUMBER]) for at in range(0, SLOT, NUMBER)
    )
    return Reader(process, transaction), Noted(began, namespace)


def snapshots(
    began: dict[Reader, list[Noted]],
    before: Counter[Reader],
    after: Counter[Reader],
    last: int,
    processes: dict[int, int] | None = None,
) -> tuple[SnapshotInfo, ...]:
    """Return the snapshots that are open, the oldest state first.

    `began` holds the notes, `before` and `after` hold the reader table at two moments, `last` is
    the number of the last commit, and `processes` is as in `lock_list.processes_by_id`. A reader
    without a note counts as a snapshot if it was in the table at both moments and something was
    committed since it began: other reads are short.
    """
    now, found = time.monotonic_ns(), list[SnapshotInfo]()
    for reader, number in sorted(after.items(), key=lambda item: item[0][::-1]):
        behind = max(0, last - reader.transaction)
        # If there are more notes than readers, some have ended: more likely the older ones.
        noted = sorted(began.get(reader, ()))[-number:]
        ages: list[float | None] = [max(0, now - note.began) / 1e9 for note in noted]
        if behind:
            ages += [None] * (min(number, before[reader]) - len(noted))
        if ages:
            process, name, namespace = _who(reader.process, noted, processes)
            found += [SnapshotInfo(process, name, age, behind, namespace) for age in ages]
    return tuple(found)


def _who(
    number: int, noted: list[Noted], processes: dict[int, int] | None
) -> tuple[int, str | None, int | None]:
    """Return a reader's process id, its program, and the pid namespace of the id: None is here."""
    namespace = noted[-1].namespace if noted else 0
    if processes is not None and number in processes:
        return processes[number], command(processes[number]), None
    if namespace == pid_namespace() or (processes is None and not namespace):
        return number, command(number), None
    return number, None, namespace
