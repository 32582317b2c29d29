"""The options of a handler: each is checked here, and refused by name."""

from __future__ import annotations

import logging
from typing import Any

from lmdbstore.contract.event import members
from lmdbstore.errors import InvalidOption, shown
from lmdbstore.threads.deadline import limit_of

__all__ = ["checked_capacity", "checked_level", "checked_tags", "checked_timeout"]


def checked_level(name: str, level: object) -> int:
    """Return a level of logging as a number; raises InvalidOption."""
    if isinstance(level, int) and not isinstance(level, bool):
        return int(level)
    found = logging.getLevelNamesMapping().get(level) if isinstance(level, str) else None
    if found is None:
        raise InvalidOption(
            f"{name}: {shown(level)} is no level; pass one of logging, such as 'ERROR'"
        )
    return found


def checked_tags(tags: object) -> list[str]:
    """Return flags as a list; raises InvalidOption."""
    try:
        found: list[Any] = [None] if isinstance(tags, str) else list(members(tags))
    except TypeError:
        found = [None]
    if not all(isinstance(tag, str) for tag in found):
        raise InvalidOption(f"tags: {shown(tags)} is no list of strings; pass one such as ['app']")
    return found


def checked_capacity(capacity: object) -> int:
    """Return the number of records that a queue holds; raises InvalidOption."""
    if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
        raise InvalidOption(f"capacity: {shown(capacity)} is no number of records; pass 1 or more")
    return int(capacity)


def checked_timeout(timeout: object) -> float | None:
    """Return a limit in seconds, or None for no limit; raises InvalidOption."""
    try:
        return limit_of(timeout)
    except ValueError as error:
        raise InvalidOption(
            f"timeout: {shown(timeout)}: {error}; pass seconds, or None for no limit"
        ) from None
