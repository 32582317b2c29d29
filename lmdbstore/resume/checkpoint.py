"""The checkpoint of an input: what was read of it, and how it is recognised.

Rules: one checkpoint for each file that was read, stored under `import ` and the file's key. It is
stored in the same transaction as the events before it. The events of a file get ids from its key
and the numbers of their lines, so a line that is read again makes the same event. A text under such
a name that is no checkpoint is of another program, and is passed over.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from types import NoneType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    last_id: str = ""
    cut: tuple[str, ...] | None = None  # the tags of a record whose front was cut off at `offset`
    directives: tuple[str, ...] = ()  # see `logs.common.Reader`
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

    def read_to_end(self, path: str, status: os.stat_result) -> Checkpoint:
        """Return it for a file that was read to its end, when it had this path and status."""
        return replace(
            self,
            path=path,
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            mtime=status.st_mtime_ns,
        )

    @classmethod
    def of(cls, name: str, text: str) -> Checkpoint | None:
        """Return the checkpoint that was stored under a name as a text; None if it is none."""
        with suppress(ValueError, TypeError, AttributeError, RecursionError):
            found = json.loads(text)
            values = {
                field.name: _value(found[field.name], _TYPES[str(field.type)])
                for field in fields(cls)
                if field.name in found
            }
            one = cls(**values)
            bytes.fromhex(one.chain)
            return one if one.name == name else None
        return None


_TYPES: dict[str, tuple[type, ...]] = {  # in JSON, by the type of the field
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float | None": (float, NoneType),
    "tuple[str, ...]": (list,),
    "tuple[str, ...] | None": (list, NoneType),
}


def _value(value: Any, types: tuple[type, ...]) -> Any:
    """Return the value of a field; raises TypeError if it is none."""
    if not isinstance(value, types) or (isinstance(value, list) and not _are_texts(value)):
        raise TypeError
    return tuple(value) if isinstance(value, list) else value


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(one, str) for one in values)


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
        for name, text in self._store.checkpoints(PREFIX).items():
            if (one := Checkpoint.of(name, text)) is not None:
                self.put(one)
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

    def is_stored(self, checkpoint: Checkpoint) -> bool:
        """Whether there is a checkpoint of this name in the store, perhaps of another process."""
        return self._store.checkpoint(checkpoint.name) is not None

    def new(self, source: str, head: str, status: os.stat_result | None) -> Checkpoint:
        """Return the checkpoint of an input of which nothing was read.

        The key of a file is made from its device, inode and first line, and a number if a former
        file had these, too. So two processes that import one file at once, under any names, give
        its events the same ids; and those of two files get different ones.
        """
        number = 0
        if status is None:  # two pipes with the same start may run at once
            place = f"{source}\0{os.getpid()}\0{time.time_ns()}"
        else:
            place = f"{status.st_dev}\0{status.st_ino}"
        while True:
            named = f"{place}\0{head}\0{number}".encode()
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
