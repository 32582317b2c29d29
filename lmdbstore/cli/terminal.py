r"""Text for terminals: control characters are made visible, matches are highlighted.

Rules: no text of an event controls a terminal. Every control character except newline and tab is
shown as an escape such as `\x1b`. So are the characters that change the direction of text. Text for
a pipe is not changed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from lmdbstore.contract.counting.buckets import SHORTER
from lmdbstore.opening.options import READ_IT
from lmdbstore.processes.waits import LONGER, NEVER_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

__all__ = [
    "LONGEST_COLOURED",
    "Spans",
    "coloured",
    "colourful",
    "complain",
    "discard_output",
    "highlighted",
    "in_options",
    "is_terminal",
    "one_line",
    "one_word",
    "prepare_output",
    "visible",
]

Spans: TypeAlias = "Callable[[str], Iterable[tuple[int, int]]]"
"""Finds what is to be highlighted in a text, as pairs (start, end)."""

# Characters. The time to find all matches in a text may grow with the square of its length.
LONGEST_COLOURED = 10_000
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MATCH_ON = "\x1b[1;31m"  # bold red, as in grep
MATCH_OFF = "\x1b[0m"


def visible(text: str) -> str:
    r"""Return `text` with escapes, such as `\x1b` or `\u202e`, for what controls a terminal."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return a text as one line, without control characters."""
    return visible(text).replace("\n", "\\x0a").replace("\t", "\\x09")


def one_word(text: str) -> str:
    """Return a text as one word, without control characters."""
    return one_line(text).replace(" ", "\\x20")


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  one byte


def highlighted(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `visible(text)`, with the characters of each span, (start, end), in colour."""
    parts, done = [], 0
    for start, end in spans:
        if start < end:
            parts += [visible(text[done:start]), MATCH_ON, visible(text[start:end]), MATCH_OFF]
            done = end
    parts.append(visible(text[done:]))
    return "".join(parts)


def coloured(content: str, spans: Spans | None) -> str:
    """Return a content with its spans highlighted, if there are any and it is not too long."""
    if spans is None or len(content) > LONGEST_COLOURED:
        return visible(content)
    return highlighted(content, spans(content))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is an open terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def colourful() -> bool:
    """Whether standard output is a terminal, with neither NO_COLOR nor TERM=dumb set."""
    return (
        is_terminal(sys.stdout)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def prepare_output() -> None:
    """Prepare standard output for any text: UTF-8, except for a terminal's own encoding."""
    if sys.stdout is None:  # it was closed before the start
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  to the very end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        if is_terminal(sys.stdout):
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")


def discard_output() -> None:
    """Discard standard output, which cannot be written, and what is not flushed yet."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, sys.stdout.fileno())
        finally:
            os.close(null)


_REMEDIES = {  # of a store on a server
    "open it without readonly=True and create=False to make one": (
        "'lmdbstore import --db ADDRESS FILE' makes one"
    ),
    ", or pass readonly=True and consistency='snapshot' to read what the standby has": (
        "; commands that only read show what the standby has"
    ),
}


def in_options(message: str) -> str:
    """Return the message of an error with the options of the commands as the remedy."""
    message = message.replace(SHORTER, "give a longer --by, or --since and --until")
    for options, remedy in _REMEDIES.items():
        message = message.replace(options, remedy)
    message = message.replace(READ_IT, "; run the command as a user that may write to the store")
    return message.replace(LONGER, "(--timeout)").replace(NEVER_WAIT, "")


def complain(message: str) -> None:
    """Print a message on standard error, as one line after the command's name."""
    text = message.encode("utf-8", "backslashreplace").decode()
    click.echo(f"lmdbstore: {visible(text.replace(chr(10), ' '))}", err=True)
