"""The commands verify, repair, backup and compact: what they print, and their exit status."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, verify
from lmdbstore.disk import format as fmt
from tests.tools.children import ROOT, opened_elsewhere
from tests.tools.indexes import assert_indexes_agree
from tests.tools.planting import writing
from tests.tools.stores import fill

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings

LONG = 60  # seconds; ends a hang, decides nothing


def run(*arguments: str | Path) -> tuple[int, str, str]:
    found = subprocess.run(
        [sys.executable, "-m", "lmdbstore", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    return found.returncode, found.stdout, found.stderr


@pytest.fixture
def db(tmp_path: Path) -> Path:
    with LMDBEventStore(tmp_path / "events") as store:
        store.save_many(Event(f"e{n}", content=f"content\t{n}") for n in range(100))
    return tmp_path / "events"


def damage(db: Path) -> None:
    data = (db / "data.mdb").read_bytes()
    assert data.count(b"content\t77") >= 1  # repair leaves free pages with the same records
    (db / "data.mdb").write_bytes(data.replace(b"content\t77", b"content\t7x"))


@pytest.mark.parametrize("pages", [[], ["--pages"]])
def test_verify_reports_damage_and_returns_1(db: Path, pages: list[str]) -> None:
    status, out, error = run("verify", "--db", db, *pages)
    assert (status, error) == (0, "")
    assert out.startswith("100 events verified; nothing is wrong; ")
    assert "repair" not in out
    damage(db)
    status, out, error = run("verify", "--db", db, *pages)
    assert (status, error) == (1, "")
    assert out.startswith("record changed in live of the event 'e77': ")
    assert (
        "\n100 events verified; 1 finding; 'lmdbstore repair --db DIR' repairs the store; " in out
    )


def test_verify_does_not_open_damaged_pages(db: Path) -> None:
    data = bytearray((db / "data.mdb").read_bytes())
    data[data.find(b'"e50"') // 4096 * 4096] ^= 0xFF
    (db / "data.mdb").write_bytes(data)
    status, out, error = run("verify", "--db", db, "--pages")
    assert (status, error) == (1, "")
    assert out.startswith("page in data.mdb: ")
    assert "the records were not compared because the pages are damaged; 'lmdbstore repair" in out


def test_verify_says_if_records_were_not_compared(db: Path, tmp_path: Path) -> None:
    with LMDBEventStore(db) as store, writing(store) as (txn, databases):
        txn.drop(databases.postings)
    status, out, error = run("verify", "--db", db)
    assert (status, error) == (1, "")
    assert out.startswith("database in postings: it is missing\n0 events verified; 1 finding; ")
    assert "the records were not compared because the store cannot be opened" in out
    with LMDBEventStore(tmp_path / "empty") as store, writing(store) as (txn, databases):
        txn.delete(fmt.NEXT, db=databases.meta)
    status, out, error = run("verify", "--db", tmp_path / "empty")
    assert (status, error) == (1, "")
    assert "not compared" not in out


def test_repair_reports_the_kept_events_and_the_losses(db: Path) -> None:
    assert run("repair", "--db", db) == (0, "100 events kept\n", "")
    damage(db)
    assert run("repair", "--db", db, "--keep-changed") == (0, "100 events kept\n", "")
    with LMDBEventStore(db) as store:
        assert store.get("e77").content == "content\t7x"
    data = (db / "data.mdb").read_bytes()
    (db / "data.mdb").write_bytes(data.replace(b"content\t55", b"content\t5x"))
    status, out, error = run("repair", "--db", db)
    assert (status, error) == (1, "")
    assert out.startswith("record changed in runs of the event 'e55': ")
    assert (
        "\n99 events kept; 1 finding about what could not be read or kept; the damaged file " in out
    )
    assert out.splitlines()[-1].endswith(next(n for n in os.listdir(db) if n.startswith("damaged")))


def test_verify_and_repair_name_a_damaged_checkpoint(db: Path) -> None:
    with LMDBEventStore(db) as store:
        store.save_many([], checkpoint=("import of x.log", "line 7"))
    data = (db / "data.mdb").read_bytes()
    (db / "data.mdb").write_bytes(data.replace(b"x.logline 7", b"x.logline 8"))
    named = "checkpoint damaged in checkpoints: that of 'import of x.log' is not what was written\n"
    for command in ("verify", "repair"):
        status, out, error = run(command, "--db", db)
        assert (status, error) == (1, "")
        assert out.startswith(named)
    assert "\n100 events kept; 1 finding " in out


def test_backup_copies_the_store_and_overwrites_nothing(db: Path, tmp_path: Path) -> None:
    status, out, error = run("backup", "--db", db, tmp_path / "copy")
    assert (status, error) == (0, "")
    assert out.startswith("100 events copied and verified, ")
    assert verify(tmp_path / "copy", pages=True) == []
    status, out, error = run("backup", "--db", db, tmp_path / "copy")
    assert (status, out) == (2, "")
    assert "no backup was made" in error
    assert "never overwrites" in error
    assert run("backup", "--db", db)[0] == 2


@pytest.mark.parametrize(
    ("mode", "rights"), [("660", 0o660), ("0640", 0o640), ("0o600", 0o600), (None, 0o600)]
)
def test_backup_sets_the_rights_of_the_copy(
    db: Path, tmp_path: Path, mode: str | None, rights: int
) -> None:
    chosen = [] if mode is None else ["--mode", mode]
    assert run("backup", "--db", db, *chosen, tmp_path / "copy")[::2] == (0, "")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "copy").iterdir()} == {rights}


@pytest.mark.parametrize(
    "mode", ["", "777", "u+rw", "0x1b0", "-600", "400", "8", "٦٠٠", "6" * 5000]
)
def test_backup_refuses_what_is_no_mode(db: Path, tmp_path: Path, mode: str) -> None:
    status, out, error = run("backup", "--db", db, f"--mode={mode}", tmp_path / "copy")
    assert (status, out) == (2, "")
    assert "--mode" in error
    assert "such as 600, 640 or 660" in error
    assert not (tmp_path / "copy").exists()


def test_compact_shrinks_the_file_and_names_the_process_that_uses_it(db: Path) -> None:
    with LMDBEventStore(db) as store:
        store.purge(max_events=10)
    status, out, error = run("compact", "--db", db)
    assert (status, error) == (0, "")
    before, after = (int(part.split()[0].replace(",", "")) for part in out.split("before,"))
    assert after < before
    with opened_elsewhere(db) as process:
        status, out, error = run("compact", "--db", db)
        assert (status, out) == (2, "")
        assert f"(process {process})" in error
        assert "the store is unchanged" in error


@pytest.mark.parametrize("command", ["verify", "repair", "compact", "backup"])
def test_a_missing_store_is_an_error_and_is_not_created(tmp_path: Path, command: str) -> None:
    more = [tmp_path / "copy"] if command == "backup" else []
    status, out, error = run(command, "--db", tmp_path / "none", *more)
    assert (status, out) == (2, "")
    assert "there is no store" in error
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backup", "copy"], "no backup was made"),
        (["compact"], "the store is unchanged"),
    ],
)
@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_ctrl_c_and_sigterm_end_the_commands(  # noqa: PLR0917  two fixtures, two pairs
    path: Path, tmp_path: Path, arguments: list[str], message: str, number: str, status: int
) -> None:
    """It comes when the first piece is reported; nothing is left of the copy."""
    with LMDBEventStore(path) as store:
        events = fill(store)
    before = sorted(os.listdir(path))
    code = f"number = '{number}'"
    code += """
import os, signal, sys
from contextlib import contextmanager
from lmdbstore.care import copy as copying
from lmdbstore.__main__ import main
from lmdbstore.cli import care as looking_after

@contextmanager
def counted(*_):
    yield lambda *_: os.kill(os.getpid(), signal.Signals[number])

signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where we run
copying.COPY_BYTES = 4096
looking_after.counted = counted
main()
"""
    command, *more = arguments
    found = subprocess.run(
        [sys.executable, "-c", code, command, "--db", str(path), *more],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (found.returncode, found.stdout) == (status, ""), found.stderr
    assert found.stderr == f"lmdbstore: {message}\n"
    assert os.listdir(tmp_path) == ["events"]
    assert sorted(os.listdir(path)) == before
    with LMDBEventStore(path) as store:
        assert list(store.search()) == events
        assert_indexes_agree(store)
