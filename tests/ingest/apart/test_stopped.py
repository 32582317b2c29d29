"""The second process ends early, does not start, or is not wanted."""

from __future__ import annotations

import _thread
import errno
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import EventReadException, MemoryEventStore
from lmdbstore.ingest import saving
from lmdbstore.ingest.apart import parent, sending
from lmdbstore.logs.common import Options
from tests.tools.apart import apart, imported_apart
from tests.tools.children import LONG, in_child, until
from tests.tools.imports import contents, imported, written
from tests.tools.interrupts import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


NUMBER = 20_000  # lines
LINES = [
    f"2024-03-05 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02} {n:07} {'x' * 180}\n"
    for n in range(NUMBER)
]


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "a.log", "".join(LINES))


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "BATCH_EVENTS", 1000)


def once(work: Callable[[], object]) -> Callable[[int, int], None]:
    """Return an `Importer.progress` that does something when the first batch is saved."""
    calls = [work]

    def progress(_bytes: int, _lines: int) -> None:
        if calls:
            calls.pop()()

    return progress


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_is_reported_and_the_import_can_go_on(
    store: MemoryEventStore, log: Path
) -> None:
    with apart() as started:
        kill = once(lambda: os.kill(started[0], signal.SIGKILL))
        with pytest.raises(EventReadException, match=r"a\.log was ended by signal 9, perhaps be"):
            imported_apart(store, log, progress=kill)
    saved = len(contents(store))
    assert 1000 <= saved < NUMBER
    assert imported(store, log).new == NUMBER - saved
    assert sorted(contents(store)) == sorted(line[:-1] for line in LINES)


def test_an_interrupt_ends_the_process(store: MemoryEventStore, log: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with apart() as started:
        with pytest.raises(KeyboardInterrupt):
            imported_apart(store, log, progress=once(interrupt))
        assert not is_alive(started[0])
    assert imported(store, log).present >= 1000


def test_a_store_that_fails_ends_the_process(store: MemoryEventStore, log: Path) -> None:
    with apart() as started:
        with pytest.raises(ZeroDivisionError):
            imported_apart(store, log, progress=once(lambda: 1 // 0))
        assert not is_alive(started[0])


class _Broken:
    """A pattern that fails in use."""

    pattern = "x"

    def finditer(self, text: str) -> None:
        raise ValueError(f"broken at {text[20:27]}")

    groupindex: Any = {}  # noqa: RUF012  never changed


def test_an_exception_of_the_process_is_reported(
    store: MemoryEventStore, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pattern: Any = _Broken()
    with apart() as started:
        with pytest.raises(EventReadException, match="ValueError: broken at 0000000") as caught:
            imported_apart(store, log, options=Options(flag_from=pattern))
        assert not is_alive(started[0])
    assert "in finditer" in caught.value.__notes__[0]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("function", ["pipe", "fork"])
def test_where_no_process_starts_the_file_is_read_here(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def refused() -> None:
        raise OSError(errno.EAGAIN, "no more")

    monkeypatch.setattr(os, function, refused)
    with apart() as started:
        assert imported_apart(store, log).new == NUMBER
    assert not started


def test_only_large_files_are_read_apart(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len("".join(LINES))
    with apart() as none:
        imported(store, log)  # as every program does that does not ask for two processes
    with apart(size + 1) as small:
        imported_apart(MemoryEventStore(), log)
    with apart() as again:
        imported_apart(store, log, redo=True)
    with apart(2 * 210) as grown:
        with log.open("a") as file:
            file.write("2024-03-05 11:00:00 new\n")  # with the last record, the rest is smaller
        imported_apart(store, log)
    with apart() as unwaited, monkeypatch.context() as patch:
        patch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)  # for SIGCHLD
        imported_apart(MemoryEventStore(), log)
    assert not [*none, *small, *again, *grown, *unwaited]
    with apart(size + 24) as exactly:
        imported_apart(MemoryEventStore(), log)
    assert len(exactly) == 1


@pytest.fixture
def _raising() -> Iterator[None]:
    """A handler of SIGALRM that raises, as that of SIGINT does."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("_raising")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
@pytest.mark.parametrize("call", ["fork", "waitpid"])
def test_a_signal_when_the_process_starts_or_is_ended_leaves_none(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """It is handled when the process is known, or gone."""
    fork, waitpid = os.fork, os.waitpid
    children: list[int] = []
    strikes = [lambda: signal.raise_signal(number)]

    def forked() -> int:
        if found := fork():
            children.append(found)
            if call == "fork":
                strikes.pop()()
        return found

    def waited(*args: Any) -> Any:
        if call == "waitpid" and strikes:
            strikes.pop()()
        return waitpid(*args)

    with apart(), monkeypatch.context() as patch:
        patch.setattr(os, "fork", forked)
        patch.setattr(os, "waitpid", waited)
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            imported_apart(store, log)
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)
    imported(store, log)
    assert len(store) == NUMBER


@pytest.mark.usefixtures("_raising")
def test_a_signal_that_another_thread_takes_leaves_no_process(log: Path) -> None:
    """Then its handler runs in this thread all the same, although it has blocked the signal."""

    def work() -> None:
        struck = partial(_thread.interrupt_main, signal.SIGALRM)  # no handler can run inside of it
        os.register_at_fork(after_in_parent=struck)
        with apart(), pytest.raises(Interrupted):
            imported_apart(MemoryEventStore(), log)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    in_child(work)


@pytest.mark.usefixtures("_raising")
def test_a_signal_when_others_are_blocked_leaves_none_blocked(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler runs, and raises, when they are blocked already."""
    real = signal.pthread_sigmask

    def struck(how: int, signals: Any) -> Any:
        found = real(how, signals)
        if how == signal.SIG_BLOCK and signals:
            raise Interrupted
        return found

    before = real(signal.SIG_BLOCK, ())
    monkeypatch.setattr(signal, "pthread_sigmask", struck)
    with apart(), pytest.raises(Interrupted):
        imported_apart(store, log)
    assert real(signal.SIG_SETMASK, before) == before


@pytest.mark.usefixtures("_raising")
def test_a_signal_of_which_the_program_has_a_handler_does_not_reach_the_process(
    store: MemoryEventStore, log: Path
) -> None:
    written(log, "".join(LINES) * 3)  # more than it may be ahead
    with apart() as started:
        strike = once(lambda: os.kill(started[0], signal.SIGALRM))
        assert imported_apart(store, log, progress=strike).new == 3 * NUMBER


def test_a_fork_that_raises_leaves_no_descriptor(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its warning does in a program that has threads, and wants errors; see `nothing_leaks`."""

    def warned() -> None:
        raise DeprecationWarning("threads")

    monkeypatch.setattr(os, "fork", warned)
    with apart(), pytest.raises(DeprecationWarning):
        imported_apart(store, log)


def test_where_the_process_can_start_no_thread_it_writes_itself(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, start = os.getpid(), threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if os.getpid() != pid:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with apart() as started:
        assert imported_apart(store, log).new == NUMBER
    assert len(started) == 1


def test_a_process_that_cannot_write_ends(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason: else both processes would wait for ever."""
    pid, write = os.getpid(), os.write

    def failing(*args: Any) -> int:
        if os.getpid() != pid:
            raise MemoryError
        return write(*args)

    monkeypatch.setattr(os, "write", failing)
    with apart(), pytest.raises(EventReadException, match="ended early, with status 1"):
        imported_apart(store, log)


def test_a_file_that_is_truncated_while_the_process_reads_is_noticed(
    store: MemoryEventStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(log, "".join(LINES[:2000]))
    imported(store, log)
    written(log, "".join(LINES))
    start = parent._Child.start

    def truncated(*args: Any) -> Any:
        os.truncate(log, 1000)
        return start(*args)

    monkeypatch.setattr(parent._Child, "start", truncated)
    with apart() as started:
        report = imported_apart(store, log)
    assert len(started) == 1
    assert report.notices()[-1].endswith("it was truncated while it was read; the rest is skipped")
    assert contents(store)[:2000] == [line[:-1] for line in LINES[:2000]]


def test_the_process_does_not_run_ahead() -> None:
    """It waits until the first of its messages is taken."""
    receiving, sending_to = os.pipe()
    sender, sent = sending.Sender(sending_to), []

    def send() -> None:
        for n in range(20):
            sender.send(bytes(1 << 20))
            sent.append(n)
        sender.end()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    most = sending.AHEAD >> 20
    until(lambda: len(sent) >= most, "it does not run ahead at all")
    time.sleep(0.1)  # in which it could send more
    assert len(sent) == most
    assert sender.is_ahead
    with os.fdopen(receiving, "rb") as file:
        assert len(file.read(20 << 20)) == 20 << 20
    thread.join(LONG)
    assert len(sent) == 20
    assert not sender.is_ahead
    os.close(sending_to)
