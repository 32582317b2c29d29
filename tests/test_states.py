"""A damaged meta page brings back nothing that was deleted: free pages tell which root is true."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest

from lmdbstore import Event, LMDBEventStore, Repaired, repair, verify
from lmdbstore.states import last_state

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
FREE_ROOT, MAIN_ROOT, TRANSACTION = 80, 128, 144  # in a meta page


class Whole(NamedTuple):
    """The bytes of a store, what is in it, and where the last meta page and that before begin."""

    data: bytes
    events: list[Event]
    last: int
    before: int

    def number(self, at: int) -> int:
        return int(struct.unpack_from("Q", self.data, at)[0])

    def former(self) -> list[int]:
        """Return the pages with the named databases of former states."""
        true = self.number(self.last + MAIN_ROOT)
        return [
            n
            for n in range(2, len(self.data) // PAGE)
            if n != true and {b"timeline", b"commits"} <= named(self.data[n * PAGE :][:PAGE])
        ]


def named(page: bytes) -> set[bytes]:
    """Return the names of databases in the bytes of a page."""
    is_leaf = page[10:12] == b"\x02\x00"
    return {name for name in (b"timeline", b"commits") if is_leaf and name in page}


@pytest.fixture
def whole(path: Path) -> Whole:
    """Make a store whose former states have events that were deleted since."""
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"e{n}", timestamp=n, tags=["all"]) for n in range(300))
        for n in range(0, 300, 4):
            store.delete(f"e{n}")
        events = list(store.search())
    data = (path / "data.mdb").read_bytes()
    metas = sorted((0, PAGE), key=lambda at: struct.unpack_from("Q", data, at + TRANSACTION)[0])
    return Whole(data, events, metas[1], metas[0])


def repaired(path: Path, data: bytes | bytearray) -> tuple[Repaired, list[Event]]:
    """Repair a store of these bytes; return what that says, and the events."""
    (path / "data.mdb").write_bytes(data)
    found = repair(path)
    assert not verify(path, pages=True)
    with LMDBEventStore(path) as store:
        return found, list(store.search())


def changed(whole: Whole, at: int, number: int) -> bytearray:
    data = bytearray(whole.data)
    struct.pack_into("Q", data, at, number)
    return data


def test_a_root_that_was_one_once_is_not_believed(path: Path, whole: Whole) -> None:
    former = whole.former()
    assert former
    for number in former:
        data = changed(whole, whole.last + MAIN_ROOT, number)
        (path / "data.mdb").write_bytes(data)
        assert verify(path, pages=True)
        found, events = repaired(path, data)
        assert events == whole.events
        assert [f"leads to page {number}," in left.detail for left in found.left_out] == [True]


def test_a_root_that_never_was_one_costs_nothing(path: Path, whole: Whole) -> None:
    """Not even the last write."""
    for number in (0, 1, len(whole.data) // PAGE, 1 << 63, whole.number(whole.last + FREE_ROOT)):
        data = changed(whole, whole.last + MAIN_ROOT, number)
        found, events = repaired(path, data)
        assert events == whole.events
        assert len(found.left_out) == 1


def free_pages(data: bytes, root: int) -> list[int]:
    """Return where the numbers of free pages stand in a list whose tree is one leaf."""
    page = root * PAGE
    assert data[page + 10] == 2
    (end,) = struct.unpack_from("H", data, page + 12)
    places: list[int] = []
    for slot in range(page + 16, page + end, 2):
        node = page + int(struct.unpack_from("H", data, slot)[0])
        size, flags = struct.unpack_from("I", data, node)[0], data[node + 4]
        assert not flags
        places += range(node + 24, node + 16 + size, 8)
    return places


def test_a_list_of_free_pages_that_names_the_root_is_not_believed(path: Path, whole: Whole) -> None:
    """One number in it is damaged: then there is no other root."""
    places = free_pages(whole.data, whole.number(whole.last + FREE_ROOT))
    former = whole.former()
    true = whole.number(whole.last + MAIN_ROOT)
    (at, *_) = (at for at in places if whole.number(at) not in former)
    found, events = repaired(path, changed(whole, at, true))
    assert events == whole.events
    assert not found.left_out


def test_the_free_pages_of_another_state_are_not_believed(path: Path, whole: Whole) -> None:
    """The main page was among them, and that before was not."""
    before = whole.number(whole.before + FREE_ROOT)
    at = free_pages(whole.data, before)[0]
    data = changed(whole, whole.last + FREE_ROOT, before)
    struct.pack_into("Q", data, at, whole.number(whole.last + MAIN_ROOT))
    found, events = repaired(path, data)
    assert events == whole.events
    assert not found.left_out


@pytest.mark.parametrize("damage", ["count", "pages"])
def test_without_a_list_of_free_pages_the_state_before_is_used(
    path: Path, whole: Whole, damage: str
) -> None:
    """As no root can then be told from one of a former state."""
    free = whole.number(whole.last + FREE_ROOT)
    data = changed(whole, whole.last + MAIN_ROOT, 1)
    at = free_pages(whole.data, free)[0] - 8 if damage == "count" else free * PAGE + 8
    data[at] ^= 0xFF
    data[at + 2] ^= 0xFF
    found, events = repaired(path, data)
    assert [event for event in events if event.id != "e296"] == whole.events
    assert len(events) == len(whole.events) + 1
    assert found.left_out


def test_a_list_that_is_not_read_whole_tells_nothing(path: Path, whole: Whole) -> None:
    """A former root would be the only one that is in use, where the true one is lost as well."""
    true = whole.number(whole.last + MAIN_ROOT)
    page = whole.number(whole.last + FREE_ROOT) * PAGE
    tried = 0
    for number in set(whole.former()) - {whole.number(whole.before + MAIN_ROOT)}:
        data = changed(whole, true * PAGE, 77)
        (place,) = (at for at in free_pages(whole.data, page // PAGE) if whole.number(at) == number)
        slots = range(page + 16, page + struct.unpack_from("H", whole.data, page + 12)[0], 2)
        nodes = {slot: page + struct.unpack_from("H", whole.data, slot)[0] for slot in slots}
        slot = max((slot for slot in slots if nodes[slot] < place), key=lambda slot: nodes[slot])
        struct.pack_into("H", data, slot, PAGE - 1)
        found, events = repaired(path, data)
        assert [event for event in events if event.id != "e296"] == whole.events
        assert "no timeline" in " ".join(left.detail for left in found.left_out)
        tried += 1
    assert tried


@pytest.mark.parametrize("field", ["last page", "free page"])
def test_numbers_beyond_all_pages(path: Path, whole: Whole, field: str) -> None:
    data = changed(whole, whole.last + MAIN_ROOT, 1)
    free = free_pages(whole.data, whole.number(whole.last + FREE_ROOT))
    at = whole.last + 136 if field == "last page" else free[0]
    struct.pack_into("Q", data, at, 1 << 62)
    assert repaired(path, data)[1] == whole.events


def test_two_pages_that_could_be_the_root_are_none(path: Path, whole: Whole) -> None:
    """A record could look like one."""
    data = changed(whole, whole.last + MAIN_ROOT, 1)
    last = len(data) // PAGE
    page = bytearray(whole.data[whole.number(whole.last + MAIN_ROOT) * PAGE :][:PAGE])
    struct.pack_into("Q", page, 0, last)
    struct.pack_into("Q", data, whole.last + 136, last)
    found, events = repaired(path, data + page)
    assert [event for event in events if event.id != "e296"] == whole.events
    assert "no timeline" in " ".join(left.detail for left in found.left_out)


def test_what_lies_behind_the_last_page_is_no_root(path: Path, whole: Whole) -> None:
    """A writer that was killed may have left anything there."""
    data = changed(whole, whole.last + MAIN_ROOT, 1)
    page = bytearray(whole.data[whole.number(whole.last + MAIN_ROOT) * PAGE :][:PAGE])
    used = whole.number(whole.last + 136) + 1
    data = data[: used * PAGE]
    data += bytes(used * PAGE - len(data))
    struct.pack_into("Q", page, 0, used)
    _, events = repaired(path, data + page)
    assert events == whole.events


def test_a_sound_store_is_read_as_it_says(path: Path, whole: Whole) -> None:
    with open(path / "data.mdb", "rb") as file:
        _, trees = last_state(file, pytest.fail, b"timeline")
    assert trees[b"timeline"].entries == len(whole.events)
