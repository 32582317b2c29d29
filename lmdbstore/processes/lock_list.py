"""The system's list of file locks, by which other processes are found and named.

Rules: nothing depends on the list; it only tells a person which processes are meant. It has no
locks of processes that this process cannot see (those of other pid namespaces, except of the ones
below its own), and the process ids in it are those of the pid namespace of `/proc`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk.files import process_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore.disk.folder import StoreFolder

__all__ = [
    "command",
    "described",
    "has_ended",
    "held_up_by",
    "is_listed",
    "own_number",
    "pid_namespace",
    "processes_by_id",
    "users",
]

LOCKS = "/proc/locks"  # Linux; see proc(5)
STOPPED = "Tt"  # states of a process: by a signal, and by a debugger
ENDED = {"Z", "X"}  # it is still listed


class _Lock(NamedTuple):
    """One line of the list."""

    kind: str
    process: int
    device: str
    inode: str
    first: str  # byte


def _listed() -> list[_Lock]:
    # 1: FLOCK  ADVISORY  READ 4711 fe:01:262146 0 EOF
    with suppress(OSError), open(LOCKS, encoding="ascii") as file:
        lines = [line.split() for line in file]
        return [_lock(fields) for fields in lines if fields[1] != "->"]
    return []  # a system without it


def _lock(fields: list[str]) -> _Lock:
    device, _, inode = fields[5].rpartition(":")
    return _Lock(fields[1], int(fields[4]), device, inode, fields[6])


def is_listed() -> bool:
    """Whether the system lists its locks."""
    return os.path.exists(LOCKS)


def own_number() -> int:
    """Return the id of this process in the list: another one if `/proc` is of another namespace."""
    with suppress(OSError, ValueError):
        return int(os.path.basename(process_folder()))
    return os.getpid()


def pid_namespace() -> int:
    """Return the number of this process's pid namespace; 0 if the system has none."""
    with suppress(OSError):
        return os.stat("/proc/self/ns/pid").st_ino
    return 0


def users(folder: StoreFolder, *, ours: bool = False) -> set[int]:
    """Return the processes that have the store open, as far as the system lists them.

    With `ours` only those that hold the lock of the folder: programs that use LMDB itself do not.
    """
    return _holders(((folder.way, "FLOCK"), (folder.lock, "POSIX"))[: 1 if ours else 2])


def _holders(files: Iterable[tuple[str, str]]) -> set[int]:
    """Return the processes that hold locks of a kind on files: (path, kind) each.

    Other file systems have the same inode numbers, and the system's name of a file system may
    differ from that of `stat`. It is taken from this process's own lock, if it holds one.
    """
    inodes, volumes = set(), set()
    for path, kind in files:
        with suppress(OSError):
            status = os.stat(path)
            inodes.add((kind, str(status.st_ino)))
            volumes.add(f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}")
    found = [lock for lock in _listed() if (lock.kind, lock.inode) in inodes]
    own, listed = own_number(), {lock.device for lock in found}
    devices = {lock.device for lock in found if lock.process == own}
    devices = devices or volumes & listed or listed
    return {lock.process for lock in found if lock.device in devices}


def held_up_by(*paths: str) -> str | None:
    """Return, in words, who holds locks (`flock`) on files; None if the system does not say."""
    found = _holders((path, "FLOCK") for path in paths)
    others = sorted(found - {own_number()})
    if others:
        return " and ".join(map(described, others))
    return "another thread of this process" if found else None


def described(process: int) -> str:
    """Return a process in words: its program, its number, and whether it is stopped."""
    stopped = ", which is stopped" if _is_stopped(process) else ""
    return f"{command(process) or 'unknown'} (process {process}{stopped})"


def processes_by_id(folder: StoreFolder) -> dict[int, int] | None:
    """Return the processes that LMDB knows as readers, by the ids under which it knows them.

    LMDB locks the byte of `lock.mdb` that has the number of its process: the process id in its own
    pid namespace. The list has the id in that of `/proc`, so the two differ for a process in
    another namespace. Those that cannot be seen are missing. None if this process is not listed.
    """
    with suppress(OSError):
        inode = str(os.stat(folder.lock).st_ino)
        found = [lock for lock in _listed() if (lock.kind, lock.inode) == ("POSIX", inode)]
        devices = {
            lock.device
            for lock in found
            if (lock.process, lock.first) == (own_number(), str(os.getpid()))
        }
        if devices:
            return {
                int(lock.first): lock.process
                for lock in found
                if lock.device in devices and lock.first != "0"
            }
    return None


def command(process: int) -> str | None:
    """Return the name of the program in a process; None if the system does not give it."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return None


def started(process: int) -> str | None:
    """Return when a process was started, as the system counts; None: it has ended, or unknown."""
    found = _status(process)
    return found[19] if len(found) > 19 and found[0] not in ENDED else None  # noqa: PLR2004


def has_ended(process: int) -> bool:
    """Whether a process of this pid namespace is known to have ended.

    The system may not list the processes of other users, or none at all.
    """
    if found := _status(process):
        return found[0] in ENDED
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    return False


def _is_stopped(process: int) -> bool:
    found = _status(process)
    return bool(found) and found[0] in STOPPED


def _status(process: int) -> list[str]:
    """Return what the system says of a process, from its state on; see proc_pid_stat(5)."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name of the program, in brackets, may have brackets and blanks itself.
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []
