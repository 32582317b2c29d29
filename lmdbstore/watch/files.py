"""The files that are followed: by their names, and those that had these names before.

Rules: each look lists the names again. A file at one of them stays open, so that what was written
to it can be read after it was renamed or deleted. It is closed once it was read, has no name any
more and is not written; or where more than `ROTATED` files had its name, or more than `OPEN` are
open, the one whose change is the longest ago. Where a file was rotated or truncated, and at the
first look, the files beside it whose names say that they had its name are looked at, too: they may
hold lines that were not read in time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from .opened import FollowedFile, Key, key_of
from .rotation import bases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Followed"]

OPEN = 128  # files kept open; many systems allow a process 256 descriptors
ROTATED = 8  # files kept open that have lost the same name


class Followed:
    """Files, and the files of folders, that may appear, grow, be rotated and vanish.

    It belongs to one thread. Its descriptors are closed in programs that a child executes.
    """

    def __init__(self, paths: Iterable[Path], glob: str = "*") -> None:
        """Follow these files, and in these folders the files whose names match `glob`.

        What does not exist may come. Folders in folders are not followed, nor are hidden files,
        unless they are named or `glob` begins with a dot.
        """
        self._paths = list(dict.fromkeys(paths))
        self._names = {path.name for path in self._paths}
        self._glob = glob
        self._folders_given = True  # until a look shows that all are files
        self._open: dict[Key, FollowedFile] = {}
        self._seen: dict[Path, tuple[Key, int]] = {}  # by the latest look: file and size
        self.unreadable: dict[Path, OSError] = {}  # by the latest look

    def folders(self) -> list[Path]:
        """Return the folders in which changes matter, as of now."""
        folders = [path if os.path.isdir(path) else path.parent for path in self._paths]
        return list(dict.fromkeys(folders))

    def wanted(self, name: str) -> bool:
        """Return whether a change of an entry with this name matters, in any of the folders."""
        return any(self._named(each) for each in (name, *bases(name)))

    def rotated(self, path: Path) -> None:
        """Look at the files beside this one at the next look: its content is another one."""
        self._seen.pop(path, None)

    def files(self) -> list[FollowedFile]:
        """Look, and return the files that there are now or that are open, by their last change.

        `unreadable` then has the errors of this look: files and folders that are left out.
        """
        self.unreadable = {}
        files: dict[Key, FollowedFile] = {}
        listed = dict(self._listed())
        for path, status in listed.items():
            self._found(files, path, path, status, sibling=False)
        for path, followed in self._siblings(self._changed(listed), listed):
            if (other := self._status(path)) and key_of(other) not in files:
                self._found(files, path, followed, other, sibling=True)
        for key, file in self._open.items():
            if key not in files:
                file.look()
                file.listed = False
                files[key] = file
        return self._kept(files)

    def close(self) -> None:
        """Close all files; their readers stay open."""
        for file in self._open.values():
            file.close()
        self._open = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- names ------------------------------------------------------------------------------------

    def _named(self, name: str) -> bool:
        return name in self._names or (self._folders_given and self._matches(name))

    def _matches(self, name: str) -> bool:
        hidden = name.startswith(".") and not self._glob.startswith(".")
        return not hidden and fnmatchcase(name, self._glob)

    def _listed(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Give the regular files at followed names."""
        self._folders_given = False
        for path in self._paths:
            paths = [path]
            if os.path.isdir(path):
                self._folders_given = True
                paths = [path / name for name in self._entries(path) if self._matches(name)]
            for each in paths:
                if status := self._status(each):
                    yield each, status

    def _entries(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unreadable[folder] = error
            return []

    def _status(self, path: Path) -> os.stat_result | None:
        """Return the status of a regular file; None if there is none."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable[path] = error
            return None
        return status if stat.S_ISREG(status.st_mode) else None

    def _changed(self, listed: dict[Path, os.stat_result]) -> set[Path]:
        """Return the followed names that lead to another file now, or to none, or to less of it."""
        before = self._seen
        self._seen = {path: (key_of(status), status.st_size) for path, status in listed.items()}
        changed = before.keys() - self._seen
        for path, (key, size) in self._seen.items():
            if path not in before or before[path][0] != key or before[path][1] > size:
                changed.add(path)
        return changed

    def _siblings(
        self, changed: set[Path], listed: dict[Path, os.stat_result]
    ) -> Iterator[tuple[Path, Path]]:
        """Give the paths beside the changed ones that are named after them, each with that one."""
        for folder in dict.fromkeys(path.parent for path in changed):
            for name in self._entries(folder):
                path = folder / name
                followed = [folder / base for base in bases(name) if folder / base in changed]
                if followed and path not in listed:
                    yield path, max(followed, key=lambda each: len(each.name))

    # -- files ------------------------------------------------------------------------------------

    def _found(
        self,
        files: dict[Key, FollowedFile],
        path: Path,
        followed: Path,
        status: os.stat_result,
        *,
        sibling: bool,
    ) -> None:
        """Note a file that a name leads to; one that is open is known already."""
        key = key_of(status)
        file = self._open.get(key) or FollowedFile(path, followed, status, sibling=sibling)
        file.path, file.status, file.listed = path, status, not sibling
        file.sibling = file.sibling and sibling
        files[key] = file

    def _kept(self, files: dict[Key, FollowedFile]) -> list[FollowedFile]:
        """Keep the right files open; return those that can be read, the latest change last."""
        self._open, was_open = {}, self._open
        lost: Counter[Path] = Counter()
        left = []
        for file in sorted(files.values(), key=_changed_at, reverse=True):
            lost[file.followed] += not file.listed
            read = file.over and file.taken >= file.status.st_size
            if read or len(self._open) >= OPEN or lost[file.followed] > ROTATED:
                file.close()
                # What had been open may be at no name any more.
                if file.listed or file.key not in was_open:
                    left.append(file)
            elif self._keep(file):
                left.append(file)
        return left[::-1]

    def _keep(self, file: FollowedFile) -> bool:
        """Keep a file open, if there are descriptors; return whether it can be read."""
        try:
            file.keep_open()
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                return True
            self.unreadable[file.path] = error
            return False
        self._open[file.key] = file
        return True


def _changed_at(file: FollowedFile) -> tuple[int, str]:
    return file.status.st_mtime_ns, str(file.path)
