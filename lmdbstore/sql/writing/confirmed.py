"""Whether a commit was confirmed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from lmdbstore.errors import EventWriteException
from lmdbstore.sql.server.failures import unknown_outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.errors import Diagnostic

    from lmdbstore.sql.server.link import Connection

__all__ = ["confirmed"]


@contextmanager
def confirmed(connection: Connection) -> Iterator[None]:
    """Raise EventWriteException if a commit in the block is not confirmed: its outcome is unknown.

    If the server says ERROR, nothing was committed, and that error is raised. No answer, or any
    other one, confirms nothing: a proxy may say FATAL for a server that is gone. If a wait for a
    standby was cut short, the server reports success, with a warning.
    """
    warned: list[str] = []

    def note(notice: Diagnostic) -> None:  # which can be read now only
        if notice.severity_nonlocalized == "WARNING":
            warned.append(notice.message_primary or "")

    connection.add_notice_handler(note)
    try:
        yield
    except psycopg.Error as error:
        if error.diag.severity_nonlocalized == "ERROR":
            raise
        raise unknown_outcome(error) from error
    finally:
        connection.remove_notice_handler(note)
    for warning in warned:
        raise unknown_outcome(EventWriteException(warning))
