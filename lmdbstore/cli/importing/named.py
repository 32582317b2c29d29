"""The inputs that the arguments of `import` name: files, the files in folders, and `-`.

Rules: of a folder its regular files are taken, in the order of their names, without those in
folders inside of it, and without hidden ones unless the pattern for names begins with a dot. Links
are followed. The files of the store itself are never opened: closing one would release the locks
that LMDB holds on it. What cannot be read is reported and does not keep the others out.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from lmdbstore.disk.folder import DATA_FILE, SIDE_FILES
from lmdbstore.errors import shown
from lmdbstore.inputs.opened import STDIN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["named_files"]


def named_files(
    names: Sequence[str], glob: str | None, db: Path | None
) -> tuple[list[str], list[str]]:
    """Return the inputs that can be read, each once, and a line of text for each that cannot.

    `glob` chooses the files of folders by their names; `db` is the folder of the store.

    Raises:
        UsageError: there is a `glob`, and no folder.
    """
    if glob is not None and not any(map(os.path.isdir, names)):
        raise click.UsageError("--glob chooses files of a folder; give a folder")
    files: list[str] = []
    failures: list[str] = []
    for name in names:
        try:
            if name != STDIN and stat.S_ISDIR(os.stat(name).st_mode):
                _add_folder(name, glob, db, files, failures)
            elif _is_of_store(name, db):
                failures.append(f"{name}: it is a file of the store")
            else:
                _check_readable(name)
                files.append(name)
        except OSError as error:
            failures.append(_failure(name, error))
    return list(dict.fromkeys(files)), list(dict.fromkeys(failures))


def _add_folder(
    folder: str, glob: str | None, db: Path | None, files: list[str], failures: list[str]
) -> None:
    """Add the files of a folder that can be read, and the others; raises OSError."""
    before = len(files) + len(failures)
    pattern = glob or "*"
    for entry in sorted(os.listdir(folder)):
        hidden = entry.startswith(".") and not pattern.startswith(".")
        if hidden or not fnmatchcase(entry, pattern):
            continue
        name = os.path.join(folder, entry)
        try:
            if stat.S_ISREG(os.stat(name).st_mode) and not _is_of_store(name, db):
                _check_readable(name)
                files.append(name)
        except OSError as error:
            failures.append(_failure(name, error))
    if len(files) + len(failures) == before:
        which = "" if glob is None else f" that matches {shown(glob)}"
        failures.append(f"{folder}: there is no file in this folder{which}")


def _check_readable(name: str) -> None:
    # A pipe is not opened as a test: its writer would be lost.
    if name != STDIN and not stat.S_ISFIFO(os.stat(name).st_mode):
        with open(name, "rb", buffering=0):
            pass


def _is_of_store(name: str, db: Path | None) -> bool:
    folder, file = os.path.split(name)
    if db is None or file not in {DATA_FILE, *SIDE_FILES}:
        return False
    with suppress(OSError):  # there is no store yet
        return os.path.samefile(folder or os.curdir, db)
    return False


def _failure(name: str, error: OSError) -> str:
    return f"{name}: {error.strerror}"
