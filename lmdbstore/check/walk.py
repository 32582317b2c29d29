"""Walking through a whole database in pieces: progress, and the local ids that were seen."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import lmdb

from lmdbstore.disk import format as fmt

from .findings import Finding, FindingKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lmdb import Cursor, Transaction

    from lmdbstore.disk.databases import Databases, Reads

    Txn = Transaction[bytes]
    Check = Callable[[Txn, Databases, bytes, bytes], None]

__all__ = ["PAIRS", "PIECE_ENTRIES", "LocalIds", "Progress", "Walker", "after", "pieces"]

T = TypeVar("T")

PIECE_ENTRIES, PIECE_BYTES = 1000, 1 << 20  # of one piece
CHUNK = 1 << 13  # local ids of one bitmap
PAIRS = frozenset([fmt.POSTINGS.decode(), fmt.RUN_POSTINGS.decode()])  # databases of pairs


class Progress(Protocol):
    """A callback for the number of items done and their total."""

    def __call__(self, done: int, total: int, /) -> None:
        """Take the two numbers."""


def pieces(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists that take little memory; the last item of each may be large."""
    piece, weight = list[T](), 0
    for item in items:
        piece.append(item)
        weight += size(item)
        if len(piece) >= PIECE_ENTRIES or weight >= PIECE_BYTES:
            yield piece
            piece, weight = [], 0
    if piece:
        yield piece


def after(
    cursor: Cursor[bytes], place: tuple[bytes, bytes] | None, *, pairs: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries after a place, which is an entry; from the first one if it is empty."""
    if not place or place == (b"", b""):
        return iter(cursor.iternext()) if cursor.first() else iter(())
    if pairs:
        if not cursor.set_range_dup(*place) and not (
            cursor.set_range(place[0]) and cursor.next_nodup()
        ):
            return iter(())
    elif not cursor.set_range(place[0]):
        return iter(())
    entries = iter(cursor.iternext())
    if cursor.item() == place:
        next(entries, None)
    return entries


class Walker:
    """Walks through the databases of one state, and collects findings."""

    def __init__(self, reads: Reads) -> None:
        """Read with `reads`, each piece in one transaction."""
        self._reads = reads
        self.findings: list[Finding] = []

    def find(self, kind: FindingKind, where: str, detail: str, event_id: str | None = None) -> None:
        """Note a finding."""
        self.findings.append(Finding(kind, where, detail, event_id))

    def guarded(self, where: str, work: Callable[[Txn, Databases], T]) -> T | None:
        """Run `work`; None if LMDB cannot read any further."""

        def guarded(txn: Txn, databases: Databases) -> T | None:
            try:
                return work(txn, databases)
            except lmdb.Error as error:
                self.find(FindingKind.PAGE, where, f"it cannot be read any further: {error}")
                return None

        return self._reads(guarded)

    def walk(
        self,
        name: str,
        check: Check | None = None,
        *,
        ordered: bool = False,
        tell: Callable[[], None] = lambda: None,
    ) -> int:
        """Check each entry; return how many there are.

        `ordered`: their order and number are checked already. `tell` is called after each piece.
        """
        place: tuple[bytes, bytes] | None = (b"", b"")
        walked = 0

        def piece(txn: Txn, databases: Databases) -> tuple[bytes, bytes] | None:
            nonlocal walked
            before, size = place, 0
            most = PIECE_ENTRIES + txn.stat(getattr(databases, name))["entries"]
            with txn.cursor(db=getattr(databases, name)) as cursor:
                for entry in islice(after(cursor, place, pairs=name in PAIRS), PIECE_ENTRIES):
                    if before is not None and entry <= before and walked and not ordered:
                        self.find(FindingKind.ORDER, name, f"{entry[0].hex()} is out of order")
                    if check is not None:
                        check(txn, databases, *entry)
                    walked, before, size = walked + 1, entry, size + len(entry[1])
                    if size >= PIECE_BYTES:
                        break
            # If the order is broken, continuing after an entry may lead back to it.
            return before if before != place and walked <= most else None

        while place is not None:
            place = self.guarded(name, piece)
            tell()
        if not ordered:
            self.guarded(name, lambda txn, databases: self._count(txn, databases, name, walked))
        return walked

    def _count(self, txn: Txn, databases: Databases, name: str, walked: int) -> None:
        counted = txn.stat(getattr(databases, name))["entries"]
        if counted != walked:
            detail = f"LMDB counts {counted:,} entries, and {walked:,} are there"
            self.find(FindingKind.COUNT, name, detail)


class LocalIds:
    """A set of local ids that takes little memory where they are close together."""

    def __init__(self) -> None:
        """Begin with none."""
        self._chunks: dict[int, bytearray] = {}

    def __contains__(self, local_id: int) -> bool:
        """Whether it was seen."""
        chunk = self._chunks.get(local_id // CHUNK)
        return chunk is not None and bool(chunk[local_id % CHUNK // 8] >> local_id % 8 & 1)

    def take(self, local_id: int) -> bool:
        """Note a local id; False if it was seen before."""
        chunk = self._chunks.get(local_id // CHUNK)
        if chunk is None:
            chunk = self._chunks[local_id // CHUNK] = bytearray(CHUNK // 8)
        at, bit = local_id % CHUNK // 8, 1 << local_id % 8
        if chunk[at] & bit:
            return False
        chunk[at] |= bit
        return True
