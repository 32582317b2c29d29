"""The progress bars of long commands, on standard error if that is a terminal.

Rules: rich is imported only where a bar is drawn. The progress of an import is counted in bytes of
the files on disk, before gzip is unpacked. If a size is not known, or the work does not report its
progress, the bar only moves.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lmdbstore.inputs.opened import STDIN

from .terminal import is_terminal, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Progress

__all__ = ["Bar", "counted", "progress_bar", "pulse"]

PATIENCE = 1.0  # seconds of work without a progress that is known, before it is shown to run
NAME_LENGTH = 28  # characters of a file's name; the bar and the numbers need the rest of 80


class Bar:
    """The progress of an import; draws nothing without a `progress` of rich."""

    def __init__(self, names: Sequence[str] = (), progress: Progress | None = None) -> None:
        """Show the progress through the named inputs on `progress`."""
        self._progress = progress
        sizes = [_size(name) for name in names]
        known = [size for size in sizes if size is not None]
        self._sizes = iter(sizes)
        self._passed = 0  # bytes of the inputs before this one
        self._current = 0  # bytes of this one, all of it
        if progress is not None:
            total = sum(known) if len(known) == len(sizes) else None
            self._task = progress.add_task("", total=total, lines=0)

    def begin(self, name: str) -> None:
        """Start the next input, which has this name."""
        self._passed += self._current
        self._current = next(self._sizes, None) or 0
        if self._progress is not None:
            shown = "standard input" if name == STDIN else Path(name).name
            shown = visible(shown.encode("utf-8", "backslashreplace").decode())
            self._progress.update(self._task, description=shown[-NAME_LENGTH:])

    def update(self, read: int, lines: int) -> None:
        """Show that `read` bytes of this input, and `lines` lines of all inputs, were read."""
        if self._progress is not None:
            self._progress.update(self._task, completed=self._passed + read, lines=lines)


@contextmanager
def progress_bar(names: Sequence[str]) -> Iterator[Bar]:
    """Give a bar for an import; the bar disappears at the end."""
    if not _can_draw():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        Remaining(compact=True, elapsed_when_finished=True),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield Bar(names, progress)


@contextmanager
def pulse(text: str) -> Iterator[None]:
    """Show during some work that it is running, if it takes longer than PATIENCE."""
    if not _can_draw():
        yield
        return
    drawn: list[Progress] = []
    timer = threading.Timer(PATIENCE, lambda: drawn.append(_pulsing(text)))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for progress in drawn:
            progress.stop()


def _pulsing(text: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
    progress.add_task(text, total=None)
    progress.start()
    return progress


@contextmanager
def counted(
    text: str, things: str, *, patience: float = 0.0
) -> Iterator[Callable[[int, int | None], None]]:
    """Show during some work how many things are done, and of how many.

    Gives a function to call with these two numbers; None: of how many is not known. Nothing is
    shown of work that takes less than `patience` seconds.
    """
    if not _can_draw():
        yield lambda _done, _total: None
        return
    began = time.monotonic()
    with ExitStack() as stack:
        drawn: list[Callable[[int, int | None], None]] = []

        def update(done: int, total: int | None) -> None:
            if not drawn and time.monotonic() - began >= patience:
                drawn.append(stack.enter_context(_counting(text, things)))
            if drawn:
                drawn[0](done, total)

        yield update


@contextmanager
def _counting(text: str, things: str) -> Iterator[Callable[[int, int | None], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn(f"{{task.completed:,}} {things}"),
        Remaining(compact=True, elapsed_when_finished=True),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _can_draw() -> bool:
    return is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"


def _size(name: str) -> int | None:
    try:
        status = os.fstat(sys.stdin.fileno()) if name == STDIN else Path(name).stat()
    except (OSError, ValueError, AttributeError):  # standard input is not a real file
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
