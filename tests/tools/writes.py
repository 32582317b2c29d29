"""Every kind of write on a store of known events, and reads that it may change or not.

Each read belongs to one store, and gives an answer that can be compared. `WAITS` names the reads
that a write of a kind may change, by what it publishes: all other reads must not wait for it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lmdbstore import DuplicateEvent, Event, LMDBEventStore
from lmdbstore.write.change import EmptyCommit

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READS", "WAITS", "WRITES", "filled"]

OLD = [Event(f"old {n}", "then", float(n), ["old"], f"word{n}") for n in range(1, 6)]
NEW = Event("new", "now", 100.0, ["new"], "word")
MANY = 600  # events: more than a run


def filled(store: LMDBEventStore) -> None:
    """Save the events that every store has."""
    for event in OLD:
        store.save(event)
    store.save_many([], checkpoint=("log", "before"))


def _refused(store: LMDBEventStore) -> None:
    with suppress(DuplicateEvent):
        store.save(OLD[0]._replace(content="again"))


WRITES: dict[str, Callable[[LMDBEventStore], object]] = {
    "save": lambda store: store.save(NEW),
    "save_many": lambda store: store.save_many([NEW, NEW._replace(id="newer", timestamp=101.0)]),
    "save_many, large": lambda store: store.save_many(
        NEW._replace(id=f"new {n}" if n else "new", timestamp=100.0 + n % 2) for n in range(MANY)
    ),
    "save_many, checkpoint": lambda store: store.save_many([NEW], checkpoint=("log", "after")),
    "ignore": lambda store: store.save_many([OLD[1], NEW], on_duplicate="ignore"),
    "replace": lambda store: store.save_many(
        [NEW._replace(id="old 2"), NEW], on_duplicate="replace"
    ),
    "checkpoint": lambda store: store.save_many([], checkpoint=("log", "after")),
    "delete": lambda store: store.delete("old 2"),
    "refused save": _refused,
    "purge": lambda store: store.purge(before=1.5),
    "seal": lambda store: store.seal(),
    "empty": lambda store: store._session.write(EmptyCommit()),
}


def _view(store: LMDBEventStore) -> list[str]:
    with store.snapshot() as view:
        return _ids(view)


def _ids(store: Any, **query: Any) -> list[str]:
    return [event.id for event in store.search(**query)]


Read = dict[str, "Callable[[LMDBEventStore], object]"]
OF_ALL: Read = {
    "len": len,
    "flags": lambda store: store.flags(),
    "explain": lambda store: store.explain(ts_end=5.0),
    "stats": lambda store: store.stats().events,
    "snapshot": _view,
    "count": lambda store: store.count(),
    "search": _ids,
    "newest": lambda store: _ids(store, order="desc", limit=3),
    "checkpoint": lambda store: store.checkpoint("log"),
    "checkpoints": lambda store: store.checkpoints("l"),
}
OF_ONE: Read = {
    "get old": lambda store: store.get("old 3"),
    "in old": lambda store: "old 3" in store,
    "get deleted": lambda store: store.get("old 2", None),
    "get absent": lambda store: store.get("absent", None),
    "get empty": lambda store: store.get("", None),
    "get new": lambda store: store.get("new", None),
    "in new": lambda store: "new" in store,
}
OF_SOME: Read = {
    "history": lambda store: _ids(store, ts_end=50.0),
    "history, counted": lambda store: store.count(1.0, 99.9),
    "history, newest first": lambda store: _ids(store, ts_end=50.0, order="desc", limit=3),
    "history, pattern": lambda store: _ids(store, ts_end=50.0, match="word[24]"),
    "future": lambda store: _ids(store, ts_start=200.0),
    "old flag": lambda store: _ids(store, flags=["old"]),
    "old flag, counted": lambda store: store.count(flags=["old"]),
    "both flags": lambda store: _ids(store, flags=["old", "new"]),
    "old source": lambda store: _ids(store, source="then"),
    "old source, counted": lambda store: store.count(source="then", flags=["old"]),
    "after, newest first": lambda store: _ids(store, after=OLD[3], order="desc"),
}
OF_THE_NEW: Read = {
    "new time": lambda store: _ids(store, ts_start=100.0, ts_end=100.0),
    "new time, counted": lambda store: store.count(100.0, 100.0),
    "new flag": lambda store: _ids(store, flags=["new"]),
    "new flag, counted": lambda store: store.count(flags=["new"]),
    "new source": lambda store: store.count(source="now"),
    "after": lambda store: _ids(store, after=OLD[3]),
}
READS = OF_ALL | OF_ONE | OF_SOME | OF_THE_NEW

_OF_NEW = {*OF_ALL, *OF_THE_NEW, "get new", "in new"}
WAITS: dict[str, set[str]] = {
    "save": _OF_NEW,
    "save_many": _OF_NEW,
    "save_many, large": {*_OF_NEW, "get absent", "get empty"},  # its ids are too many
    "save_many, checkpoint": _OF_NEW,
    # Searches wait that the ignored event would match, if it were saved.
    "ignore": {*_OF_NEW, *OF_SOME} - {"future"},
    # Of what is replaced only the ids are known.
    "replace": {*_OF_NEW, *OF_SOME, "get deleted"},
    "checkpoint": {*READS},
    "delete": {*OF_ALL, *OF_SOME, *OF_THE_NEW, "get deleted"},  # only the id is known
    # The event is there, and stays: only searches that it would match, if it were saved, wait.
    "refused save": {*OF_ALL, *OF_SOME} - {"future", "both flags"},
    "purge": {*READS},
    "seal": {*READS},
    "empty": {*READS},
}


if __name__ == "__main__":  # what to do at the commit, and the write
    from lmdbstore.write.transaction import WriteTransaction

    path, how, name = sys.argv[1:]
    commit = WriteTransaction.commit

    def held(txn: WriteTransaction, /) -> None:
        """Stop before the commit, or after it."""
        if how == "after":
            commit(txn)
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.readline()
        WriteTransaction.commit = commit  # type: ignore[method-assign]
        if how == "fail":
            raise OSError("made to fail")
        if how != "after":
            commit(txn)

    with LMDBEventStore(path, create=False) as store:
        WriteTransaction.commit = held  # type: ignore[method-assign, assignment]
        with suppress(OSError, Exception):
            WRITES[name](store)
