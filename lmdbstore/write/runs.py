"""Runs in a write transaction: putting them, removing them, and everything that refers to them.

Rules: a `Runs` collects the postings and totals of what it changes and writes them in `finish`,
term by term; so one object changes each run once. A run has a posting for each term of its rows,
those of deleted events included. The code here never decides which events to seal: that is
`write.seal`.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from lmdbstore.disk import format as fmt
from lmdbstore.errors import StoreDamaged
from lmdbstore.patterns.made import signature_of
from lmdbstore.patterns.signature import signature
from lmdbstore.records.layout import digest
from lmdbstore.records.pack import directory_of, pack
from lmdbstore.records.record import TermKeys
from lmdbstore.records.run import Run, positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lmdbstore.records.events import Events

    from .transaction import WriteTransaction

__all__ = ["Runs", "postings_of", "sign"]


def postings_of(events: Events, end: bytes) -> dict[bytes, bytes]:
    """Return the values of `run_postings` for the events of a run, by term."""
    return _postings(directory_of(events.terms), end)


def _postings(directory: dict[bytes, list[int]], end: bytes) -> dict[bytes, bytes]:
    return {term: fmt.run_posting(end, slots) for term, slots in directory.items()}


def sign(txn: WriteTransaction, end: bytes, most_bytes: float = inf) -> int:
    """Make the signature of a run, if it is there and its contents have at most so many bytes.

    Returns the number of its events.
    """
    value, summary = txn.get(txn.databases.runs, end), txn.get(txn.databases.summaries, end)
    if value is None or summary is None:
        return 0
    run = Run(end, value)
    run.check_front()
    if run.sizes()[1] <= most_bytes:
        run.check_contents()
        filter_ = signature(run.each_content())
        signed = fmt.decode_summary(summary)._replace(signature=filter_)
        txn.set(txn.databases.summaries, end, signed.encode())
    events: int = run.events
    return events


class Runs:
    """Runs that are changed in one transaction."""

    def __init__(self, txn: WriteTransaction, *, signed: bool = True) -> None:
        """Change runs in `txn`; unless `signed`, new ones get their signatures later."""
        self.txn = txn
        self._signed = signed
        self.known = TermKeys()
        self._postings: dict[bytes, list[bytes]] = {}  # new ones, by term
        self._gone: list[tuple[bytes, bytes]] = []  # postings to remove
        self._totals: Counter[bytes] = Counter()
        self._sealed = 0

    def count(self, terms: Iterable[Iterable[bytes]], events: int) -> None:
        """Note that events were sealed; with a negative number, that they were deleted."""
        found = Counter(chain.from_iterable(terms))
        if events < 0:
            self._totals.subtract(found)
        else:
            self._totals.update(found)
        self._sealed += events

    def read(self, end: bytes) -> Run:
        """Return the run with this end; raises StoreDamaged if it is not there."""
        value = self.txn.get(self.txn.databases.runs, end)
        if value is None:
            raise StoreDamaged(f"the run that ends at {fmt.decode_key(end)} is not there")
        return Run(end, value)

    def of(self, key: bytes) -> Run | None:
        """Return the run to which a timeline key belongs; None: it is after the last one."""
        found = self.txn.ceiling(self.txn.databases.runs, key)
        return None if found is None else Run(*found)

    def summary(self, end: bytes) -> fmt.Summary:
        """Return the summary of a run; raises StoreDamaged if it is not there."""
        value = self.txn.get(self.txn.databases.summaries, end)
        if value is None:
            raise StoreDamaged("a run is missing from the index of runs")
        return fmt.decode_summary(value)

    def has_deleted(self, end: bytes) -> bool:
        """Whether events of a run were deleted."""
        return self.txn.get(self.txn.databases.dead, end) is not None

    def deleted(self, run: Run) -> set[int]:
        """Return the slots of deleted events."""
        bits = self.txn.get(self.txn.databases.dead, run.end)
        return set() if bits is None else set(positions(bits))

    def put(
        self,
        events: Events,
        end: bytes,
        *,
        had: Mapping[bytes, bytes] | None = None,
        note: bytes | None = None,
        compress: bool = False,
    ) -> None:
        """Put a run; `had` are the postings of the one that it replaces, by term.

        `note` is the signature, if it is known. With `compress` it is compressed even if new runs
        are not: the one that it replaces was.
        """
        txn, databases = self.txn, self.txn.databases
        directory = directory_of(events.terms)
        slots = {digest(term): slots for term, slots in directory.items()}
        value = pack(events, slots, compress=compress or txn.compresses)
        highest = max(events.local_ids)
        if had is not None:  # first: LMDB keeps too many pages for a shorter value in its place
            txn.remove(databases.runs, end)
        txn.put(databases.runs, end, value)
        if note is None and not self._signed:
            note = b""
            txn.due.unsigned.append(end)
        filter_ = signature_of(events.contents) if note is None else note
        txn.set(databases.summaries, end, fmt.Summary(len(events.keys), highest, filter_).encode())
        commit = fmt.commit_entry(min(events.local_ids), end)
        txn.put(databases.commits, fmt.encode_number(highest), commit)
        old, new = had or {}, _postings(directory, end)
        for term, posting in new.items():
            if old.get(term) != posting:
                self._postings.setdefault(term, []).append(posting)
        self._gone += [item for item in old.items() if new.get(item[0]) != item[1]]

    def forget(self, run: Run) -> None:
        """Remove what is noted of a run except its summary, because it will be put again."""
        self.txn.remove(self.txn.databases.commits, fmt.encode_number(run.highest))
        self.txn.discard(self.txn.databases.dead, run.end)

    def rewrite(self, run: Run, deleted: set[int]) -> None:
        """Write a run again without its deleted events."""
        packed = run.unpacked(self.known)
        had = postings_of(packed, run.end)
        note = bytes(self.summary(run.end).signature)
        self.forget(run)
        kept = packed.without(deleted)
        self.put(kept, run.end, had=had, note=note, compress=run.is_compressed)

    def remove(self, run: Run, terms: Iterable[bytes], *, delete: bool = False) -> None:
        """Remove a run with these terms, those of deleted events included.

        With `delete`, also note that its events, of which none was deleted, all are now.
        """
        txn, databases = self.txn, self.txn.databases
        self.forget(run)
        txn.remove(databases.runs, run.end)
        txn.remove(databases.summaries, run.end)
        directory = run.directory()
        for term in terms:
            slots = directory.get(digest(term))
            if not slots:
                raise run.damaged("it lacks a term of its events")
            self._gone.append((term, fmt.run_posting(run.end, slots)))
            self._totals[term] -= len(slots) * delete
        self._sealed -= run.events * delete

    def finish(self) -> None:
        """Write the postings and totals."""
        txn, databases = self.txn, self.txn.databases
        for term, posting in sorted(self._gone):
            txn.remove(databases.run_postings, term, posting)
        for postings in self._postings.values():
            postings.sort()
        txn.put_postings(databases.run_postings, self._postings)
        self._write_totals()
        if self._sealed:
            txn.sealed += self._sealed

    def _write_totals(self) -> None:
        txn, totals = self.txn, self.txn.databases.totals
        for term, change in sorted(self._totals.items()):
            if not change:
                continue
            found = txn.get(totals, term)
            total = change + (0 if found is None else fmt.decode_number(found))
            if total < 0:
                raise StoreDamaged("the total of a flag or a source is below what is deleted")
            if total:
                txn.set(totals, term, fmt.encode_number(total))
            else:
                txn.remove(totals, term)
