"""Which state of a damaged data file is read: the last one, if its meta pages can be believed.

Rules: a file keeps its last two states, each with a meta page that says where its tree of named
databases begins. A damaged meta page may lead to that tree as it once was, with what was deleted
since, and nothing in the tree contradicts it. But the pages of former states are on the list of
free pages: so a root on that list is not believed.

The layout is that of LMDB 0.9 (`mdb.c`: MDB_meta): behind the head of the page are a magic number
and the version (4 bytes each), the address and the size of the map (8 each), the list of free pages
and the tree of named databases (an MDB_db each; the padding of the first is the page size), the
last page, and the transaction (8 each). The list of free pages has, of each transaction, how many
pages it freed, and their numbers (8 each).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .salvage import DB_ROOT, Pages, Tree, number_at

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["last_state"]

MAGIC = 0xBEEFC0DE
MAGIC_AT, FREE_AT, MAIN_AT, LAST_AT, TRANSACTION_AT, END = 16, 40, 88, 136, 144, 152
SMALLEST_PAGE, LARGEST_PAGE = 1 << 8, 1 << 16  # bytes
META_PAGES = 2
WORD = 8  # bytes


class _State(NamedTuple):
    """What a meta page says."""

    transaction: int
    main: int  # the root of the tree of named databases
    free: int  # the root of the list of free pages
    last: int  # the last page
    page_size: int


def last_state(
    file: BinaryIO, tell: Callable[[str], None], needed: bytes = b""
) -> tuple[Pages, dict[bytes, Tree]]:
    """Return the pages of a file, and the named databases of its last state that can be read.

    Of its two states the later one is taken in which the database `needed` can be found. `tell` is
    told in words of what cannot be read, now and when the pages are read.

    Raises:
        ValueError: there is no meta page that could be read.
    """
    states = _states(file)
    if not states:
        raise ValueError("neither of its meta pages can be read")
    if len(states) == 1:
        tell("one of the two meta pages cannot be read; the other one is used")
    for state in states:
        pages = Pages(file, state.page_size, tell)
        main = _other_main(file, state, needed) if needed else None
        if main is not None:
            tell(f"a meta page leads to page {state.main}, and page {main} is meant")
        trees = pages.trees(state.main if main is None else main)
        if needed in trees or (trees and not needed):
            break
        what = needed.decode() or "databases"
        tell(f"the state of transaction {state.transaction} has no {what} that could be read")
    return pages, trees


def _states(file: BinaryIO) -> list[_State]:
    """Return what each meta page says that is one, the later one first."""
    found = set()
    first = Pages(file, 1, _silent).read(0, END)
    for page_size in {number_at(first, FREE_AT, 4), *(1 << n for n in range(12, 17))}:
        if not SMALLEST_PAGE <= page_size <= LARGEST_PAGE:
            continue
        for number in range(META_PAGES):
            page = Pages(file, page_size, _silent).read(number * page_size, END)
            right = number_at(page, MAGIC_AT, 4) == MAGIC
            if len(page) == END and right and number_at(page, FREE_AT, 4) == page_size:
                places = (TRANSACTION_AT, MAIN_AT + DB_ROOT, FREE_AT + DB_ROOT, LAST_AT)
                transaction, main, free, last = (number_at(page, at, WORD) for at in places)
                found.add(_State(transaction, main, free, last, page_size))
    return sorted(found, reverse=True)


def _other_main(file: BinaryIO, state: _State, needed: bytes) -> int | None:
    """Return where the tree of named databases begins, where that is not where a state says."""
    free = _free_pages(file, state)
    pages = Pages(file, state.page_size, _silent)
    if free is None or (not _has(free, state.main) and needed in pages.names(state.main)):
        return None
    found = [
        number
        for number in range(META_PAGES, min(state.last + 1, pages.count))
        if not _has(free, number) and needed in pages.names(number)
    ]
    # With none it is the list of free pages that is damaged, or there is nothing better.
    return found[0] if len(found) == 1 else None


def _free_pages(file: BinaryIO, state: _State) -> bytearray | None:
    """Return a bit for each page, set if it is free; None if that is not known for sure."""
    told: list[str] = []
    pages = Pages(file, state.page_size, told.append)
    free = bytearray(pages.count // 8 + 1)
    transaction = 0
    for key, value in pages.walk(state.free):
        count = number_at(value, 0, WORD)
        if len(key) != WORD or len(value) != (count + 1) * WORD:
            return None
        transaction = number_at(key, 0, WORD)
        for at in range(WORD, len(value), WORD):
            number = number_at(value, at, WORD)
            if number < pages.count:
                free[number // 8] |= 1 << number % 8
    # Each write frees the main page before it: so a list that is of another state shows.
    return free if transaction == state.transaction and not told else None


def _has(pages: bytearray, number: int) -> bool:
    """Whether the bit of a page is set."""
    return number // 8 < len(pages) and bool(pages[number // 8] >> number % 8 & 1)


def _silent(_: str) -> None:
    """Say nothing: what is looked for may be anywhere."""
