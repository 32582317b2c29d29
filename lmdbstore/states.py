"""Which state of a damaged data file is read: the last one that says itself that it is that.

Rules: a file keeps its last two states, each with a meta page that says of which transaction it is
and where its tree of named databases begins. A damaged meta page may lead to that tree as it once
was, with what was deleted since, and all of it is sound. But each state notes its transaction
itself (see `lmdbstore.format`): so what is noted decides which tree is read.

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
MAGIC_AT, SIZE_AT, MAIN_AT, TRANSACTION_AT, END = 16, 40, 88 + DB_ROOT, 144, 152
SMALLEST_PAGE, LARGEST_PAGE = 1 << 8, 1 << 15  # bytes
META_PAGES = 2
BITS = 64  # of a number


class _State(NamedTuple):
    """What a meta page says."""

    transaction: int
    main: int  # the root of the tree of named databases
    page_size: int


def last_state(
    file: BinaryIO, tell: Callable[[str], None], needed: bytes = b""
) -> tuple[Pages, dict[bytes, Tree]]:
    """Return the pages of a file, and the named databases of its last state that can be read.

    Of its two states the later one is taken in which the database `needed` can be found; one whose
    transaction is in doubt comes last. One flipped bit in a meta page, or in what is noted, does no
    harm. `tell` is told in words of what cannot be read, now and when the pages are read.

    Raises:
        ValueError: there is no meta page that could be read.
    """
    states = _states(file)
    if not states:
        raise ValueError("neither of its meta pages can be read")
    if len(states) == 1:
        tell("one of the two meta pages cannot be read; the other one is used")
    for state in _later_first(file, states, tell):
        pages = Pages(file, state.page_size, tell)
        trees = pages.trees(state.main)
        if needed in trees or (trees and not needed):
            return pages, trees
        what = needed.decode() or "databases"
        tell(f"the state of transaction {state.transaction} has no {what} that could be read")
    return Pages(file, states[0].page_size, tell), {}


def _states(file: BinaryIO) -> list[_State]:
    """Return what each meta page says that is one, the later one first."""
    found = set()
    for page_size in {number_at(_read(file, 0), SIZE_AT, 4), *(1 << n for n in range(12, 16))}:
        if not SMALLEST_PAGE <= page_size <= LARGEST_PAGE:
            continue
        for number in range(META_PAGES):
            page = _read(file, number * page_size)
            right = number_at(page, MAGIC_AT, 4) == MAGIC
            if len(page) == END and right and number_at(page, SIZE_AT, 4) == page_size:
                transaction, main = (number_at(page, at, 8) for at in (TRANSACTION_AT, MAIN_AT))
                found.add(_State(transaction, main, page_size))
    return sorted(found, reverse=True)


def _read(file: BinaryIO, at: int) -> bytes:
    """Return what a meta page says, or less where the file ends."""
    file.seek(at)
    return file.read(END)


def _later_first(file: BinaryIO, states: list[_State], tell: Callable[[str], None]) -> list[_State]:
    """Return the states that are not empty, put right, and in the order of what they note."""
    noted = {}
    for state in states:
        if state.main != NO_ROOT:
            put_right, number = _put_right(file, state, tell)
            noted[put_right] = number
    sure = {state.transaction for state, number in noted.items() if number == state.transaction}
    return sorted(noted, key=lambda state: _number(state, noted[state], sure), reverse=True)


def _put_right(
    file: BinaryIO, state: _State, tell: Callable[[str], None]
) -> tuple[_State, int | None]:
    """Return a state with the root that is meant, and the transaction that is noted there."""
    pages = Pages(file, state.page_size, lambda _: None)  # what is looked for may be anywhere
    for root in (state.main, *(state.main ^ 1 << bit for bit in range(BITS))):
        noted = _noted(pages, root)
        if noted == state.transaction:
            if root != state.main:
                tell(f"a meta page leads to page {state.main}, and page {root} is meant")
            return state._replace(main=root), noted
    noted = _noted(pages, state.main)
    tell(f"the state of transaction {state.transaction} notes that it is of {noted}")
    return state, noted


def _noted(pages: Pages, root: int) -> int | None:
    """Return the transaction that is noted in a state whose tree of databases is this one page."""
    if fmt.META not in pages.names(root):
        return None
    value = pages.lookup(pages.trees(root).get(fmt.META), fmt.TRANSACTION)
    return None if value is None else fmt.decode_checked(value)


def _number(state: _State, noted: int | None, sure: set[int]) -> int:
    """Return of which transaction a state is; -1 if that is in doubt."""
    # Where what is noted is damaged, the meta page may be right; where it is another number, the
    # meta page is damaged: in its number, or in that of a root, which leads to a former state then.
    number = state.transaction if noted is None else noted
    # The two states of a file follow each other.
    return number if noted == state.transaction or number - 1 in sure else -1
