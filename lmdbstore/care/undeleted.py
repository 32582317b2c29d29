"""The entries of a store as a copy has them: without anything of deleted events.

Rules: inside a read transaction; pure otherwise. A run of which events were deleted is packed again
without them. So its postings, its summary and its local ids change too; each is computed from the
run when it is asked for, so that memory does not grow with the store.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged
from lmdbstore.patterns.signature import signature
from lmdbstore.records.layout import digest
from lmdbstore.records.pack import directory_of, pack
from lmdbstore.records.record import TermKeys
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.records.events import Events

    Entry = tuple[bytes, bytes]

__all__ = ["undeleted"]


def undeleted(
    txn: Transaction[bytes], databases: Databases, name: bytes, entries: Iterable[Entry]
) -> list[Entry]:
    """Return what a copy has instead of some entries of a database; raises StoreDamaged."""
    change = {
        fmt.RUNS: _run,
        fmt.RUN_POSTINGS: _posting,
        fmt.SUMMARIES: _summary,
        fmt.DEAD: _nothing,
        fmt.COMMITS: _commit,
    }.get(name)
    if change is None or not txn.stat(databases.dead)["entries"]:
        return list(entries)
    changed = _Changed(txn, databases)
    return [new for entry in entries for new in change(changed, entry)]


class _Changed:
    """The runs that are changed."""

    def __init__(self, txn: Transaction[bytes], databases: Databases) -> None:
        self._txn = txn
        self._databases = databases

    def dead(self, end: bytes) -> list[int]:
        """Return the slots of the deleted events of a run, rising."""
        return positions(self._txn.get(end, db=self._databases.dead, default=b""))

    def run(self, end: bytes) -> Run:
        value = self._txn.get(end, db=self._databases.runs)
        if value is None:
            raise StoreDamaged("an index names a run that is not there")
        return Run(end, value)

    def left(self, end: bytes) -> Events | None:
        """Return the events of a run that are not deleted; None: none of them was."""
        dead = self.dead(end)
        return self.run(end).unpacked(TermKeys()).without(set(dead)) if dead else None


def _nothing(_: _Changed, __: Entry) -> Iterator[Entry]:
    return iter(())


def _run(changed: _Changed, entry: Entry) -> Iterator[Entry]:
    end, _ = entry
    left = changed.left(end)
    if left is None:
        yield entry
    elif left.keys:
        slots = {digest(term): slots for term, slots in directory_of(left.terms).items()}
        yield end, pack(left, slots, compress=changed.run(end).is_compressed)


def _posting(changed: _Changed, entry: Entry) -> Iterator[Entry]:
    term, end = entry[0], fmt.posting_key(entry[1])
    dead = changed.dead(end)
    if not dead:
        yield entry
        return
    run, gone = changed.run(end), set(dead)
    run.check_front()
    number = run.find(digest(term).to_bytes(8, "little"))
    if number < 0:
        raise run.damaged("an index names it for a term that it does not have")
    slots = [slot - bisect_left(dead, slot) for slot in run.slots(number) if slot not in gone]
    if slots:
        yield term, fmt.run_posting(end, slots)


def _summary(changed: _Changed, entry: Entry) -> Iterator[Entry]:
    end, _ = entry
    left = changed.left(end)
    if left is None:
        yield entry
    elif left.keys:
        filter_ = signature(left.contents)
        yield end, fmt.Summary(len(left.keys), max(left.local_ids), filter_).encode()


def _commit(changed: _Changed, entry: Entry) -> Iterator[Entry]:
    _, end = fmt.decode_commit(entry[1])
    left = changed.left(end)
    if left is None:
        yield entry
    elif left.keys:
        commit = fmt.commit_entry(min(left.local_ids), end)
        yield fmt.encode_number(max(left.local_ids)), commit
