"""What a request that fails is answered: a status, and an error as JSON.

Rules: the message of an error names the parameter of the request, not that of a call in Python. It
has no path of the machine: where that of a store may have one, it is replaced.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from lmdbstore.errors import (
    CompressionMissing,
    EventNotFound,
    EventStoreException,
    InvalidQuery,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreMoved,
    shown,
)

from .texts import units

__all__ = ["Refusal", "refuse", "refused"]

# The parameters of the store's calls that have other names here.
NAMES = {
    "ts_start": "since",
    "ts_end": "until",
    "flags": "flag",
    "any_flags": "any_flag",
    "not_flags": "not_flag",
    "tz": "zone",
    "bucket": "buckets",
    "event_id": "id",
}
_field = re.compile(r"([a-z_]+): ").match

# By the kind of the error: status, code, message.
_OF_THE_STORE: tuple[tuple[type[Exception], int, str, str], ...] = (
    (StoreMoved, 503, "moved", "the store has moved; serve what is there now"),
    (StoreClosed, 503, "closed", "the server is stopping; start it again"),
    (StoreBusy, 503, "busy", "others write to the store; ask again"),
    (StoreDamaged, 500, "damaged", "the store is damaged; check it with 'lmdbstore verify'"),
    (
        CompressionMissing,
        500,
        "compressed",
        "events are compressed, and the server cannot read them; install 'lmdbstore[zstd]' there",
    ),
    (EventStoreException, 500, "unreadable", "the store cannot be read; its server says why"),
)


class Refusal(Exception):
    """A request that gets an error."""

    def __init__(  # noqa: PLR0913  what is answered
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        position: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Refuse with a status of HTTP, a code, and a message; `position` is in the pattern."""
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.field, self.position = field, position
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return what is answered."""
        names = ("field", "message", "position", "code")
        return {"error": {name: getattr(self, name) for name in names}}


def refuse(field: str, value: object, remedy: str) -> NoReturn:
    """Refuse a parameter."""
    message = f"{field}: {shown(value)} cannot be used; {remedy}"
    raise Refusal(400, "invalid_query", message, field=field)


def refused(error: Exception, match: str | None = None) -> Refusal:
    """Return what is answered for an error of the store; `match` is the pattern of the request."""
    if isinstance(error, Refusal):
        return error
    message = str(error)
    if isinstance(error, InvalidQuery):
        found = _field(message)
        field = NAMES.get(found[1], found[1]) if found else None
        if found and field:
            message = f"{field}: {message[found.end() :]}"
        position = error.position
        if position is not None and match is not None:
            position = units(match, [position])[0]
        return Refusal(400, "invalid_query", message, field=field, position=position)
    if isinstance(error, EventNotFound):
        return Refusal(404, "not_found", message)
    for kind, status, code, text in _OF_THE_STORE:
        if isinstance(error, kind):
            return Refusal(status, code, text)
    return Refusal(500, "internal", "the server has failed; it says why where it runs")
