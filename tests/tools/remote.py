"""A store that stands for one on a server, for tests of the commands: in memory, and it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lmdbstore import MemoryEventStore
from lmdbstore.cli import opening
from lmdbstore.sql.writing.purge import PurgedRows

if TYPE_CHECKING:
    import pytest

    from lmdbstore.address import Server

__all__ = ["SECRET", "SHOWN", "URL", "Remote", "remotes"]

SECRET = "s3cr3t"
URL = f"postgresql://u:{SECRET}@h:5/db?schema=logs&password={SECRET}"
SHOWN = "postgresql://u@h:5/db?schema=logs"


class Remote(MemoryEventStore):
    """The store; `opened` has the options of each opening, and `closed` counts the ends."""

    standby = False

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[dict[str, Any]] = []
        self.closed = 0
        self.purged: list[dict[str, Any]] = []

    def close(self, **_: Any) -> None:
        self.closed += 1

    def purge(self, **asked: Any) -> PurgedRows:
        """Note what is asked for."""
        asked.pop("progress")(1, 1)
        self.purged.append(asked)
        return PurgedRows(1, 5.0, 6.0, 2, 0)


def remotes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Remote]:
    """Let commands find these stores at addresses; they are made when they are opened first."""
    stores: dict[str, Remote] = {}

    def opened(server: Server, **options: Any) -> Remote:
        store = stores.setdefault(server.shown, Remote())
        store.opened.append({"conninfo": server.conninfo, **options})
        return store

    monkeypatch.setattr(opening, "open_server", opened)
    return stores
