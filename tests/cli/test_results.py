"""The results of `import` and of the commands that maintain a store, as JSON for programs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.commands import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.surroundings


def result_of(*args: object, status: int = 0) -> dict[str, Any]:
    """Run a command with `--json`; return the object that it prints, without its duration."""
    result = run(*args, "--json")
    assert (result.exit_code, result.stderr) == (status, "")
    assert result.stdout.count("\n") == 1
    figures: dict[str, Any] = json.loads(result.stdout)
    assert figures.pop("seconds", 0.0) >= 0
    return figures


@contextmanager
def damaged(db: Path) -> Iterator[None]:
    """Damage a record in the context."""
    data = (db / "data.mdb").read_bytes()
    assert b"by force" in data
    (db / "data.mdb").write_bytes(data.replace(b"by force", b"by Force"))
    yield
    (db / "data.mdb").write_bytes(data)


def test_verify_gives_its_findings(filled: Path) -> None:
    assert result_of("verify", "--db", filled) == {"events": 3, "findings": []}
    with damaged(filled):
        found = result_of("verify", "--db", filled, status=1)
    (finding,) = found["findings"]
    assert finding.pop("detail")
    assert finding == {"kind": "record changed", "where": "live", "event_id": "a"}
    assert found["events"] == 3


def test_verify_gives_no_number_if_it_compared_no_record(filled: Path) -> None:
    sound = (filled / "data.mdb").read_bytes()
    data = bytearray(sound)
    data[data.find(b"by force") // 4096 * 4096] ^= 0xFF
    (filled / "data.mdb").write_bytes(data)
    found = result_of("verify", "--db", filled, "--pages", status=1)
    (filled / "data.mdb").write_bytes(sound)
    assert (found["events"], found["findings"][0]["kind"]) == (None, "page")


def test_repair_gives_what_it_left_out(filled: Path) -> None:
    nothing = {"events": 3, "left_out": [], "old_file": None, "new_identity": False}
    assert result_of("repair", "--db", filled) == nothing
    data = (filled / "data.mdb").read_bytes()
    (filled / "data.mdb").write_bytes(data.replace(b"by force", b"by Force"))
    repaired = result_of("repair", "--db", filled, status=1)
    assert [finding["event_id"] for finding in repaired["left_out"]] == ["a"]
    assert (repaired["events"], repaired["new_identity"]) == (2, False)
    assert str(filled) in repaired["old_file"]


def test_purge_gives_what_it_deleted(filled: Path) -> None:
    would = result_of("purge", "--db", filled, "--before", "1970-01-01T00:25Z", "--dry-run")
    assert (would["dry_run"], would["events"], would["left"]) == (True, 1, 2)
    purged = result_of("purge", "--db", filled, "--before", "1970-01-01T00:25Z")
    assert purged == {
        "events": 1,
        "bytes": would["bytes"],
        "oldest": 1000.0,
        "newest": 1000.0,
        "left": 2,
        "bytes_left": purged["bytes_left"],
        "held": 0,
        "dry_run": False,
    }
    with LMDBEventStore(filled) as store:
        assert purged["bytes_left"] == store.stats().used_bytes


def test_seal_backup_and_compact_give_their_figures(filled: Path, tmp_path: Path) -> None:
    assert result_of("seal", "--db", filled) == {"events": 3}
    copied = result_of("backup", "--db", filled, tmp_path / "copy")
    assert copied == {"events": 3, "bytes": (tmp_path / "copy" / "data.mdb").stat().st_size}
    before = (filled / "data.mdb").stat().st_size
    sizes = result_of("compact", "--db", filled)
    after = (filled / "data.mdb").stat().st_size
    assert sizes == {"bytes_before": before, "bytes_after": after}


def test_import_gives_its_numbers(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "f.log"
    file.write_text("2025-06-24 14:36:25 a\n\n2025-06-24 14:36:26 b\n")
    numbers = {"lines": 3, "present": 0, "replaced": 0, "blank": 1, "unreadable": 0}
    would = result_of("import", "--db", filled, "--dry-run", file)
    assert would == numbers | {"new": 2, "dry_run": True}
    assert result_of("import", "--db", filled, file) == numbers | {"new": 2, "dry_run": False}
    again = result_of("import", "--db", filled, file)
    assert (again["new"], again["present"]) == (0, 2)
    refused = run("import", "--db", filled, "--follow", "--json", file)
    assert (refused.exit_code, "--follow" in refused.stderr) == (2, True)
