"""A disk that loses data: what a recorded trace leaves of a folder when the power fails.

It plays the calls of a trace and knows at every line what has certainly reached the disk. Rules:

- A write reaches it when a flush of its file that began after the write has ended; or when the
  write ends, if its descriptor has O_DSYNC. Until then any of its sectors may have reached it or
  not, independently of other writes. An older write never covers a newer one: both are in one
  page of memory.
- A file grows with a write. If the write did not reach the disk, the file may have grown
  nevertheless, and hold any bytes there.
- A name reaches the disk when its folder is flushed. A rename reaches it as a whole.
- What is written to a file through memory (`barrier`, `lock.mdb`) is not in a trace.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.tools.strace import Call

__all__ = ["SECTOR", "Disk", "File", "Folder", "play", "written"]

SECTOR = 512  # bytes that a disk writes whole or not at all
WAYS = "nothing", "all", "some", "torn"  # what happens to the writes that no call flushed

WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
FLUSHES = {"fsync", "fdatasync"}


class _Write(NamedTuple):
    call: Call
    offset: int
    data: bytes

    def overlaps(self, other: _Write) -> bool:
        return self.offset < other.offset + len(other.data) and (
            other.offset < self.offset + len(self.data)
        )


class File:
    """A file: its content on the disk, and the writes on the way to it."""

    def __init__(self) -> None:
        """Make an empty file."""
        self.durable = bytearray()
        self.pending: list[_Write] = []

    def flush(self, before: int) -> None:
        """Keep the writes of calls that ended before a line."""
        rest = []
        for write in self.pending:
            if write.call.ended < before:
                _put(self.durable, write.offset, write.data)
            else:
                rest.append(write)
        self.pending = rest

    def content(self, way: str, chance: random.Random) -> bytes:
        """Return the content that may be left of it."""
        found = bytearray(self.durable)
        for write in self.pending:
            if way == "all" or (way == "some" and chance.random() < 0.5):
                _put(found, write.offset, write.data)
            elif way == "torn":
                self._tear(found, write, chance)
            elif way != "nothing":
                _grow(found, write, chance)
        return bytes(found)

    @staticmethod
    def _tear(found: bytearray, write: _Write, chance: random.Random) -> None:
        _grow(found, write, chance)
        sectors = range(write.offset // SECTOR, (write.offset + len(write.data) - 1) // SECTOR + 1)
        most, likely = chance.randint(0, len(sectors)), chance.choice([0.5, 1.0])
        for sector in sectors[:most]:
            if chance.random() < likely:
                start = max(sector * SECTOR, write.offset)
                end = min((sector + 1) * SECTOR, write.offset + len(write.data), len(found))
                found[start:end] = write.data[start - write.offset : end - write.offset]


def _put(content: bytearray, offset: int, data: bytes) -> None:
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def _grow(content: bytearray, write: _Write, chance: random.Random) -> None:
    missing = write.offset + len(write.data) - len(content)
    if missing > 0 and chance.random() < 0.5:
        content.extend(bytes([chance.choice([0, 0xFF])]) * missing)


class Folder:
    """A folder: the names on the disk, and the changes that are on the way."""

    def __init__(self) -> None:
        """Make an empty folder."""
        self.durable: dict[str, Node] = {}
        self.now: dict[str, Node] = {}
        self.pending: list[tuple[int, dict[str, Node | None]]] = []  # the line, and what it changes

    def change(self, line: int, names: dict[str, Node | None]) -> None:
        """Change names at once; None removes a name."""
        self.pending.append((line, names))
        _apply(self.now, names)

    def flush(self, before: int) -> None:
        """Keep the changes that were made before a line."""
        for line, names in self.pending:
            if line < before:
                _apply(self.durable, names)
        self.pending = [(line, names) for line, names in self.pending if line >= before]

    def names(self, way: str, chance: random.Random) -> dict[str, Node]:
        """Return the names that may be left."""
        found = dict(self.durable)
        for _, names in self.pending:
            if way == "all" or (way != "nothing" and chance.random() < 0.5):
                _apply(found, names)
        return found


Node: TypeAlias = "File | Folder"


def _apply(names: dict[str, Node], changes: dict[str, Node | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """The folder `root`, which is empty at first, and what a trace did to it."""

    def __init__(self, root: str) -> None:
        """Make an empty disk."""
        self._path = root
        self.root = Folder()
        self._at: dict[int, int] = {}  # by descriptor: where the next `writev` goes
        self._synchronous: set[int] = set()  # the descriptors that were opened with O_DSYNC

    def find(self, path: str) -> Node | None:
        """Return the file or folder that is at a path now."""
        node: Node | None = self.root
        for name in self._parts(path) or ():
            node = node.now.get(name) if isinstance(node, Folder) else None
        return node if self._parts(path) is not None else None

    def _parts(self, path: str) -> list[str] | None:
        if path == self._path:
            return []
        inside = path.startswith(self._path + "/")
        return path[len(self._path) + 1 :].split("/") if inside else None

    def concerns(self, call: Call) -> bool:
        """Whether a call is about the folder, or about a file in it."""
        if call.file:
            return self._parts(call.file) is not None
        return any(self._parts(os.fsdecode(text)) is not None for text in call.strings)

    def begin(self, call: Call) -> None:
        """A call begins."""
        if call.name in WRITES and isinstance(file := self.find(call.file), File):
            file.pending.append(_Write(call, self._offset(call), b"".join(written(call))))

    def _offset(self, call: Call) -> int:
        return self._at[call.descriptor] if call.name in {"write", "writev"} else int(call.last)

    def end(self, call: Call) -> None:
        """A call ends."""
        if call.name in WRITES:
            self._written(call)
        elif call.result < 0:
            return
        elif call.name in FLUSHES:
            node = self.find(call.file)
            if node is not None:
                node.flush(call.begun)
        elif call.name == "lseek":
            self._at[call.descriptor] = call.result
        elif call.name in {"open", "openat"}:
            self._opened(call)
        else:
            self._renamed(call)

    def _written(self, call: Call) -> None:
        file = self.find(call.file)
        if not isinstance(file, File):
            return
        (own,) = [write for write in file.pending if write.call is call]
        file.pending.remove(own)
        if call.result <= 0:
            return
        whole = own._replace(data=own.data[: call.result])
        self._at[call.descriptor] = whole.offset + call.result
        if call.descriptor in self._synchronous:
            assert not any(whole.overlaps(write) for write in file.pending)
            _put(file.durable, whole.offset, whole.data)
        else:
            file.pending.append(whole)

    def _opened(self, call: Call) -> None:
        self._at[call.result] = 0
        self._synchronous.discard(call.result)
        if "O_DSYNC" in call.arguments or "O_SYNC" in call.arguments:
            self._synchronous.add(call.result)
        path = os.fsdecode(call.strings[0])
        if "O_CREAT" in call.arguments and self._parts(path) and self.find(path) is None:
            self._set(call, path, File())

    def _renamed(self, call: Call) -> None:
        paths = [os.fsdecode(text) for text in call.strings]
        if not paths or not self._parts(paths[-1]):
            return
        if call.name.startswith("mkdir"):
            self._set(call, paths[0], Folder())
        elif call.name.startswith("link"):
            self._set(call, paths[1], self.find(paths[0]))
        elif call.name.startswith("rename"):
            assert os.path.dirname(paths[0]) == os.path.dirname(paths[1])
            names = {os.path.basename(paths[1]): self.find(paths[0])}
            self._folder(paths[1]).change(call.ended, {os.path.basename(paths[0]): None} | names)
        elif call.name.startswith(("unlink", "rmdir")):
            self._set(call, paths[0], None)

    def _set(self, call: Call, path: str, node: Node | None) -> None:
        self._folder(path).change(call.ended, {os.path.basename(path): node})

    def _folder(self, path: str) -> Folder:
        folder = self.find(os.path.dirname(path))
        assert isinstance(folder, Folder)
        return folder

    def leave(self, target: str, way: str, chance: random.Random) -> None:
        """Make a folder with what may be left if the power fails now."""
        _leave(self.root, target, way, chance)


def _leave(folder: Folder, target: str, way: str, chance: random.Random) -> None:
    os.mkdir(target)
    for name, node in folder.names(way, chance).items():
        path = os.path.join(target, name)
        if isinstance(node, Folder):
            _leave(node, path, way, chance)
            continue
        content = node.content(way, chance)
        if name == "barrier" and content:
            content = bytes([chance.randrange(256)])
        if name == "lock.mdb":
            content = bytes([chance.choice([0, 0xFF])]) * chance.choice([0, len(content), 262_272])
        with open(path, "wb") as file:
            file.write(content)


def written(call: Call) -> list[bytes]:
    """Return the data that a call writes."""
    assert "..." not in call.arguments, "strace cut the data off"
    return call.strings


def play(disk: Disk, calls: list[Call]) -> Iterator[int]:
    """Play a trace; yield each line after which the power may fail."""
    calls = [call for call in calls if disk.concerns(call)]
    steps = [(call.begun, 0, call) for call in calls]
    steps += [(call.ended, 1, call) for call in calls]
    for line, ends, call in sorted(steps, key=lambda step: step[:2]):
        (disk.end if ends else disk.begin)(call)
        yield line
