"""The event: its five fields, its time as a datetime, and the id that it gets if none is given.

Rules: an `Event` is a named tuple, so that a page of events is built without running Python code
for each. It holds what it was given; `checking` decides whether that can be stored.
"""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from lmdbstore.errors import InvalidEvent, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .types import Strings, Time

__all__ = ["NAIVE", "Event", "members", "new_id", "seconds_of"]

NAIVE = (  # the remedy
    "it has no time zone; pass an aware datetime: its .astimezone() if it is local time, or "
    ".replace(tzinfo=timezone.utc) if it is UTC"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SPARE = 256  # ids for which random bytes are fetched at once


class _Fields(NamedTuple):
    id: str
    source: str
    timestamp: float
    tags: list[str]
    content: str


class Event(_Fields):
    """One event.

    `id` is unique in a store; the default is a new time-ordered UUIDv7. `source` names what
    produced the event. `timestamp` is in seconds since 1970-01-01 UTC (a float; negative is
    before), or given as a `datetime` with a zone, which becomes a float; the default is now. `tags`
    are strings, called flags in a query. `content` is the text.

    Give the fields by keyword: `Event(source="door", tags=["alarm"], content="opened")`. The first
    two positional arguments are the id and the source, as in Theia: `Event("door", "opened")` is a
    valid event with the id `"door"`, the source `"opened"` and no content.

    Events compare equal by value, pickle, and unpack in the order of the fields; `_replace`
    makes a changed copy. They are not hashable, since `tags` is a list as in Theia's events; use
    the id as a key. The constructor accepts any values; an event is checked when it is saved.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # as typeshed does for list: tags are mutable

    def __new__(
        cls,
        id: str | None = None,  # noqa: A002  the field's name in the contract
        source: str = "",
        timestamp: Time | None = None,
        tags: Strings | None = (),
        content: str | None = "",
    ) -> Self:
        """Make an event; `None` means the field was left out."""
        return tuple.__new__(
            cls,
            (
                new_id() if id is None else id,
                source,
                time.time() if timestamp is None else _as_seconds(timestamp),
                _as_list(tags),
                "" if content is None else content,
            ),
        )

    @property
    def datetime(self) -> dt.datetime:
        """The timestamp as a datetime in UTC, to the microsecond; `.astimezone()` is local time.

        Raises:
            InvalidEvent: it is none of the years 1 to 9999, which a datetime can have.
        """
        try:
            return _EPOCH + dt.timedelta(seconds=self.timestamp)
        except (TypeError, ValueError, OverflowError):
            raise InvalidEvent(
                f"timestamp: {shown(self.timestamp)} is in none of the years 1 to 9999, as a "
                "datetime must be; give seconds since 1970 (are these milliseconds?)"
            ) from None


def _as_seconds(timestamp: Any) -> Any:
    if not isinstance(timestamp, dt.datetime):
        return timestamp
    # Without a zone it is no time. It is kept, so that `save` can refuse it by name.
    seconds = seconds_of(timestamp)
    return timestamp if seconds is None else seconds


def seconds_of(moment: dt.datetime) -> float | None:
    """Return a datetime in seconds since 1970; None if it has no zone, or one that fails."""
    # Methods that a subclass overrides have no effect.
    try:
        aware = dt.datetime.utcoffset(moment) is not None
        return dt.datetime.timestamp(moment) if aware else None
    except Exception:  # noqa: BLE001  a zone may raise anything
        return None


def _as_list(tags: Any) -> Any:
    # A string is not a list of tags. It is kept, so that `save` can refuse it by name.
    if isinstance(tags, (str, bytes)):
        return tags
    try:
        # Not list(...): that uses a length, which may be wrong.
        return [] if tags is None else [tag for tag in members(tags)]  # noqa: C416
    except TypeError:
        return tags


def members(value: Any) -> Iterator[Any]:
    """Return an iterator; TypeError if there is none.

    An object that has only `__getitem__` is refused: it may never end.
    """
    if not hasattr(type(value), "__iter__"):
        raise TypeError
    return iter(value)


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 random.

    Ids made by one process sort in the order they were made, to about a quarter microsecond.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    random = int.from_bytes(_random(), "big") >> 2
    number = (milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | random
    return str(uuid.UUID(int=number))


# Eight random bytes for each id, from the operating system, fetched for many ids at once: a system
# call releases the interpreter's lock, and if other threads are busy, getting it back takes long.
_spare: list[bytes] = []
_spare_owner = 0  # the process that fetched them: no two processes may use the same


def _random() -> bytes:
    global _spare, _spare_owner
    if _spare_owner != os.getpid():
        _spare, _spare_owner = [], os.getpid()
    try:
        return _spare.pop()
    except IndexError:
        fetched = os.urandom(8 * SPARE)
        _spare.extend([fetched[n : n + 8] for n in range(8, len(fetched), 8)])
        return fetched[:8]
