r"""What a text looks like on a terminal: control characters made visible, matches highlighted.

Rules: nothing that an event holds may steer a terminal. Every control character but the newline
and the tab is shown as an escape such as `\x1b`, and so are the characters that turn the
direction of text around; a text that is piped on is not touched.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

__all__ = [
    "colourful",
    "complain",
    "discard_output",
    "highlighted",
    "is_terminal",
    "prepare_output",
    "visible",
]

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MATCH_ON = "\x1b[1;31m"  # bold red, as grep has it
MATCH_OFF = "\x1b[0m"


def visible(text: str) -> str:
    r"""Return `text` with each character that could steer a terminal as `\x1b` or `\u202e`."""
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  one byte


def highlighted(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `text` made visible, with the characters of each span, (start, end), coloured."""
    parts, done = [], 0
    for start, end in spans:
        if start < end:
            parts += [visible(text[done:start]), MATCH_ON, visible(text[start:end]), MATCH_OFF]
            done = end
    parts.append(visible(text[done:]))
    return "".join(parts)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is an open terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def colourful() -> bool:
    """Whether standard output takes colours: a terminal, and neither NO_COLOR nor TERM=dumb."""
    return (
        is_terminal(sys.stdout)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def prepare_output() -> None:
    """Make standard output ready for any text: UTF-8 unless a terminal has another encoding."""
    if sys.stdout is None:  # it was closed before the start
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  to the very end
    elif isinstance(sys.stdout, io.TextIOWrapper):
        if is_terminal(sys.stdout):
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")


def discard_output() -> None:
    """Let go of standard output, which cannot be written, and of what is left to be flushed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, sys.stdout.fileno())
        finally:
            os.close(null)


def complain(message: str) -> None:
    """Print a message on standard error, as one line after the command's name."""
    text = message.encode("utf-8", "backslashreplace").decode()
    click.echo(f"lmdbstore: {visible(text.replace(chr(10), ' '))}", err=True)
