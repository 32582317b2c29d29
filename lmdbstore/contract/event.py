"""The event: its five fields, and the id that it gets if none is given.

Rules: an `Event` is a named tuple, so that a page of events is built without running Python code
for each. It holds what it was given; `checking` decides whether that can be stored.
"""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .types import Strings

__all__ = ["Event", "members", "new_id"]

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
    before); the default is now. `tags` are strings, called flags in a query. `content` is the
    text.

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
        timestamp: float | None = None,
        tags: Strings | None = (),
        content: str | None = "",
    ) -> Self:
        """Make an event; `None` means the field was left out."""
        return tuple.__new__(
            cls,
            (
                new_id() if id is None else id,
                source,
                time.time() if timestamp is None else timestamp,
                _as_list(tags),
                "" if content is None else content,
            ),
        )


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
