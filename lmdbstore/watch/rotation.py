"""The names that rotated files get: which name was the file's before.

Rules: a rotated file has the old name with something behind it (`app.log.1`, `app.log-2024.gz`), or
a number or a date before the last suffix (`app-2024-03-05.log`). A name may fit several files.
"""

from __future__ import annotations

import re

__all__ = ["bases", "is_numbered"]

_separator = re.compile(r"[-._~@]")
_packed = re.compile(r"\.(?:gz|bz2|xz|zst)\Z")
_dated = re.compile(r"[-._]\d[\dTZ:+._-]*(\.[A-Za-z]\w*)\Z")
_numbered = re.compile(r"[-._~@]\d[\dTZ:+._-]*\Z")


def is_numbered(name: str, base: str) -> bool:
    """Whether a name is another one with no more than a number, or a date, and a packer's suffix.

    So it is a rotated file, and not one that is only named alike.
    """
    plain = _packed.sub("", name)
    if _numbered.fullmatch(plain.removeprefix(base)):
        return True
    stem, dot, suffix = base.rpartition(".")
    middle = plain.removeprefix(stem).removesuffix(dot + suffix)
    return bool(dot) and len(plain) > len(base) and bool(_numbered.fullmatch(middle))


def bases(name: str) -> set[str]:
    """Return the names that a file of this name may have had before it was rotated."""
    found = {name[: mark.start()] for mark in _separator.finditer(name)}
    plain = _packed.sub("", name)
    for mark in _separator.finditer(plain):
        if dated := _dated.match(plain, mark.start()):
            found.add(plain[: mark.start()] + dated[1])
    return {base for base in found if base.strip("-._~@")}
