"""`delete_many`, and `save` over what is there, in the store on disk: runs, a full map."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    DuplicateEvent,
    Event,
    LMDBEventStore,
    MemoryEventStore,
    StoreFull,
)
from tests.tools.damages import fill, make_small
from tests.tools.sealing import TINIEST, TINY, make_tiny_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODES = ("raise", "ignore", "replace")


@pytest.mark.parametrize("sizes", [TINIEST, TINY, {}], ids=["tiniest", "tiny", "usual"])
def test_the_stores_do_the_same(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int]
) -> None:
    """Whatever is sealed; the indexes are sound at the end."""
    make_tiny_runs(monkeypatch, sizes)
    chance = random.Random(1)
    with MemoryEventStore() as memory:
        for round_ in range(200):
            number = chance.randrange(60)
            event = Event(
                id=f"e{number}",
                source=chance.choice(["door", "roof"]),
                timestamp=float(chance.randrange(20)),
                tags=chance.sample("abc", chance.randrange(3)),
                content=f"{round_}" + "x" * chance.choice([0, 30, 3000]),
            )
            gone = [f"e{chance.randrange(60)}" for _ in range(chance.randrange(9))]
            mode: Any = chance.choice(MODES)
            for call in _calls(event, mode, gone if round_ % 5 == 0 else []):
                assert _outcome(call, store) == _outcome(call, memory)
            assert len(store) == len(memory)
        assert list(store.search()) == list(memory.search())
        assert store.flags() == memory.flags()
        assert store.verify() == []


def _calls(event: Event, mode: Any, gone: list[str]) -> list[Callable[[Any], Any]]:
    return [
        lambda store: store.save(event, on_duplicate=mode),
        lambda store: store.delete_many(gone),
    ]


def _outcome(call: Callable[[Any], Any], store: Any) -> Any:
    try:
        return call(store)
    except DuplicateEvent:
        return DuplicateEvent


def test_a_run_goes_with_the_last_of_its_events(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    fill(store)
    runs = store.stats().runs
    first = [event.id for event in store.search(limit=31)]
    assert store.delete_many(reversed(first)) == 31
    assert store.stats().runs == runs - 1
    assert store.verify() == []


def test_a_full_store_is_emptied_at_once(path: Path) -> None:
    with LMDBEventStore(path, map_size=1 << 20, durability="none") as store:
        for number in count():
            try:
                store.save(Event(id=f"{number}", timestamp=float(number), content="x" * 500))
            except StoreFull:
                break
        # Ids are hashed with a key of the store: which one first needs a page is by chance.
        with pytest.raises(StoreFull):  # noqa: PT012  the save that fails
            while True:
                store.save(Event(id=f"{number}", content="x" * 500), on_duplicate="replace")
                number += 1
        assert store.delete_many(f"{n}" for n in range(number)) == number
        assert len(store) == 0
        store.save(Event(id="new", content="x" * 500), on_duplicate="replace")
