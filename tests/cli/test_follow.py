"""The command `import --follow`, from its start to its end."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.commands import TIMEOUT, run, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES = [f"2024-03-05 10:00:{n:02} line {n}\n" for n in range(9)]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def contents(path: Path) -> list[str]:
    if not (path / "data.mdb").exists():
        return []
    with LMDBEventStore(path, readonly=True) as store:
        return [event.content for event in store.search()]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_comes_is_stored_until_a_signal(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = folder / "a.log"
    append(log, LINES[0])
    append(folder / "a.txt", "no log\n")
    with start("import", "--db", path, "--follow", folder, "--glob", "*.log*") as child:
        wait_for(lambda: contents(path) == ["2024-03-05 10:00:00 line 0"])
        append(log, f"  more\n{LINES[1]}{LINES[2][:-3]}")
        wait_for(lambda: len(contents(path)) == 2)
        assert contents(path)[0] == "2024-03-05 10:00:00 line 0\n  more"
        append(log, LINES[2][-3:])
        log.rename(folder / "a.log.1")
        append(log, LINES[3])
        append(folder / "b.log", LINES[4])
        wait_for(lambda: len(contents(path)) == 5)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=TIMEOUT)
        assert child.returncode == 130
    assert contents(path)[1:] == [line[:-1] for line in LINES[1:5]]
    assert err.decode() == "lmdbstore: stopped: 5 new events are saved\n"
    assert f"{log}: iso-space: 1 with their own time\n" in out.decode()
    assert run("import", "--db", path, folder, "--glob", "*.log*").exit_code == 0
    assert len(contents(path)) == 5


def test_trouble_is_told_once(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with start("import", "--db", path, "--follow", folder, tmp_path / "none.log") as child:
        for n in range(3):
            append(folder / "a.log", LINES[n])
            wait_for(lambda n=n: len(contents(path)) == n + 1)  # type: ignore[misc]  # its default
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=TIMEOUT)
        assert child.returncode == 143
    assert sorted(err.decode().splitlines()) == [
        f"lmdbstore: {folder / 'a.zip'}: it is a zip file",
        f"lmdbstore: {tmp_path / 'none.log'}: it does not exist yet",
        "lmdbstore: stopped: 3 new events are saved",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--follow needs files or folders"),
        (["-"], "--follow needs files or folders"),
        (["a.log", "--dry-run"], "no --dry-run and no --redo"),
        (["a.log", "--redo"], "no --dry-run and no --redo"),
    ],
)
def test_what_cannot_be_followed_is_refused(path: Path, arguments: list[str], words: str) -> None:
    result = run("import", "--db", path, "--follow", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not path.exists()


def test_the_folder_of_the_store_is_not_followed(filled: Path) -> None:
    for name in (filled, filled / "data.mdb", filled / "a.log"):
        result = run("import", "--db", filled, "--follow", name)
        assert result.exit_code == 2
        assert "is in the folder of the store" in result.stderr
