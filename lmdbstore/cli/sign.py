"""The command `sign`: gives signatures to the runs that have none, and tells how many events.

Rules: a store that is not there is not made. The store signs in small transactions and tells the
number of events at the end alone: so nothing but that it goes on is shown meanwhile, and what
stays of one that is stopped is told without a number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from lmdbstore.errors import EventStoreException

from .opening import open_to_write
from .progress import pulse
from .terminal import complain, discard_output

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["sign_runs"]


def sign_runs(db: Path, *, rebuild: bool) -> None:
    """Sign what has no signature or, with `rebuild`, everything anew, and print a summary.

    Raises:
        EventStoreException: the store is not there or failed; what was signed stays.
    """
    with open_to_write(db) as store:
        started = time.perf_counter()
        try:
            with pulse("signing"):
                signed = store.sign(rebuild=rebuild)
        except (KeyboardInterrupt, EventStoreException):
            again = "run it again without --rebuild" if rebuild else "run it again"
            complain(f"stopped; what is signed stays, {again} to go on")
            raise
        seconds = time.perf_counter() - started
    _print_summary(signed, seconds)


def _print_summary(signed: int, seconds: float) -> None:
    text = f"{signed:,} events signed; {seconds:.2f} s"
    if signed and seconds:
        text += f", {signed / seconds:,.0f} events/s"
    try:
        click.echo(text)
    except BrokenPipeError:  # the signing itself is done, and its status is what counts
        discard_output()
