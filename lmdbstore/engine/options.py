"""Checking the options of a store: an error names the option, its value and the remedy."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lmdbstore.contract.query import whole
from lmdbstore.disk.folder import FILE_MODE
from lmdbstore.errors import InvalidOption, shown

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Options",
    "between",
    "checked_mode",
    "checked_progress",
    "folder_of",
    "name_of",
    "one_of",
]

T = TypeVar("T")
F = TypeVar("F", bound="Callable[[int, int], None]")

MAX_READERS = 4096  # read transactions at once, over all processes


class Options(NamedTuple):
    """The options of an environment; stores that share one must agree on all of them."""

    readonly: bool = False
    durability: str = "full"
    map_size: int | None = None
    max_readers: int = MAX_READERS


def folder_of(path: object, *, links: bool = True) -> str:
    """Return the folder that a path names, with or without following links.

    Raises:
        InvalidOption: it is not a path.
    """
    with suppress(TypeError, ValueError, OSError):  # OSError: the current folder was removed
        folder = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]  # else refused
        os.fsencode(folder)  # raises for a text that no file name can be
        if folder and "\0" not in folder:
            return os.path.realpath(folder) if links else os.path.abspath(folder)
    raise InvalidOption(f"path: {shown(path)} is not a path; pass the folder as a str or a Path")


def name_of(path: str | os.PathLike[str], folder: str) -> str:
    """Return the path that must keep leading to the store in `folder`, which it names.

    A link in `/proc` or `/dev/fd` is not a place: it was followed. Raises InvalidOption.
    """
    if os.fspath(path) == folder:
        return folder
    named = folder_of(path, links=False)
    return folder if named.startswith(("/proc/", "/dev/fd/")) else named


def one_of(name: str, value: object, allowed: tuple[T, ...]) -> T:
    """Return the value if it is one of `allowed`; raises InvalidOption."""
    for known in allowed:
        if type(value) is type(known) and value == known:
            return known
    choices = " or ".join(map(repr, allowed))
    raise InvalidOption(f"{name}: {shown(value)} is not known; pass {choices}")


def checked_mode(mode: object) -> int:
    """Return the rights of files; raises InvalidOption."""
    number = whole(mode)
    if number is not None and number & ~0o066 == FILE_MODE:
        return number
    known = shown(mode) if number is None else oct(number)
    raise InvalidOption(
        f"mode: {known} is not the mode of a file that its owner may read and write; pass 0o600, "
        "0o660 or the like"
    )


def checked_progress(progress: F | None) -> F | None:
    """Return the progress callback, or None; raises InvalidOption if it cannot be called."""
    if progress is None or callable(progress):
        return progress
    raise InvalidOption(
        f"progress: {shown(progress)} cannot be called; pass a function of two numbers"
    )


def between(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in a range; raises InvalidOption."""
    number = whole(value)
    if number is not None and least <= number <= most:
        return number
    raise InvalidOption(
        f"{name}: {shown(value)} is not acceptable; pass a whole number from {least:,} to {most:,}"
    )
