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
    """A record is not what was written: it does not agree with its checksums."""
    RECORD_UNCHECKED = "record unchecked"
    """Both checksums of a record are lost, so it is unknown whether it is what was written."""
    RECORD_MISPLACED = "record misplaced"
    """A record is not at the key given by its timestamp, or by its entry in `ids`."""
    ID_TWICE = "id twice"
    """Two records have the same id; the entry in `ids` belongs to the other one."""
    ID_MISSING = "id missing"
    """An event's id is not in `ids`, so `get` does not find it."""
    ID_WRONG = "id wrong"
    """An event's entry in `ids` leads elsewhere."""
    ID_STRAY = "id stray"
    """An entry in `ids` has no event."""
    FLAG_MISSING = "flag missing"
    """An event is not in the posting set of one of its flags."""
    FLAG_STRAY = "flag stray"
    """A posting set names an event that does not carry the flag, or none at all."""
    COMMIT_MISSING = "commit missing"
    """An event's local id is not in `commits`."""
    COMMIT_WRONG = "commit wrong"
    """An event's local id is in `commits` with another timestamp."""
    COMMIT_STRAY = "commit stray"
    """A local id in `commits` has no event."""
    CHECKSUM_WRONG = "checksum wrong"
    """One of the two checksums of a record is damaged; the other one agrees with the record."""
    SIGNATURE_WRONG = "signature wrong"
    """The signature of a run excludes text that occurs in the run: searches may miss it."""
    RUN_WRONG = "run wrong"
    """A run ends before it begins, or overlaps with another."""


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
