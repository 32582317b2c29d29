"""Events for tests of named cursors, and what these give."""

from __future__ import annotations

from typing import Any

from lmdbstore import Event

__all__ = ["events", "ids"]


def events(number: int) -> list[Event]:
    """Return events, each earlier than the one before; every second one has a flag."""
    return [Event(f"e{n}", timestamp=float(-n), tags=["x"] * (n % 2)) for n in range(number)]


def ids(found: Any) -> list[str]:
    """Return the ids of events."""
    return [event.id for event in found]
