"""The benchmark's own arithmetic: data, ratios, verdicts and reports.

Nothing here measures a time, and no peer needs to be installed.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import peers
from bench.chart import svg
from bench.data import ACCENT_EVERY, NEEDLE_EVERY, batches, log_events, made_events
from bench.goals import GOALS, THEIA_WANTED, judged
from bench.logs import ROWS as LOG_ROWS
from bench.logs import run_logs
from bench.measure import Figures, Run, drained, in_turn, ratio, rounds_for
from bench.operations import GROUPS, RELAXED, Sample
from bench.paired import compared
from bench.peers import OURS, PEERS, open_peer, versions
from bench.processes import HOSTILE
from bench.reasons import REASONS
from bench.report import markdown, shown
from bench.runner import LOADED, ON_DISK, Settings
from bench.sides import OPERATIONS
from lmdbstore.contract.checking import checked_all
from lmdbstore.patterns.pattern import compile_pattern

SIZES = ["100,000 events", "10,000,000 events"]
ROOT = Path(__file__).parents[2]


def row(group: str, name: str, unit: str = "ms", **figures: list[float]) -> Figures:
    peers = {peer.replace("_", " "): values for peer, values in figures.items()}
    return Figures(group, name, unit, OURS, peers)


def test_made_events_are_valid_ordered_and_reproducible() -> None:
    events = list(made_events(2000))
    assert events == list(made_events(2000))
    assert list(checked_all(events)) == events
    assert len({event.id for event in events}) == 2000
    assert all(event.id[14] == "4" and event.id[19] in "89ab" for event in events)
    assert events == sorted(events, key=lambda event: event.timestamp)
    assert max(len(event.tags) for event in events) == 3


def test_rare_words_are_as_rare_as_documented() -> None:
    events = list(made_events(NEEDLE_EVERY + 1))
    assert sum("needle" in event.content for event in events) == 2
    assert sum(not event.content.isascii() for event in events) == NEEDLE_EVERY // ACCENT_EVERY + 1


def test_after_its_end_the_log_is_repeated_with_new_ids() -> None:
    events = list(log_events(10_000))
    assert len({event.id for event in events}) == 10_000
    assert [e.timestamp for e in events] == sorted(e.timestamp for e in events)
    assert events[0].content in {event.content for event in events[1:]}
    assert {"status", "installed"} <= {tag for event in events for tag in event.tags}


def test_batches_contain_all_events() -> None:
    assert [len(batch) for batch in batches(made_events(25), 10)] == [10, 10, 5]


def test_a_sample_asks_for_existing_events() -> None:
    sample = Sample(4000)
    events = list(made_events(4000))
    sample.add(events[:1000])
    sample.add(events[1000:])
    ids = [event.id for event in events]
    assert len(sample.ids) == len(sample.missing) == 100
    assert set(sample.ids) < set(ids)
    assert not set(sample.missing) & set(ids)
    start, end = sample.range(100)
    assert sum(start <= event.timestamp <= end for event in events) == 100
    assert sample.length(100_000) == 4000 // 3
    fresh = sample.new(10)
    assert fresh[0].timestamp > events[-1].timestamp
    assert not {event.id for event in fresh} & {event.id for event in sample.new(10)}


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    assert ratio([2.0, 4.0, 90.0], [1.0, 2.0, 3.0]) == 2.0


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 5), (1.0, 5), (7.0, 4), (100.0, 3)])
def test_slow_rows_get_fewer_rounds(seconds: float, rounds: int) -> None:
    assert rounds_for(5, seconds) == rounds
    assert rounds_for(2, seconds) == 2


def test_peers_alternate_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    prepared = {name: lambda name=name: Run(lambda: order.append(name)) for name in "ab"}
    figures = in_turn(prepared, 3, repeatable=False)
    assert order == [*"ab", *"ab", *"ba", *"ab"]
    assert [len(times) for times in figures.values()] == [3, 3]


def test_draining_reads_everything() -> None:
    numbers = iter(range(10))
    drained(numbers)
    drained(7)
    assert list(islice(numbers, 1)) == []


def test_the_rows_of_logging_have_their_figures(tmp_path: Path) -> None:
    settings = Settings(20, 0, 1, "logging: a", tmp_path, True, lambda _: None)
    rows = list(run_logs(settings))
    assert [found.name for found in rows] == list(LOG_ROWS)
    assert {len(times) for found in rows for times in found.figures.values()} == {1}
    assert "## The log of a program" in markdown(rows, {}, [])


def test_a_goal_is_met_lost_or_not_measured() -> None:
    figures = [row("made", "get", lmdbstore=[1.0], SQLite=[1.9])]
    figures += [row("made", ON_DISK, lmdbstore=[15.0], SQLite=[10.0])]
    verdicts = {(v.goal.operation, v.goal.against): v.word for v in judged(figures)}
    assert verdicts["get", "SQLite"] == "lost"
    assert verdicts[ON_DISK, "SQLite"] == "met"
    assert verdicts["newest 100", "SQLite"] == "not measured"


def test_some_goals_are_differences_or_times() -> None:
    startup = row("startup", "import, open and first get", lmdbstore=[0.09], SQLite=[0.03])
    large = Figures("scaling", "pattern, rare literal", "ms", SIZES[0], {SIZES[1]: [0.04]})
    verdicts = {v.goal.kind: v for v in judged([startup, large]) if v.measured is not None}
    assert verdicts["ms more"].measured == pytest.approx(60.0)
    assert verdicts["ms more"].word == "lost"
    assert verdicts["ms"].measured == pytest.approx(40.0)
    assert verdicts["ms"].word == "met"


def test_a_lost_goal_has_an_explanation_or_is_called_unexplained() -> None:
    figures = [row("made", "get", "us a call", lmdbstore=[2e-6], SQLite=[1e-6])]
    assert "- get (SQLite): two lookups" in markdown(figures, {}, [])
    figures = [row("made", "pattern, ignoring case", lmdbstore=[2.0], SQLite=[1.0])]
    assert "- pattern, ignoring case (SQLite REGEXP): not known." in markdown(figures, {}, [])
    figures = [row("made", "newest 100", "us a call", lmdbstore=[1e-6], SQLite=[9e-6])]
    assert "lost" not in markdown(figures, {}, [])
    for reason in REASONS:
        assert any(goal.operation.startswith(reason.operations) for goal in GOALS) or (
            reason.operations in {("any operation",), ("lines a second on one core",)}
        )


def test_theias_stores_are_judged_by_their_worst_row() -> None:
    figures = [
        row("theia", "get", lmdbstore=[1.0], Theia_RDBS=[50.0]),
        row("theia", "delete", lmdbstore=[1.0], Theia_RDBS=[THEIA_WANTED - 1]),
        row("theia", LOADED, lmdbstore=[1.0], Theia_RDBS=[0.5]),
    ]
    worst = next(v for v in judged(figures) if v.goal.against == "Theia RDBS")
    assert (worst.word, worst.measured) == ("lost", THEIA_WANTED - 1)
    assert worst.detail == "below it: delete"


def test_a_peer_that_is_not_durable_is_compared_with_a_store_that_is_not() -> None:
    times = {OURS: [10.0], RELAXED[0]: [1.0], "Theia files": [25.0], "Theia RDBS": [250.0]}
    figures = [Figures("theia", "save, 1 thread", "us an event", OURS, times)]
    found = {v.goal.against: v.measured for v in judged(figures) if v.measured is not None}
    assert found == {"Theia files": 25.0, "Theia RDBS": 25.0}


def test_every_goal_names_existing_rows_and_peers() -> None:
    rows = {(group.name, one.name): one.peers for group in GROUPS for one in group.rows}
    for goal in GOALS:
        for group, name, peer in (goal.above, goal.below):
            if (group, name) in rows:
                assert peer in rows[group, name]
            else:
                assert name in {LOADED, ON_DISK} or group not in {g.name for g in GROUPS}


def test_every_row_asks_peers_that_its_group_opens() -> None:
    for group in GROUPS:
        assert set(group.peers) <= set(PEERS)
        for one in group.rows:
            assert set(one.peers) <= set(group.peers)


def test_the_store_accepts_the_patterns() -> None:
    compile_pattern(HOSTILE)


def test_the_report_shows_every_lost_goal() -> None:
    figures = [row("made", "get", "us a call", lmdbstore=[2e-6, 3e-6], SQLite=[1e-6, 1e-6])]
    report = markdown(figures, {"command": "x"}, ["DuckDB is left out"])
    assert "| lmdbstore | 2.50 | 2.00 | 3.00 | 2 |  |" in report
    assert "| SQLite | 1.00 | 1.00 | 1.00 | 2 | **0.42** |" in report
    assert "| **get** | **SQLite** | **at least 2x** | **0.42x** | **lost** |" in report
    assert "- DuckDB is left out" in report


def test_a_stopped_row_is_reported_as_longer_than_its_limit() -> None:
    figures = row("processes", "hostile", lmdbstore=[0.01], SQLite=[10.0])._replace(
        over=("SQLite",)
    )
    assert "| SQLite | > 10,000 | > 10,000 | > 10,000 | 1 | > 1,000 |" in markdown(
        [figures], {}, []
    )


@pytest.mark.parametrize(
    ("number", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12,346")]
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert shown(number) == text


def test_the_chart_shows_the_rows() -> None:
    drawing = svg([row("made", "get", lmdbstore=[1.0], SQLite=[3.0], DuckDB=[5000.0])])
    texts = [element.text for element in ET.fromstring(drawing).iter() if element.text]
    assert {"get", "3", "5,000"} <= set(texts)


@pytest.mark.parametrize("name", [OURS, "SQLite", "py-lmdb", "grep"])
def test_peers_without_a_package_give_the_same_results(name: str, tmp_path: Path) -> None:
    events = list(made_events(300))
    peer = open_peer(name, tmp_path)
    peer.save_many(events)
    peer.finish()
    assert peer.count_matching("needle") == 1
    if name != "grep":
        assert peer.get(events[7].id) == events[7]
        assert peer.get("nothing") is None
        assert list(peer.newest(3)) == events[:-4:-1]
        assert list(peer.flagged("flag1", "flag2")) == [
            event for event in events if {"flag1", "flag2"} <= set(event.tags)
        ]
        peer.delete(events[0].id)
        assert peer.count() == 299
        assert list(peer.between(0.0, 1e10)) == events[1:]
    peer.close()


def test_versions_name_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of packages that are installed; the tests may run where ours is only on the path."""

    def version(package: str) -> str:
        if package == "lmdb":
            return "7.0"
        raise PackageNotFoundError

    monkeypatch.setattr(peers, "version", version)
    found = versions()
    assert found["lmdb"] == "7.0"
    assert {*found.values()} == {"7.0", "not installed"}


def paired(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.paired", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_two_checkouts_are_compared_by_the_ratios_of_the_rounds() -> None:
    found = compared([(1.0, 2.0), (10.0, 20.0), (3.0, 3.0), (4.0, 8.0), (5.0, 10.5)])
    assert (found.before, found.after, found.ratio) == (4.0, 8.0, 2.0)
    assert 1.0 <= found.low <= 2.0 <= found.high <= 2.1


def test_the_interval_of_a_ratio_is_narrow_if_rounds_agree_and_is_reproducible() -> None:
    alike = compared([(2.0, 2.2)] * 20)
    assert (alike.low, alike.high) == (alike.ratio, alike.ratio)
    apart = [(1.0, 0.9 + n / 100) for n in range(20)]
    assert compared(apart) == compared(apart)
    assert 0.9 < compared(apart).low < compared(apart).ratio < compared(apart).high < 1.09


def test_a_checkout_compared_with_itself_is_equal(tmp_path: Path) -> None:
    few = ("--rounds", 2, "--events", 300, "--seconds", 0, "--folder", tmp_path)
    found = paired(ROOT, ROOT, *few, "--bound", 1e9)  # the times are random
    assert found.returncode == 0, found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()[1:]] == list(OPERATIONS)
    found = paired(ROOT, ROOT, *few, "--bound", 0, "--only", "get", "save")
    assert found.returncode == 1, found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()[1:]] == ["get", "save"]
    assert not list(tmp_path.iterdir())


def test_each_side_uses_the_store_of_its_checkout(tmp_path: Path) -> None:
    (tmp_path / "lmdbstore").mkdir()
    (tmp_path / "lmdbstore" / "__init__.py").write_text("raise SystemExit('of AFTER')")
    found = paired(ROOT, tmp_path, "--rounds", 2, "--events", 300)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("of AFTER\n")
    assert "the process of AFTER ended" in found.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((".", "nowhere"), "argument AFTER: 'nowhere' has no package lmdbstore; give a checkout"),
        ((".", ".", "--rounds", 1), "argument --rounds: '1' is not a whole number of 2 or more"),
        ((".", ".", "--bound", "nan"), "argument --bound: 'nan' is not a number of 0 or more"),
        ((".", ".", "--only", "x"), "argument --only: invalid choice: 'x' (choose from"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(words: tuple[object, ...], said: str) -> None:
    found = paired(*words)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith(f"python -m bench.paired: {said}")
    assert found.stderr.count("\n") == 1
