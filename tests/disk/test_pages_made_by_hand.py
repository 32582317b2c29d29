"""Files made by hand: pages of every size, and entries that overlap."""

from __future__ import annotations

import io
import resource
import struct

import pytest

from lmdbstore.disk import format as fmt
from lmdbstore.disk.last_state import last_state
from lmdbstore.disk.raw_pages import NO_ROOT, Pages
from tests.tools.children import in_child

MAIN_ROOT, TRANSACTION = 128, 144  # in a meta page


def leaf(size: int, number: int, entries: dict[bytes, bytes], *, flags: int) -> bytes:
    """Return a leaf page of LMDB."""
    page, at = bytearray(size), size
    struct.pack_into("QHHHH", page, 0, number, 0, 2, 16 + 2 * len(entries), 0)
    for place, (key, value) in enumerate(sorted(entries.items())):
        kind = 0 if key == fmt.TRANSACTION else flags
        node = struct.pack("HHHH", len(value), 0, kind, len(key)) + key + value
        at -= len(node) + len(node) % 2
        page[at : at + len(node)] = node
        struct.pack_into("H", page, 16 + 2 * place, at)
    return bytes(page)


def tree(root: int, entries: int) -> bytes:
    return struct.pack("IHHQQQQQ", 0, 0, 1, 0, 1, 0, entries, root)


def made_by_hand(size: int, transaction: int) -> bytearray:
    """Return a file of pages of another size, with a state and an empty one before it."""
    data = bytearray(2 * size)
    for number, (at, root) in enumerate([(transaction - 1, NO_ROOT), (transaction, 3)]):
        struct.pack_into("QHHI", data, number * size, number, 0, 8, 0)
        struct.pack_into("II", data, number * size + 16, 0xBEEFC0DE, 1)
        struct.pack_into("I", data, number * size + 40, size)
        struct.pack_into("Q", data, number * size + MAIN_ROOT, root)
        struct.pack_into("QQ", data, number * size + TRANSACTION - 8, 3, at)
    data += leaf(size, 2, {b"a": b"1"}, flags=0)
    main = {b"live": tree(2, 1), fmt.TRANSACTION: fmt.encode_checked(transaction)}
    data += leaf(size, 3, main, flags=2)
    return data


@pytest.mark.parametrize("size", [1 << n for n in range(8, 16)])
def test_pages_of_every_size_are_read(size: int) -> None:
    pages, trees = last_state(io.BytesIO(made_by_hand(size, 2)), pytest.fail, (b"live",))
    assert (pages.page_size, list(pages.walk(trees[b"live"].root))) == (size, [(b"a", b"1")])


@pytest.mark.parametrize("size", [1 << n for n in range(12, 16)])
def test_the_page_size_is_found_without_the_first_meta_page(size: int) -> None:
    data = made_by_hand(size, 2)
    data[:size] = bytes(size)
    losses: list[str] = []
    pages, trees = last_state(io.BytesIO(data), losses.append, (b"live",))
    assert (pages.page_size, list(pages.walk(trees[b"live"].root))) == (size, [(b"a", b"1")])
    assert losses == ["one of the two meta pages cannot be read; the other one is used"]


@pytest.mark.parametrize("size", [0, 1, 128, 1 << 16, 1 << 31])
def test_an_impossible_page_size_is_refused(size: int) -> None:
    data = made_by_hand(4096, 2)
    struct.pack_into("I", data, 40, size)
    struct.pack_into("I", data, 4096 + 40, size)
    with pytest.raises(ValueError, match="neither"):
        last_state(io.BytesIO(data), pytest.fail, (b"live",))


@pytest.mark.parametrize(("size", "pages"), [(4096, 200), (32768, 6)])
def test_entries_that_overlap_take_no_memory(size: int, pages: int) -> None:
    """Each offset of the page leads to an entry that is nearly as long as the page.

    All entries together are longer than the address space.
    """
    slots = (size - 16) // 2 - 8
    data = bytearray(made_by_hand(size, 2))
    for number in range(4, 4 + pages):
        page = bytearray(size)
        struct.pack_into("QHHHH", page, 0, number, 0, 2, 16 + 2 * slots, 0)
        at = 16 + 2 * slots
        struct.pack_into(f"{slots}H", page, 16, *[at - 2 * slots + 8] * slots)
        struct.pack_into("HHHH", page, 24, size - 64, 0, 0, 8)
        data += page

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        losses: list[str] = []
        read = Pages(io.BytesIO(data), size, losses.append)
        for number in range(4, 4 + pages):
            assert read.noted(number, b"x" * 8) == b""
        assert losses

    in_child(child)
