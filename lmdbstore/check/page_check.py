"""The page level: whether a data file is made of pages as LMDB writes them, without opening it.

LMDB trusts its file: a damaged page can make it read beyond the map, and end the process. So a file
that may be damaged, or that comes from elsewhere, is looked at here first, by a walk in Python
through all pages (`lmdb.verify`), which nothing in the file can lead astray.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.engine.registry import writing_here
from lmdbstore.errors import EventReadException, StoreOpenError, shown
from lmdbstore.processes.barrier import write_lock
from lmdbstore.threads.reentry import reentry

from .findings import Finding, FindingKind

if TYPE_CHECKING:
    from lmdbstore.disk.folder import StoreFolder

__all__ = ["page_findings"]


def page_findings(folder: StoreFolder) -> list[Finding]:
    """Return what is wrong with the pages of the store in a folder; writers wait meanwhile.

    Raises:
        StoreOpenError: there is no file that could be read.
        EventReadException: this thread is in the middle of a write to it.
    """
    from lmdb.verify import VerifyError, verify  # nobody else needs it

    if writing_here(folder):
        raise reentry(EventReadException, "a check of the pages")
    try:
        with write_lock(folder, wait=True):
            errors = verify(folder.data, subdir=False)  # type: ignore[no-untyped-call]  # it has no types
    except VerifyError as error:
        errors = [str(error)]
    except OSError as error:
        raise StoreOpenError(
            f"the store {shown(folder.path)} could not be read: {error}"
        ) from error
    return [Finding(FindingKind.PAGE, DATA_FILE, str(error)) for error in errors]
