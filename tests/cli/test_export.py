"""The command `export`: what it writes, where, and how it leaves things when it fails."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.cli import progress
from lmdbstore.cli.moving import export as exporting
from tests.tools.commands import on_terminal, process, run, start
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.surroundings
FORMATS = ["jsonl", "csv", "parquet", "arrow"]


def events_in(path: Path) -> list[Event]:
    with LMDBEventStore(path, readonly=True) as store:
        return list(store.search())


@pytest.mark.parametrize("kind", FORMATS)
def test_a_store_moves_through_a_file_and_through_a_pipe(filled: Path, kind: str) -> None:
    """The format is that of the name, or of the option; a file is read by what it holds."""
    if kind in {"parquet", "arrow"}:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    file, piped = filled.parent / f"out.{kind}", filled.parent / "piped"
    result = run("export", "--db", filled, "--output", file)
    assert (result.exit_code, result.stdout) == (0, f"3 events exported to {file}\n")
    with piped.open("wb") as out:
        assert process("export", "--db", filled, "--format", kind, stdout=out)[0] == 0
    if kind != "parquet":  # its footer says which version wrote it, and its groups may differ
        assert piped.read_bytes() == file.read_bytes()
    for name in (file, piped):
        target = filled.parent / f"target-{name.name}"
        assert run("import", "--db", target, name).exit_code == 0
        again = run("import", "--db", target, name, "--flag", "late")
        assert " 0 new events" in again.stdout
        assert events_in(target) == events_in(filled)


def test_json_lines_are_those_of_search(filled: Path) -> None:
    assert run("export", "--db", filled).stdout == run("search", "--db", filled, "--json").stdout


def test_events_are_chosen_as_in_search(filled: Path) -> None:
    for options in (
        ("--since", "1500.5"),
        ("--until", "2000.5", "--desc"),
        ("--flag", "alarm", "--flag", "night"),
        ("--source", "gate"),
        ("--limit", "1"),
        ("opened", "--limit", "1", "--desc"),
        ("nothing has this",),
        ("OPENED", "-i", "--any-flag", "night", "--any-flag", "x"),
        (".", "-F", "--not-flag", "alarm"),
        ("--where", "status>=500"),
    ):
        found = run("search", "--db", filled, "--json", *options).stdout
        result = run("export", "--db", filled, *options)
        assert (result.exit_code, result.stdout) == (0, found), options


def test_the_flags_and_the_source_of_an_import_are_added_to_rows_as_to_lines(filled: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for kind in FORMATS:
        target = filled.parent / f"with-{kind}"
        run("export", "--db", filled, "--output", f"{target}.{kind}")
        run("import", "--db", target, f"{target}.{kind}", "--flag", "moved", "--source", "other")
        expected = [event._replace(tags=[*event.tags, "moved"]) for event in events_in(filled)]
        assert events_in(target) == expected


def test_redo_replaces_the_events_of_a_table(filled: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    target, file = filled.parent / "target", filled.parent / "f.parquet"
    run("export", "--db", filled, "--output", file)
    with LMDBEventStore(target) as store:
        store.save(Event("a", content="older"))
    run("import", "--db", target, file)
    assert events_in(target) != events_in(filled)
    assert "1 replaced" not in run("import", "--db", target, file).stdout
    assert "3 replaced" in run("import", "--db", target, file, "--redo").stdout
    assert events_in(target) == events_in(filled)


def test_without_pyarrow_a_table_is_refused_with_the_extra(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, csv = filled.parent / "f.parquet", filled.parent / "f.csv"
    file.write_bytes(b"PAR1 and so on")
    run("export", "--db", filled, "--output", csv)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    target = filled.parent / "target"
    result = run("import", "--db", target, file, csv)
    assert result.exit_code == 1
    assert "pip install 'lmdbstore[arrow]'" in result.stderr
    assert len(events_in(target)) == 3
    result = run("export", "--db", filled, "--output", filled.parent / "new.parquet")
    assert result.exit_code == 2
    assert "pip install 'lmdbstore[arrow]'" in result.stderr
    assert not (filled.parent / "new.parquet").exists()


def test_the_export_is_one_state_of_the_store(filled: Path) -> None:
    """A pipe that is read slowly gets no event that was saved, and each that was deleted, since."""
    with LMDBEventStore(filled, durability="none") as store:
        store.save_many(
            Event(f"n{n:05}", timestamp=float(n), content="x" * 99) for n in range(40_000)
        )
    with start("export", "--db", filled, "--format", "csv") as child:
        assert child.stdout is not None
        first = os.read(child.stdout.fileno(), 1000)
        with LMDBEventStore(filled) as store:
            store.save(Event("late", timestamp=9000.5))
            store.purge(max_events=0)
        rest, _ = child.communicate(timeout=60)
    text = (first + rest).decode()
    assert text.count('\n"n') == 40_000
    assert "late" not in text


# -- the file ----------------------------------------------------------------------------------


def test_a_file_is_replaced_when_it_is_complete_and_keeps_its_mode(filled: Path) -> None:
    folder = filled.parent / "out"
    folder.mkdir()
    file, link = folder / "f.csv", folder / "link.csv"
    file.write_text("before")
    file.chmod(0o640)
    link.symlink_to(file)
    assert run("export", "--db", filled, "--output", link).exit_code == 0
    assert file.read_text().startswith("id,source")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(os.listdir(folder)) == ["f.csv", "link.csv"]


def test_a_failed_export_changes_nothing(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = filled.parent / "out"
    folder.mkdir()
    (folder / "f.csv").write_text("before")
    monkeypatch.setattr("lmdbstore.transfer.export.LONGEST_LINE", 60)
    result = run("export", "--db", filled, "--output", folder / "f.csv")
    assert result.exit_code == 2
    assert "which import would not read" in result.stderr
    assert (folder / "f.csv").read_text() == "before"
    assert os.listdir(folder) == ["f.csv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_export_changes_nothing(filled: Path, number: signal.Signals) -> None:
    folder = filled.parent / "out"
    folder.mkdir()
    with LMDBEventStore(filled, durability="none") as store:
        store.save_many(Event(content="x" * 100) for _ in range(100_000))
    with start("export", "--db", filled, "--output", folder / "f.jsonl") as child:
        end = time.monotonic() + 60
        while not os.listdir(folder) and time.monotonic() < end:
            time.sleep(0.001)
        child.send_signal(number)
        child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert os.listdir(folder) == []


def test_a_full_disk_is_named_with_the_file(filled: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    result = run("export", "--db", filled, "--output", "/dev/full")
    assert result.exit_code == 2
    assert result.stderr == "lmdbstore: /dev/full: No space left on device\n"
    assert os.path.exists("/dev/full")


def test_what_cannot_be_written_is_refused(filled: Path) -> None:
    before = sorted(os.listdir(filled))
    for output, reason in (
        (filled / "data.mdb", "is in the folder of the store"),
        (filled / "new.csv", "is in the folder of the store"),
        (filled.parent, "is a directory"),
        (filled.parent / "none" / "f.csv", "No such file or directory"),
    ):
        result = run("export", "--db", filled, "--output", output)
        assert result.exit_code == 2
        assert reason in result.stderr
    assert sorted(os.listdir(filled)) == before
    assert len(events_in(filled)) == 3
    assert run("export", "--db", filled.parent / "none").exit_code == 2


# -- the terminal ------------------------------------------------------------------------------


def test_a_terminal_gets_text_without_control_characters(filled: Path) -> None:
    status, shown = on_terminal("export", "--db", filled, "--format", "csv")
    assert status == 0
    assert "\x1b" not in shown
    assert r"evil \x1b]0;title\x07 \x9b2J \u202e café" in shown
    status, shown = on_terminal("export", "--db", filled, "--format", "parquet")
    assert status == 2
    assert "give --output FILE" in shown


@pytest.mark.parametrize(("patience", "is_shown"), [(0.0, True), (60.0, False)])
def test_progress_of_what_takes_long_is_shown(
    filled: Path, monkeypatch: pytest.MonkeyPatch, patience: float, *, is_shown: bool
) -> None:
    """After a second; standard output has the events alone."""
    drawn: list[tuple[str, str, int, int | None]] = []

    @contextmanager
    def counting(text: str, things: str) -> Iterator[Any]:
        yield lambda done, total: drawn.append((text, things, done, total))

    assert exporting.PATIENCE == 1.0
    monkeypatch.setattr(exporting, "PATIENCE", patience)
    monkeypatch.setattr(progress, "_can_draw", lambda: True)
    monkeypatch.setattr(progress, "_counting", counting)
    assert len(run("export", "--db", filled).stdout.splitlines()) == 3
    run("export", "--db", filled, ".")  # of how many is not known before all are read
    shown = [("exporting", "events", 3, 3), ("exporting", "events", 3, None)]
    assert drawn == (shown if is_shown else [])


def test_damaged_events_are_left_out_on_demand_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=float(n), content=f"text {n}") for n in range(9))
        store.seal()
        with writing(store) as (txn, databases):
            ((end, value),) = txn.cursor(db=databases.runs)
            txn.put(end, value.replace(b"text 4", b"next 4"), db=databases.runs)
    output = path.parent / "f.jsonl"
    assert run("export", "--db", path, "--output", output).exit_code == 2
    assert not output.exists()
    result = run("export", "--db", path, "--damaged", "skip", "--output", output)
    assert (result.exit_code, result.stdout) == (3, f"8 events exported to {output}\n")
    assert "left out 1 damaged event" in result.stderr
    found = [json.loads(line)["id"] for line in output.read_text().splitlines()]
    assert found == [f"e{n}" for n in range(9) if n != 4]
