"""GNU grep on a plain file with one content a line: the lower limit for searching text.

It gives lines, not events, and can only search for patterns. It runs in a UTF-8 locale, so that a
character is the same for it as for the other peers.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lmdbstore import Event

from .base import Peer

__all__ = ["Grep"]

LOCALE = {**os.environ, "LC_ALL": "C.UTF-8"}


class Grep(Peer):
    """A file of contents."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file = folder / "contents.txt"

    def save_many(self, events: list[Event]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(event.content + "\n" for event in events)

    def count_matching(self, pattern: str) -> int:
        ignoring = ["-i"] if pattern.startswith("(?i)") else []
        command = ["grep", "-E", *ignoring, "-e", pattern.removeprefix("(?i)"), str(self._file)]
        found = subprocess.run(command, stdout=subprocess.PIPE, check=False, env=LOCALE)
        if found.returncode > 1:
            raise OSError(f"grep ended with {found.returncode}")
        return found.stdout.count(b"\n")
