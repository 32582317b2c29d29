"""The options of a store on PostgreSQL: errors are found here, before a server is asked."""

from __future__ import annotations

from lmdbstore.errors import InvalidOption, shown
from lmdbstore.opening.options import checked_limit

__all__ = ["checked_size", "checked_statement_timeout"]


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
