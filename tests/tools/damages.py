"""Damage to the entries of a store, one function for each kind, and what `verify` says of it.

The store has runs and pieces that are small (`make_small`), so that few events make some of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore import Event, FindingKind
from lmdbstore.check import walk
from lmdbstore.disk import format as fmt
from lmdbstore.records.layout import digest
from lmdbstore.records.pack import bitmap, directory_of, pack
from lmdbstore.records.record import TermKeys, encode
from lmdbstore.records.run import Run
from lmdbstore.write import seal
from tests.tools.ids import drop_entry, put_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from lmdbstore import LMDBEventStore
    from lmdbstore.records.events import Events

__all__ = [
    "DAMAGES",
    "EVENTS",
    "GONE",
    "LIVE_DAMAGES",
    "PIECE",
    "SEALED_DAMAGES",
    "change_content",
    "change_version",
    "exchange_totals",
    "fill",
    "flipped",
    "key",
    "lose_id",
    "lose_next",
    "made",
    "make_small",
    "move_to_no_local_id",
    "record",
    "run_end",
    "small_runs",
]

RUN, PIECE = 32, 120
EVENTS = 140  # four runs, and twelve live events
GONE = "e20"  # a deleted event of the first run
LIVE, SEALED = 130, 7  # the numbers of events that are damaged


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Let a run and a piece be of so few entries."""
    small_runs(patch, RUN)
    patch.setattr(walk, "PIECE_ENTRIES", PIECE)


def small_runs(patch: pytest.MonkeyPatch, run: int) -> None:
    """Let runs have so few events."""
    patch.setattr(seal, "RUN", run)
    patch.setattr(seal, "LONGEST", run * 3 // 2)
    patch.setattr(seal, "KEEP", run // 8)
    patch.setattr(seal, "LATE", max(run // 8, 2))
    patch.setattr(seal, "SLACK", 2)


def made(n: int) -> Event:
    """Return an event."""
    return Event(f"e{n}", timestamp=float(n), tags=["all", f"f{n}"], content=f"content {n}")


def fill(store: LMDBEventStore) -> None:
    """Fill a store with runs, live events and a deleted event."""
    store.save_many(made(n) for n in range(EVENTS // RUN * RUN))
    store.save_many(made(n) for n in range(EVENTS // RUN * RUN, EVENTS))
    store.delete(GONE)


def key(n: int) -> bytes:
    """Return the timeline key of the event `e<n>`."""
    return fmt.encode_time(float(n)) + fmt.encode_number(n + 1)


def run_end(n: int) -> bytes:
    """Return the end of the run of the sealed event `e<n>`."""
    return key(n // RUN * RUN + RUN - 1)


END = run_end(SEALED)


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


def record(event: Event) -> bytes:
    """Return the value of a live event."""
    return encode(event, TermKeys()).value


def source_posting(txn: Any, dbs: Any, where: bytes) -> None:
    for term in (fmt.source_key(""), fmt.flag_key("all"), fmt.flag_key(f"f{LIVE}")):
        txn.put(term, where, db=dbs.postings)


# -- meta ------------------------------------------------------------------------------------------


def lose_version(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.FORMAT, db=dbs.meta)


def change_version(txn: Any, dbs: Any) -> None:
    txn.put(fmt.FORMAT, fmt.encode_checked(77), db=dbs.meta)


def lose_next(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.NEXT, db=dbs.meta)


def lower_next(txn: Any, dbs: Any) -> None:
    txn.put(fmt.NEXT, fmt.encode_number(EVENTS), db=dbs.meta)


def cut_next(txn: Any, dbs: Any) -> None:
    txn.put(fmt.NEXT, b"\xff", db=dbs.meta)


def raise_next(txn: Any, dbs: Any) -> None:
    """One flipped bit makes it larger than in any store."""
    txn.put(fmt.NEXT, flipped(txn.get(fmt.NEXT, db=dbs.meta), 0, 64), db=dbs.meta)


def lose_sealed(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.SEALED, db=dbs.meta)


def change_sealed(txn: Any, dbs: Any) -> None:
    txn.put(fmt.SEALED, fmt.encode_number(3), db=dbs.meta)


# -- live records ----------------------------------------------------------------------------------


def break_record(txn: Any, dbs: Any) -> None:
    txn.put(key(LIVE), b"no record", db=dbs.live)


def empty_record(txn: Any, dbs: Any) -> None:
    txn.put(key(LIVE), b"", db=dbs.live)


def invalidate_event(txn: Any, dbs: Any) -> None:
    """An event that has a flag twice was never saved."""
    txn.put(key(LIVE), record(made(LIVE)._replace(tags=["a", "a"])), db=dbs.live)


def change_content(txn: Any, dbs: Any) -> None:
    value = txn.get(key(LIVE), db=dbs.live)
    txn.put(key(LIVE), flipped(value, len(value) - 1), db=dbs.live)


def change_id(txn: Any, dbs: Any) -> None:
    value = txn.get(key(LIVE), db=dbs.live)
    txn.put(key(LIVE), value.replace(b'"e130"', b'"g130"'), db=dbs.live)


def change_tags(txn: Any, dbs: Any) -> None:
    value = txn.get(key(LIVE), db=dbs.live)
    txn.put(key(LIVE), value.replace(b'"f130"', b'"g130"'), db=dbs.live)


def change_checksum(txn: Any, dbs: Any) -> None:
    txn.put(key(LIVE), flipped(txn.get(key(LIVE), db=dbs.live), 2), db=dbs.live)


def forget_record(txn: Any, dbs: Any) -> None:
    """No index has it: it may be in a page of a former state, and its event deleted since."""
    drop_entry(txn, dbs, "e130")
    for term in (fmt.source_key(""), fmt.flag_key("all"), fmt.flag_key("f130")):
        txn.delete(term, key(LIVE), db=dbs.postings)


def misplace_in_time(txn: Any, dbs: Any) -> None:
    move(txn, dbs, flipped(key(LIVE), 7))


def misplace_local_id(txn: Any, dbs: Any) -> None:
    txn.put(fmt.NEXT, fmt.encode_number(1 << 41), db=dbs.meta)
    move(txn, dbs, key(LIVE)[:8] + fmt.encode_number(1 << 40))


def misplace_beyond_all(txn: Any, dbs: Any) -> None:
    """A local id that was never assigned does not make the next one wrong, too."""
    move(txn, dbs, key(LIVE)[:8] + fmt.encode_number(1 << 40))


def misplace_to_another_local_id(txn: Any, dbs: Any) -> None:
    """The local id of another live event."""
    move(txn, dbs, flipped(key(LIVE), 15))


def misplace_to_a_sealed_local_id(txn: Any, dbs: Any) -> None:
    move(txn, dbs, key(LIVE)[:8] + key(SEALED)[8:])


def move(txn: Any, dbs: Any, where: bytes) -> None:
    txn.put(where, txn.pop(key(LIVE), db=dbs.live), db=dbs.live)


def move_to_no_local_id(txn: Any, dbs: Any) -> None:
    """No local id is 0, even if all indexes agree on it."""
    where = key(LIVE)[:8] + bytes(8)
    move(txn, dbs, where)
    put_entry(txn, dbs, "e130", where)
    for term in (fmt.source_key(""), fmt.flag_key("all"), fmt.flag_key("f130")):
        txn.delete(term, key(LIVE), db=dbs.postings)
    source_posting(txn, dbs, where)


def double(txn: Any, dbs: Any) -> None:
    """Two live records with one id, and all index entries of both except in `ids`."""
    where = key(LIVE)[:8] + fmt.encode_number(EVENTS + 1)
    txn.put(fmt.NEXT, fmt.encode_number(EVENTS + 2), db=dbs.meta)
    txn.put(where, txn.get(key(LIVE), db=dbs.live), db=dbs.live)
    source_posting(txn, dbs, where)


def unseal(txn: Any, dbs: Any) -> None:
    """An event is both live and in a run."""
    txn.put(key(SEALED), record(made(SEALED)), db=dbs.live)
    for term in (fmt.source_key(""), fmt.flag_key("all"), fmt.flag_key(f"f{SEALED}")):
        txn.put(term, key(SEALED), db=dbs.postings)


def share_local_id(txn: Any, dbs: Any) -> None:
    """A live event has the local id of a sealed one, and all indexes agree."""
    where = key(LIVE)[:8] + key(SEALED)[8:]
    move(txn, dbs, where)
    put_entry(txn, dbs, "e130", where)
    for term in (fmt.source_key(""), fmt.flag_key("all"), fmt.flag_key("f130")):
        txn.delete(term, key(LIVE), db=dbs.postings)
    source_posting(txn, dbs, where)


# -- ids and postings ------------------------------------------------------------------------------


def lose_id(txn: Any, dbs: Any) -> None:
    drop_entry(txn, dbs, "e130")


def lose_sealed_id(txn: Any, dbs: Any) -> None:
    drop_entry(txn, dbs, "e7")


def change_id_entry(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "e130", flipped(key(LIVE), 15, 64))


def change_sealed_id_entry(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "e7", flipped(key(SEALED), 15, 64))


def cut_id_entry(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "e7", key(SEALED)[:5])


def lead_to_another(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "e130", key(SEALED))


def lead_to_another_sealed(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "e7", key(8))


def add_id(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "ghost", key(SEALED))


def add_id_of_nothing(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, "ghost", bytes(16))


def add_id_of_deleted(txn: Any, dbs: Any) -> None:
    put_entry(txn, dbs, GONE, key(20))


def lose_posting(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.flag_key("all"), key(LIVE), db=dbs.postings)


def lose_source_posting(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.source_key(""), key(LIVE), db=dbs.postings)


def add_posting(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("f131"), key(LIVE), db=dbs.postings)


def add_posting_of_nothing(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("ghost"), flipped(key(LIVE), 0), db=dbs.postings)


def add_posting_of_sealed(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("all"), key(SEALED), db=dbs.postings)


def lose_run_posting(txn: Any, dbs: Any) -> None:
    with txn.cursor(db=dbs.run_postings) as cursor:
        assert cursor.set_range_dup(fmt.flag_key("all"), END)
        assert fmt.posting_key(cursor.value()) == END
        cursor.delete()


def add_run_posting(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("f100"), fmt.run_posting(END, [1]), db=dbs.run_postings)


def add_run_posting_of_nothing(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("all"), fmt.run_posting(key(8), [1]), db=dbs.run_postings)


# -- totals, summaries, deleted events, commits ----------------------------------------------------


def lose_total(txn: Any, dbs: Any) -> None:
    txn.delete(fmt.flag_key("all"), db=dbs.totals)


def change_total(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("all"), fmt.encode_number(3), db=dbs.totals)


def cut_total(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("all"), b"\0", db=dbs.totals)


def add_total(txn: Any, dbs: Any) -> None:
    txn.put(fmt.flag_key("ghost"), fmt.encode_number(3), db=dbs.totals)


def exchange_totals(txn: Any, dbs: Any) -> None:
    """Their sum is right."""
    for flag, total in (("f7", 2), ("f8", 0)):
        txn.put(fmt.flag_key(flag), fmt.encode_number(total), db=dbs.totals)


def summary(txn: Any, dbs: Any) -> fmt.Summary:
    return fmt.decode_summary(txn.get(END, db=dbs.summaries))


def lose_summary(txn: Any, dbs: Any) -> None:
    txn.delete(END, db=dbs.summaries)


def change_count(txn: Any, dbs: Any) -> None:
    changed = summary(txn, dbs)._replace(events=RUN)
    txn.put(END, changed.encode(), db=dbs.summaries)


def change_highest(txn: Any, dbs: Any) -> None:
    changed = summary(txn, dbs)._replace(highest=RUN - 1)
    txn.put(END, changed.encode(), db=dbs.summaries)


def cut_summary(txn: Any, dbs: Any) -> None:
    txn.put(END, b"\0", db=dbs.summaries)


def add_summary(txn: Any, dbs: Any) -> None:
    txn.put(key(8), summary(txn, dbs).encode(), db=dbs.summaries)


def empty_filter(txn: Any, dbs: Any) -> None:
    old = summary(txn, dbs)
    changed = old._replace(signature=bytes(len(old.signature)))
    txn.put(END, changed.encode(), db=dbs.summaries)


def cut_filter(txn: Any, dbs: Any) -> None:
    changed = summary(txn, dbs)._replace(signature=b"x")
    txn.put(END, changed.encode(), db=dbs.summaries)


def lose_deleted(txn: Any, dbs: Any) -> None:
    txn.delete(END, db=dbs.dead)


def change_deleted(txn: Any, dbs: Any) -> None:
    """Another event takes the place of the deleted one."""
    txn.put(END, bitmap([21], RUN), db=dbs.dead)


def flip_deleted(txn: Any, dbs: Any) -> None:
    txn.put(END, bitmap([20, 21], RUN), db=dbs.dead)


def cut_deleted(txn: Any, dbs: Any) -> None:
    txn.put(END, bitmap([20], RUN)[:3], db=dbs.dead)


def add_deleted(txn: Any, dbs: Any) -> None:
    txn.put(run_end(RUN), bitmap([3], RUN), db=dbs.dead)


def add_deleted_of_nothing(txn: Any, dbs: Any) -> None:
    txn.put(key(8), bitmap([3], RUN), db=dbs.dead)


def lose_commit(txn: Any, dbs: Any) -> None:
    txn.delete(END[8:], db=dbs.commits)


def change_commit(txn: Any, dbs: Any) -> None:
    txn.put(END[8:], flipped(txn.get(END[8:], db=dbs.commits), 3), db=dbs.commits)


def add_commit(txn: Any, dbs: Any) -> None:
    txn.put(fmt.encode_number(0), bytes(24), db=dbs.commits)


def add_cut_commit(txn: Any, dbs: Any) -> None:
    txn.put(fmt.encode_number(5), b"x", db=dbs.commits)


# -- runs ------------------------------------------------------------------------------------------


def flip_front(txn: Any, dbs: Any) -> None:
    txn.put(END, flipped(txn.get(END, db=dbs.runs), 100), db=dbs.runs)


def flip_front_checksum(txn: Any, dbs: Any) -> None:
    txn.put(END, flipped(txn.get(END, db=dbs.runs), 0), db=dbs.runs)


def change_sealed_content(txn: Any, dbs: Any) -> None:
    value = txn.get(END, db=dbs.runs)
    txn.put(END, value.replace(b"content 7", b"content 9"), db=dbs.runs)


def change_sealed_header(txn: Any, dbs: Any) -> None:
    value = txn.get(END, db=dbs.runs)
    txn.put(END, value.replace(b'"f7"', b'"g7"'), db=dbs.runs)


def cut_run(txn: Any, dbs: Any) -> None:
    txn.put(END, txn.get(END, db=dbs.runs)[:40], db=dbs.runs)


def lose_run(txn: Any, dbs: Any) -> None:
    txn.delete(END, db=dbs.runs)


def copy_run(txn: Any, dbs: Any) -> None:
    """The same events again, under another end."""
    txn.put(key(1000), txn.get(END, db=dbs.runs), db=dbs.runs)


def repacked(txn: Any, dbs: Any, change: Callable[[Events], Events], **directory: Any) -> None:
    events = change(Run(END, txn.get(END, db=dbs.runs)).unpacked(TermKeys()))
    terms = {digest(term): slots for term, slots in directory_of(events.terms).items()}
    txn.put(END, pack(events, terms | directory.get("terms", {})), db=dbs.runs)


def forget_term(txn: Any, dbs: Any) -> None:
    """The run is packed with a term that lacks an event."""
    terms = {digest(fmt.flag_key("all")): list(range(1, RUN))}
    repacked(txn, dbs, lambda events: events, terms=terms)


def change_time(txn: Any, dbs: Any) -> None:
    """A row with another time than its record, packed so."""

    def change(events: Events) -> Events:
        seconds = [7.5 if time == 7.0 else time for time in events.seconds]
        return events._replace(seconds=seconds)

    repacked(txn, dbs, change)


Damages = list[tuple["Callable[[Any, Any], None]", FindingKind, str, str | None]]
K = FindingKind

LIVE_DAMAGES: Damages = [
    (break_record, K.RECORD_UNREADABLE, "live", None),
    (empty_record, K.RECORD_UNREADABLE, "live", None),
    (invalidate_event, K.RECORD_UNREADABLE, "live", None),
    (change_content, K.RECORD_CHANGED, "live", "e130"),
    (change_id, K.RECORD_CHANGED, "live", "g130"),
    (change_tags, K.RECORD_CHANGED, "live", "e130"),
    (change_checksum, K.RECORD_CHANGED, "live", "e130"),
    (forget_record, K.RECORD_UNCHECKED, "live", "e130"),
    (misplace_in_time, K.RECORD_MISPLACED, "live", "e130"),
    (misplace_local_id, K.RECORD_MISPLACED, "live", "e130"),
    (misplace_beyond_all, K.RECORD_MISPLACED, "live", "e130"),
    (misplace_to_another_local_id, K.RECORD_MISPLACED, "live", "e130"),
    (misplace_to_a_sealed_local_id, K.RECORD_MISPLACED, "live", "e130"),
    (move_to_no_local_id, K.RECORD_MISPLACED, "live", "e130"),
    (double, K.ID_TWICE, "live", "e130"),
    (unseal, K.ID_TWICE, "runs", "e7"),
    (share_local_id, K.LOCAL_ID_TWICE, "runs", "e7"),
]
SEALED_DAMAGES: Damages = [
    (flip_front, K.RUN_DAMAGED, "runs", None),
    (flip_front_checksum, K.RUN_DAMAGED, "runs", None),
    (change_sealed_content, K.RUN_DAMAGED, "runs", None),
    (change_sealed_header, K.RUN_DAMAGED, "runs", None),
    (cut_run, K.RUN_DAMAGED, "runs", None),
    (lose_run, K.RUN_MISSING, "runs", None),
    (copy_run, K.RUN_ORDER, "runs", None),
    (forget_term, K.RUN_WRONG, "runs", None),
    (change_time, K.RUN_WRONG, "runs", "e7"),
]
DAMAGES: Damages = [
    (lose_version, K.FORMAT, "meta", None),
    (change_version, K.FORMAT, "meta", None),
    (lose_next, K.NEXT_LOCAL_ID, "meta", None),
    (lower_next, K.NEXT_LOCAL_ID, "meta", None),
    (cut_next, K.NEXT_LOCAL_ID, "meta", None),
    (raise_next, K.NEXT_LOCAL_ID, "meta", None),
    (lose_sealed, K.SEALED_WRONG, "meta", None),
    (change_sealed, K.SEALED_WRONG, "meta", None),
    *LIVE_DAMAGES,
    *SEALED_DAMAGES,
    (lose_id, K.ID_MISSING, "ids", "e130"),
    (lose_sealed_id, K.ID_MISSING, "ids", "e7"),
    (change_id_entry, K.ID_WRONG, "ids", "e130"),
    (change_sealed_id_entry, K.ID_WRONG, "ids", "e7"),
    (cut_id_entry, K.ID_MISSING, "ids", "e7"),
    (lead_to_another, K.ID_WRONG, "ids", "e130"),
    (lead_to_another_sealed, K.ID_WRONG, "ids", "e7"),
    (add_id, K.ID_STRAY, "ids", None),
    (add_id_of_nothing, K.ID_STRAY, "ids", None),
    (add_id_of_deleted, K.ID_STRAY, "ids", None),
    (lose_posting, K.POSTING_MISSING, "postings", "e130"),
    (lose_source_posting, K.POSTING_MISSING, "postings", "e130"),
    (add_posting, K.POSTING_STRAY, "postings", "e130"),
    (add_posting_of_nothing, K.POSTING_STRAY, "postings", None),
    (add_posting_of_sealed, K.POSTING_STRAY, "postings", None),
    (lose_run_posting, K.POSTING_MISSING, "run_postings", None),
    (add_run_posting, K.POSTING_STRAY, "run_postings", None),
    (add_run_posting_of_nothing, K.POSTING_STRAY, "run_postings", None),
    (lose_total, K.TOTAL_WRONG, "totals", None),
    (change_total, K.TOTAL_WRONG, "totals", None),
    (cut_total, K.TOTAL_WRONG, "totals", None),
    (add_total, K.TOTAL_WRONG, "totals", None),
    (lose_summary, K.SUMMARY_WRONG, "summaries", None),
    (change_count, K.SUMMARY_WRONG, "summaries", None),
    (change_highest, K.SUMMARY_WRONG, "summaries", None),
    (cut_summary, K.SUMMARY_WRONG, "summaries", None),
    (add_summary, K.RUN_MISSING, "runs", None),
    (empty_filter, K.SIGNATURE_WRONG, "summaries", None),
    (cut_filter, K.SIGNATURE_WRONG, "summaries", None),
    (lose_deleted, K.DEAD_WRONG, "dead", None),
    (change_deleted, K.DEAD_WRONG, "dead", None),
    (flip_deleted, K.DEAD_WRONG, "dead", None),
    (cut_deleted, K.DEAD_WRONG, "dead", None),
    (add_deleted, K.DEAD_WRONG, "dead", None),
    (add_deleted_of_nothing, K.DEAD_WRONG, "dead", None),
    (lose_commit, K.COMMIT_WRONG, "commits", None),
    (change_commit, K.COMMIT_WRONG, "commits", None),
    (add_commit, K.COMMIT_WRONG, "commits", None),
    (add_cut_commit, K.COMMIT_WRONG, "commits", None),
]
