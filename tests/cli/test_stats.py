"""The command `stats`: its figures, also for unusual stores."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.commands import on_terminal, run
from tests.tools.exposition import families

pytestmark = pytest.mark.surroundings


def test_stats_prints_the_figures_of_a_store(filled: Path) -> None:
    plain, everything = (
        dict(line.split(maxsplit=1) for line in run(*args).stdout.splitlines())
        for args in (("stats", "--db", filled), ("stats", "--db", filled, "--all"))
    )
    figures = json.loads(run("stats", "--db", filled, "--json").stdout)
    assert plain["events"] == "3"
    assert plain["flag:alarm"] == "2"
    assert plain["bytes"] == str(sum(figures["databases"].values()))
    assert [*plain] == [
        *("events", "oldest", "newest", "flags", "flag:alarm", "flag:night"),
        *("checkpoints", "cursors", "bytes", "free_bytes", "file_bytes"),
    ]
    assert [*everything][: len(plain)] == [*plain]
    assert everything["map_bytes"] == str(figures["map_bytes"])
    assert (figures["events"], figures["oldest"], figures["newest"]) == (3, 1000.0, 3000.5)
    assert figures["events_by_flag"] == {"alarm": 2, "night": 1}
    status, shown = on_terminal("stats", "--db", filled)
    assert status == 0
    assert "1970-01-01T00:16:40+00:00" in shown
    assert f"{figures['file_bytes']:,}" in shown
    assert "map_bytes" not in shown


def test_stats_works_for_unusual_stores(path: Path) -> None:
    LMDBEventStore(path).close()
    assert re.search(r"^oldest +-$", run("stats", "--db", path).stdout, re.MULTILINE)
    with LMDBEventStore(path) as store:
        flags = ["two words", "", "[red]x[/red]", "\x1b[2J"] + [f"f{n}" for n in range(20)]
        store.save(Event("a", timestamp=1e300, tags=flags))
        store.save(Event("b", timestamp=-1e11, tags=["two words"]))
    out = run("stats", "--db", path, "--all").stdout
    assert re.search(r"^newest +1e\+300$", out, re.MULTILINE)
    assert re.search(r"^oldest +-100000000000.0$", out, re.MULTILINE)
    assert re.search(r"^live +2\nruns +0\nbytes:live ", out, re.MULTILINE)
    assert out.count("flag:") == 10
    assert re.search(r"^checkpoints +0\ncursors +0\nbytes +16384\n", out, re.MULTILINE)
    assert re.search(r"^flag:two\\x20words +2$", out, re.MULTILINE)
    status, shown = on_terminal("stats", "--db", path)
    assert status == 0
    assert "flag:[red]x[/red]" in shown
    assert "\x1b[2J" not in shown


def test_stats_points_out_times_that_are_probably_milliseconds(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event(id="a", timestamp=1_750_766_400.0))
        assert "5000" not in run("stats", "--db", path).stdout
        store.save(Event(id="b", timestamp=1_750_766_400_000.0))
    done = run("stats", "--db", path)
    assert re.search(r"^beyond_year_5000 +1$", done.stdout, re.MULTILINE)
    assert "1 event has a time beyond the year 5000" in done.stderr
    assert "milliseconds" in done.stderr
    assert json.loads(run("stats", "--db", path, "--json").stdout)["beyond_year_5000"] == 1


def test_prometheus_gets_the_same_figures(filled: Path) -> None:
    figures = json.loads(run("stats", "--db", filled, "--json").stdout)
    found = families(run("stats", "--db", filled, "--prometheus").stdout)
    store = ("store", str(filled))
    assert found["lmdbstore_events"].samples == {(store,): 3}
    assert found["lmdbstore_flag_events"].samples == {
        (store, ("flag", flag)): number for flag, number in figures["events_by_flag"].items()
    }
    for name in ("used_bytes", "free_bytes", "file_bytes"):
        assert found[f"lmdbstore_{name}"].samples == {(store,): figures[name]}
    assert figures["saved_rate"] == 0.0 < figures["open_seconds"]
    result = run("stats", "--db", filled, "--prometheus", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    with LMDBEventStore(filled) as opened:
        opened.save(Event("evil", tags=["\x1b[2J\n"]))
    assert "\x1b" not in on_terminal("stats", "--db", filled, "--prometheus")[1]
