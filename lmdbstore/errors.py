"""Every exception of the package, named by what the caller can do about it.

The first four names are those of the event store API of the Theia log aggregator
(`theia.storeapi`). No exception of another library leaves the package: those of `lmdb`, `orjson`
and `re2` are turned into these, with the original kept as `__cause__`. A wrong keyword is Python's
`TypeError`.

    EventStoreException
    ├── EventWriteException          the write did not happen
    │   ├── InvalidEvent             correct the event (also a ValueError)
    │   ├── DuplicateEvent           the id is taken; choose another, or skip the event
    │   ├── StoreFull                open with a larger map_size, or delete
    │   └── ReadOnlyStore            open without readonly=True
    ├── EventReadException           the read did not happen
    │   ├── EventNotFound            there is no such event
    │   └── InvalidQuery             correct the argument (also a ValueError)
    ├── StoreOpenError               the store could not be opened
    │   ├── InvalidOption            correct the option (also a ValueError)
    │   └── StoreInUse               close it elsewhere first (also a write exception)
    ├── StoreBusy                    wait longer, or end what holds it up
    │   ├── WriteBusy                (also a write exception)
    │   ├── ReadBusy                 (also a read exception)
    │   └── OpenBusy                 (also a StoreOpenError)
    ├── StoreClosed                  open the store again   (both a write and a read exception)
    ├── CursorLost                   make the cursor again      (both of them, too)
    ├── StoreMoved                   open what is at the path now      (both of them, too)
    ├── CompressionMissing           install zstd           (both of them, too)
    ├── ExtraMissing                 install the extra      (both of them, too)
    └── StoreDamaged                 check the file         (both a write and a read exception)
"""

from __future__ import annotations

__all__ = [
    "CompressionMissing",
    "CursorLost",
    "DuplicateEvent",
    "EventNotFound",
    "EventReadException",
    "EventStoreException",
    "EventWriteException",
    "ExtraMissing",
    "InvalidEvent",
    "InvalidOption",
    "InvalidQuery",
    "OpenBusy",
    "ReadBusy",
    "ReadOnlyStore",
    "StoreBusy",
    "StoreClosed",
    "StoreDamaged",
    "StoreFull",
    "StoreInUse",
    "StoreMoved",
    "StoreOpenError",
    "WriteBusy",
    "shown",
]


class EventStoreException(Exception):
    """Base of all exceptions that the package raises."""


class EventWriteException(EventStoreException):
    """A write failed; unless the message says otherwise, nothing was written."""


class EventReadException(EventStoreException):
    """A read failed."""


class EventNotFound(EventReadException):
    """There is no event with the given id."""


class InvalidEvent(EventWriteException, ValueError):
    """An event that cannot be stored; the message names the field, the value and the remedy."""


class DuplicateEvent(EventWriteException):
    """An event with this id is in the store already; the stored one is untouched."""


class StoreFull(EventWriteException):
    """The memory map is full; the message names the remedy."""


class ReadOnlyStore(EventWriteException):
    """A write to a store that was opened with `readonly=True`."""


class InvalidQuery(EventReadException, ValueError):
    """An argument that cannot be searched with; the message names it, its value and the remedy.

    `position` is the place in a pattern that is wrong, in characters from 0, where it is known.
    """

    def __init__(self, message: str = "", *, position: int | None = None) -> None:
        """Note the place in a pattern."""
        super().__init__(message)
        self.position = position


class StoreOpenError(EventStoreException):
    """The store could not be opened or created; nothing was changed on disk."""


class InvalidOption(StoreOpenError, ValueError):
    """An option of the constructor that is invalid, or contradicts an open store."""


class StoreInUse(StoreOpenError, EventWriteException):
    """The store is open elsewhere, or its file is being replaced; the message names processes."""


class StoreBusy(EventStoreException):
    """A call waited for others until its time limit; the message says for whom, and what to do."""


class WriteBusy(StoreBusy, EventWriteException):
    """A write waited until its time limit; the message says whether it may have been written."""


class ReadBusy(StoreBusy, EventReadException):
    """A read waited until its time limit, and read nothing."""


class OpenBusy(StoreBusy, StoreOpenError):
    """An opening waited until its time limit; the store was not opened."""


class StoreClosed(EventReadException, EventWriteException):
    """The store, or the snapshot, was closed; open it again."""


class CursorLost(EventReadException, EventWriteException):
    """A worker has lost events of a named cursor that it was given; the message says why."""


class StoreMoved(EventReadException, EventWriteException):
    """The path no longer leads to the files that are open; the message says what it leads to.

    `committed` is True if the change of this call was committed to the store that moved.
    """

    def __init__(self, message: str = "", *, committed: bool = False) -> None:
        """Note whether a change was committed to the store that moved."""
        super().__init__(message)
        self.committed = committed


class CompressionMissing(EventReadException, EventWriteException):
    """Events are compressed, and the library for that is not installed; the message says how."""


class ExtraMissing(EventReadException, EventWriteException):
    """A call needs a library that is not installed; the message names the extra that has it."""


class StoreDamaged(EventReadException, EventWriteException):
    """The files do not match the format; check the store before you continue."""


SHOWN = 60  # characters of a value that a message quotes


def shown(value: object) -> str:
    """`value` as a message quotes it: its repr, cut to a length that fits a terminal line."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  any __repr__ may raise anything
        text = f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"
    # A lone surrogate in the message would make printing it fail as well.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
