"""`import --follow`: the loop that waits for changes of files, and imports them.

Rules: it ends by a signal only, or by an error of the store. Each file is named when it is seen for
the first time, and each trouble is reported once. The files of the store itself are never opened:
closing one would release the locks that LMDB holds on it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmdbstore.cli.terminal import complain
from lmdbstore.errors import EventStoreException, shown
from lmdbstore.inputs.opened import STDIN
from lmdbstore.watch.changes import Changes
from lmdbstore.watch.files import Followed
from lmdbstore.watch.follow import Follower

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lmdbstore.ingest.importer import Importer
    from lmdbstore.logs.readers import LineFormat

__all__ = ["check_followed", "follow_files"]

WAIT = 1.0  # seconds; deleted files that are still written give no notice
PAUSE = 0.1  # seconds between two looks: each saves what came since, in one commit


def check_followed(names: Sequence[str], db: Path | None) -> None:
    """Refuse what cannot be followed; `db` is the folder of the store. Raises UsageError."""
    if not names or STDIN in names:
        raise click.UsageError("--follow needs files or folders; standard input ends by itself")
    for name in names:
        for folder in (name, os.path.dirname(name) or os.curdir):
            if _is_same(folder, db):
                raise click.UsageError(
                    f"{shown(name)} is in the folder of the store; follow files in another one"
                )


def _is_same(folder: str, db: Path | None) -> bool:
    return (
        db is not None
        and os.path.isdir(folder)
        and os.path.isdir(db)
        and os.path.samefile(folder, db)
    )


def follow_files(
    importer: Importer,
    names: Sequence[str],
    glob: str | None,
    line_format: LineFormat,
    say: Callable[[str], None],
) -> None:
    """Import what is in the files and what comes, until a signal.

    `say` is called with one line of text for each file when it is seen for the first time.

    Raises:
        EventStoreException: the store failed; committed events stay.
    """
    troubles = _Troubles()
    for name in names:
        if not os.path.exists(name):
            troubles.tell(f"{name}: it does not exist yet")
    try:
        with (
            Followed(map(Path, names), glob or "*") as followed,
            Changes(followed.folders(), followed.wanted) as changes,
        ):
            follower = Follower(importer, followed, line_format)
            named: set[str] = set()
            while True:
                changes.set(followed.folders())
                follower.look()
                for path, error in followed.unreadable.items():
                    troubles.tell(f"{path}: {error.strerror}")
                _report(importer, named, troubles, say)
                changes.wait(WAIT)
                time.sleep(PAUSE)
    except (KeyboardInterrupt, EventStoreException):
        complain(f"stopped: {importer.report.new:,} new events are saved")
        raise


class _Troubles:
    """Lines of text, each of which is printed once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            complain(text)


def _report(
    importer: Importer, named: set[str], troubles: _Troubles, say: Callable[[str], None]
) -> None:
    report = importer.report
    for line in report.notices() + report.warnings():
        troubles.tell(line)
    for one in report.inputs:
        if one.name not in named and (one.notes or one.own or one.undated):
            named.add(one.name)
            say(one.text())
    report.forget_inputs()
