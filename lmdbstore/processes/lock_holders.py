"""The processes that hold a lock on a file, as far as the system lists them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["command", "described", "held_up_by", "holders"]

LOCKS = "/proc/locks"  # Linux; see proc(5)
STOPPED = "Tt"  # states of a process: by a signal, and by a debugger


def holders(files: Iterable[tuple[str, str]]) -> set[int]:
    """Return the processes, this one too, that hold locks of a kind on files: (path, kind) each.

    `kind` is "FLOCK" or "POSIX". Empty if the system does not list its locks. Processes of another
    pid namespace are not listed.
    """
    inodes, volumes = set(), set()
    for path, kind in files:
        with suppress(OSError):
            status = os.stat(path)
            inodes.add((kind, str(status.st_ino)))
            volumes.add(f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}")
    try:
        with open(LOCKS, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:  # a system without it
        return set()
    # 1: FLOCK  ADVISORY  READ 4711 fe:01:262146 0 EOF
    found = [
        (int(fields[4]), fields[5].rpartition(":")[0])
        for fields in lines
        if fields[1] != "->" and (fields[1], fields[5].rpartition(":")[2]) in inodes
    ]
    # Other file systems have the same inode numbers. The system's name of this file system may
    # differ from that of `stat`. It is taken from this process's own lock, if it holds one.
    devices = {device for process, device in found if process == os.getpid()}
    devices = devices or volumes.intersection(device for _, device in found)
    return {process for process, device in found if device in devices or not devices}


def held_up_by(*paths: str) -> str | None:
    """Return, in words, who holds locks (`flock`) on files; None if the system does not say."""
    found = holders((path, "FLOCK") for path in paths)
    others = sorted(found - {os.getpid()})
    if others:
        return " and ".join(map(described, others))
    return "another thread of this process" if found else None


def described(process: int) -> str:
    """Return a process in words: its program, its number, and whether it is stopped."""
    stopped = ", which is stopped" if _is_stopped(process) else ""
    return f"{command(process) or 'unknown'} (process {process}{stopped})"


def command(process: int) -> str | None:
    """Return the name of the program in a process; None if the system does not give it."""
    try:
        with open(f"/proc/{process}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return None


def _is_stopped(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The name of the program, in brackets, may have brackets and blanks itself.
            return file.read().rpartition(b")")[2].split()[0].decode() in STOPPED
    except (OSError, IndexError):
        return False
