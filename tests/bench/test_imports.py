"""The rows about importing files: the files, the commands, and how a run is timed and checked."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from bench.goals import judged
from bench.imports import importers, rows
from bench.imports.importers import IMPORTERS, installed, left_out, versions
from bench.imports.logs import ACCESS, ISO, JSON, LOGS, SYSLOG, Log, Span, write_log
from bench.imports.rows import ONE_CORE, PROCESSOR, Runs, check, run_imports, timed
from bench.measure import Figures
from bench.peers import OURS
from bench.report import markdown
from bench.runner import Settings

LINES = 300
BY_NAME = pytest.mark.parametrize("log", LOGS, ids=[log.name for log in LOGS])
EACH = [(name, log) for name, one in IMPORTERS.items() for log in one.logs]


@BY_NAME
def test_a_log_has_the_same_lines_every_time(log: Log, tmp_path: Path) -> None:
    made = write_log(log, tmp_path / "a.log", LINES)
    again = write_log(log, tmp_path / "b.log", LINES)
    assert made.path.read_bytes() == again.path.read_bytes()
    assert made[1:] == again[1:]
    assert made.lines == len(made.path.read_text().splitlines()) >= LINES
    assert made.span.first < made.span.last == made.path.stat().st_mtime


def test_the_lines_of_a_log_are_in_its_format(tmp_path: Path) -> None:
    texts = {}
    for log in LOGS:
        path = write_log(log, tmp_path / "made.log", LINES).path
        texts[log] = path.read_text().splitlines()
    assert all(re.match(r'\d+\.\d+\.\d+\.\d+ - - \[01/Mar/2025:0\d:\d\d:\d\d \+0000\] "GET /', line)
               for line in texts[ACCESS])  # fmt: skip  # one thought
    assert all(
        re.match(r"Mar  1 0\d:\d\d:\d\d web\d\d \S+\[\d+\]: ", line) for line in texts[SYSLOG]
    )
    assert len({json.loads(line)["request_id"] for line in texts[JSON]}) == LINES
    dated = [line for line in texts[ISO] if line.startswith("2025-03-01 ")]
    assert "Traceback (most recent call last):" in set(texts[ISO]) - set(dated)
    assert dated == sorted(dated, key=lambda line: line[:23])


@pytest.mark.parametrize(("name", "log"), EACH, ids=[f"{name}, {log.name}" for name, log in EACH])
def test_each_peer_finds_every_record_and_the_first_and_last_time(
    name: str, log: Log, tmp_path: Path
) -> None:
    if not installed([name]):
        pytest.skip(f"{name} is not installed")
    made = write_log(log, tmp_path / "made 'log'", LINES)
    taken = Runs(log, made, tmp_path).taken(name, checked=True)
    assert taken.wall > 0
    assert taken.processor > 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("found", [Span(6, 1.0, 2.0), Span(7, 0.998, 2.0), Span(7, 1.0, 3602.0)])
def test_a_peer_with_other_records_or_times_is_refused(found: Span) -> None:
    wanted = Span(7, 1.0, 2.0)
    check(OURS, JSON, wanted, Span(7, 1.0001, 2.0))
    with pytest.raises(AssertionError, match="JSON lines: lnav found Span"):
        check("lnav", JSON, wanted, found)


def python(folder: Path, script: str, *, one_core: bool = False) -> rows.Taken:
    return timed([sys.executable, "-c", script], folder, folder / "bytecode", one_core=one_core)


def test_a_command_that_fails_is_reported_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="ended with 1: no such table"):
        python(tmp_path, "import sys; sys.exit('no such table')")


def test_the_processor_time_is_that_of_the_command_and_its_processes(tmp_path: Path) -> None:
    spend = "import time\nwhile time.process_time() < 0.2: pass"
    assert python(tmp_path, spend).processor >= 0.2
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spend!r}])"
    assert python(tmp_path, inner).processor >= 0.2
    waiting = python(tmp_path, "import time; time.sleep(0.5)")
    assert waiting.wall >= 0.5
    assert waiting.processor < waiting.wall


def test_a_command_on_one_core_may_use_no_other(tmp_path: Path) -> None:
    before, ask = os.sched_getaffinity(0), "import os; print(len(os.sched_getaffinity(0)))"
    assert python(tmp_path, ask, one_core=True).output == "1\n"
    assert python(tmp_path, ask).output == f"{len(before)}\n"
    assert os.sched_getaffinity(0) == before


def test_times_without_a_zone_are_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert python(tmp_path, "import time; print(time.localtime(0).tm_hour)").output == "0\n"


def test_a_peer_that_is_not_installed_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importers, "_version", lambda _: None)
    said = left_out()
    assert len(said) == len(IMPORTERS) - 1
    assert said[-1].endswith("lnav is not installed; run `apt-get install lnav`")
    assert versions() == {"sqlite-utils": "not installed", "lnav": "not installed"}
    settings = Settings(80, 0, 1, "import: syslog without year", tmp_path, True, lambda _: None)
    found = list(run_imports(settings))
    assert [row.name for row in found] == [SYSLOG.name + part for part in ("", PROCESSOR, ONE_CORE)]
    assert (
        found[0].note
        == "10 lines of 88 bytes; without DuckDB, DuckDB, 1 thread, lnav: not installed"
    )
    for row in found:
        assert {name: len(times) for name, times in row.figures.items()} == {OURS: 1}


def test_only_wanted_rows_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(80, 0, 1, "made: get", tmp_path, True, lambda _: None)
    assert list(run_imports(settings)) == []
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(rows, "installed", lambda _: [OURS])
    found = run_imports(settings._replace(only="access log, one core"))
    assert [row.name for row in found] == ["access log, one core"]


def test_an_import_on_one_core_is_judged_beside_the_fastest_peer() -> None:
    times = {OURS: [8.0, 9.0], "DuckDB, 1 thread": [2.0, 3.0], "lnav": [4.0, 4.0]}
    row = Figures("import", ACCESS.name + ONE_CORE, "us a line", OURS, times)
    verdicts = {v.goal.operation: v for v in judged([row])}
    judgement = verdicts["lines a second on one core, access log"]
    assert judgement.goal.against == "the fastest peer, DuckDB, 1 thread"
    assert (judgement.word, judgement.measured) == ("lost", (2 / 8 + 3 / 9) / 2)
    assert "(the fastest peer, DuckDB, 1 thread): DuckDB and lnav read" in markdown([row], {}, [])
    assert verdicts["lines a second on one core, JSON lines"].word == "not measured"
    alone = row._replace(figures={OURS: [8.0]})
    assert all(verdict.word == "not measured" for verdict in judged([alone]))


def test_the_report_says_what_each_peer_does() -> None:
    row = Figures("import", ACCESS.name, "us a line", OURS, {OURS: [2e-5], "lnav": [1e-5]})
    report = markdown([row], {}, ["lnav is left out"])
    assert report.count("## Imports of files\n") == 1
    for name, peer in IMPORTERS.items():
        assert f"- {name}: {peer.does}." in report
    assert "| lnav | 10.0 | 10.0 | 10.0 | 1 | **0.50** |" in report
