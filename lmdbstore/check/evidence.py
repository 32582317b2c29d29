"""A record and its index entries: the one place that decides which of them is damaged.

Rules: of a record and its two checksums the majority is believed. A record that agrees with either
checksum is unchanged; one that agrees with neither may have changed. Verification and repair decide
by the same rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.disk import format as fmt

if TYPE_CHECKING:
    from lmdbstore.contract.event import Event

__all__ = ["Evidence"]


class Evidence(NamedTuple):
    """A record that can be read, and its index entries."""

    key: bytes
    event: Event
    checksum: bytes
    entry: bytes | None  # in `ids`
    commit: bytes | None  # in `commits`

    @property
    def time(self) -> bytes:
        """The event's timestamp, as it is in keys."""
        return fmt.encode_time(self.event.timestamp)

    @property
    def local_id(self) -> bytes:
        """The local id in the key."""
        return fmt.local_id_of(self.key)

    @property
    def checksums(self) -> dict[bytes, bytes]:
        """The noted checksums of the record, by the database that holds them."""
        noted = {}
        if self.entry is not None:
            noted[fmt.IDS] = fmt.checksum_in_id(self.entry)
        if self.commit is not None:
            noted[fmt.COMMITS] = fmt.checksum_in_commit(self.commit)
        return noted

    @property
    def is_vouched_for(self) -> bool:
        """Whether the record agrees with either of its checksums."""
        return self.checksum in self.checksums.values()

    @property
    def commit_vouches(self) -> bool:
        """Whether `commits` has this record under the local id in its key."""
        return self.checksums.get(fmt.COMMITS) == self.checksum

    @property
    def id_vouches(self) -> bool:
        """Whether `ids` has this record, even under another key."""
        return self.checksums.get(fmt.IDS) == self.checksum

    @property
    def commit_is_of_another(self) -> bool:
        """Whether the local id in the key belongs to another record."""
        commit = self.commit
        return (
            commit is not None
            and not self.commit_vouches
            and fmt.time_in_commit(commit) != self.time
        )
