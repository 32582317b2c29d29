"""The checkpoint of an input: what was read of it, and how it is recognised.

Rules: one checkpoint for each file that was read, stored under `import ` and the file's key. It is
stored in the same transaction as the events before it. The events of a file get ids from its key
and the numbers of their lines, so a line that is read again makes the same event.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from lmdbstore.contract.api import EventStore

__all__ = ["Checkpoint", "Registry"]

PREFIX = "import "
KEY_SIZE = 8  # bytes
REFRESH = 1.0  # seconds: another process may have stored checkpoints since


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was read of one file. Offsets are in bytes of its text, unpacked."""

    key: str
    source: str
    head: str  # the digest of the first line; "" if it was not complete
    offset: int = 0  # where reading goes on: at the last record, if that may still grow
    number: int = 1  # of the line there
    chain: str = ""  # of `Content`, for the block in which `offset` is
    base: int = 0  # the offset of that block
    end: int = 0  # what was read
    digest: str = ""  # of the text before `end`
    lines: int = 0  # that were read
    last_number: int = 0  # of the last record that was stored, if it may still grow
    last_digest: str = ""  # of its content
    window: tuple[str, ...] = ()  # the hashes of the last lines before `offset`
    time: float | None = None  # of the record before `offset`, in seconds since 1970
    events: int = 0  # that were stored
    path: str = ""  # of the file, when it was read; "" for a pipe
    device: int = 0
    inode: int = 0
    size: int = -1  # of the file, in bytes, when it was read to its end
    mtime: int = 0  # of the file then, in nanoseconds
    redo: bool = False  # it is being read again, to replace its events

    @property
    def name(self) -> str:
        """The name under which it is stored."""
        return PREFIX + self.key

    def text(self) -> str:
        """Return it as it is stored."""
        return json.dumps(asdict(self))

    def is_of(self, status: os.stat_result) -> bool:
        """Whether the file with this status was read to its end, and has not been written since."""
        return (self.size, self.mtime) == (status.st_size, status.st_mtime_ns)

    @classmethod
    def of(cls, text: str) -> Checkpoint:
        """Return the checkpoint that was stored as a text."""
        found: dict[str, Any] = json.loads(text)
        names = {field.name for field in fields(cls)}
        found = {name: value for name, value in found.items() if name in names}
        return cls(**{**found, "window": tuple(found["window"])})


class Registry:
    """The checkpoints in a store."""

    def __init__(self, store: EventStore) -> None:
        """Read them; raises what `EventStore.checkpoints` raises."""
        self._store = store
        self._all: dict[str, Checkpoint] = {}
        self._keys: dict[tuple[str, object], dict[str, None]] = {}  # by what they are found
        self.refresh()

    @property
    def is_old(self) -> bool:
        """Whether another process may have stored checkpoints since they were read."""
        return time.monotonic() >= self._read_at + REFRESH

    def refresh(self) -> None:
        """Read them again. What was put here must be stored."""
        for text in self._store.checkpoints(PREFIX).values():
            self.put(Checkpoint.of(text))
        self._read_at = time.monotonic()

    def put(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the former one of its file."""
        former = self._all.get(checkpoint.key)
        for handle in _handles(former) if former is not None else ():
            self._keys[handle].pop(former.key, None)  # type: ignore[union-attr]  # it is not None
        self._all[checkpoint.key] = checkpoint
        for handle in _handles(checkpoint):
            self._keys.setdefault(handle, {})[checkpoint.key] = None

    def of_file(self, status: os.stat_result) -> list[Checkpoint]:
        """Return those of files that had this device and inode, the latest first."""
        return self._found("file", (status.st_dev, status.st_ino))

    def with_head(self, head: str) -> list[Checkpoint]:
        """Return those of files that have this first line, or of which that is not known."""
        return [*self._found("head", head), *(self._found("head", "") if head else ())]

    def of_source(self, source: str) -> list[Checkpoint]:
        """Return those of inputs that had this source, the latest first."""
        return self._found("source", source)

    def new(self, source: str, head: str, *, is_file: bool) -> Checkpoint:
        """Return the checkpoint of an input of which nothing was read.

        The key of a file is made from its source and its first line, and a number if another file
        has these, too. So two processes that import one file give its events the same ids.
        """
        number = 0 if is_file else time.time_ns()  # two pipes with the same start may run at once
        while True:
            named = f"{source}\0{head}\0{number}".encode()
            key = blake2b(named, digest_size=KEY_SIZE).hexdigest()
            if key not in self._all:
                return Checkpoint(key, source, head)
            number += 1

    def _found(self, kind: str, value: object) -> list[Checkpoint]:
        return [self._all[key] for key in reversed(self._keys.get((kind, value), {}))]


def _handles(one: Checkpoint) -> Iterable[tuple[str, object]]:
    yield "head", one.head
    yield "source", one.source
    if one.inode:
        yield "file", (one.device, one.inode)
