"""Importing what changes in followed files, look by look.

Rules: a look reads the files that have changed since the look before, each from its checkpoint on,
and saves everything that it read. So it may be interrupted at any moment. A line without an end
waits for it, unless the file was deleted. The last record is stored as it is, and replaced when it
grows. A packed file is read when it is no longer written. A file that only by its name may be one
that was followed is read if its content is known; or if it is numbered as rotated files are, and
was written after what was read last: then it came and was rotated between two looks.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

from lmdbstore.ingest.importer import SETTLED
from lmdbstore.inputs.opened import input_of

from .rotation import is_numbered

if TYPE_CHECKING:
    from lmdbstore.ingest.importer import Importer
    from lmdbstore.logs.readers import LineFormat

    from .files import Followed
    from .opened import FollowedFile, Key

__all__ = ["Follower"]

_State: TypeAlias = tuple[int, int, bool]


class Follower:
    """Imports what is new in files."""

    def __init__(
        self, importer: Importer, followed: Followed, line_format: LineFormat = "auto"
    ) -> None:
        """Import what is new in `followed` files; `line_format` is as in `Importer.read`."""
        self._importer, self._followed, self._line_format = importer, followed, line_format
        self._states: dict[Key, _State] = {}  # of the files when they were read last

    def look(self) -> None:
        """Read what has changed, and save it.

        Raises:
            EventStoreException: the store failed; committed events stay.
        """
        files = self._followed.files()
        before, self._states = self._states, {}
        for file in files:
            state = file.status.st_size, file.status.st_mtime_ns, file.over
            if before.get(file.key) == state or self._read(file):
                self._states[file.key] = state
        self._importer.flush()

    def _read(self, file: FollowedFile) -> bool:
        """Read what is new in a file; return whether it need not be read again as it is."""
        try:
            reader = file.raw()
        except FileNotFoundError:  # it has another name by now, or none
            return False
        except OSError as error:
            self._followed.unreadable[file.path] = error
            return False
        with closing(reader) as raw:
            path = os.path.realpath(file.path)
            opened = input_of(raw, str(file.path), path, os.path.realpath(file.followed))
            if opened.is_packed and opened.age < SETTLED:
                return False
            size = os.fstat(raw.fileno()).st_size
            found = self._importer.read(
                opened,
                self._line_format,
                growing=not file.over,
                known_only=file.sibling,
                or_missed=is_numbered(file.path.name, file.followed.name),
            )
            if found.unsettled:
                return False
            if found.another:
                self._followed.rotated(file.followed)
            file.taken = size
        return True
