"""A store for tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmdbstore import Event, LMDBEventStore


@pytest.fixture
def filled(path: Path) -> Path:
    """Return the path of a store with three events."""
    with LMDBEventStore(path) as store:
        store.save_many(
            [
                Event("a", "door", 1000.0, ["alarm"], "opened by force"),
                Event("b", "door", 2000.0, ["alarm", "night"], "opened by key\nagain"),
                Event("c", "gate", 3000.5, [], "evil \x1b]0;title\x07 \x9b2J \u202e café"),
            ]
        )
    return path
