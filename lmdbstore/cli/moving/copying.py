"""The command `copy`: the events of a store in another one, compared at the end.

Rules: the source is opened first, and nothing is made if that fails. The place that a copy has
reached is kept in the target under the identity of the source, and not under its path or address:
those change, and may have a password. Nothing of two stores is copied if they are one.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from lmdbstore.cli.opening import open_or_create, open_to_read
from lmdbstore.cli.progress import counted, pulse
from lmdbstore.cli.terminal import complain, discard_output
from lmdbstore.errors import DuplicateEvent, EventStoreException
from lmdbstore.transfer.copying import copy_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lmdbstore.cli.opening import Location
    from lmdbstore.contract.api import EventStore
    from lmdbstore.transfer.copying import Copied

__all__ = ["Conditions", "run_copy"]


class Conditions(TypedDict):
    """Which events to copy, by the parameters of `copy_events`."""

    ts_start: float | None
    ts_end: float | None
    flags: tuple[str, ...]
    source: str | None


def run_copy(
    place: Location, target: Location, conditions: Conditions, timeout: float | None = None
) -> None:
    """Copy the events of the store at `place` to the one at `target`, and print a summary.

    Raises:
        UsageError: both are one store.
        EventStoreException: one of them failed; what was copied stays.
    """
    if isinstance(place, Path) and isinstance(target, Path) and _is_same(place, target):
        raise click.UsageError("SOURCE and TARGET are one store; give another TARGET")
    began = time.perf_counter()
    # With "snapshot" a standby can be copied, too; it has all that was saved before this.
    with open_to_read(place, timeout, consistency="snapshot") as source:
        source.search(**conditions).close()  # refuses wrong ones before the target is made
        with open_or_create(target, timeout) as other:
            identity = _identity(source)
            if not isinstance(target, Path) and identity == _identity(other):
                raise click.UsageError(
                    "SOURCE and TARGET are one store, or one is a restored dump of the other; "
                    "give another TARGET"
                )
            copied = _copy(source, other, f"lmdbstore copy {identity}", conditions)
    _print(copied, time.perf_counter() - began)


def _is_same(source: Path, target: Path) -> bool:
    return os.path.isdir(source) and os.path.isdir(target) and os.path.samefile(source, target)


def _identity(store: EventStore) -> str:
    """Return what tells a store from all others, wherever it is."""
    return store.position().partition(":")[2]


def _copy(source: EventStore, target: EventStore, name: str, conditions: Conditions) -> Copied:
    try:
        with _progress() as progress:
            return copy_events(source, target, name=name, progress=progress, **conditions)
    except DuplicateEvent:  # it says what to do
        raise
    except (KeyboardInterrupt, EventStoreException):
        complain("stopped: what was copied so far stays; run the command again to continue")
        raise


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Show how many events are copied, and then that they are compared."""
    with ExitStack() as shown:
        shown.enter_context(pulse("comparing"))
        update: Callable[[int, int | None], None] | None = None

        def progress(done: int, total: int) -> None:
            nonlocal update
            if update is None:
                shown.close()
                update = shown.enter_context(counted("copying", "events"))
            update(done, total)
            if done >= total:
                shown.close()
                shown.enter_context(pulse("comparing"))
                update = None

        yield progress


def _print(copied: Copied, seconds: float) -> None:
    text = f"{copied.events:,} events compared, and equal: {copied.saved:,} copied"
    if copied.present:
        text += f", {copied.present:,} there before"
    if copied.others:
        text += f"; {copied.others:,} others in the target"
    try:
        click.echo(f"{text}; digest {copied.digest}; {seconds:.2f} s")
    except BrokenPipeError:  # the work is done, and its status counts
        discard_output()
