"""Errors in the pages of a data file, found without opening it.

Rules: `lmdb.verify` walks through all pages in Python, and no content of the file can mislead it.
One of its errors is none here. Some posting sets are trees of their own, whose leaf pages LMDB
(0.9.36) counts with those of the database. When the last value of such a set is deleted, LMDB frees
the tree's last page, and does not subtract it. So after deletions the counter may be too high, and
nothing depends on it. Whether a page is missing, used twice or not reachable is checked without it.

Of a value that takes several pages it looks at the first one alone. So if the file ends before the
last page that LMDB has used, all values are read here, too. Such a file may be sound: LMDB does not
write the last pages if it gave them up again in the same transaction.
"""

from __future__ import annotations

import os
import re
from collections import deque

from lmdbstore.disk.databases import DUPLICATES
from lmdbstore.disk.meta_page import metas_in
from lmdbstore.disk.raw_pages import Pages

__all__ = ["page_errors"]

_is_leaf_count = re.compile(
    r"main/(\w+) DB: walked (\d+) leaf pages(?: \((\d+) with dup sub-trees\))?, record says (\d+)"
).fullmatch


def page_errors(name: str) -> list[str]:
    """Return what is wrong with the pages of a file, which no one may write to; nothing if sound.

    Raises:
        OSError: the file cannot be read.
    """
    from lmdb.verify import VerifyError, verify  # rarely needed

    try:
        errors = verify(name, subdir=False)  # type: ignore[no-untyped-call]  # it has no types
    except VerifyError as error:
        return [str(error)]
    found = [error for error in map(str, errors) if not _is_of_emptied_sets(error)]
    return found or _cut_values(name)


def _cut_values(name: str) -> list[str]:
    """Return what cannot be read of the values of a file whose pages are sound, if it is short."""
    errors: list[str] = []
    with open(name, "rb") as file:
        last = max(metas_in(file))  # `lmdb.verify` has seen both
        if file.seek(0, os.SEEK_END) >= (last.last_page + 1) * last.page_size:
            return []
        pages = Pages(file, last.page_size, errors.append)
        for database, tree in pages.trees(last.root).items():
            if database not in DUPLICATES:  # values of pairs are never so long
                deque(pages.walk(tree.root), maxlen=0)
    return errors


def _is_of_emptied_sets(error: str) -> bool:
    """Whether LMDB only counts too many leaf pages in a database of pairs."""
    found = _is_leaf_count(error)
    if found is None or found[1].encode() not in DUPLICATES:
        return False
    return int(found[4]) > int(found[3] or found[2])
