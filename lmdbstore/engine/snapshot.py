"""A snapshot: a view of one frozen state of the store, until the caller closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.read.lmdb_view import LMDBView

if TYPE_CHECKING:
    from lmdbstore.threads.deadline import Deadline

    from .session import Session

__all__ = ["Snapshot"]


class Snapshot(LMDBView):
    """A view of one state of the store; see `LMDBEventStore.snapshot`."""

    def __init__(self, session: Session, *, deadline: Deadline | None = None) -> None:
        """Take the present state; the reference keeps the session open."""
        self._session = session
        self._when_closed = f"the snapshot of {session.path!r} is closed; take a new one"
        self._held = session.hold(deadline)
        super().__init__(self._held.read, self._held.begin_read)

    def _check_open(self) -> None:
        super()._check_open()
        self._held.check_held()

    def _end(self) -> None:
        """End the snapshot, and let its pages be used again."""
        self._held.end()  # first: what is under way then ends at its next page
        super()._end()
        self._held.close()

    def __repr__(self) -> str:
        """Show the path of the store, and whether the snapshot has ended."""
        return f"<a snapshot of {self._session.path!r}{', closed' if self._closed else ''}>"
