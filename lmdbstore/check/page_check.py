"""The page level: checking that a data file consists of valid LMDB pages, without opening it.

LMDB trusts its file: a damaged page can make it read beyond the map, and end the process. So a file
that may be damaged, or comes from elsewhere, is checked here first: `lmdb.verify` walks through all
pages in Python, and no content of the file can mislead it.

One of its errors is none here. Some posting sets are trees of their own, whose leaf pages LMDB
(0.9.36) counts with those of the database. When the last value of such a set is deleted, LMDB frees
the tree's last page, and does not subtract it. So after deletions the counter may be too high, and
nothing depends on it. Whether a page is missing, used twice or not reachable is checked without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lmdbstore.disk.databases import DUPLICATES
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.engine.registry import writing_here
from lmdbstore.errors import EventReadException, StoreOpenError, shown
from lmdbstore.processes.barrier import write_lock
from lmdbstore.threads.deadline import FOREVER
from lmdbstore.threads.reentry import reentry

from .findings import Finding, FindingKind

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder
    from lmdbstore.threads.deadline import Deadline

__all__ = ["page_findings"]

_is_leaf_count = re.compile(
    r"main/(\w+) DB: walked (\d+) leaf pages(?: \((\d+) with dup sub-trees\))?, record says (\d+)"
).fullmatch


def page_findings(folder: StoreFolder, deadline: Deadline = FOREVER) -> list[Finding]:
    """Return the errors in the pages of the store in a folder; writers wait until the end.

    Raises:
        StoreOpenError: there is no readable file.
        EventReadException: this thread is inside a write to it.
        ReadBusy: another process wrote until the deadline.
    """
    from lmdb.verify import VerifyError, verify  # rarely needed

    if writing_here(folder):
        raise reentry(EventReadException, "a check of the pages")
    try:
        with write_lock(folder, wait=True, deadline=deadline):
            errors = verify(folder.data, subdir=False)  # type: ignore[no-untyped-call]  # it has no types
    except VerifyError as error:
        errors = [str(error)]
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be read: {error}"
        ) from error
    return [
        Finding(FindingKind.PAGE, DATA_FILE, error)
        for error in map(str, errors)
        if not _is_of_emptied_sets(error)
    ]


def _is_of_emptied_sets(error: str) -> bool:
    """Whether LMDB only counts too many leaf pages in a database of pairs."""
    found = _is_leaf_count(error)
    if found is None or found[1].encode() not in DUPLICATES:
        return False
    return int(found[4]) > int(found[3] or found[2])
