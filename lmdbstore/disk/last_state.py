"""Which state of a damaged data file is read: the last one that its own note confirms.

Rules: a file keeps its last two states. Each has a meta page with the number of its transaction and
the root of its tree of named databases. A damaged meta page may point to that tree in a former
state, with events that were deleted since, and everything in it is sound. But the first page of the
tree also notes the number of its transaction (see `lmdbstore.disk.format`), and this note decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from . import format as fmt
from .meta_page import META_PAGES, Meta, meta_at
from .raw_pages import NO_ROOT, Pages, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["last_state"]

POSSIBLE = range(1 << 8, (1 << 15) + 1)  # bytes of a page
BITS = 64  # of a number


def last_state(
    file: BinaryIO, tell: Callable[[str], None], needed: Collection[bytes] = ()
) -> tuple[Pages, dict[bytes, Tree]]:
    """Return the pages of a file, and the named databases of its last state that can be read.

    It uses the state in which most of the databases `needed` can be found; of two the later one.
    Nothing is lost by one flipped bit in the transaction or the root of a meta page, nor by one in
    a note.
    `tell` is called with a text about anything that cannot be read, now and when the pages are
    read.

    Raises:
        ValueError: no meta page can be read.
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
    best: tuple[Pages, dict[bytes, Tree]] = Pages(file, metas[0].page_size, tell), {}
    for state in sorted(states, reverse=True):
        pages = Pages(file, state.page_size, tell)
        trees = pages.trees(state.root)
        missing = [name.decode() for name in needed if name not in trees]
        if trees and not missing:
            return pages, trees
        what = " and no ".join(missing) or "databases"
        tell(f"the state of transaction {state.transaction} has no {what} that can be read")
        if _found(trees, needed) > _found(best[1], needed):
            best = pages, trees
    return best


def _found(trees: dict[bytes, Tree], needed: Collection[bytes]) -> int:
    return sum(name in trees for name in needed)


def _metas(file: BinaryIO) -> list[Meta]:
    """Return the contents of each valid meta page, the later one first."""
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
    """Return the state that a meta page points to, or should point to.

    `following` holds the transactions that follow those of the meta pages.
    """
    pages = Pages(file, meta.page_size, lambda _: None)  # the tried pages may be anything

    def noted(root: int) -> int | None:
        return fmt.decode_checked(pages.noted(root, fmt.TRANSACTION))

    found = noted(meta.root)
    if found is None or found < meta.transaction:  # as in a former state
        for root in (meta.root ^ 1 << bit for bit in range(BITS)):
            if noted(root) == meta.transaction:
                tell(f"a meta page points to page {meta.root} instead of page {root}")
                return meta._replace(root=root)
    if found != meta.transaction:
        tell(f"the state of transaction {meta.transaction} notes that it is of {found}")
    # A later number that does not follow the other state is from before LMDB compacted the file.
    if found is not None and (found < meta.transaction or found in following):
        return meta._replace(transaction=found)
    return meta
