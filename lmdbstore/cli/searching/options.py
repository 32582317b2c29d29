"""The options of the command `search`, and what they ask of a store.

Rules: an option with a value that has no meaning is refused before anything is opened. The store
checks what it is asked for.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.contract.types import Scalar, Where

__all__ = ["Context", "Printed", "asked", "asking_options", "filter_options", "match_of"]

_condition = re.compile(r"\s*([^=!<>]+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*)", re.DOTALL).fullmatch
_special = re.compile(r"[\\.^$|?*+()\[\]{}]")


class Context(NamedTuple):
    """How many neighbours of each event are printed too."""

    before: int = 0
    after: int = 0


class Printed(NamedTuple):
    """Which of the events that are found are printed, and what beside them."""

    unlike: str | None = None  # a pattern: the events that match it are left out
    context: Context = Context()
    newest: int | None = None  # only so many, the newest ones, oldest first
    follow: bool = False  # and then those that come


class Asked(NamedTuple):
    """What is asked for, by the parameters of `EventView.search`, and how it is printed."""

    match: str | None
    any_flags: tuple[str, ...]
    not_flags: tuple[str, ...]
    where: Where | None
    printed: Printed


def asked(  # noqa: PLR0913  the options
    pattern: str | None,
    *,
    any_flags: tuple[str, ...],
    not_flags: tuple[str, ...],
    where: Where | None,
    fixed: bool,
    ignore_case: bool,
    invert: bool,
    earlier: int | None,
    later: int | None,
    both: int | None,
    newest: int | None,
    follow: bool,
) -> Asked:
    """Return what the options ask for; raises UsageError."""
    if invert and pattern is None:
        raise click.UsageError("-v prints what does not match a PATTERN; give one")
    match = match_of(pattern, fixed=fixed, ignore_case=ignore_case)
    # `-A` and `-B` go before `-C`.
    context = Context(*[(both or 0) if one is None else one for one in (earlier, later)])
    like, unlike = (None, match) if invert else (match, None)
    if follow and any(context):
        raise click.UsageError("-f prints events as they come: give it without -A, -B and -C")
    return Asked(like, any_flags, not_flags, where, Printed(unlike, context, newest, follow))


def match_of(pattern: str | None, *, fixed: bool, ignore_case: bool) -> str | None:
    """Return the regular expression for a PATTERN with the options `-F` and `-i`."""
    if pattern is None:
        return None
    if fixed:
        pattern = _special.sub(r"\\\g<0>", pattern)
    return f"(?i){pattern}" if ignore_case else pattern


def _where(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> Where | None:
    conditions: dict[str, list[tuple[str, Scalar]]] = {}
    for text in texts:
        found = _condition(text)
        if found is None:
            raise click.BadParameter(
                f"{text!r} is no condition; give a path, one of = != < <= > >= and a value, such "
                "as 'status>=500' or 'user.id=x'"
            )
        path, word, value = found.groups()
        pair = ("==" if word == "=" else word, _scalar(text, value))
        conditions.setdefault(path, []).append(pair)
    return conditions or None


def _scalar(text: str, value: str) -> Scalar:
    """Return a value: of JSON if it is one, such as 5, true, null or "5"; else the text itself."""
    try:
        scalar: Any = json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return value
    if isinstance(scalar, (dict, list)):
        raise click.BadParameter(f"{text!r} has no single value; give a number or a text")
    found: Scalar = scalar
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _number(*names: str, text: str) -> Callable[[Any], Any]:
    return click.option(*names, type=click.IntRange(min=0), metavar="N", help=text)


_FILTERS = (
    click.option(
        "--any-flag",
        "any_flags",
        multiple=True,
        metavar="F",
        help="Only events with one of these flags; repeatable.",
    ),
    click.option(
        "--not-flag",
        "not_flags",
        multiple=True,
        metavar="F",
        help="Only events without this flag; repeatable.",
    ),
    click.option(
        "--where",
        multiple=True,
        callback=_where,
        metavar="CONDITION",
        help="Only contents in JSON with such a field, as 'status>=500'; repeatable.",
    ),
    click.option("-i", "--ignore-case", is_flag=True, help="PATTERN ignores the case of letters."),
    click.option("-F", "--fixed-strings", "fixed", is_flag=True, help="PATTERN is a plain text."),
)
_PRINTED = (
    click.option(
        "-v", "--invert-match", "invert", is_flag=True, help="Only events without a match."
    ),
    _number("-A", "--after-context", "later", text="Print N events after each one, too."),
    _number("-B", "--before-context", "earlier", text="Print N events before each one, too."),
    _number("-C", "--context", "both", text="Print N events before and after each one, too."),
    _number("-n", "--lines", "newest", text="Only the newest N events, oldest first, as in tail."),
    click.option("-f", "--follow", is_flag=True, help="Then print those that come, as in tail."),
)


def asking_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for flags and fields, and those of grep and tail; `asked` reads them."""
    for option in reversed(_PRINTED):
        command = option(command)
    return filter_options(command)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add those of these options that are conditions of the store."""
    for option in reversed(_FILTERS):
        command = option(command)
    return command
