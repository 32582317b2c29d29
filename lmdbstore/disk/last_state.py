"""Which state of a damaged data file is read: the last one that says itself that it is that.

Rules: a file keeps its last two states, each with a meta page that says of which transaction it is
and where its tree of named databases begins. A damaged meta page may lead to that tree as it once
was, with what was deleted since, and all of it is sound. But in the first page of that tree it is
noted of which transaction it is (see `lmdbstore.disk.format`): so what is noted decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from . import format as fmt
from .meta_page import META_PAGES, Meta, meta_at
from .raw_pages import NO_ROOT, Pages, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["last_state"]

POSSIBLE = range(1 << 8, (1 << 15) + 1)  # bytes of a page
BITS = 64  # of a number


def last_state(
    file: BinaryIO, tell: Callable[[str], None], needed: bytes = b""
) -> tuple[Pages, dict[bytes, Tree]]:
    """Return the pages of a file, and the named databases of its last state that can be read.

    Of its two states the later one is taken in which the database `needed` can be found. Nothing is
    lost by one flipped bit in what a meta page says of its transaction and its root, nor by one in
    what is noted. `tell` is told in words of what cannot be read, now and when the pages are read.

    Raises:
        ValueError: there is no meta page that could be read.
    """
    metas = _metas(file)
    if not metas:
        raise ValueError("neither of its meta pages can be read")
    if len(metas) == 1:
        tell("one of the two meta pages cannot be read; the other one is used")
    elif metas[0].transaction - metas[1].transaction != 1:
        numbers = f"{metas[1].transaction} and {metas[0].transaction}"
        tell(f"the meta pages are of the transactions {numbers}, which do not follow each other")
    following = {meta.transaction + 1 for meta in metas}
    states = [_state(file, meta, following, tell) for meta in metas if meta.root != NO_ROOT]
    for state in sorted(states, reverse=True):
        pages = Pages(file, state.page_size, tell)
        trees = pages.trees(state.root)
        if needed in trees or (trees and not needed):
            return pages, trees
        what = needed.decode() or "databases"
        tell(f"the state of transaction {state.transaction} has no {what} that could be read")
    return Pages(file, metas[0].page_size, tell), {}


def _metas(file: BinaryIO) -> list[Meta]:
    """Return what each meta page says that is one, the later one first."""
    found = set()
    first = meta_at(file, 0)
    sizes = {1 << n for n in range(12, 16)} | ({first.page_size} if first else set())
    for page_size in filter(POSSIBLE.__contains__, sizes):
        for number in range(META_PAGES):
            meta = meta_at(file, number * page_size)
            if meta is not None and meta.page_size == page_size:
                found.add(meta)
    return sorted(found, reverse=True)


def _state(file: BinaryIO, meta: Meta, following: set[int], tell: Callable[[str], None]) -> Meta:
    """Return the state that a meta page leads to, or is meant to lead to.

    `following` has the transactions that follow those of the meta pages.
    """
    pages = Pages(file, meta.page_size, lambda _: None)  # what is looked for may be anywhere

    def noted(root: int) -> int | None:
        return fmt.decode_checked(pages.noted(root, fmt.TRANSACTION))

    found = noted(meta.root)
    if found is None or found < meta.transaction:  # as a former state does
        for root in (meta.root ^ 1 << bit for bit in range(BITS)):
            if noted(root) == meta.transaction:
                tell(f"a meta page leads to page {meta.root}, and page {root} is meant")
                return meta._replace(root=root)
    if found != meta.transaction:
        tell(f"the state of transaction {meta.transaction} notes that it is of {found}")
    # A later number that does not follow the other state is of before LMDB compacted the file.
    if found is not None and (found < meta.transaction or found in following):
        return meta._replace(transaction=found)
    return meta
