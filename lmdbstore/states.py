"""Which state of a damaged data file is read: the last one that says itself that it is that.

Rules: a file keeps its last two states, each with a meta page that says of which transaction it is
and where its tree of named databases begins. A damaged meta page may lead to that tree as it once
was, with what was deleted since, and all of it is sound. But in the first page of that tree it is
noted of which transaction it is (see `lmdbstore.format`): so what is noted decides.

The layout is that of LMDB 0.9 (`mdb.c`: MDB_meta): behind the head of the page are a magic number
and the version (4 bytes each), the address and the size of the map (8 each), the list of free pages
and the tree of named databases (an MDB_db each; the padding of the first is the page size), the
last page, and the transaction (8 each).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from . import format as fmt
from .salvage import DB_ROOT, NO_ROOT, Pages, Tree, number_at

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["last_state"]

MAGIC = 0xBEEFC0DE
MAGIC_AT, SIZE_AT, ROOT_AT, TRANSACTION_AT, END = 16, 40, 88 + DB_ROOT, 144, 152
SMALLEST_PAGE, LARGEST_PAGE = 1 << 8, 1 << 15  # bytes
META_PAGES = 2
BITS = 64  # of a number


class _State(NamedTuple):
    """What a meta page says, or is meant to say."""

    transaction: int
    root: int  # of the tree of named databases
    page_size: int


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


def _metas(file: BinaryIO) -> list[_State]:
    """Return what each meta page says that is one, the later one first."""
    found = set()
    for page_size in {number_at(_read(file, 0), SIZE_AT, 4), *(1 << n for n in range(12, 16))}:
        if not SMALLEST_PAGE <= page_size <= LARGEST_PAGE:
            continue
        for number in range(META_PAGES):
            page = _read(file, number * page_size)
            right = number_at(page, MAGIC_AT, 4) == MAGIC
            if len(page) == END and right and number_at(page, SIZE_AT, 4) == page_size:
                transaction, root = (number_at(page, at, 8) for at in (TRANSACTION_AT, ROOT_AT))
                found.add(_State(transaction, root, page_size))
    return sorted(found, reverse=True)


def _read(file: BinaryIO, at: int) -> bytes:
    """Return what a meta page says, or less where the file ends."""
    file.seek(at)
    return file.read(END)


def _state(
    file: BinaryIO, meta: _State, following: set[int], tell: Callable[[str], None]
) -> _State:
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
