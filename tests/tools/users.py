"""Another user: a folder that everybody may enter, and code that gives up the rights of root.

Root may read and write everything, so a test of what is refused becomes somebody else. That user
may be unable to read the package, its libraries and even Python's own, so all that the package can
import is imported before.
"""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
import tempfile
import traceback
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lmdbstore
from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BECOME_ANOTHER", "folder_for_all", "needs_another_user", "needs_root", "run_as"]

OTHER = 65534  # the number of the user and of the group: `nobody`, and no file is theirs
PLACES = "/tmp", "/var/tmp", "/dev/shm"
SEARCHABLE = stat.S_IXOTH
CHANGE = f"""
import os
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({OTHER})
    os.setuid({OTHER})
"""
# `testing` needs pytest, and no test of rights needs it; a tool of LMDB runs when it is imported.
NOT_IMPORTED = "lmdbstore.testing", "lmdb.tool", "lmdb.__main__"
IMPORT_ALL = f"""
import importlib, pkgutil
import encodings.ascii, hashlib, shlex, shutil, traceback
import lmdb, lmdbstore
import rich.console, rich.progress, rich.table
for package in (lmdb, lmdbstore):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.startswith({NOT_IMPORTED}):
            try:
                importlib.import_module(found.name)
            except ImportError:  # of a binding of LMDB that is not there
                pass
"""
BECOME_ANOTHER = IMPORT_ALL + CHANGE  # what a child runs first; nothing changes if it is not root


def run_as(user: int, groups: list[int], code: str, umask: int = 0o022) -> str:
    """Run code as a user whose first group has the user's number; return what it printed.

    It runs in a forked child, which has all modules: the user may be unable to read them.
    """
    _import_all()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with open(writing, "w", encoding="utf-8") as out, redirect_stdout(out):
                try:
                    os.umask(umask)
                    os.setgroups(groups)
                    os.setgid(user)
                    os.setuid(user)
                    exec(code, dict(vars(lmdbstore)))
                    status = 0
                except BaseException:
                    traceback.print_exc(file=out)
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as printed:
        output = printed.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output[-4000:]
    return output


@functools.cache
def _import_all() -> None:
    exec(IMPORT_ALL, {})


def needs_root() -> None:
    """Skip the test where this process may not become any user."""
    if os.geteuid():
        pytest.skip("only root may become other users, and give files away")
    needs_another_user()


@functools.cache
def _why_not() -> str:
    tried = subprocess.run(
        [sys.executable, "-c", CHANGE], capture_output=True, text=True, check=False, timeout=LONG
    )
    return f"root may not become another user here: {tried.stderr[-200:]}" * bool(tried.returncode)


def needs_another_user() -> None:
    """Skip the test where root may not become another user; others need not."""
    if why := _why_not():
        pytest.skip(why)


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """Make a folder that every user may enter, and remove it; skip the test where none can be."""
    for place in (tempfile.gettempdir(), *PLACES):
        if os.access(place, os.W_OK) and _others_may_enter(place):
            with tempfile.TemporaryDirectory(dir=place) as folder:
                os.chmod(folder, 0o755)
                yield Path(folder)
            return
    pytest.skip("there is no folder for temporary files that another user may enter")


def _others_may_enter(place: str) -> bool:
    path = Path(place).resolve()
    return all(folder.stat().st_mode & SEARCHABLE for folder in (path, *path.parents))
