"""Imports of files that a test writes, into a store in memory or another one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lmdbstore import MemoryEventStore
from lmdbstore.ingest.importer import Importer
from lmdbstore.inputs.opened import open_input

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import Event
    from lmdbstore.ingest.report import Report

__all__ = ["MOMENT", "MTIME", "contents", "events_of", "imported", "written"]

MOMENT = 1709632800.0  # 2024-03-05 10:00:00 UTC
MTIME = 1709683200.0  # the time of the files: 2024-03-06


def imported(store: Any, *paths: Path, line_format: str = "auto", **options: Any) -> Report:
    """Import files, and return the report."""
    work = Importer(store, **options)
    for path in paths:
        with open_input(str(path)) as opened:
            work.read(opened, line_format)
    return work.finish()


def written(path: Path, content: bytes | str) -> Path:
    """Write a file; its time is `MTIME`."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (MTIME, MTIME))
    return path


def contents(store: Any) -> list[str]:
    """Return the contents of all events, in order."""
    return [event.content for event in store.search()]


def events_of(path: Path, content: bytes | str, **options: Any) -> tuple[list[Event], Report]:
    """Return the events of a file with this content, and the report."""
    store = MemoryEventStore()
    report = imported(store, written(path, content), **options)
    return list(store.search()), report
