"""Damage to the entries of a store, one function for each kind, and what `verify` says of it.

The store has runs and pieces that are small (`make_small`), so that few events make some of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore import (
    FindingKind,
)
from lmdbstore.check import comparison, walk
from lmdbstore.disk import format as fmt
from lmdbstore.write import save, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

__all__ = [
    "DAMAGES",
    "EVENTS",
    "PIECE",
    "add_commit",
    "add_id",
    "add_posting_of_nothing",
    "change_content",
    "change_version",
    "empty_filter",
    "flipped",
    "key",
    "lose_flag",
    "lose_id",
    "lose_next",
    "make_small",
    "move_to_no_local_id",
]

RUN, PIECE = 64, 120
EVENTS = 140  # two runs have signatures; they are more than a piece


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Let a run and a piece be of so few entries."""
    for module in (save, sign):
        patch.setattr(module, "RUN", RUN)
    for module in (comparison, walk):
        patch.setattr(module, "PIECE_ENTRIES", PIECE)


def key(n: int) -> bytes:
    """Return the timeline key of the event `e<n>`."""
    return fmt.encode_time(float(n)) + fmt.encode_number(n + 1)


def flipped(data: bytes, at: int, bit: int = 1) -> bytes:
    return data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]


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


def break_record(txn: Any, dbs: Any) -> None:
    txn.put(key(7), b"no record", db=dbs.timeline)


def invalidate_event(txn: Any, dbs: Any) -> None:
    """An event that has a flag twice was never saved."""
    txn.put(key(7), b'"e7","",7.0,["a","a"]\n', db=dbs.timeline)


def change_content(txn: Any, dbs: Any) -> None:
    record = txn.get(key(7), db=dbs.timeline)
    txn.put(key(7), flipped(record, len(record) - 1), db=dbs.timeline)


def change_words(txn: Any, dbs: Any) -> None:
    """The new words are not in the signature of the run, which is not changed."""
    record = txn.get(key(7), db=dbs.timeline)
    txn.put(key(7), record.replace(b"content", b"another"), db=dbs.timeline)


def change_id(txn: Any, dbs: Any) -> None:
    record = txn.get(key(7), db=dbs.timeline)
    txn.put(key(7), record.replace(b'"e7"', b'"g7"'), db=dbs.timeline)


def change_tags(txn: Any, dbs: Any) -> None:
    record = txn.get(key(7), db=dbs.timeline)
    txn.put(key(7), record.replace(b'"f7"', b'"g7"'), db=dbs.timeline)


def misplace_in_time(txn: Any, dbs: Any) -> None:
    txn.put(flipped(key(7), 7), txn.pop(key(7), db=dbs.timeline), db=dbs.timeline)


def misplace_local_id(txn: Any, dbs: Any) -> None:
    wrong = key(7)[:8] + fmt.encode_number(1 << 40)
    txn.put(fmt.NEXT, fmt.encode_number(1 << 41), db=dbs.meta)
    txn.put(wrong, txn.pop(key(7), db=dbs.timeline), db=dbs.timeline)


def misplace_beyond_all(txn: Any, dbs: Any) -> None:
    """A local id that was never assigned does not make the next one wrong, too."""
    move(txn, dbs, key(7)[:8] + fmt.encode_number(1 << 40))


def misplace_to_a_later_local_id(txn: Any, dbs: Any) -> None:
    """The local id of an event that is later in the timeline."""
    move(txn, dbs, flipped(key(7), 15))


def misplace_to_an_earlier_local_id(txn: Any, dbs: Any) -> None:
    """The local id of an event that is earlier in the timeline."""
    move(txn, dbs, flipped(key(7), 15, 8 | 2))


def move(txn: Any, dbs: Any, where: bytes) -> None:
    txn.put(where, txn.pop(key(7), db=dbs.timeline), db=dbs.timeline)


def move_to_no_local_id(txn: Any, dbs: Any) -> None:
    """No local id is 0, even if all indexes agree on it."""
    where = key(7)[:8] + bytes(8)
    move(txn, dbs, where)
    txn.put(b"e7", where + fmt.checksum_in_id(txn.get(b"e7", db=dbs.ids)), db=dbs.ids)
    txn.put(bytes(8), txn.pop(key(7)[8:], db=dbs.commits), db=dbs.commits)
    for flag in (b"all", b"f7"):
        txn.delete(flag, key(7), db=dbs.flags)
        txn.put(flag, where, db=dbs.flags)


def double(txn: Any, dbs: Any) -> None:
    """Two records with one id, and all index entries of both except in `ids`."""
    record = txn.get(key(7), db=dbs.timeline)
    local_id = fmt.encode_number(EVENTS + 1)
    txn.put(fmt.NEXT, fmt.encode_number(EVENTS + 2), db=dbs.meta)
    txn.put(key(7)[:8] + local_id, record, db=dbs.timeline)
    txn.put(local_id, key(7)[:8] + fmt.checksum(record), db=dbs.commits)
    for flag in (b"all", b"f7"):
        txn.put(flag, key(7)[:8] + local_id, db=dbs.flags)


def lose_id(txn: Any, dbs: Any) -> None:
    txn.delete(b"e7", db=dbs.ids)


def change_id_entry(txn: Any, dbs: Any) -> None:
    txn.put(b"e7", flipped(txn.get(b"e7", db=dbs.ids), 15, 64), db=dbs.ids)


def lead_to_another(txn: Any, dbs: Any) -> None:
    entry = txn.get(b"e7", db=dbs.ids)
    txn.put(b"e7", key(8) + fmt.checksum_in_id(entry), db=dbs.ids)


def add_id(txn: Any, dbs: Any) -> None:
    txn.put(b"ghost", txn.get(b"e7", db=dbs.ids), db=dbs.ids)


def add_id_of_nothing(txn: Any, dbs: Any) -> None:
    txn.put(b"ghost", bytes(20), db=dbs.ids)


def lose_flag(txn: Any, dbs: Any) -> None:
    txn.delete(b"all", key(7), db=dbs.flags)


def add_posting(txn: Any, dbs: Any) -> None:
    txn.put(b"f8", key(7), db=dbs.flags)


def add_posting_of_nothing(txn: Any, dbs: Any) -> None:
    txn.put(b"ghost", flipped(key(7), 15), db=dbs.flags)


def lose_commit(txn: Any, dbs: Any) -> None:
    txn.delete(key(7)[8:], db=dbs.commits)


def change_commit(txn: Any, dbs: Any) -> None:
    entry = txn.get(key(7)[8:], db=dbs.commits)
    txn.put(key(7)[8:], flipped(entry, 3), db=dbs.commits)


def add_commit(txn: Any, dbs: Any) -> None:
    txn.put(fmt.encode_number(0), bytes(12), db=dbs.commits)


def change_checksum_of_id(txn: Any, dbs: Any) -> None:
    txn.put(b"e7", flipped(txn.get(b"e7", db=dbs.ids), 18), db=dbs.ids)


def change_checksum_of_commit(txn: Any, dbs: Any) -> None:
    entry = txn.get(key(7)[8:], db=dbs.commits)
    txn.put(key(7)[8:], flipped(entry, 9), db=dbs.commits)


def empty_filter(txn: Any, dbs: Any) -> None:
    value = txn.get(fmt.FIRST_KEY, db=dbs.signatures)
    txn.put(fmt.FIRST_KEY, bytes(len(value) - 16) + value[-16:], db=dbs.signatures)


def cut_filter(txn: Any, dbs: Any) -> None:
    value = txn.get(fmt.FIRST_KEY, db=dbs.signatures)
    txn.put(fmt.FIRST_KEY, value[1:], db=dbs.signatures)


def cut_filter_of_nothing(txn: Any, dbs: Any) -> None:
    """The filter of a run without events."""
    txn.put(fmt.after_key(key(EVENTS)), b"x" + b"\xff" * 16, db=dbs.signatures)


def overlap(txn: Any, dbs: Any) -> None:
    value = txn.get(fmt.FIRST_KEY, db=dbs.signatures)
    filter_ = b"\xff" * (len(value) - 16)
    txn.put(fmt.FIRST_KEY, filter_ + fmt.after_key(key(RUN + 1)), db=dbs.signatures)


def reverse(txn: Any, dbs: Any) -> None:
    value = txn.get(fmt.FIRST_KEY, db=dbs.signatures)
    txn.put(fmt.after_key(key(EVENTS)), value[:-16] + key(EVENTS), db=dbs.signatures)


DAMAGES: list[tuple[Callable[[Any, Any], None], FindingKind, str, str | None]] = [
    (lose_version, FindingKind.FORMAT, "meta", None),
    (change_version, FindingKind.FORMAT, "meta", None),
    (lose_next, FindingKind.NEXT_LOCAL_ID, "meta", None),
    (lower_next, FindingKind.NEXT_LOCAL_ID, "meta", None),
    (cut_next, FindingKind.NEXT_LOCAL_ID, "meta", None),
    (raise_next, FindingKind.NEXT_LOCAL_ID, "meta", None),
    (break_record, FindingKind.RECORD_UNREADABLE, "timeline", None),
    (invalidate_event, FindingKind.RECORD_UNREADABLE, "timeline", None),
    (change_content, FindingKind.RECORD_CHANGED, "timeline", "e7"),
    (change_words, FindingKind.RECORD_CHANGED, "timeline", "e7"),
    (change_id, FindingKind.RECORD_CHANGED, "timeline", "g7"),
    (change_tags, FindingKind.RECORD_CHANGED, "timeline", "e7"),
    (misplace_in_time, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (misplace_local_id, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (misplace_beyond_all, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (misplace_to_a_later_local_id, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (misplace_to_an_earlier_local_id, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (move_to_no_local_id, FindingKind.RECORD_MISPLACED, "timeline", "e7"),
    (double, FindingKind.ID_TWICE, "timeline", "e7"),
    (lose_id, FindingKind.ID_MISSING, "ids", "e7"),
    (change_id_entry, FindingKind.ID_WRONG, "ids", "e7"),
    (lead_to_another, FindingKind.ID_WRONG, "ids", "e7"),
    (add_id, FindingKind.ID_STRAY, "ids", None),
    (add_id_of_nothing, FindingKind.ID_STRAY, "ids", None),
    (lose_flag, FindingKind.FLAG_MISSING, "flags", "e7"),
    (add_posting, FindingKind.FLAG_STRAY, "flags", "e7"),
    (add_posting_of_nothing, FindingKind.FLAG_STRAY, "flags", None),
    (lose_commit, FindingKind.COMMIT_MISSING, "commits", "e7"),
    (change_commit, FindingKind.COMMIT_WRONG, "commits", "e7"),
    (add_commit, FindingKind.COMMIT_STRAY, "commits", None),
    (change_checksum_of_id, FindingKind.CHECKSUM_WRONG, "ids", "e7"),
    (change_checksum_of_commit, FindingKind.CHECKSUM_WRONG, "commits", "e7"),
    (empty_filter, FindingKind.SIGNATURE_WRONG, "signatures", None),
    (cut_filter, FindingKind.SIGNATURE_WRONG, "signatures", None),
    (cut_filter_of_nothing, FindingKind.SIGNATURE_WRONG, "signatures", None),
    (overlap, FindingKind.RUN_WRONG, "signatures", None),
    (reverse, FindingKind.RUN_WRONG, "signatures", None),
]
