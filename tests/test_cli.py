"""The command as it is called: arguments, output, exit status, pipes, terminals, interrupts."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import lmdbstore
from lmdbstore import Event, LMDBEventStore, StoreFull
from lmdbstore.cli.main import cli
from lmdbstore.ingest import importer

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(lmdbstore.__file__).parent.parent
LOG = Path(__file__).parent / "data" / "dpkg.log"
LINES = 4891
# NO_COLOR and the like of whoever runs the tests must not decide them.
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "PYTHONPATH": str(ROOT),
    "TERM": "xterm",
    "COLUMNS": "100",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}
TIMEOUT = 60  # seconds


def run(*args: object, stdin: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)


def start(*args: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command as a process of its own."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        [sys.executable, "-m", "lmdbstore", *map(str, args)],
        **{**streams, "env": ENVIRONMENT, **options},
    )


def process(*args: object, stdin: bytes = b"", **options: Any) -> tuple[int, str, str]:
    """Run the command as a process of its own; return its status, output and errors."""
    with start(*args, **options) as child:
        out, err = child.communicate(stdin, timeout=TIMEOUT)
    return child.returncode, (out or b"").decode(), err.decode()  # out: None if redirected


def on_terminal(*args: object, **variables: str) -> tuple[int, str]:
    """Run the command on a terminal of its own; return its status and what it shows."""
    master, slave = pty.openpty()
    try:
        child = start(
            *args, stdin=slave, stdout=slave, stderr=slave, env={**ENVIRONMENT, **variables}
        )
        os.close(slave)
        shown = b""
        while select.select([master], [], [], TIMEOUT)[0]:
            try:
                some = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            if not some:
                break
            shown += some
        return child.wait(TIMEOUT), shown.decode()
    finally:
        os.close(master)


@pytest.fixture
def filled(path: Path) -> Path:
    """Give a store with three events."""
    with LMDBEventStore(path) as store:
        store.save_many(
            [
                Event("a", "door", 1000.0, ["alarm"], "opened by force"),
                Event("b", "door", 2000.0, ["alarm", "night"], "opened by key\nagain"),
                Event("c", "gate", 3000.5, [], "evil \x1b]0;title\x07 \x9b2J \u202e café"),
            ]
        )
    return path


# -- import ---------------------------------------------------------------------------------------


def test_import_search_and_import_again(path: Path) -> None:
    status, out, err = process("import", "--db", path, LOG, "--tag", "dpkg")
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


def test_what_search_prints_as_json_can_be_imported(filled: Path, tmp_path: Path) -> None:
    run("import", "--db", filled, LOG, "--tag", "dpkg")
    out = run("search", "--db", filled, "--json").stdout
    assert out.count("\n") == LINES + 3
    copy = tmp_path / "copy"
    status, _, err = process("import", "--db", copy, "--format", "jsonl", stdin=out.encode())
    assert (status, err) == (0, "")
    with LMDBEventStore(filled) as first, LMDBEventStore(copy) as second:
        assert list(first.search()) == list(second.search())


def test_import_without_a_file_on_a_terminal(path: Path) -> None:
    status, shown = on_terminal("import", "--db", path)
    assert status == 2
    assert "no FILE given" in shown
    assert not path.exists()


def test_import_shows_a_bar_on_a_terminal(path: Path) -> None:
    status, shown = on_terminal("import", "--db", path, LOG)
    assert status == 0
    assert "dpkg.log" in shown
    assert "━" in shown
    assert "4,891 new events" in shown


def test_an_interrupted_import_says_what_stays(path: Path) -> None:
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
    assert f"stopped; {count(path):,} new events are saved and stay" in err


def test_an_import_that_fails_says_what_stays(
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
    assert "stopped; 4 new events are saved and stay" in result.stderr
    assert result.stderr.endswith("lmdbstore: the store is full\n")


def test_a_standard_input_that_is_closed(path: Path) -> None:
    status, _, err = process("import", "--db", path, preexec_fn=lambda: os.close(0))
    assert (status, err) == (2, "lmdbstore: standard input: it is closed\n")


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(path: Path) -> int:
    return int(run("search", "--db", path, "--count").stdout or 0)


def test_three_imports_of_one_file_at_the_same_time_add_it_once(path: Path) -> None:
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


def test_nothing_is_imported_if_a_file_is_not_there(path: Path, tmp_path: Path) -> None:
    result = run("import", "--db", path, LOG, tmp_path / "none\x1b[2J.log")
    assert result.exit_code == 2
    assert "none\\x1b[2J.log: No such file" in result.output
    assert not path.exists()


# -- search ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ([], "abc"),
        (["opened"], "ab"),
        (["^opened by force$"], "a"),
        (["--", "-1"], ""),
        (["--since", "2000"], None),
        (["--since", "2000.0"], "bc"),
        (["--since", "-1h"], ""),
        (["--until", "-1h"], "abc"),
        (["--since=1970-01-01T00:33:20Z", "--until=1970-01-01T00:33:20+00:00"], "b"),
        (["--until", "1969-12-30"], ""),
        (["--flag", "alarm"], "ab"),
        (["--flag", "alarm", "--flag", "night"], "b"),
        (["--source", "gate"], "c"),
        (["--desc"], "cba"),
        (["--desc", "--limit", "1"], "c"),
        (["--limit", "0"], ""),
    ],
)
def test_search_finds(filled: Path, args: list[str], ids: str | None) -> None:
    result = run("search", "--db", filled, "--json", *args)
    assert result.exit_code == (2 if ids is None else 0 if ids else 1)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert "".join(event["id"] for event in found) == (ids or "")
    if ids is not None:
        counted = run("search", "--db", filled, "--count", *args)
        assert (counted.exit_code, counted.stdout) == (result.exit_code, f"{len(ids)}\n")


def test_a_pipe_gets_the_contents_as_they_are(filled: Path) -> None:
    status, out, err = process("search", "--db", filled, "(?i)opened|EVIL")
    assert (status, err) == (0, "")
    assert (
        out == "opened by force\nopened by key\nagain\nevil \x1b]0;title\x07 \x9b2J \u202e café\n"
    )


def test_a_terminal_gets_the_match_highlighted(filled: Path) -> None:
    _, shown = on_terminal("search", "--db", filled, "f[o-r]+ce|again")
    assert shown.splitlines() == [
        "opened by \x1b[1;31mforce\x1b[0m",
        "opened by key",
        "\x1b[1;31magain\x1b[0m",
    ]


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(filled: Path, variable: dict[str, str]) -> None:
    _, shown = on_terminal("search", "--db", filled, "force", **variable)
    assert shown == "opened by force\r\n"


@pytest.mark.parametrize("args", [[], ["--json"], ["é"]])
def test_nothing_stored_steers_a_terminal(filled: Path, args: list[str]) -> None:
    status, shown = on_terminal("search", "--db", filled, "--source", "gate", *args, NO_COLOR="1")
    assert status == 0
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    if args == ["--json"]:
        assert json.loads(shown)["content"] == "evil \x1b]0;title\x07 \x9b2J \u202e café"
    else:
        assert shown == "evil \\x1b]0;title\\x07 \\x9b2J \\u202e café\r\n"


def test_a_terminal_that_cannot_show_a_character(filled: Path) -> None:
    status, shown = on_terminal(
        "search", "--db", filled, "caf", PYTHONIOENCODING="ascii", NO_COLOR="1"
    )
    assert status == 0
    assert "caf\\xe9" in shown


def test_explain_says_how_and_does_not_search(filled: Path) -> None:
    result = run("search", "--db", filled, "--explain", "nothing like it")
    assert result.exit_code == 0
    assert "nothing like it" in result.stdout


@pytest.mark.parametrize("args", [["search"], ["search", "--json"], ["search", "--desc", "a"]])
def test_a_closed_pipe_is_silent(path: Path, args: list[str]) -> None:
    run("import", "--db", path, LOG)
    with start(*args, "--db", path) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.read(10)
        child.stdout.close()
        assert child.wait(TIMEOUT) == 141
        assert child.stderr.read() == b""


@pytest.mark.parametrize("args", [["search", "--count"], ["search", "--explain"], ["stats"]])
def test_a_pipe_closed_before_the_first_line_is_silent(filled: Path, args: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, err = process(*args, "--db", filled, stdout=write)
    finally:
        os.close(write)
    assert (status, err) == (141, "")


@pytest.mark.parametrize("args", [["search"], ["stats"], ["sign"], ["import", str(LOG)]])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_output_that_cannot_be_written_is_one_line(filled: Path, args: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        status, _, err = process(*args, "--db", filled, stdout=full)
    assert (status, err) == (2, "lmdbstore: standard output: No space left on device\n")


def test_an_interrupted_search_is_silent(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"{n}", "", float(n), [], "x" * 4000) for n in range(2000))
    with start("search", "--db", path) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.read(10)  # and then it waits for the pipe to be read
        child.send_signal(signal.SIGINT)
        assert child.wait(TIMEOUT) == 130
        assert child.stderr.read() == b""


# -- stats ----------------------------------------------------------------------------------------


def test_stats(filled: Path) -> None:
    plain = dict(
        line.split(maxsplit=1) for line in run("stats", "--db", filled).stdout.splitlines()
    )
    figures = json.loads(run("stats", "--db", filled, "--json").stdout)
    assert plain["events"] == "3"
    assert plain["flag:alarm"] == "2"
    assert plain["map_bytes"] == str(figures["map_bytes"])
    assert (figures["events"], figures["oldest"], figures["newest"]) == (3, 1000.0, 3000.5)
    assert figures["events_by_flag"] == {"alarm": 2, "night": 1}
    status, shown = on_terminal("stats", "--db", filled)
    assert status == 0
    assert "1970-01-01T00:16:40+00:00" in shown
    assert f"{figures['map_bytes']:,}" in shown


def test_stats_of_odd_stores(path: Path) -> None:
    LMDBEventStore(path).close()
    assert re.search(r"^oldest +-$", run("stats", "--db", path).stdout, re.MULTILINE)
    with LMDBEventStore(path) as store:
        flags = ["two words", "", "[red]x[/red]", "\x1b[2J"] + [f"f{n}" for n in range(20)]
        store.save(Event("a", timestamp=1e300, tags=flags))
        store.save(Event("b", timestamp=-1e11, tags=["two words"]))
    out = run("stats", "--db", path).stdout
    assert "newest             1e+300\n" in out
    assert "oldest             -100000000000.0\n" in out
    assert out.count("flag:") == 10
    assert "flag:two\\x20words  2\n" in out
    status, shown = on_terminal("stats", "--db", path)
    assert status == 0
    assert "flag:[red]x[/red]" in shown
    assert "\x1b[2J" not in shown


# -- errors ---------------------------------------------------------------------------------------


def test_a_lone_group_version_and_help() -> None:
    assert run("--version").stdout == f"lmdbstore {lmdbstore.__version__}\n"
    assert run().exit_code == 2
    for args in ([], ["import"], ["search"], ["sign"], ["purge"], ["stats"]):
        result = run(*args, "--help")
        assert result.exit_code == 0
        assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["search"], "--db"),
        (["search", "--db", "none"], "there is no store in"),
        (["stats", "--db", "none"], "there is no store in"),
        (["stats", "--db", "a-file"], ""),
        (["sign"], "--db"),
        (["sign", "--db", "new"], "there is no store in"),
        (["sign", "--db", "a-file"], ""),
        (["sign", "--db", "empty"], "there is no store in"),
        (["sign", "--db", "good", "more"], "more"),
        (["search", "--db", "empty"], "there is no store in"),
        (["import", "--db", "a-file", str(LOG)], ""),
        (["import", "--db", "no/such/place", str(LOG)], ""),
        (["import", "--db", "new", "none.log"], "none.log"),
        (["import", "--db", "new", "empty"], "empty"),
        (["import", "--db", "new", "--format", "xml", str(LOG)], "xml"),
        (["search", "--db", "good", "("], "match:"),
        (["search", "--db", "good", "-1h"], "-1"),
        (["search", "--db", "good", "--limit", "-1"], "-1"),
        (["search", "--db", "good", "--limit", "x"], "x"),
        (["search", "--db", "good", "--since", "soon"], "-7d"),
        (["search", "--db", "good", "--until", "2025-13-01"], "ISO 8601"),
        (["search", "--db", "good", "--flag", b"\xff"], "flags"),
        (["search", "--db", "good", b"\xff"], "match"),
        (["import", "--db", "good", "--tag", b"\xff", str(LOG)], "tags"),
        (["import", "--db", "good", "--source", b"\xff", str(LOG)], "source"),
        (["nonsense"], "nonsense"),
    ],
)
def test_an_error_is_a_few_words_and_status_2(tmp_path: Path, args: list[Any], words: str) -> None:
    (tmp_path / "a-file").write_text("x")
    (tmp_path / "empty").mkdir()
    LMDBEventStore(tmp_path / "good").close()
    status, out, err = process(*(os.fsdecode(arg) for arg in args), cwd=tmp_path)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert "create=True" not in err
    assert 0 < err.count("\n") <= 5
    assert not (tmp_path / "new").exists()


def test_the_environment_names_the_store(filled: Path) -> None:
    status, out, _ = process("search", "--count", env={**ENVIRONMENT, "LMDBSTORE_DB": str(filled)})
    assert (status, out) == (0, "3\n")


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'click' else find(name, *a)\n"
        "from lmdbstore.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (b"lmdbstore: the command needs click: pip install 'lmdbstore[cli]'\n")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import lmdbstore", ("click", "rich")),
        ("import lmdbstore.cli.main, lmdbstore.cli.search, lmdbstore.cli.stats", ("rich",)),
        ("import lmdbstore.cli.signing", ("rich",)),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    code += f"; import sys; sys.exit(any(name in sys.modules for name in {absent}))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False)
    assert done.returncode == 0
