"""The command `import`: files, pipes, terminals, and imports that are interrupted."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreFull
from lmdbstore.ingest import importer
from tests.tools.commands import LINES, LOG, TIMEOUT, on_terminal, process, run, start

pytestmark = pytest.mark.surroundings


def test_import_adds_lines_that_search_finds_and_a_second_import_adds_none(path: Path) -> None:
    status, out, err = process("import", "--db", path, LOG, "--flag", "dpkg")
    assert (status, err) == (0, "")
    assert out.startswith("4,891 lines: 4,891 new events, 0 already there; ")
    assert out.endswith(" events/s\n")
    assert (
        "4,891 lines: 0 new events, 4,891 already there; "
        in run("import", "--db", path, LOG).stdout
    )
    status, out, err = process("search", "--db", path, "--flag", "dpkg")
    assert (status, err) == (0, "")
    with LMDBEventStore(path) as store:
        assert {event.source for event in store.search()} == {os.path.realpath(LOG)}
    lines = LOG.read_text().splitlines()
    assert out.splitlines() == sorted(lines, key=lambda line: line[:19])


def test_import_reads_standard_input(path: Path) -> None:
    for args in ([], ["-"]):
        status, out, err = process("import", "--db", path, *args, stdin=b"1600000000 x\r\ny")
        assert (status, err) == (0, "")
        assert out.startswith("2 lines: ")
    assert run("import", "--db", path, stdin="1600000000 x\nz").exit_code == 0
    with LMDBEventStore(path) as store:
        assert [event.content for event in store.search()] == ["1600000000 x", "y", "z"]
        assert {event.source for event in store.search()} == {"stdin"}


def test_import_reports_what_it_cannot_read(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"content":"x"}\n{"content":7}\n')
    result = run("import", "--db", path, bad)
    assert result.exit_code == 1
    assert f"lmdbstore: {bad}: line 2: content: 7 cannot be stored" in result.stderr
    assert "1 unreadable" in result.stdout


def test_the_json_output_of_search_can_be_imported(filled: Path, tmp_path: Path) -> None:
    run("import", "--db", filled, LOG, "--flag", "dpkg")
    out = run("search", "--db", filled, "--json").stdout
    assert out.count("\n") == LINES + 3
    copy = tmp_path / "copy"
    status, _, err = process("import", "--db", copy, "--format", "jsonl", stdin=out.encode())
    assert (status, err) == (0, "")
    with LMDBEventStore(filled) as first, LMDBEventStore(copy) as second:
        assert list(first.search()) == list(second.search())


def test_import_without_a_file_on_a_terminal_is_refused(path: Path) -> None:
    status, shown = on_terminal("import", "--db", path)
    assert status == 2
    assert "no FILE given" in shown
    assert not path.exists()


def test_import_shows_a_progress_bar_on_a_terminal(path: Path) -> None:
    status, shown = on_terminal("import", "--db", path, LOG)
    assert status == 0
    assert "dpkg.log" in shown
    assert "━" in shown
    assert "4,891 new events" in shown


def test_an_interrupted_import_reports_what_is_saved(path: Path) -> None:
    with start("import", "--db", path) as child:
        assert child.stdin
        assert child.stderr
        child.stdin.write(b"".join(b"%d\n" % n for n in range(30_000)))
        child.stdin.flush()
        wait_for(lambda: (path / "data.mdb").exists() and count(path) >= 10_000)
        child.send_signal(signal.SIGINT)
        assert child.wait(TIMEOUT) == 130
        err = child.stderr.read().decode()
    assert err.count("\n") == 1
    assert f"stopped: {count(path):,} new events are saved; run" in err


def test_a_failed_import_reports_what_is_saved(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "BATCH_EVENTS", 2)
    save_many, calls = LMDBEventStore.save_many, []

    def failing(store: LMDBEventStore, events: list[Event]) -> int:
        calls.append(events)
        if len(calls) > 2:
            raise StoreFull("the store is full")
        return save_many(store, events)

    monkeypatch.setattr(LMDBEventStore, "save_many", failing)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("x\n" + '{"content":"y"}\n' * 9)
    result = run("import", "--db", path, bad)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 1: not JSON" in result.stderr
    assert "stopped: 4 new events are saved; run" in result.stderr
    assert result.stderr.endswith("lmdbstore: the store is full\n")


def test_import_with_closed_standard_input_is_an_error(path: Path) -> None:
    status, _, err = process("import", "--db", path, preexec_fn=lambda: os.close(0))
    assert (status, err) == (2, "lmdbstore: standard input: it is closed\n")


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(path: Path) -> int:
    return int(run("search", "--db", path, "--count").stdout or 0)


def test_three_concurrent_imports_of_one_file_add_it_once(path: Path) -> None:
    LMDBEventStore(path).close()
    children = [start("import", "--db", path, LOG) for _ in range(3)]
    outs = [child.communicate(timeout=TIMEOUT) for child in children]
    assert [(child.returncode, err) for child, (_, err) in zip(children, outs, strict=True)] == [
        (0, b"")
    ] * 3
    assert count(path) == LINES


def test_import_reads_a_named_pipe(path: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with start("import", "--db", path, pipe) as child:
        pipe.write_bytes(b"1600000000 x\n1600000001 y\n")
        assert child.wait(TIMEOUT) == 0
    assert count(path) == 2


def test_nothing_is_imported_if_a_file_is_missing(path: Path, tmp_path: Path) -> None:
    result = run("import", "--db", path, LOG, tmp_path / "none\x1b[2J.log")
    assert result.exit_code == 2
    assert "none\\x1b[2J.log: No such file" in result.output
    assert not path.exists()
