"""The command `purge`: what it deletes and prints, and what is deleted if it is interrupted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, StoreDamaged
from lmdbstore.care import choice
from lmdbstore.care import purge as purging
from lmdbstore.engine.session import Session
from tests.tools.commands import on_terminal, process, run
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore.write.change import Change

pytestmark = pytest.mark.surroundings


@pytest.fixture
def filled(path: Path) -> Path:
    """Return the path of a store of 30 events, a second apart; every tenth is an audit."""
    with LMDBEventStore(path, durability="none") as store:
        store.save_many(
            Event(f"e{n}", "s", float(n), ["log", *["audit"] * (n % 10 == 0)], "x" * 100)
            for n in range(30)
        )
    return path


def left(path: Path) -> int:
    with LMDBEventStore(path) as store:
        assert_indexes_agree(store)
        return len(store)


def in_use(path: Path) -> int:
    with LMDBEventStore(path) as store:
        return sum(store.stats().databases.values())


def test_events_that_are_too_old_are_deleted_and_reported(filled: Path) -> None:
    status, out, err = process("purge", "--db", filled, "--before", "12.5", "--keep-flag", "audit")
    assert (status, err) == (0, "")
    assert out == (
        "11 events purged, 1,335 bytes, from 1970-01-01T00:00:01+00:00 to "
        f"1970-01-01T00:00:12+00:00; 19 left, {in_use(filled):,} bytes\n"
    )
    assert left(filled) == 19
    again = run("purge", "--db", filled, "--before", "1970-01-01T00:00:12Z", "--keep-flag", "audit")
    assert again.stdout == f"0 events purged; 19 left, {in_use(filled):,} bytes\n"


def test_events_over_the_maximum_number_are_deleted(filled: Path) -> None:
    out = run("purge", "--db", filled, "--max-events", "2", "--flag", "audit", "--flag", "log")
    assert out.stdout.startswith("1 events purged, ")
    assert "; 2 left with these flags, " in out.stdout
    assert run("purge", "--db", filled, "--max-events", "20").stdout.startswith("9 events purged")
    assert left(filled) == 20


@pytest.mark.parametrize("size", ["153600", "150KiB", "150 KiB", " 150KiB "])
def test_events_over_the_maximum_size_are_deleted(filled: Path, size: str) -> None:
    with LMDBEventStore(filled, durability="none") as store:
        store.save_many(Event(timestamp=float(n), content="x" * 1000) for n in range(300))
    assert in_use(filled) > 300 << 10
    assert run("purge", "--db", filled, "--max-bytes", size).exit_code == 0
    assert 100 << 10 < in_use(filled) <= 150 << 10


def test_a_source_or_a_pattern_chooses_events(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(
            Event(id=f"{n}", source="door" if n % 2 else "roof", timestamp=n, tags=[f"{n % 3}"])
            for n in range(12)
        )
        store.save(Event(id="secret", source="door", timestamp=99.0, content="password=7"))
    rehearsed = run("purge", "--db", path, "--match", "password=", "--dry-run").stdout
    assert rehearsed.startswith("1 events would be purged, ")
    assert left(path) == 13
    out = run("purge", "--db", path, "--match", "password=").stdout
    assert out.startswith("1 events purged, ")
    assert "; 0 left of those chosen, " in out
    args = ("--source", "door", "--any-flag", "1", "--any-flag", "2", "--before", "9")
    assert run("purge", "--db", path, *args).stdout.startswith("3 events purged, ")
    assert run("purge", "--db", path, "--flag", "0").stdout.startswith("4 events purged, ")
    assert left(path) == 5


def test_a_dry_run_deletes_nothing(filled: Path) -> None:
    out = run("purge", "--db", filled, "--before", "10", "--dry-run").stdout
    assert out.startswith("10 events would be purged, 1,2")
    assert "; 20 left, about " in out
    assert left(filled) == 30


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing says what to delete; give --before, --max-events or --max-bytes"),
        (["--keep-flag", "a", "--dry-run"], "give --before"),
        (["--match", "("], "lmdbstore: match: "),
        (["--before", "long ago"], "Invalid value for '--before': 'long ago' is not a time"),
        (["--max-events", "-1"], "Invalid value for '--max-events'"),
        (["--max-bytes", "1MB"], "'1MB' is not a size; give bytes, or a whole number with KiB"),
        (["--max-bytes", "-1"], "'-1' is not a size"),
        (["--max-bytes", "1.5GiB"], "'1.5GiB' is not a size"),
        (["--max-bytes", ""], "'' is not a size"),
    ],
)
def test_bad_arguments_delete_nothing(filled: Path, args: list[str], message: str) -> None:
    result = run("purge", "--db", filled, *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert left(filled) == 30


def test_a_missing_store_is_not_created(path: Path) -> None:
    for args in ([], ["--dry-run"]):
        result = run("purge", "--db", path, "--max-events", "1", *args)
        assert result.exit_code == 2
        assert result.stderr.startswith("lmdbstore: there is no store in")
    assert not path.exists()


def test_a_terminal_shows_the_progress(filled: Path) -> None:
    status, shown = on_terminal("purge", "--db", filled, "--max-events", "5")
    assert status == 0
    assert "purging" in shown
    assert "25 events" in shown
    assert "25 events purged" in shown


def stop_at_the_third_write(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(purging, "PURGE_EVENTS", 5)
    monkeypatch.setattr(choice, "SPAN", 5)
    write, calls = Session.write_freeing, []

    def failing(session: Session, change: Change) -> None:
        calls.append(change)
        if len(calls) == 3:
            raise error
        write(session, change)

    monkeypatch.setattr(Session, "write_freeing", failing)


def test_an_interrupt_reports_the_events_already_deleted(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_at_the_third_write(patched, KeyboardInterrupt())
        result = run("purge", "--db", filled, "--max-events", "1")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "lmdbstore: stopped: 10 events are deleted for good; run the command again to continue\n"
    )
    assert left(filled) == 20
    assert run("purge", "--db", filled, "--max-events", "1").stdout.startswith("19 events purged")


def test_a_failure_reports_the_events_already_deleted(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_at_the_third_write(patched, StoreDamaged("the store is damaged"))
        result = run("purge", "--db", filled, "--max-events", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "lmdbstore: stopped: 10 events are deleted for good; run the command again to continue\n"
        "lmdbstore: the store is damaged\n"
    )
    assert left(filled) == 20


def test_a_closed_output_pipe_is_not_a_failure(filled: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        status, _, err = process("purge", "--db", filled, "--max-events", "3", stdout=write)
    finally:
        os.close(write)
    assert (status, err) == (0, "")
    assert left(filled) == 3
