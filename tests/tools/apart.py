"""Imports with a second process, whatever the size of the file and the machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from lmdbstore.ingest.apart import parent
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs.opened import open_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lmdbstore.ingest.report import Report

__all__ = ["apart", "imported_apart"]


@contextmanager
def apart(least: int = 0) -> Iterator[list[int]]:
    """Read files of at least so many bytes in a second process; give the ids of those."""
    started: list[int] = []

    class Recorded(parent._Child):
        def start(self, work: Callable[[int], None]) -> bool:
            found = super().start(work)
            started.extend(self._processes)
            return found

    with mock.patch.object(parent, "LEAST", least), mock.patch.object(parent, "_Child", Recorded):
        yield started


def imported_apart(
    store: Any,
    path: Path,
    *,
    line_format: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Report:
    """Import a file with two processes, and return the report."""
    work = Importer(store, processes=2, **options)
    work.progress = progress or work.progress
    with open_input(str(path)) as opened:
        work.read(opened, line_format)
    return work.finish()
