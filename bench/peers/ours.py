"""lmdbstore, with its options."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Literal

from lmdbstore import Event, LMDBEventStore

from .base import TOP, Peer

__all__ = ["Ours"]


class Ours(Peer):
    """The store, by its public calls."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Literal["full", "none"] = "full",
        consistency: Literal["strict", "snapshot"] = "strict",
        compression: Literal["zstd"] | None = None,
    ) -> None:
        super().__init__(folder)
        self._store = LMDBEventStore(
            folder / "events",
            durability=durability,
            consistency=consistency,
            compression=compression,
        )
        self._search = self._store.search

    def save(self, event: Event) -> None:
        self._store.save(event)

    def save_many(self, events: list[Event]) -> None:
        self._store.save_many(events)

    def seal(self) -> None:
        self._store.seal()

    def get(self, event_id: str) -> Event | None:
        return self._store.get(event_id, None)

    def newest(self, number: int) -> Iterable[Event]:
        return self._search(order="desc", limit=number)

    def between(self, start: float, end: float) -> Iterable[Event]:
        return self._search(start, end)

    def flagged(self, *flags: str, limit: int | None = None) -> Iterable[Event]:
        return self._search(flags=flags, limit=limit)

    def matching(self, pattern: str, limit: int | None = None) -> Iterable[Event]:
        return self._search(match=pattern, limit=limit)

    def count(self) -> int:
        return self._store.count()

    def count_between(self, start: float, end: float) -> int:
        return self._store.count(start, end)

    def count_flagged(self, flag: str) -> int:
        return self._store.count(flags=[flag])

    def count_matching(self, pattern: str) -> int:
        return self._store.count(match=pattern)

    def histogram(self, seconds: float, flag: str | None = None) -> Iterable[tuple[float, int]]:
        return self._store.histogram(seconds, flags=[flag] if flag else None)

    def top(self, start: float = -math.inf, end: float = math.inf) -> Iterable[tuple[str, int]]:
        facets = self._store.facets(limit=TOP, ts_start=start, ts_end=end).values()
        return chain.from_iterable(facet.values.items() for facet in facets)

    def delete(self, event_id: str) -> None:
        self._store.delete(event_id)

    def close(self) -> None:
        self._store.close()
