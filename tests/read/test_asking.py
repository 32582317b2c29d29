"""Any of some flags, none of others, and fields of JSON: the same answers whatever is sealed."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore, MemoryEventStore, StoreDamaged
from lmdbstore.contract.asking.where import checked_where
from lmdbstore.read import executor, found
from tests.tools.damages import change_sealed_content, fill, made, make_small, small_runs
from tests.tools.planting import writing
from tests.tools.properties import examples

if TYPE_CHECKING:
    from pathlib import Path

EACH = {"all": 1, "half": 2, "fifth": 5, "rare": 37, "rarer": 61, "late": 90}
EVENTS = [
    Event(
        id=f"{n}",
        source="door" if n % 4 else "roof",
        timestamp=float(n // 2),
        tags=[flag for flag, each in EACH.items() if n % each == each - 1],
        content=json.dumps({"n": n, "of": {"five": n % 5}}) if n % 3 else f"no json {n}",
    )
    for n in range(200)
]
FLAGS: list[list[str]] = [
    [],
    ["rare", "rarer"],
    ["half", "fifth"],
    ["all", "rare"],
    ["rare", "absent"],
]
MORE: list[dict[str, Any]] = [
    {},
    {"source": "roof"},
    {"match": "7"},
    {"where": {"of.five": [(">=", 1), ("!=", 2)]}},
    {"where": {"n": ("<", 90)}, "match": "1", "ts_start": 10.0, "ts_end": 80.5},
]
QUERIES: list[dict[str, Any]] = [
    {"flags": flags, "any_flags": some, "not_flags": without, **more}
    for flags, some, without, more in product(
        [[], ["half"], ["rare"]],
        FLAGS,
        [[], ["fifth"], ["late", "absent"]],
        MORE,
    )
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages and runs have few events."""
    small_runs(monkeypatch, 16)
    monkeypatch.setattr(found, "MOST_RUNS", 3)
    monkeypatch.setattr(executor, "FIRST_PAGE", 3)
    monkeypatch.setattr(executor, "LONGEST_PAGE", 12)
    monkeypatch.setattr(executor, "LONGEST_PATTERN", 5)
    monkeypatch.setattr(executor, "KEY_CHUNK", 7)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("how", ["live", "sealed", "both", "deleted"])
def test_answers_are_those_of_the_memory_store(
    store: LMDBEventStore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with MemoryEventStore() as memory:
        if how == "live":
            small_runs(monkeypatch, 1000)
        for some in (EVENTS[::2], EVENTS[1::2]):  # the second half is late
            memory.save_many(some)
            store.save_many(some)
            if how == "sealed":
                store.seal()
        if how == "deleted":
            gone = [event.id for event in EVENTS[3::7]]
            assert store.delete_many(gone) == memory.delete_many(gone)
        live, runs = store.stats().live > 0, store.stats().runs > 0
        assert (live, runs) == (how in ("live", "both"), how != "live")
        for number, query in enumerate(QUERIES):
            named = query | {"order": ("asc", "desc")[number % 2]}
            wanted = list(memory.search(**named))
            assert list(store.search(**named)) == wanted, store.explain(**named)
            assert store.count(**named) == len(wanted), store.explain(**named)
            assert list(store.search(**named, limit=4)) == wanted[:4]
            assert list(store.search(**named, damaged="skip")) == wanted
            if len(wanted) > 2:
                assert list(store.search(**named, after=wanted[1])) == wanted[2:]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"any_flags": ["rare", "rarer"]}, "walk the posting sets of 'rarer' (3) or 'rare' (5) of"),
        ({"any_flags": ["rare"]}, "walk the posting set of 'rare' (5) of"),
        ({"any_flags": ["rare"], "flags": ["half"]}, "walk the posting set of 'rare' (5) of"),
        (
            {"any_flags": ["rare", "half"], "flags": ["half"]},
            "walk the posting set of 'half' (100)",
        ),
        ({"any_flags": ["half", "all"]}, "scan the timeline"),
        ({"any_flags": ["half", "all"]}, "keep those with 'half' (100) or 'all' (200)"),
        ({"any_flags": ["rare", "late"], "flags": ["half"]}, "posting set of 'half' (100)"),
        (
            {"any_flags": ["absent", "none"]},
            "no event carries one of 'absent', 'none'",
        ),
        ({"not_flags": ["a", "b"]}, "leave out those with one of 'a', 'b'"),
        ({"where": {"n": (">=", 5), "a.b": "x"}}, "compare n >= 5 and a.b == 'x'"),
    ],
)
def test_explain_shows_what_is_read(
    store: LMDBEventStore, query: dict[str, Any], expected: str
) -> None:
    store.save_many(EVENTS)
    assert expected in store.explain(**query)


def test_flags_are_counted_without_reading_headers_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front of a run decides."""
    small_runs(monkeypatch, 16)
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        store.save_many(EVENTS)
        store.seal()
        with writing(store) as (txn, databases):
            for end, value in list(txn.cursor(db=databases.runs)):
                txn.put(end, value[:-200] + bytes(200), db=databases.runs)
        some, without = {"half", "fifth"}, {"rare"}
        wanted = [event for event in EVENTS if not without.intersection(event.tags)]
        assert store.count(not_flags=without) == len(wanted)
        wanted = [event for event in wanted if some.intersection(event.tags)]
        assert store.count(any_flags=some, not_flags=without) == len(wanted)
        with pytest.raises(StoreDamaged):
            list(store.search(not_flags=without))


def test_a_damaged_content_raises_or_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    with LMDBEventStore(tmp_path / "events", durability="none") as store:
        fill(store)
        store.save_many(made(n)._replace(content=f'{{"n": {n}}}') for n in range(200, 240))
        store.seal()
        with writing(store) as (txn, databases):
            change_sealed_content(txn, databases)
        for named in ({"where": {"n": (">=", 0)}}, {"not_flags": ["f3"]}):
            arguments: Any = named
            with pytest.raises(StoreDamaged):
                list(store.search(**arguments))
            search = store.search(**arguments, damaged="skip")
            assert len(list(search)) in (40, 177)
            assert search.left_out.events == 1


@pytest.mark.parametrize(
    ("where", "content", "meets"),
    [
        ({"user.id": "u7"}, r'{"user": {"id": "\u00757"}}', True),
        ({"user.id": "u7"}, r'{"\u0075ser": {"\u0069d": "u7"}}', True),
        ({"user.id": "u7"}, '{"user": {"id": "u77"}}', False),
        ({"a.b": "\n"}, r'{"a.b": "\n"}', True),
        ({"a.b": 'x"y'}, r'{"a.b": "x\"y"}', True),
        ({"a": "\\"}, r'{"a": "\\"}', True),
        ({"": "x"}, '{"": "x"}', True),
        ({"a.": "x"}, '{"a": {"": "x"}}', True),
        ({".a": "x"}, '{"": {"a": "x"}}', True),
        ({"ä": ("!=", "é")}, '{"ä": "è"}', True),
        ({"ä": "é"}, r'{"\u00e4": "\u00e9"}', True),
        ({"/": "/"}, r'{"\/": "/"}', True),
    ],
)
def test_escapes_are_read(where: Any, content: str, *, meets: bool) -> None:
    """Whether a content is looked at is decided without parsing it."""
    conditions = checked_where(where)
    assert conditions is not None
    assert conditions.matches(content.encode()) is meets


NAMES = st.text(st.sampled_from('ab."\\é/\n'), max_size=3)
FIELDS = st.dictionaries(NAMES, NAMES | st.dictionaries(NAMES, NAMES, max_size=2), max_size=3)


@given(FIELDS, st.booleans(), NAMES, NAMES)
@examples(300)
def test_no_content_is_missed(fields: dict[str, Any], ascii_: bool, path: str, text: str) -> None:
    content = json.dumps(fields, ensure_ascii=ascii_).encode()
    for where in ({path: text}, {path: ("!=", text)}):
        conditions = checked_where(where)
        assert conditions is not None
        found = all(condition.holds(fields) for condition in conditions.conditions)
        assert conditions.matches(content) is found
