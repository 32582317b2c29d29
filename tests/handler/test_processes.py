"""Processes: their ends, forks, and children of multiprocessing that skip `atexit`."""

from __future__ import annotations

import logging
import logging.config
import multiprocessing
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import LMDBEventStore, MemoryEventStore
from lmdbstore.handler import sender
from tests.tools.children import LONG, ROOT, in_child, needs_semaphores
from tests.tools.logged import contents, logging_to
from tests.tools.logging_children import config, log_and_return, log_late, unconfigure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = """
import atexit, logging, logging.config, os, sys, threading
atexit.register(lambda: logging.getLogger("app").info("exit"))
from lmdbstore import LoggingHandler
handler = LoggingHandler(sys.argv[1])
log = logging.getLogger("app")
log.addHandler(handler)
log.setLevel("DEBUG")
for number in range(100):
    log.info("%d", number)
"""
HUNDRED = [*map(str, range(100))]


def run(path: Path, rest: str = "") -> tuple[int, str]:
    """Run a program that logs; return its exit code and what it printed."""
    command = [sys.executable, "-c", SCRIPT + rest, str(path)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=LONG, cwd=ROOT
    )
    return done.returncode, done.stdout + done.stderr


def saved(path: Path) -> list[str]:
    with LMDBEventStore(path, create=False) as store:
        return contents(store)


def test_the_end_of_a_program_loses_nothing(path: Path) -> None:
    assert run(path) == (0, "")
    assert saved(path) == [*HUNDRED, "exit"]


def test_an_exit_code_or_an_exception_makes_no_difference(path: Path) -> None:
    assert run(path, "sys.exit(7)") == (7, "")
    code, printed = run(path, "log.info(None / 2)")
    assert (code, "TypeError" in printed) == (1, True)
    assert sorted(saved(path)) == sorted(2 * [*HUNDRED, "exit"])


def test_what_other_threads_log_at_the_end_is_saved(path: Path) -> None:
    rest = """
def late():
    threading.main_thread().join()
    log.info("late")
threading.Thread(target=late).start()
"""
    assert run(path, rest) == (0, "")
    assert saved(path) == [*HUNDRED, "late", "exit"]


def test_an_object_may_log_while_the_interpreter_ends(path: Path) -> None:
    rest = """
class Last:
    def __del__(self, log=log):
        log.info("deleted")
sys.last = Last()
"""
    code, printed = run(path, rest)
    assert (code, saved(path)[:101]) == (0, [*HUNDRED, "exit"]), printed


def test_what_a_killed_process_waited_for_is_saved(path: Path) -> None:
    rest = """
handler._flush_level = logging.ERROR
log.error("waited for")
os.kill(os.getpid(), 9)
"""
    assert run(path, rest)[0] == -signal.SIGKILL
    assert saved(path) == [*HUNDRED, "waited for"]


@pytest.fixture
def collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the thread take nothing from the queue until a thread waits for it."""
    monkeypatch.setattr(sender, "COLLECTED", LONG)


@pytest.mark.usefixtures("collecting")
def test_a_forked_child_does_not_write_the_queue_of_its_parent(path: Path) -> None:
    with logging_to(path) as (log, handler):
        log.info("parent")

        def child() -> None:
            assert handler.dropped == 0
            handler.flush()
            assert saved(path) == []
            log.info("child")
            handler.flush()
            assert saved(path) == ["child"]
            handler.close()

        in_child(child)
        assert saved(path) == ["child"]
        log.info("parent again")
        handler.flush()
        assert sorted(saved(path)) == ["child", "parent", "parent again"]


def test_a_child_that_never_logs_closes_the_handler(path: Path) -> None:
    with logging_to(path) as (log, handler):
        log.info("x")
        in_child(handler.close)
        log.info("y")
    assert saved(path) == ["x", "y"]


def test_a_child_does_not_inherit_the_counts(path: Path) -> None:
    with logging_to(path) as (_, handler):
        handler._sender.drop("a reason")

        def child() -> None:
            assert handler.dropped == 0
            handler.close()

        in_child(child)
        assert handler.dropped == 1


def test_a_child_forked_inside_a_write_goes_on(path: Path) -> None:
    """The thread of the parent is at work at many of these forks."""
    with LMDBEventStore(path) as store, logging_to(store, timeout=LONG) as (log, handler):

        def child() -> None:
            log.info("child")
            handler.close()

        for _ in range(10):
            for _ in range(20):
                log.info("parent")
            handler._sender._hurry.set()
            in_child(child)
        handler.flush()
        assert contents(store).count("parent") == 200
        assert contents(store).count("child") == 10


def test_a_store_in_memory_stays_that_of_the_child() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):

        def child() -> None:
            log.info("x")
            handler.close()
            assert contents(store) == ["x"]

        in_child(child)
    assert len(store) == 0


@pytest.fixture
def configured(path: Path) -> Iterator[None]:
    logging.config.dictConfig(config(str(path)))
    yield
    unconfigure()


def children(method: str, work: Any, path: Path | None) -> list[str]:
    """Let three children do some work; return what they should have logged."""
    context: Any = multiprocessing.get_context(method)
    processes = [context.Process(target=work, args=(path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LONG)
        assert process.exitcode == 0
        process.close()
    return [f"{number} {n}" for number in range(3) for n in range(20)]


@pytest.mark.usefixtures("configured")
def test_children_that_multiprocessing_forks_lose_nothing(path: Path) -> None:
    logging.getLogger("app").info("parent")
    expected = children("fork", log_and_return, None)
    logging.getLogger("app").info("parent")
    logging.shutdown()
    assert sorted(saved(path)) == sorted([*expected, "parent", "parent"])


@pytest.mark.usefixtures("resource_tracker")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_that_skip_atexit_lose_nothing(path: Path, method: str) -> None:
    needs_semaphores()
    expected = children(method, log_and_return, path)
    assert sorted(saved(path)) == sorted(expected)
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # it would outlive the test


@pytest.mark.usefixtures("configured")
def test_what_a_thread_logs_after_the_end_of_a_child_is_saved(path: Path) -> None:
    expected = children("fork", log_late, None)
    assert sorted(saved(path)) == sorted([*expected, *(f"{n} late" for n in range(3))])


@pytest.mark.usefixtures("configured")
def test_a_pool_loses_nothing(path: Path) -> None:
    needs_semaphores()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(log_and_return, [(None, number) for number in range(4)])
        pool.close()
        pool.join()
    assert len(saved(path)) == 80
