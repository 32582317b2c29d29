"""The options of a store on PostgreSQL: errors are found here, before a server is asked."""

from __future__ import annotations

from lmdbstore.errors import InvalidOption, StoreOpenError, shown
from lmdbstore.opening.options import checked_limit

__all__ = ["OnStandbyError", "checked_size", "checked_standby", "checked_statement_timeout"]


class OnStandbyError(StoreOpenError):
    """The server is a standby, and the options ask for more than it gives."""


def checked_standby(*, sharded: bool, strict: bool, readonly: bool) -> None:
    """Check that a standby gives what the options ask for.

    Raises:
        StoreOpenError: it does not; an OnStandbyError, if it would give it to other options.
    """
    if sharded:
        raise StoreOpenError(
            "the server is a standby of a coordinator: what it shows and what the shards have do "
            "not belong together; open the primary"
        )
    if strict or not readonly:
        raise OnStandbyError(
            "the server is a standby, which shows a past state and cannot write; open the primary "
            "(list all hosts, and target_session_attrs=read-write), or pass readonly=True and "
            "consistency='snapshot' to read what the standby has"
        )


def checked_size(size: object) -> int:
    """Return a number of connections; raises InvalidOption."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 1:
        return size
    raise InvalidOption(f"pool_size: {shown(size)} cannot be used; pass a whole number above 1")


def checked_statement_timeout(value: object) -> float | None:
    """Return a limit in seconds; raises InvalidOption."""
    try:
        limit = checked_limit(value)
    except InvalidOption:
        limit = 0.0
    if limit == 0:
        raise InvalidOption(
            f"statement_timeout: {shown(value)} cannot be used; pass seconds above 0, or None"
        )
    return limit
