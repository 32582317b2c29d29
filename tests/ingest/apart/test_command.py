"""The command `import` with a second process: signals, kills, errors, and when there is one."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore
from lmdbstore.ingest.apart import parent
from lmdbstore.ingest.importer import Importer
from tests.tools.children import LONG, ROOT, until
from tests.tools.imports import contents, imported, written

if TYPE_CHECKING:
    from tests.tools.rounds import Rounds

NUMBER = 20_000  # lines
LINES = [
    f"2024-03-05 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} {n:07} {'x' * 180}\n"
    for n in range(NUMBER)
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "a.log", "".join(LINES))


COMMAND = """
import os, signal, sys
sys.path.insert(0, {root!r})
from lmdbstore.cli.importing import files
from lmdbstore.ingest import saving
from lmdbstore.ingest.apart import parent
from lmdbstore.ingest.importer import Importer
parent.LEAST, saving.BATCH_EVENTS = 0, 1000
files.processors = lambda: 2
received = parent._received
def note(reading, child, name):
    saved = reading.saved
    def stop():
        saved()
        if {wait!r}:
            print(child._processes[0], flush=True)
            reading.saved = saved
            sys.stdin.read()
    reading.saved = stop
    return received(reading, child, name)
parent._received = note
if {survives!r}:
    signal.signal(signal.SIGINT, lambda *_: None)
sys.argv = ["lmdbstore", "import", "--db", {db!r}, {log!r}, *{more!r}]
from lmdbstore.__main__ import main
main()
"""


def command(
    path: Path, log: Path, *more: str, wait: bool = True, survives: bool = False
) -> list[str]:
    options: dict[str, Any] = {"wait": wait, "survives": survives, "more": more}
    code = COMMAND.format(root=str(ROOT), db=str(path), log=str(log), **options)
    return [sys.executable, "-c", code]


def ended(pid: int) -> bool:
    """Whether a process is gone, or is waited for by its new parent."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return "State:\tZ" in status


def started(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command, which waits when its first batch is saved; it has its own terminal group."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_a_signal_to_the_command_ends_both_processes(
    path: Path, log: Path, number: int, status: int
) -> None:
    log.write_text("".join(LINES) * 3)  # more than the second process may be ahead
    with started(command(path, log)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        child = int(process.stdout.readline())
        assert not ended(child)
        if number == signal.SIGKILL:
            process.kill()  # not the second process, which must end itself
        else:
            os.killpg(process.pid, number)  # as Ctrl-C does
        assert process.wait(LONG) == status
        until(lambda: ended(child), "the second process goes on")
        error = process.stderr.read().decode()
    with LMDBEventStore(path) as store:
        count = len(store)
        assert 1000 <= count < 3 * NUMBER
        assert len(set(contents(store))) == count or count > NUMBER
    if status != -signal.SIGKILL:
        assert error == (
            f"lmdbstore: stopped: {count:,} new events are saved; "
            "run the command again to continue\n"
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_second_process_alone_does_not_end_it(
    path: Path, log: Path, number: int
) -> None:
    with started(command(path, log)) as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), number)
        out, error = process.communicate(timeout=LONG)
    assert (process.returncode, error) == (0, b"")
    assert f"{NUMBER:,} new events".encode() in out


def test_an_interrupt_that_the_command_survives_does_not_end_the_process(
    path: Path, log: Path
) -> None:
    with started(command(path, log, survives=True)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=LONG)
    assert (process.returncode, error) == (0, b"")
    assert f"{NUMBER:,} new events".encode() in out


def test_a_killed_second_process_is_one_line_of_the_command(path: Path, log: Path) -> None:
    log.write_text("".join(LINES) * 3)  # it is not at its end
    with started(command(path, log)) as process:
        assert process.stdout is not None
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        out, error = process.communicate(timeout=LONG)
    with LMDBEventStore(path) as store:
        count = len(store)
    assert (process.returncode, out) == (2, b"")
    assert error.decode() == (
        f"lmdbstore: stopped: {count:,} new events are saved; run the command again to continue\n"
        f"lmdbstore: the process that reads {log} was ended by signal 9, perhaps because memory "
        "ran out; what was saved stays: run the import again to continue\n"
    )


def test_a_full_disk_ends_the_import_with_its_error(path: Path, log: Path) -> None:
    """A limit on the size of files has the effect of a full disk."""
    LMDBEventStore(path).close()
    size = (path / "data.mdb").stat().st_size + (1 << 20)

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    found = subprocess.run(
        command(path, log, wait=False),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert found.returncode == 2
    assert re.match(r"lmdbstore: stopped: [0-9,]+ new events are saved; run", found.stderr)
    assert len(found.stderr.splitlines()) == 2
    assert imported_whole(path, log)


def test_a_closed_output_is_as_without_a_second_process(path: Path, log: Path) -> None:
    with started(command(path, log)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        process.stdout.readline()
        process.stdout.close()
        process.stdin.close()
        assert process.wait(LONG) == 0
        assert process.stderr.read() == b""
    assert imported_whole(path, log)


@pytest.mark.parametrize(("more", "number"), [((), 1), (("--processes", "1"), 0)])
def test_the_command_starts_a_second_process_unless_it_is_told_not_to(
    path: Path, log: Path, more: tuple[str, ...], number: int
) -> None:
    with started(command(path, log, *more)) as process:
        out, _ = process.communicate(timeout=LONG)
    assert f"{NUMBER:,} new events".encode() in out
    assert len([line for line in out.splitlines() if line.isdigit()]) == number


def test_the_command_starts_no_second_process_with_one_processor(
    path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmdbstore.cli.importing import files

    given: list[int] = []

    class Noted(Importer):
        def __init__(self, *args: Any, processes: int, **options: Any) -> None:
            given.append(processes)
            super().__init__(*args, **options)

    monkeypatch.setattr(files, "Importer", Noted)
    for number in (1, 2, 8):
        monkeypatch.setattr(files, "processors", lambda number=number: number)
        for processes in (None, 1, 2):
            options = {"tags": (), "source": None, "glob": None, "line_format": "auto"}
            files.import_files(path, [str(log)], processes=processes, **options)  # type: ignore[arg-type]  # one dict
    assert given == [1, 1, 2, 2, 1, 2, 2, 1, 2]


def test_processors_are_those_that_this_process_may_use() -> None:
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert parent.processors() == 1
        finally:
            os.sched_setaffinity(0, before)
        assert parent.processors() == len(before)


# -- at any moment --------------------------------------------------------------------------------


def imported_whole(path: Path, log: Path) -> bool:
    """Import the rest of a file here; return whether each line is there, once and in order."""
    with LMDBEventStore(path) as store:
        imported(store, log)
        return contents(store) == [line[:-1] for line in LINES]


@pytest.mark.endurance("kills of either process of an import", rounds=6)
def test_a_kill_of_either_process_loses_and_doubles_nothing(
    tmp_path: Path, log: Path, rounds: Rounds
) -> None:
    for number in rounds:
        path = tmp_path / f"store{number}"
        kills = 0
        for _ in range(3):
            with started(command(path, log, wait=False)) as process:
                time.sleep(rounds.random.uniform(0.2, 0.9))
                of_child = rounds.random.random() < 0.5
                pids = children_of(process.pid) if of_child else [process.pid]
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                kills += len(pids)
                process.communicate(timeout=LONG)
        assert imported_whole(path, log)
        rounds.add("kills", kills)
        rounds.add("lines compared", NUMBER)


def children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:  # it has ended, or there is no such file
        return []
    return list(map(int, text.split()))
