"""What is done to a store as a whole, by its folder: looking whether it is sound."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .creation import DATA_FILE, check_plain
from .errors import StoreOpenError, shown
from .options import folder_of
from .pages import page_findings
from .store import LMDBEventStore

if TYPE_CHECKING:
    from .findings import Finding
    from .verifying import Progress

__all__ = ["verify"]


def verify(
    path: str | os.PathLike[str], *, pages: bool = False, progress: Progress | None = None
) -> list[Finding]:
    """Return all that is wrong with the store in the folder `path`: see `LMDBEventStore.verify`.

    With `pages` the pages of the file are looked at before it is opened, and it is not opened if
    any is damaged. So this, and only this, is safe for a file that may be damaged or that somebody
    else has made. Use the method of the store where this process has it open.

    Raises:
        StoreOpenError: there is no store, or one that cannot be opened; the message says why.
        EventReadException: the store could not be read.
    """
    folder = folder_of(path)
    check_plain(folder)
    if not os.path.exists(os.path.join(folder, DATA_FILE)):
        raise StoreOpenError(f"there is no store at {shown(folder)}")
    if pages and (found := page_findings(folder)):
        return found
    with LMDBEventStore(folder, create=False, readonly=True, consistency="snapshot") as store:
        return store.verify(progress=progress)
