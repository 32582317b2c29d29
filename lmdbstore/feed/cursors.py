"""Named cursors on LMDB: reading and changing their states, and telling which processes use them.

Rules: a process is named by its pid namespace, its id, and when it was started; so its name is not
given to another one. One of another namespace cannot be seen, and counts as running.
"""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING, Any

from lmdbstore.contract.commits.shelf import state_in
from lmdbstore.disk.format import text_key
from lmdbstore.errors import EventStoreException
from lmdbstore.processes import lock_list
from lmdbstore.processes.lock_list import pid_namespace, started
from lmdbstore.records.named import NamedText, encode_named, named_in, text_in
from lmdbstore.write.change import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmdb import Transaction

    from lmdbstore.disk.databases import Databases
    from lmdbstore.write.transaction import WriteTransaction

__all__ = [
    "ChangeCursor",
    "cursor_text",
    "cursor_texts",
    "has_ended",
    "held_after",
    "process_name",
]

_own: dict[int, str] = {}  # the name of this process, by its id


def cursor_text(txn: Transaction[Any], databases: Databases, name: str) -> str | None:
    """Return the text of a cursor; None: there is none. Raises StoreDamaged."""
    return text_in("cursor", name, txn.get(text_key(name), db=databases.cursors))


def cursor_texts(txn: Transaction[Any], databases: Databases) -> dict[str, str]:
    """Return the texts of all cursors, by name, in order; raises StoreDamaged."""
    found = [named_in("cursor", *map(bytes, item)) for item in txn.cursor(db=databases.cursors)]
    return dict(sorted(found))


def process_name() -> str:
    """Return the name of this process."""
    pid = os.getpid()
    if pid not in _own:
        _own[pid] = f"{pid_namespace()}.{pid}.{started(pid)}"
    return _own[pid]


def has_ended(process: str) -> bool:
    """Whether a process of this name is known to have ended."""
    namespace, _, rest = process.partition(".")
    pid, _, start = rest.partition(".")
    if namespace != str(pid_namespace()) or not pid.isdecimal():
        return False
    found = started(int(pid))
    if found is None:
        return lock_list.has_ended(int(pid))
    return start not in ("None", found)


def held_after(items: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the local id after which a cursor holds all events; None: none holds any.

    `items` are the entries of the database. Raises StoreDamaged.
    """
    named = (named_in("cursor", bytes(key), bytes(value)) for key, value in items)
    states = (state_in(name, text) for name, text in named)
    return min((state.after for state in states if state.hold), default=None)


class ChangeCursor(Change):
    """Put what a function returns in the place of the text of a cursor; None: there is none."""

    frees = True  # in a store that is full, `purge` may need it
    writes = False, inf, -inf, 0, 0  # no event

    def __init__(self, name: str, change: Callable[[str | None], str | None]) -> None:
        """Change the cursor of this name; what `change` raises refuses the change."""
        self._name = name
        self._change = change

    def apply(self, txn: WriteTransaction) -> EventStoreException | None:
        """See `Change.apply`."""
        cursors, key = txn.databases.cursors, NamedText(self._name, "").key
        try:
            before = text_in("cursor", self._name, txn.get(cursors, key))
            after = self._change(before)
        except EventStoreException as error:
            return error
        if after is None:
            txn.discard(cursors, key)
        elif after != before:
            txn.set(cursors, key, encode_named(NamedText(self._name, after)))
        return None
