"""Checking the options of a store: an error names the option, its value and the remedy."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lmdbstore.contract.query import whole
from lmdbstore.disk.files import way_of
from lmdbstore.disk.folder import FILE_MODE
from lmdbstore.errors import CompressionMissing, InvalidOption, shown
from lmdbstore.records.compression import library
from lmdbstore.threads.deadline import limit_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "READ_IT",
    "Options",
    "between",
    "checked_limit",
    "checked_mode",
    "checked_options",
    "checked_progress",
    "folder_of",
    "name_of",
    "one_of",
]

T = TypeVar("T")
F = TypeVar("F", bound="Callable[[int, int], None]")

MAX_READERS = 4096  # read transactions at once, over all processes
MAP_SIZES = 1 << 20, 1 << 56  # bytes: room for a few hundred events; more than any machine maps
READERS = 1, 1 << 20  # slots of 64 bytes in the lock file
READ_IT = "; to read it only, pass readonly=True"  # the remedy of a refused opening


class Options(NamedTuple):
    """The options of a store that concern its environment, which the stores of a process share.

    A store that only reads may share the environment of one that writes, and becomes no writer.
    """

    readonly: bool = False
    durability: str = "full"  # of writes
    map_size: int | None = None  # None: in proportion to the address space
    max_readers: int | None = None  # None: `MAX_READERS`
    compression: str | None = None  # of the runs that are written

    @property
    def slots(self) -> int:
        """The reader slots, given or not."""
        return MAX_READERS if self.max_readers is None else self.max_readers

    def with_writing(self, wanted: Options) -> Options:
        """Return the options of an environment that reads, for a store that writes."""
        return wanted._replace(
            map_size=self.map_size or wanted.map_size,
            max_readers=self.max_readers or wanted.max_readers,
        )

    def conflict(self, wanted: Options) -> tuple[str, object, object] | None:
        """Return the option in which an environment with these and a wanted store differ, if any.

        It is returned with the present value and the wanted one. An option that was not given does
        not conflict, and neither do those about writing if one of the two only reads.
        """
        if not (self.readonly or wanted.readonly):
            if self.durability != wanted.durability:
                return "durability", self.durability, wanted.durability
            if wanted.compression not in (None, self.compression):
                return "compression", self.compression, wanted.compression
        may_choose = self.readonly and not wanted.readonly and self.map_size is None
        if wanted.map_size not in (None, self.map_size) and not may_choose:
            return "map_size", self.map_size, wanted.map_size
        if wanted.max_readers not in (None, self.slots):
            return "max_readers", self.slots, wanted.max_readers
        return None


def checked_options(
    *,
    readonly: object,
    durability: object,
    map_size: object,
    max_readers: object,
    compression: object,
) -> Options:
    """Return the options; raises InvalidOption."""
    return Options(
        one_of("readonly", readonly, (True, False)),
        one_of("durability", durability, ("full", "none")),
        None if map_size is None else between("map_size", map_size, *MAP_SIZES),
        None if max_readers is None else between("max_readers", max_readers, *READERS),
        _compression(compression),
    )


def _compression(value: object) -> str | None:
    known = one_of("compression", value, (None, "zstd"))
    if known is not None:
        try:
            library()
        except CompressionMissing as error:
            raise InvalidOption(f"compression: 'zstd' cannot be used; {error}") from error
    return known


_ADDRESSES = ("postgresql://", "postgres://")  # no one calls a folder so


def folder_of(path: object, *, links: bool = True) -> str:
    """Return the folder that a path names, with or without following links.

    Raises:
        InvalidOption: it is not a path.
    """
    with suppress(TypeError, ValueError, OSError):  # OSError: the current folder was removed
        folder = os.fsdecode(os.fspath(path))  # type: ignore[call-overload]  # else refused
        if not folder.isascii():
            os.fsencode(folder)  # raises for a text that no file name can be
        if folder and "\0" not in folder and not folder.startswith(_ADDRESSES):
            return _resolved(folder) if links else os.path.abspath(folder)
    if isinstance(path, str) and str.__str__(path).startswith(_ADDRESSES):
        raise InvalidOption(
            "path: it is the address of a server (it is not shown, since it may hold a password), "
            "and not a folder; pass it to open_store"
        )
    raise InvalidOption(f"path: {shown(path)} is not a path; pass the folder as a str or a Path")


def _resolved(folder: str) -> str:
    """Return a path without links. Linux knows that of a folder in one step."""
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, AttributeError):  # there is none; or another system
        return os.path.realpath(folder)
    try:
        found = os.readlink(way_of(descriptor))
    except OSError:  # a system without `/proc`
        found = ""
    finally:
        os.close(descriptor)
    # Another text is a remark about a folder that has no path here.
    is_path = found.startswith("/") and not found.endswith(" (deleted)")
    return found if is_path else os.path.realpath(folder)


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
        if value is known or (type(value) is type(known) and value == known):
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


def checked_limit(timeout: object) -> float | None:
    """Return the time limit of a store in seconds, or None; raises InvalidOption."""
    try:
        return limit_of(timeout)
    except ValueError as error:
        raise InvalidOption(
            f"timeout: {shown(timeout)} is not a time limit; pass seconds as a number, 0 or more, "
            "or None to wait for ever"
        ) from error


def between(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in a range; raises InvalidOption."""
    number = whole(value)
    if number is not None and least <= number <= most:
        return number
    raise InvalidOption(
        f"{name}: {shown(value)} is not acceptable; pass a whole number from {least:,} to {most:,}"
    )
