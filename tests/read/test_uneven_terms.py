"""Searches for terms that few events of most runs have, and many events of some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.contract.memory import MemoryEventStore
from lmdbstore.disk import format as fmt
from lmdbstore.disk.keys import split_postings
from lmdbstore.read import executor, sealed
from lmdbstore.read.run_range import PostedReader
from tests.tools.sealing import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lmdbstore import EventStore

RUN = 512
EVENTS = 14 * RUN


def tags_of(number: int) -> list[str]:
    """One event of a run has "uneven", but some runs have 4, 5, 6, 40 or all."""
    run, slot = divmod(number, RUN)
    many = {2: 4, 3: 5, 4: 6, 7: 40, 9: RUN, 10: RUN}.get(run, 1)
    tags = ["uneven"] if slot * many % RUN < many else []
    return [*tags, *["half"] * (number % 2), *["late"] * (number >= EVENTS // 2)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EventStore]]:
    memory = MemoryEventStore()
    folder = tmp_path_factory.mktemp("uneven") / "events"
    with LMDBEventStore(folder, durability="none") as store:
        events = [Event(f"e{n}", "s", float(n), tags_of(n), f"line {n}") for n in range(EVENTS)]
        memory.save_many(events)
        store.save_many(events)
        store.seal()
        assert len(shape(store).runs) > 12
        for number in (RUN * 5, RUN * 9 + 4, RUN * 12 + 1):
            memory.delete(f"e{number}")
            store.delete(f"e{number}")
        yield [memory, store]


QUERIES: list[dict[str, Any]] = [
    {}, {"limit": 1}, {"limit": 7}, {"limit": 300}, {"match": "7$"}, {"ts_start": RUN * 2.5},
    {"ts_end": RUN * 9.5}, {"ts_start": RUN * 3.0 + 50, "ts_end": RUN * 3.0 + 250},
]  # fmt: skip


@pytest.mark.parametrize("flags", [["uneven"], ["uneven", "half"], ["uneven", "late", "half"]])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("page", [3, 256])
def test_a_term_is_found_however_its_events_are_distributed(
    stores: list[EventStore],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    order: str,
    page: int,
) -> None:
    monkeypatch.setattr(executor, "FIRST_PAGE", min(page, executor.FIRST_PAGE))
    monkeypatch.setattr(executor, "LONGEST_PAGE", page)
    memory, store = stores
    for query in QUERIES:
        wanted: dict[str, Any] = {"flags": flags, "order": order, **query}
        expected = list(memory.search(**wanted))
        assert list(store.search(**wanted)) == expected, query
        assert store.count(**wanted) == len(expected), query


@pytest.mark.parametrize("in_most", [-1, 2, 10**9])
def test_frequent_terms_are_found_with_their_postings_or_without(
    stores: list[EventStore], monkeypatch: pytest.MonkeyPatch, in_most: int
) -> None:
    """Which runs have a term is known from its postings, and from the directory of each run."""
    monkeypatch.setattr(sealed, "IN_MOST", in_most)
    memory, store = stores
    for flags in (["half", "late"], ["late", "uneven"]):
        expected = list(memory.search(flags=flags))
        assert expected
        assert list(store.search(flags=flags)) == expected


@pytest.mark.parametrize("flags", [["uneven"], ["uneven", "half"]])
@pytest.mark.parametrize("end", [None, 12_000.0])
def test_a_search_reads_about_as_many_events_as_it_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], end: float | None
) -> None:
    """Postings without slots, between others, do not end what is read at once."""
    monkeypatch.setattr(executor, "FIRST_PAGE", 32)
    monkeypatch.setattr(executor, "LONGEST_PAGE", 32)
    read: list[int] = []
    postings: list[int] = []
    original: Callable[..., Any] = PostedReader.read

    def counted(self: PostedReader, *arguments: Any) -> Any:
        found = original(self, *arguments)
        read.append(len(found[0]))
        return found

    def split(values: Iterable[memoryview]) -> list[fmt.RunPosting]:
        found = split_postings(values)
        postings.append(len(found))
        return found

    monkeypatch.setattr(PostedReader, "read", counted)
    monkeypatch.setattr(fmt, "split_postings", split)
    tags = [
        [*["uneven"] * (n % 300 == 0 or n % 5_000 < 8), *["half"] * (n % 600 < 300)]
        for n in range(40_000)
    ]
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(Event(f"e{n}", "s", float(n), tag) for n, tag in enumerate(tags))
        store.seal()
        number = len(list(store.search(flags=flags, ts_end=end)))
    wanted = tags if end is None else tags[: int(end) + 1]
    assert number == sum(set(flags).issubset(tag) for tag in wanted)
    assert number <= sum(read) <= number * 1.25 + 8
    assert len(read) <= number / 32 * 3 + 2
    assert sum(postings) <= len(wanted) / RUN * 1.25 + 24


def test_many_rare_flags_are_found_together(tmp_path: Path) -> None:
    """However small the chance is that an event has all of them."""
    flags = [f"flag {n}" for n in range(140)]
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(
            Event(f"e{n}", "s", float(n), [*flags * (700 <= n < 705), *["rare"] * (n == 700)])
            for n in range(2000)
        )
        store.seal()
        assert [event.id for event in store.search(flags=[*flags, "rare"])] == ["e700"]


@pytest.mark.parametrize(
    "query",
    [{"flags": ["größe"]}, {"flags": ["two"]}, {"source": "größe"}, {"flags": ["größe", "two"]}],
)
def test_events_of_a_rare_flag_have_the_other_terms_themselves(
    tmp_path: Path, query: dict[str, Any]
) -> None:
    """A term that is not ASCII is not looked for in headers, and a text there may be another's."""
    tags = [[*["rare"] * (n % 300 == 0), *["größe"] * (n // 300 % 2)] for n in range(6000)]
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(
            Event(
                f"e{n}",
                ("größe", "two")[n // 600 % 2],
                float(n),
                [*tag, *["two"] * (n // 900 % 3 == 0)],
                "a line",
            )
            for n, tag in enumerate(tags)
        )
        store.seal()
        asked: dict[str, Any] = {**query, "flags": ["rare", *query.get("flags", [])]}
        every = [e for e in store.search() if set(asked["flags"]).issubset(e.tags)]
        wanted = [e for e in every if query.get("source") in (None, e.source)]
        assert 0 < len(wanted) < 20
        assert list(store.search(**asked)) == wanted
