"""The options that several commands have, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from lmdbstore.address import is_address, parsed
from lmdbstore.errors import InvalidOption, shown

from .opening import stores_in
from .showing.lines import Colour
from .terminal import complain
from .times import TimeError, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from .opening import Location

__all__ = [
    "Store",
    "color_option",
    "compression_option",
    "damaged_option",
    "db_option",
    "desc_option",
    "flag_option",
    "limit_option",
    "since_option",
    "source_option",
    "time_of",
    "timeout_option",
    "until_option",
]


class Store(click.Path):
    """A store: a folder, or an address; an empty text is not the current folder, but a mistake."""

    def __init__(self, instead: str | None = None) -> None:
        """Take a folder alone if there is something to do `instead` for a store on a server."""
        super().__init__(path_type=Path)
        self._instead = instead

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the folder, a `Path`, or the `Server`; refuse an empty text."""
        if value == "":
            self.fail("it is empty; give a folder, or . for the current one", param, ctx)
        if isinstance(value, str) and is_address(value):
            try:
                value = parsed(value)
            except InvalidOption as error:
                self.fail(str(error).removeprefix("address: "), param, ctx)
            if not isinstance(value, str):
                if self._instead is not None:
                    wrong = f"this works on a folder, and not on {value}; {self._instead}"
                    self.fail(wrong, param, ctx)
                return value
        return super().convert(value, param, ctx)


def _the_only_store(
    ctx: click.Context, _: click.Parameter, given: Location | None
) -> Location | None:
    """Return the store that was given, or else the only one here; say which one that is."""
    if given is not None or ctx.resilient_parsing:
        return given
    found = stores_in(Path())
    if len(found) == 1:
        complain(f"uses the store {shown(str(found[0]))}; --db names another one")
        return found[0]
    return None


def _needed(ctx: click.Context, param: click.Parameter, given: Location | None) -> Location | None:
    found = _the_only_store(ctx, param, given)
    if found is None and not ctx.resilient_parsing:
        several = [shown(str(one)) for one in stores_in(Path())]
        here = f"there are several stores here, {', '.join(several)}" if several else "none is here"
        raise click.UsageError(
            f"no store given, and {here}; give --db DIR, or set LMDBSTORE_DB=DIR"
        )
    return found


def db_option(
    text: str, *, required: bool = True, instead: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that names the store; `text` is its help.

    Without it, the only store in the current folder is used, if there is one. If the command is for
    a folder alone, `instead` says what to use for a store on a server.
    """
    return click.option(
        "--db",
        callback=_needed if required else _the_only_store,
        type=Store(instead),
        metavar="DIR|ADDRESS" if instead is None else "DIR",
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


# -- which events, in `search` and what chooses as it does ----------------------------------------

since_option = click.option(
    "--since", metavar="T", help="Not before this time; a date: its midnight."
)
until_option = click.option(
    "--until", metavar="T", help="Not after this time; a date: its last instant."
)
flag_option = click.option(
    "--flag", "flags", multiple=True, metavar="F", help="Only events with this flag; repeatable."
)
source_option = click.option("--source", metavar="S", help="Only events of exactly this source.")
desc_option = click.option("--desc", is_flag=True, help="Newest first.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="At most N events."
)
damaged_option = click.option(
    "--damaged",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Fail at an event that is damaged, or leave it out.",
)


def color_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option for colours; `what` says what they are for."""
    return click.option(
        "--color",
        "colour",
        type=click.Choice(get_args(Colour)),
        default="auto",
        help=f"{what}; auto: on a terminal, unless NO_COLOR is set.",
    )
