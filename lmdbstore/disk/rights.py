"""The owner, the group and the mode of a store's files.

Rules: every file of a store has those of its data file, whatever the umask and whoever made it. A
new store in an existing folder has the owner and the group of that folder. A process may give a
file to another owner only if it is root, and to a group only if it is a member; otherwise the file
keeps its own. That is enough if the group may use it. A file is given away through a descriptor,
and only if it has one name, so that a link in its place is not followed.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import NamedTuple

__all__ = ["Rights", "excluded", "give", "mend", "rights_of", "same_rights", "trouble"]

READ_WRITE = 0o6


class Rights(NamedTuple):
    """Who may do what with a file."""

    owner: int
    group: int
    mode: int


def rights_of(status: os.stat_result) -> Rights:
    """Return the rights in a status."""
    return Rights(status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))


def same_rights(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two files have the same owner, group, mode and kind."""
    return one.st_mode == other.st_mode and (one.st_uid, one.st_gid) == (other.st_uid, other.st_gid)


def give(descriptor: int, wanted: Rights) -> None:
    """Give these rights to a new file, as far as this process may; raises OSError."""
    present = rights_of(os.fstat(descriptor))
    if present[:2] != wanted[:2]:
        _give_away(descriptor, wanted)
    os.fchmod(descriptor, wanted.mode)  # last: a change of the owner may take rights away


def _give_away(file: int | str, wanted: Rights) -> None:
    for owner in (wanted.owner, -1):
        with suppress(PermissionError):
            os.chown(file, owner, wanted.group)
            return


def excluded(present: Rights, wanted: Rights) -> str:
    """Return who may use a file with the rights `wanted`, but not with `present`; empty: nobody."""
    by_group, by_others = present.mode >> 3 & READ_WRITE, present.mode & READ_WRITE
    group = by_group if present.group == wanted.group else by_others
    # An owner counts as a member of the group.
    owner = present.mode >> 6 & READ_WRITE if present.owner == wanted.owner else group
    if wanted.owner and wanted.mode >> 6 & READ_WRITE & ~owner:
        return "owner"
    if wanted.mode >> 3 & READ_WRITE & ~group:
        return "group"
    return "other users" if wanted.mode & READ_WRITE & ~by_others else ""


def mend(path: str, wanted: Rights) -> None:
    """Let in whom a side file excludes, if it exists and this process may."""
    try:
        status = os.lstat(path)
        if not excluded(rights_of(status), wanted):
            return
        # Opened without access: closing it otherwise would drop LMDB's locks on it.
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, AttributeError):  # it is missing; or a system that cannot do this
        return
    try:
        _mend(descriptor, wanted)
    finally:
        os.close(descriptor)


def _mend(descriptor: int, wanted: Rights) -> None:
    status, file = os.fstat(descriptor), f"/proc/self/fd/{descriptor}"
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return
    with suppress(OSError):
        if rights_of(status)[:2] != wanted[:2]:
            _give_away(file, wanted)
        os.chmod(file, stat.S_IMODE(status.st_mode) | wanted.mode)


def trouble(path: str, data: str) -> str:
    """Return who cannot use a side file but may use the data file, and the remedy; or nothing."""
    try:
        present, wanted = (rights_of(os.lstat(name)) for name in (path, data))
    except OSError:
        return ""
    who = excluded(present, wanted)
    if not who:
        return ""
    from shlex import quote  # few processes need it

    return (
        f"; {path!r} belongs to user {present.owner} and group {present.group} with mode "
        f"{present.mode:o}, so the {who} of the data file cannot use it; run, as its owner or as "
        f"root: chown {wanted.owner}:{wanted.group} {quote(path)} && chmod "
        f"{present.mode | wanted.mode:o} {quote(path)}"
    )
