"""The check that every test of the LMDB store ends with: all indexes against the records."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lmdbstore import LMDBEventStore
from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.patterns.signature import PRIMES, grams

if TYPE_CHECKING:
    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases


def assert_indexes_agree(store: LMDBEventStore | str | os.PathLike[str]) -> int:
    """Compare `ids`, `flags`, `commits` and `meta` with `timeline`; return the number of events."""
    if isinstance(store, LMDBEventStore):
        return store._session.read(_compare)
    with LMDBEventStore(store, create=False) as opened:
        return opened._session.read(_compare)


def _compare(txn: Transaction[bytes], databases: Databases) -> int:
    ids: dict[bytes, bytes] = {}
    postings: set[tuple[bytes, bytes]] = set()
    commits: dict[bytes, bytes] = {}
    with txn.cursor(db=databases.timeline) as cursor:
        records = list(cursor)
        for (key, record), event in zip(records, fmt.decode([r for _, r in records]), strict=True):
            assert event == checked(event)
            assert key[:8] == fmt.encode_time(event.timestamp)
            assert key[8:] not in commits, "a local id was given twice"
            ids[fmt.text_key(event.id)] = key + fmt.checksum(record)
            commits[key[8:]] = key[:8] + fmt.checksum(record)
            postings.update((fmt.text_key(tag), key) for tag in event.tags)
    for name, expected in (("ids", ids), ("commits", commits)):
        with txn.cursor(db=getattr(databases, name)) as cursor:
            assert dict(cursor) == expected, f"the index {name} and the records differ"
    with txn.cursor(db=databases.flags) as cursor:
        found = list(cursor)
    assert sorted(postings) == found, "the posting sets and the records differ"
    _compare_runs(txn, databases)
    next_id = txn.get(fmt.NEXT, db=databases.meta)
    assert next_id is not None
    assert next_id < b"\x40" + bytes(7)
    assert all(bytes(8) < local_id < next_id for local_id in commits)
    assert txn.get(fmt.FORMAT, db=databases.meta) == fmt.encode_checked(fmt.VERSION)
    assert txn.get(fmt.TRANSACTION) == fmt.encode_checked(txn.id())
    return len(ids)


def _compare_runs(txn: Transaction[bytes], databases: Databases) -> None:
    """Check that runs lie apart, and that each filter holds all grams of its events."""
    with txn.cursor(db=databases.signatures) as cursor:
        items = list(cursor)
    runs = [(key, value[: fmt.filter_length(value)], fmt.run_end(value)) for key, value in items]
    ends = [fmt.FIRST_KEY, *(end for _, _, end in runs)]
    assert all(low >= before for (low, _, _), before in zip(runs, ends, strict=False))
    with txn.cursor(db=databases.timeline) as cursor:
        records = list(cursor)
    for low, filter_, end in runs:
        assert low <= end
        inside = fmt.contents_of([record for key, record in records if low <= key < end])
        prime = PRIMES[len(filter_) * 8]
        words = set(b"\n".join(inside).split())  # each only once; no gram has white space in it
        for gram in grams(b"\n".join(words)):
            assert filter_[gram % prime // 8] >> gram % prime % 8 & 1
