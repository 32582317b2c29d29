"""The findings of `verify`, as typed values."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Finding", "FindingKind"]


class FindingKind(StrEnum):
    """The kinds of damage."""

    PAGE = "page"
    """A page of the file is not as LMDB writes it; reading further may end the process."""
    FORMAT = "format"
    """The format version is missing or wrong."""
    IDENTITY = "identity"
    """The identity of the store is missing or damaged; `repair` makes a new one."""
    SEED = "seed"
    """The seed of id keys is missing or damaged, so no id can be looked up."""
    NEXT_LOCAL_ID = "next local id"
    """The next local id is missing, or not above the used ones."""
    TRANSACTION = "transaction"
    """The state does not note that it is of the last transaction: it may be an older one."""
    DATABASE = "database"
    """A named database is missing, or does not belong there."""
    ORDER = "order"
    """The keys of a database do not rise."""
    COUNT = "count"
    """LMDB's count of the entries of a database is wrong."""
    RECORD_UNREADABLE = "record unreadable"
    """A record is malformed, or holds an event that cannot have been saved."""
    RECORD_CHANGED = "record changed"
    """A record is not what was written: it does not agree with its checksum."""
    RECORD_UNCHECKED = "record unchecked"
    """No index has a live record, so it is unknown whether its event was deleted."""
    RECORD_MISPLACED = "record misplaced"
    """A live record is not at the key given by its timestamp, or by its entry in `ids`."""
    RUN_DAMAGED = "run damaged"
    """A run is not what was written: a part of it does not agree with its checksum."""
    RUN_MISSING = "run missing"
    """A run that `summaries` has is not there."""
    RUN_WRONG = "run wrong"
    """A run agrees with its checksums, and its parts contradict each other."""
    RUN_ORDER = "run order"
    """A run has events that are before the run before it, or after its own end."""
    LOCAL_ID_TWICE = "local id twice"
    """Two events have the same local id."""
    ID_TWICE = "id twice"
    """Two records have the same id, or one event is both live and in a run."""
    ID_MISSING = "id missing"
    """An event's id is not in `ids`, so `get` does not find it."""
    ID_WRONG = "id wrong"
    """An event's entry in `ids` leads elsewhere."""
    ID_STRAY = "id stray"
    """An entry in `ids` has no event."""
    POSTING_MISSING = "posting missing"
    """A live event, or a run, is not in the posting set of one of its flags, or of its source."""
    POSTING_STRAY = "posting stray"
    """A posting set names an event or a run that does not have its flag or source."""
    TOTAL_WRONG = "total wrong"
    """The number of sealed events with a flag or a source is wrong."""
    SUMMARY_WRONG = "summary wrong"
    """What `summaries` notes of a run is missing, wrong, or not about any run."""
    SIGNATURE_WRONG = "signature wrong"
    """The signature of a run excludes text that occurs in the run: searches may miss it."""
    DEAD_WRONG = "dead wrong"
    """What is noted of the deleted events of a run is missing, wrong, or not about any run."""
    COMMIT_WRONG = "commit wrong"
    """A run's local ids in `commits` are missing or wrong, or an entry there has no run."""
    CHECKPOINT_DAMAGED = "checkpoint damaged"
    """A checkpoint is not what was written; `repair` leaves it out."""
    CURSOR_DAMAGED = "cursor damaged"
    """The state of a cursor is not what was written; `repair` leaves it out."""
    SEALED_WRONG = "sealed wrong"
    """The number of events in runs is missing or wrong."""


class Finding(NamedTuple):
    """One error in a store."""

    kind: FindingKind
    where: str  # the database, or the file
    detail: str
    event_id: str | None = None  # of the event concerned, if known

    def __str__(self) -> str:
        """Return it in one line."""
        event = "" if self.event_id is None else f" of the event {self.event_id!r}"
        return f"{self.kind} in {self.where}{event}: {self.detail}"
