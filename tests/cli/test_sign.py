"""The command `sign`: what it signs and prints, and what is signed if it is interrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreFull
from lmdbstore.engine.session import Session
from tests.tools.commands import ENVIRONMENT, on_terminal, process, run
from tests.tools.indexes import assert_indexes_agree
from tests.tools.users import BECOME_ANOTHER, folder_for_all, needs_another_user

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.write.change import Change

pytestmark = pytest.mark.surroundings

RUN = 512
RUNS = 3


@pytest.fixture
def unsigned(path: Path) -> Path:
    """Return the path of a store of three runs without a signature, and a few later events."""
    return made_unsigned(path)


def made_unsigned(path: Path) -> Path:
    with LMDBEventStore(path, durability="none", signatures=False) as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n), content=f"common {n:06d}")
            for n in range(RUNS * RUN + 5)
        )
    return path


def signed_runs(path: Path) -> int:
    """Return how many runs a search could leave out, according to its plan."""
    plan = run("search", "--db", path, "--explain", "common").stdout
    found = re.search(r"leave out those of (\d+) runs", plan)
    return int(found[1]) if found else 0


def stop_at_the_second_write(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the store write few events at once, three times in all; fail at the second time."""
    monkeypatch.setattr("lmdbstore.write.sign.SIGN_EVENTS", RUN)
    write, calls = Session.write, []

    def failing(session: Session, change: Change) -> None:
        calls.append(change)
        if len(calls) == 2:
            raise error
        write(session, change)

    monkeypatch.setattr(Session, "write", failing)


def test_sign_signs_the_unsigned_runs_and_a_second_time_nothing(unsigned: Path) -> None:
    assert signed_runs(unsigned) == 0
    status, out, err = process("sign", "--db", unsigned)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"1,536 events signed; \d+\.\d\d s, [\d,]+ events/s\n", out)
    assert signed_runs(unsigned) == RUNS
    assert run("search", "--db", unsigned, "--count", "common 00153").stdout == "10\n"
    again = run("sign", "--db", unsigned)
    assert (again.exit_code, again.stderr) == (0, "")
    assert re.fullmatch(r"0 events signed; \d+\.\d\d s\n", again.stdout)


def test_sign_signs_the_run_that_a_late_event_was_added_to(unsigned: Path) -> None:
    with LMDBEventStore(unsigned) as store:
        store.sign()
        store.save(Event("late", timestamp=700.5))
    assert signed_runs(unsigned) == RUNS - 1
    assert "513 events signed" in run("sign", "--db", unsigned).stdout
    assert run("sign", "--db", unsigned).stdout.startswith("0 events signed")


def test_rebuild_signs_all_runs_again(unsigned: Path) -> None:
    run("sign", "--db", unsigned)
    with LMDBEventStore(unsigned) as store:
        for n in range(RUN):
            store.delete(f"e{n}")
    assert signed_runs(unsigned) == RUNS
    assert run("sign", "--db", unsigned, "--rebuild").stdout.startswith("1,024 events signed")
    assert signed_runs(unsigned) == RUNS - 1


def test_stats_prints_the_size_of_the_signatures(unsigned: Path) -> None:
    def taken() -> int:
        out = run("stats", "--db", unsigned).stdout
        return int(re.findall(r"^bytes:signatures +(\d+)$", out, re.MULTILINE)[0])

    assert taken() == 0
    run("sign", "--db", unsigned)
    assert taken() > 0


def test_a_terminal_shows_the_progress(unsigned: Path) -> None:
    status, shown = on_terminal("sign", "--db", unsigned)
    assert status == 0
    assert "signing" in shown
    assert "━" in shown
    assert "1,536 events signed" in shown
    _, shown = on_terminal("sign", "--db", unsigned, TERM="dumb")
    assert re.fullmatch(r"0 events signed; \d+\.\d\d s\r\n", shown)


@pytest.mark.parametrize(
    ("args", "how"),
    [([], "again to continue"), (["--rebuild"], "again without --rebuild to continue")],
)
def test_an_interrupt_keeps_the_signatures_already_written(
    unsigned: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], how: str
) -> None:
    with monkeypatch.context() as patched:
        stop_at_the_second_write(patched, KeyboardInterrupt())
        result = run("sign", "--db", unsigned, *args)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        f"lmdbstore: stopped: the signatures made so far are kept; run the command {how}\n"
    )
    assert signed_runs(unsigned) == 1
    assert run("sign", "--db", unsigned).stdout.startswith("1,024 events signed")


def test_a_failure_keeps_the_signatures_already_written(
    unsigned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_the_second_write(monkeypatch, StoreFull("the store is full"))
    result = run("sign", "--db", unsigned)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "lmdbstore: stopped: the signatures made so far are kept; "
        "run the command again to continue\n"
        "lmdbstore: the store is full\n"
    )
    assert signed_runs(unsigned) == 1


def test_a_closed_output_pipe_is_not_a_failure(unsigned: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, err = process("sign", "--db", unsigned, stdout=write)
    finally:
        os.close(write)
    assert (status, err) == (0, "")
    assert signed_runs(unsigned) == RUNS


def test_a_store_that_may_not_be_written_is_an_error_of_one_line() -> None:
    needs_another_user()
    with folder_for_all() as folder:
        unsigned = made_unsigned(folder / "events")
        for file in unsigned.iterdir():
            file.chmod(0o444)
        unsigned.chmod(0o555)
        code = f"""{BECOME_ANOTHER}
from lmdbstore.cli import main
main.cli(["sign", "--db", {str(unsigned)!r}], prog_name="lmdbstore")
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        unsigned.chmod(0o700)
        for file in unsigned.iterdir():
            file.chmod(0o600)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("lmdbstore: the store ")
        assert "Permission denied" in done.stderr
        assert done.stderr.count("\n") == 1
        assert signed_runs(unsigned) == 0
        assert_indexes_agree(unsigned)
