"""Reading files again, to replace what they gave."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, MemoryEventStore, StoreFull
from lmdbstore.ingest import saving
from lmdbstore.logs.common import Options
from lmdbstore.times.zones import Zones, zone_named
from tests.tools.imports import MOMENT, contents, imported, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = "2024-03-05 10:00:00 one\n  more\n2024-03-05 10:00:01 two\n"
BERLIN = Options(zones=Zones(zone_named("Europe/Berlin")))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "a.log", LINES)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryEventStore()
    else:
        with LMDBEventStore(tmp_path / "events", durability="none") as opened:
            yield opened


def times(store: Any) -> list[float]:
    return [event.timestamp - MOMENT for event in store.search()]


def test_redo_replaces_what_a_file_gave(store: Any, log: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "b.log", "2024-03-05 10:00:02 other\n")
    imported(store, log, other)
    report = imported(store, log, options=BERLIN, redo=True)
    assert (report.new, report.replaced, report.present) == (0, 2, 0)
    assert times(store) == [-3600, -3599, 2]
    assert imported(store, log).new == 0
    assert "an earlier --redo" not in imported(store, log).details()[0]


def test_redo_deletes_what_a_file_does_not_give_again(store: Any, log: Path) -> None:
    imported(store, log, options=Options(each_line=True))
    assert contents(store) == LINES.splitlines()
    report = imported(store, log, redo=True)
    assert (report.new, report.replaced) == (0, 2)
    assert contents(store) == ["2024-03-05 10:00:00 one\n  more", "2024-03-05 10:00:01 two"]
    report = imported(store, log, redo=True, options=Options(each_line=True))
    assert (report.new, report.replaced) == (1, 2)
    assert contents(store) == LINES.splitlines()


def test_redo_of_a_file_that_has_grown_and_of_one_that_is_new(store: Any, log: Path) -> None:
    imported(store, log)
    log.write_text(LINES + "2024-03-05 10:00:02 three\n")
    report = imported(store, log, redo=True)
    assert (report.new, report.replaced) == (1, 2)
    fresh = written(log.with_name("b.log"), "2024-03-05 10:00:03 four\n")
    assert imported(store, fresh, redo=True).new == 1
    assert imported(store, log, fresh).new == 0
    assert len(store) == 4


def test_redo_replaces_events_with_their_own_ids(store: Any, tmp_path: Path) -> None:
    mine = Event("mine", "s", MOMENT, [], "x")
    path = written(tmp_path / "a", json.dumps(mine._asdict()))
    imported(store, path)
    imported(store, path, redo=True, tags=["t"])
    assert list(store.search()) == [mine._replace(tags=["t"])]


def test_records_of_one_line_are_kept_apart(store: Any, tmp_path: Path) -> None:
    records = [{"eventTime": "2024-03-05T10:00:00Z", "n": n} for n in range(3)]
    path = written(tmp_path / "a", json.dumps({"Records": records}))
    imported(store, path)
    before = list(store.search())
    assert len(before) == 3
    assert imported(store, path, redo=True).replaced == 3
    assert list(store.search()) == before


def test_other_events_are_not_touched(store: Any, log: Path) -> None:
    """Not even those whose ids begin as those of the file do."""
    imported(store, log)
    key = store.get(next(store.search()).id).id[:16]
    others = [Event(f"{key}{rest}", "s", MOMENT + 5) for rest in ("x", "", "00000001-x")]
    store.save_many(others)
    imported(store, log, redo=True)
    assert list(store.search())[2:] == others


class Failing(MemoryEventStore):
    left = 1000

    def save_many(self, *args: Any, **named: Any) -> Any:
        self.left -= 1
        if not self.left:
            raise StoreFull("full")
        return super().save_many(*args, **named)


@pytest.mark.parametrize("at", range(1, 12))
def test_a_redo_that_is_stopped_loses_nothing_and_can_be_run_again(
    log: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "BATCH_EVENTS", 2)
    monkeypatch.setattr("lmdbstore.inputs.unpacking.CHUNK", 50)
    lines = "".join(f"2024-03-05 10:00:{n:02} {n}\n  more\n" for n in range(10))
    store = Failing()
    imported(store, written(log, lines), options=Options(each_line=True))
    store.left = at
    stopped = False
    try:
        imported(store, log, options=BERLIN, redo=True)
    except StoreFull:
        stopped = True
    store.left = 1000
    found = {line for content in contents(store) for line in content.splitlines()}
    assert found == {*lines.splitlines()}
    log.write_text(lines + "2024-03-05 10:00:59 last\n")
    report = imported(store, log)
    assert report.new == 1
    assert ("an earlier --redo of it did not end" in report.details()[0]) == (stopped and at > 1)
    imported(store, log, options=BERLIN, redo=True)
    assert len(store) == 11
    assert times(store) == [*range(-3600, -3590), -3541]


def test_a_damaged_file_that_is_read_again_keeps_its_events(store: Any, tmp_path: Path) -> None:

    packed = gzip.compress("".join(f"2024-03-05 10:00:00 {n * n}\n" for n in range(5000)).encode())
    path = written(tmp_path / "a.gz", packed)
    imported(store, path)
    written(path, packed[:-2000])
    report = imported(store, path, redo=True)
    assert report.unreadables == 1
    assert len(store) >= 5000
