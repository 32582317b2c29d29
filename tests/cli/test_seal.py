"""The command `seal`: what it seals and prints, and what is sealed if it is interrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreFull
from lmdbstore.engine.session import Session
from lmdbstore.write import seal
from tests.tools.commands import ENVIRONMENT, on_terminal, process, run
from tests.tools.indexes import assert_indexes_agree
from tests.tools.sealing import shape
from tests.tools.users import BECOME_ANOTHER, folder_for_all, needs_another_user

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.write.change import Change

pytestmark = pytest.mark.surroundings

EVENTS = 1300


@pytest.fixture
def unsealed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a store in which all events are live."""
    with monkeypatch.context() as patched:
        return made_unsealed(path, patched)


def made_unsealed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUN", "RUN_BYTES", "WAITING_BYTES", "LATE", "WAITING"):
        monkeypatch.setattr(seal, name, 10**9)
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(
            Event(f"e{n}", timestamp=float(n), content=f"common {n:06d}") for n in range(EVENTS)
        )
    assert live(path) == EVENTS
    return path


def live(path: Path) -> int:
    with LMDBEventStore(path) as store:
        return shape(store).live


def stop_at_the_second_write(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make the store seal few events at once; fail at the second time."""
    monkeypatch.setattr(seal, "PIECE_RUNS", 1)
    write, calls = Session.write, list[Any]()

    def failing(session: Session, change: Change, *arguments: Any) -> None:
        calls.append(change)
        if len(calls) == 2:
            raise error
        write(session, change, *arguments)

    monkeypatch.setattr(Session, "write", failing)


def test_seal_seals_all_events_and_a_second_time_none(unsealed: Path) -> None:
    status, out, err = process("seal", "--db", unsealed)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"1,300 events sealed; \d+\.\d\d s, [\d,]+ events/s\n", out)
    assert live(unsealed) == 0
    assert run("search", "--db", unsealed, "--count", "common 00123").stdout == "10\n"
    again = run("seal", "--db", unsealed)
    assert (again.exit_code, again.stderr) == (0, "")
    assert re.fullmatch(r"0 events sealed; \d+\.\d\d s\n", again.stdout)


def test_seal_seals_the_events_that_came_late(unsealed: Path) -> None:
    run("seal", "--db", unsealed)
    with LMDBEventStore(unsealed) as store:
        store.save(Event("late", timestamp=700.5))
    assert live(unsealed) == 1
    assert run("seal", "--db", unsealed).stdout.startswith("1 events sealed")
    assert live(unsealed) == 0


def test_seal_removes_the_text_of_deleted_events(unsealed: Path) -> None:
    run("seal", "--db", unsealed)
    with LMDBEventStore(unsealed) as store:
        store.delete("e77")
        assert shape(store).dead == 1
    assert run("seal", "--db", unsealed).stdout.startswith("0 events sealed")
    with LMDBEventStore(unsealed) as store:
        assert shape(store).dead == 0


def test_stats_prints_the_size_of_the_runs(unsealed: Path) -> None:
    def taken() -> int:
        out = run("stats", "--db", unsealed, "--all").stdout
        return int(re.findall(r"^bytes:runs +(\d+)$", out, re.MULTILINE)[0])

    assert taken() == 0
    run("seal", "--db", unsealed)
    assert taken() > 0


def test_a_terminal_shows_what_is_done(unsealed: Path) -> None:
    status, shown = on_terminal("seal", "--db", unsealed)
    assert status == 0
    assert "1,300 events sealed" in shown
    _, shown = on_terminal("seal", "--db", unsealed, TERM="dumb")
    assert re.fullmatch(r"0 events sealed; \d+\.\d\d s\r\n", shown)


def test_an_interrupt_keeps_what_was_sealed(
    unsealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_at_the_second_write(patched, KeyboardInterrupt())
        result = run("seal", "--db", unsealed)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "lmdbstore: stopped: what was sealed so far stays; run the command again to continue\n"
    )
    left = live(unsealed)
    assert 0 < left < EVENTS
    assert run("seal", "--db", unsealed).stdout.startswith(f"{left:,} events sealed")


def test_a_failure_keeps_what_was_sealed(unsealed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at_the_second_write(monkeypatch, StoreFull("the store is full"))
    result = run("seal", "--db", unsealed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "lmdbstore: stopped: what was sealed so far stays; run the command again to continue\n"
        "lmdbstore: the store is full\n"
    )
    assert 0 < live(unsealed) < EVENTS


def test_a_closed_output_pipe_is_not_a_failure(unsealed: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, err = process("seal", "--db", unsealed, stdout=write)
    finally:
        os.close(write)
    assert (status, err) == (0, "")
    assert live(unsealed) == 0


def test_a_store_that_may_not_be_written_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_another_user()
    with folder_for_all() as folder:
        unsealed = made_unsealed(folder / "events", monkeypatch)
        for file in unsealed.iterdir():
            file.chmod(0o444)
        unsealed.chmod(0o555)
        code = f"""{BECOME_ANOTHER}
from lmdbstore.cli import main
main.cli(["seal", "--db", {str(unsealed)!r}], prog_name="lmdbstore")
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        unsealed.chmod(0o700)
        for file in unsealed.iterdir():
            file.chmod(0o600)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("lmdbstore: the store ")
        assert "Permission denied" in done.stderr
        assert done.stderr.count("\n") == 1
        assert live(unsealed) == EVENTS
        assert_indexes_agree(unsealed)
