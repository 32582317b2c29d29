"""The options that several commands have, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .times import TimeError, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Folder", "compression_option", "db_option", "time_of", "timeout_option"]


class Folder(click.Path):
    """The folder of a store; an empty text is not the current folder, but a mistake."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty text."""
        if value == "":
            self.fail("it is empty; give a folder, or . for the current one", param, ctx)
        return super().convert(value, param, ctx)


def db_option(
    text: str, *, required: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that names the folder of the store; `text` is its help."""
    return click.option(
        "--db",
        required=required,
        type=Folder(path_type=Path),
        metavar="DIR",
        envvar="LMDBSTORE_DB",
        show_envvar=True,
        help=text,
    )


timeout_option = click.option(
    "--timeout",
    callback=seconds,
    metavar="SECONDS",
    help="Wait for other processes no longer than this; 0: not at all. Without it, for ever.",
)


compression_option = click.option(
    "--compression",
    type=click.Choice(["zstd"]),
    help="Compress the runs of events that are written.",
)


def time_of(option: str, text: str | None, now: float, *, end: bool = False) -> float | None:
    """Return the time that an option gives, in seconds since 1970; see `times.instant`.

    Raises:
        BadParameter: it is no time.
    """
    try:
        return None if text is None else instant(text, now=now, end=end)
    except TimeError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None
