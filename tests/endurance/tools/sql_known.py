"""What is known of the batches that clients wrote to a store on PostgreSQL, and must be true."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lmdbstore import EventView

__all__ = ["Batches", "assert_whole"]


class Batches:
    """The batches of all clients, by name: their sizes, and what was said of them."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.saved: set[str] = set()
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self.unknown = self.errors = 0

    def learn(self, said: Iterable[str]) -> None:
        """Note what a client said; the last line may be cut off."""
        for line in said:
            kind, _, rest = line.partition(" ")
            if kind == "unknown":
                self.unknown += 1
            elif kind == "error":
                self.errors += 1
            elif rest.count(" ") == 1:
                name, size = rest.split()
                self._note(kind, name, int(size))

    def _note(self, kind: str, name: str, size: int) -> None:
        self.sizes[name] = size
        {"save": set[str](), "saved": self.saved, "delete": self.deleting}.get(
            kind, self.deleted
        ).add(name)

    def check(self, view: EventView) -> int:
        """Check a state of the store; return how many acknowledged batches were found."""
        found = assert_whole(view)
        for name in self.saved - self.deleting:
            assert found.get(name) == self.sizes[name], f"{name} was acknowledged, and is lost"
        for name in self.deleted:
            assert name not in found, f"{name} was deleted, and is there"
        for name, number in found.items():
            assert number == self.sizes[name]
        return len(self.saved - self.deleting)


def assert_whole(view: EventView) -> dict[str, int]:
    """Check that every batch in a state is whole, in every way to read it; return the sizes."""
    found = Counter[str]()
    for event in view.search():
        found[event.source] += 1
        assert view.get(event.id) == event if found[event.source] == 1 else True
    counted = view.sources()
    assert dict(found) == counted, "a search and a count do not agree"
    flags = view.flags()
    for name, number in found.items():
        assert flags[name] == number, f"{name}: {number} found, and {flags[name]} by its flag"
    sizes = {event.source: int(event.tags[1]) for event in view.search()}
    assert dict(found) == sizes, "a part of a batch was read"
    return dict(found)
