"""`run_locked`: an interrupt at any moment leaves the lock free, and never releases it twice."""

from __future__ import annotations

import ast
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lmdbstore
from lmdbstore.threads.run_locked import run_if_free, run_locked
from tests.tools.interrupts import Interrupted, struck_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 600
LOCKS = {"Lock", "RLock", "Condition", "Semaphore"}


def interrupt() -> None:
    raise Interrupted


def is_free(lock: threading.RLock) -> bool:
    try:
        lock.release()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("run", [run_locked, run_if_free])
def test_an_interrupt_leaves_the_lock_free(run: Callable[..., object]) -> None:
    lock = threading.RLock()
    with struck_by(interrupt) as strike:
        for number in range(ROUNDS):
            with suppress(Interrupted):
                for _ in strike(number):
                    run(lock, len, "")
            assert is_free(lock)


def test_an_interrupt_of_the_wait_for_the_lock_leaves_it_to_its_holder() -> None:
    lock, held, go = threading.RLock(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait()

    holder = threading.Thread(target=run_locked, args=(lock, hold))
    holder.start()
    try:
        assert held.wait(60)
        with struck_by(interrupt) as strike:
            for number in range(20):
                with suppress(Interrupted):
                    for _ in strike(number):
                        run_locked(lock, pytest.fail, "another thread holds the lock")
                assert not run_if_free(lock, pytest.fail, "another thread holds the lock")
    finally:
        go.set()
        holder.join()
    assert run_if_free(lock, len, "")


def test_a_call_within_a_call_keeps_the_lock_of_the_outer_one() -> None:
    lock = threading.RLock()

    def inner() -> None:
        with suppress(Interrupted):
            run_locked(lock, interrupt)
        assert not is_free(lock)
        lock.acquire()

    run_locked(lock, inner)
    assert is_free(lock)


def locks_of_classes(tree: ast.AST) -> Iterator[str]:
    """Find the names of attributes and variables that are given a new lock."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            made = node.value.func
            if isinstance(made, ast.Attribute) and made.attr in LOCKS:
                for target in node.targets:
                    yield target.attr if isinstance(target, ast.Attribute) else ast.unparse(target)


def test_the_package_takes_no_lock_by_with() -> None:
    """From CPython 3.14 on an interrupt before the block would leave it held."""
    (folder,) = lmdbstore.__path__
    seen = 0
    for file in Path(folder).rglob("*.py"):
        tree = ast.parse(file.read_text())
        names = set(locks_of_classes(tree)) | {"process_lock"}
        seen += len(names) - 1
        for node in ast.walk(tree):
            for item in node.items if isinstance(node, ast.With) else ():
                used = {ast.unparse(part).split(".")[-1] for part in ast.walk(item.context_expr)}
                assert not used & names, f"{file.name}, {ast.unparse(item)}: use run_locked"
    assert seen >= 6
