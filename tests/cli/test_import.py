"""The command `import`: files, pipes, terminals, and imports that are interrupted."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreFull
from lmdbstore.ingest import saving
from lmdbstore.inputs import unpacking
from tests.tools.commands import LINES, LOG, TIMEOUT, on_terminal, process, run, start

pytestmark = pytest.mark.surroundings


def test_import_adds_lines_that_search_finds_and_a_second_import_adds_none(path: Path) -> None:
    status, out, err = process("import", "--db", path, LOG, "--flag", "dpkg")
    assert (status, err) == (0, "")
    details, out = out.split("\n", 1)
    assert details == f"{LOG}: iso-space: 4,891 with their own time"
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
    first = "standard input: epoch: 2 with their own time\n2 lines: 2 new events"
    again = "standard input: 2 lines known\n2 lines: 0 new events, 2 already there"
    for args, begins in (([], first), (["-"], again)):
        status, out, err = process(
            "import", "--db", path, *args, stdin=b"1600000000 x\r\n1600000001 y"
        )
        assert (status, err) == (0, "")
        assert out.startswith(begins)
    assert run("import", "--db", path, stdin="1600000000 x\n1600000002 z").exit_code == 0
    with LMDBEventStore(path) as store:
        assert [event.content for event in store.search()] == [
            "1600000000 x",
            "1600000000 x",  # of another input, with the same first line
            "1600000001 y",
            "1600000002 z",
        ]
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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_import_reports_what_is_saved(path: Path, number: int, status: int) -> None:
    with start("import", "--db", path) as child:
        assert child.stdin
        assert child.stderr
        child.stdin.write(b"".join(b"%d\n" % n for n in range(30_000)))
        child.stdin.flush()
        wait_for(lambda: (path / "data.mdb").exists() and count(path) >= 10_000)
        child.send_signal(number)
        assert child.wait(TIMEOUT) == status
        err = child.stderr.read().decode()
    assert err.count("\n") == 1
    assert f"stopped: {count(path):,} new events are saved; run" in err


def test_a_stopped_dry_run_says_that_nothing_was_stored() -> None:
    with start("import", "--dry-run") as child:
        assert child.stdin
        assert child.stderr
        child.stdin.write(b"x\n" * (1 << 20))  # more than a pipe holds: the import reads it
        child.send_signal(signal.SIGTERM)
        assert child.wait(TIMEOUT) == 143
        assert child.stderr.read() == b"lmdbstore: stopped: nothing was stored\n"


def test_a_command_that_ignores_sigterm_is_not_stopped_by_it(path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    with start("import", "--db", path, preexec_fn=ignore) as child:
        assert child.stdin
        child.stdin.write(b"1600000000 x\n" * (1 << 15))  # more than a pipe holds
        child.send_signal(signal.SIGTERM)
        child.stdin.close()
        assert child.wait(TIMEOUT) == 0


def test_a_failed_import_reports_what_is_saved(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "BATCH_EVENTS", 2)
    monkeypatch.setattr(unpacking, "CHUNK", 80)
    save_many, calls = LMDBEventStore.save_many, []

    def failing(store: LMDBEventStore, events: list[Event], **named: Any) -> int:
        calls.append(events)
        if len(calls) > 2:
            raise StoreFull("the store is full")
        return save_many(store, events, **named)

    monkeypatch.setattr(LMDBEventStore, "save_many", failing)
    bad = tmp_path / "bad.jsonl"
    bad.write_text("x\n" + '{"content":"y","timestamp":1600000000}\n' * 9)
    result = run("import", "--db", path, bad, "--format", "jsonl")
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


# -- the options that say how lines are read --------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text("03/05/2024 10:00:00 ERROR user=ann\n  more\n03/05/2024 10:00:01 INFO x\n")
    return path


def events(path: Path) -> list[Event]:
    with LMDBEventStore(path) as store:
        return list(store.search())


def test_a_dry_run_shows_what_would_be_stored_and_stores_nothing(path: Path, log: Path) -> None:
    args = ("import", "--dry-run", log, "--tz", "Europe/Berlin", "--flag", "f")
    for more in ((), ("--db", path)):
        status, out, err = process(*args, *more)
        assert (status, err) == (0, "")
        assert "time:    2024-03-05T09:00:00Z\n" in out
        assert f"source:  {os.path.realpath(log)}\n" in out
        assert "flags:   f level:error\n" in out
        assert "content: 03/05/2024 10:00:00 ERROR user=ann\n  more\n" in out
        assert f"{log}: us: 2 with their own time, 1 inherited, order of day and month" in out
        assert "\n3 lines: would store 2 events; " in out
        assert "already" not in out
        assert not path.exists()


def test_names_and_contents_of_any_characters_are_printed(tmp_path: Path) -> None:
    name = tmp_path / "\udcff\x1b.log"
    name.write_text("2024-03-05 10:00:00 é\x1b[31m\n", encoding="utf-8")
    status, out, err = process("import", "--dry-run", name)
    assert (status, err) == (0, "")
    assert "content: 2024-03-05 10:00:00 é\\x1b[31m" in out
    assert "\\udcff\\x1b.log: iso-space: 1 with" in out


def test_a_dry_run_shows_five_events(log: Path) -> None:
    log.write_text("".join(f"160000000{n} x\n" for n in range(9)))
    out = run("import", "--dry-run", log).stdout
    assert out.count("content: ") == 5
    assert "9 lines: would store 9 events; " in out


def test_import_without_a_store_is_refused(log: Path) -> None:
    result = run("import", log)
    assert result.exit_code == 2
    assert "no --db given; give one, or --dry-run to store nothing" in result.stderr


def test_options_override_what_is_found_out(path: Path, log: Path) -> None:
    args = ["--time-format", "%d/%m/%Y %H:%M:%S", "--tz", "+02:00", "--flag-from", "user=(?P<u>.*)"]
    assert run("import", "--db", path, log, *args, "--lines", "--no-levels").exit_code == 0
    found = events(path)
    assert [event.content[:8] for event in found] == ["03/05/20", "  more", "03/05/20"]
    assert [event.timestamp - 1714723200 for event in found] == [0, 0, 1]
    assert [event.tags for event in found] == [["u:ann"], [], []]


def test_fields_colours_and_records_have_options(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "a"
    lines.write_text('{"when":"2024-03-05T10:00:00Z","text":"hi","host":"h","labels":["a"]}\n')
    args = ["--time-field", "when", "--message-field", "text", "--source-field", "host"]
    run("import", "--db", path, lines, *args, "--tags-field", "labels")
    lines.write_text("\x1b[1m# one\x1b[0m\nx\n")
    run("import", "--db", path, lines, "--record-start", "^#", "--strip-colors")
    first, second = events(path)
    assert first[1:] == ("h", 1709632800.0, ["a"], "hi")
    assert second.content == "# one\nx"


def test_the_year_can_be_given(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "a"
    lines.write_text("Dec 31 10:00:00 h x\nJan  1 10:00:00 h x\n")
    run("import", "--db", path, lines, "--year", "2011", "--tz", "UTC")
    assert [time.gmtime(event.timestamp)[0] for event in events(path)] == [2011, 2012]


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--tz", "Mars/Olympus", "such as Europe/Berlin"),
        ("--tz", "+24:00", "such as Europe/Berlin"),
        ("--time-format", "%Q", "as strptime has them"),
        ("--time-format", "nonsense", "as strptime has them"),
        ("--source", "", "it is empty"),
        ("--flag", "", "it is empty"),
        ("--time-field", "", "it is empty"),
        ("--message-field", "", "it is empty"),
        ("--tags-field", "", "it is empty"),
        ("--source-field", "", "it is empty"),
        ("--glob", "", "it is empty"),
        ("--record-start", "", "it is empty"),
        ("--flag-from", "", "it is empty"),
        ("--db", "", "or . for the current one"),
        ("--tz", "", "such as Europe/Berlin"),
        ("--record-start", "(", "no regular expression"),
        ("--flag-from", "[", "no regular expression"),
        ("--year", "0", "range"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_opened(
    path: Path, log: Path, option: str, value: str, words: str
) -> None:
    result = run("import", "--db", path, log, option, value)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not path.exists()


def test_an_option_that_no_line_fulfils_is_reported_and_the_rest_is_imported(
    path: Path, log: Path
) -> None:
    result = run("import", "--db", path, log, "--source-field", "host")
    assert result.exit_code == 1
    assert result.stderr == (
        f"lmdbstore: {log}: --source-field 'host': these lines are text; "
        "only JSON, logfmt and tables have fields\n"
    )
    assert len(events(path)) == 2


def test_what_was_guessed_is_reported(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "a"
    lines.write_text("nothing\n")
    result = run("import", "--db", path, lines)
    assert result.exit_code == 0
    assert result.stderr == (
        f"lmdbstore: {lines}: no line has a time; all events have the time of the file\n"
    )
    assert f"{lines}: no time format: 1 from the file's time\n" in result.stdout


def test_an_export_that_is_piped_back_is_the_same_whatever_it_holds(
    filled: Path, tmp_path: Path
) -> None:
    out = run("search", "--db", filled, "--json").stdout
    copy = tmp_path / "copy"
    assert process("import", "--db", copy, stdin=out.encode())[0] == 0
    assert events(copy) == events(filled)
