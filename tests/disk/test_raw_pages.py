"""Reading a damaged file without LMDB: the rest is returned, and losses are reported."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NamedTuple

import lmdb
import pytest

from lmdbstore.disk import format as fmt
from lmdbstore.disk.last_state import last_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmdbstore.disk.raw_pages import Pages, Tree

PAGE = 4096
ENTRIES = {b"k%04d" % n: b"value %d" % n for n in range(1000)} | {b"big": b"b" * 9000}
VICTIM = b"k0500"


class Whole(NamedTuple):
    """The bytes of a file, and where things are in it."""

    data: bytes
    root: int  # the offset of the root of the tree, a branch
    leaf: int  # the offset of the leaf with the victim
    slot: int  # the offset of the victim's entry in the leaf's table
    node: int  # the offset of the victim's node
    big: int  # the offset of the overflow pages


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    """Make a file with one named database."""
    name = str(tmp_path / "data")
    with lmdb.open(name, subdir=False, max_dbs=1) as env, env.begin(write=True) as txn:
        assert txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))
        handle = env.open_db(b"t", txn=txn)
        for key, value in ENTRIES.items():
            txn.put(key, value, db=handle)
    data = (tmp_path / "data").read_bytes()
    with open(name, "rb") as file:
        root = last_state(file, pytest.fail)[1][b"t"].root * PAGE
    node = data.index(VICTIM + ENTRIES[VICTIM]) - 8
    leaf = node // PAGE * PAGE
    slot = next(at for at in range(leaf + 16, node, 2) if read(data, at, "H") == node - leaf)
    return Whole(data, root, leaf, slot, node, data.index(b"b" * 9000) - 16)


def read(data: bytes | bytearray, at: int, kind: str) -> int:
    number: int = struct.unpack_from(kind, data, at)[0]
    return number


def entries(path: Path, data: bytes) -> tuple[dict[bytes, bytes], list[str]]:
    """Return the entries that can be reached in a file of these bytes, and the messages."""
    messages: list[str] = []
    (path / "data").write_bytes(data)
    with open(path / "data", "rb") as file:
        pages, trees = last_state(file, messages.append, (b"t",))
        tree = trees[b"t"]
        reached = list(pages.walk(tree.root))
        assert len(dict(reached)) == len(reached)
        for key, value in ENTRIES.items():
            assert pages.lookup(tree, key) in (None, value)
        assert pages.lookup(tree, b"none") is None
    return dict(reached), messages


def in_leaf(whole: Whole) -> set[bytes]:
    """Return the keys in the leaf, from its table, as there may be old bytes between."""
    end = whole.leaf + read(whole.data, whole.leaf + 12, "H")
    nodes = [whole.leaf + read(whole.data, at, "H") for at in range(whole.leaf + 16, end, 2)]
    return {whole.data[node + 8 : node + 8 + len(VICTIM)] for node in nodes}


def the_victim(_: Whole) -> set[bytes]:
    return {VICTIM}


def nothing(_: Whole) -> set[bytes]:
    """A large value has a checksum of its own, so it is read whatever is before it."""
    return set()


def test_a_sound_file_is_read_completely(tmp_path: Path, whole: Whole) -> None:
    assert entries(tmp_path, whole.data) == (ENTRIES, [])
    assert len(in_leaf(whole)) > 50


def test_a_big_value_is_read_only_on_request(whole: Whole) -> None:
    """Otherwise a hostile file could fill the memory with values that should be short."""
    pages, trees = last_state(io.BytesIO(whole.data), pytest.fail)
    assert pages.lookup(trees[b"t"], b"big") is None
    assert pages.lookup(trees[b"t"], b"big", big=True) == ENTRIES[b"big"]
    assert pages.lookup(trees[b"t"], VICTIM, big=True) == ENTRIES[VICTIM]


def test_an_entry_that_overlaps_with_others_loses_no_other(whole: Whole) -> None:
    """The entries of the page are together longer than the page."""
    data = bytearray(whole.data)
    room = whole.leaf + PAGE - whole.node - 8 - len(VICTIM)
    assert len(in_leaf(whole)) * 20 + room > PAGE
    struct.pack_into("H", data, whole.node, room)
    pages, trees = last_state(io.BytesIO(data), pytest.fail)
    reached = dict(pages.walk(trees[b"t"].root))
    assert len(reached.pop(VICTIM)) == room
    assert reached == {key: value for key, value in ENTRIES.items() if key != VICTIM}


@pytest.mark.parametrize(
    ("field", "value", "lost"),
    [
        (("slot", 0, "H"), PAGE - 7, the_victim),  # its head does not fit
        (("slot", 0, "H"), 0xFFFF, the_victim),
        (("slot", 0, "H"), 14, the_victim),  # in the head of the page
        (("node", 0, "H"), PAGE, the_victim),  # a value beyond the page
        (("node", 2, "H"), 0xFFFF, the_victim),
        (("node", 4, "H"), 1, the_victim),  # its value seems to be in overflow pages
        (("node", 4, "H"), 2, the_victim),  # it seems to be a named database
        (("node", 4, "H"), 0xFFFF, the_victim),
        (("node", 6, "H"), PAGE, the_victim),  # a key beyond the page
        (("leaf", 0, "Q"), 77, in_leaf),  # another page's number
        (("leaf", 10, "H"), 4, in_leaf),  # of overflow
        (("leaf", 10, "H"), 8, in_leaf),  # of meta data
        (("leaf", 12, "H"), 15, in_leaf),  # the end of the table
        (("leaf", 12, "H"), PAGE + 1, in_leaf),
        (("leaf", 12, "H"), 16, in_leaf),  # no entries: LMDB keeps no such page
        (("big", 0, "Q"), 77, nothing),
        (("big", 10, "H"), 2, nothing),
        (("big", 12, "I"), 2, nothing),  # pages; the value needs three
        (("big", 12, "I"), 0, nothing),
    ],
)
def test_damage_is_reported_and_the_rest_is_read(
    tmp_path: Path,
    whole: Whole,
    field: tuple[str, int, str],
    value: int,
    lost: Callable[[Whole], set[bytes]],
) -> None:
    place, at, kind = field
    data = bytearray(whole.data)
    struct.pack_into(kind, data, getattr(whole, place) + at, value)
    reached, messages = entries(tmp_path, bytes(data))
    assert reached == {key: value for key, value in ENTRIES.items() if key not in lost(whole)}
    assert messages


@pytest.mark.parametrize("child", ["itself", "another", "far", "beyond"])
def test_a_branch_with_a_wrong_page_number_loses_only_its_leaf(
    tmp_path: Path, whole: Whole, child: str
) -> None:
    """It leads in a circle, twice to one page, or out of the file."""
    data = bytearray(whole.data)
    slots = range(whole.root + 16, whole.root + read(data, whole.root + 12, "H"), 2)
    nodes = [whole.root + read(data, slot, "H") for slot in slots]
    (node,) = [node for node in nodes if read(data, node, "I") == whole.leaf // PAGE]
    number = {
        "itself": whole.root // PAGE,
        "another": read(data, nodes[0], "I"),
        "far": len(data) // PAGE,
        "beyond": 0xFFFFFFFF,
    }[child]
    struct.pack_into("I", data, node, number)
    reached, messages = entries(tmp_path, bytes(data))
    assert reached == {key: value for key, value in ENTRIES.items() if key not in in_leaf(whole)}
    assert messages


def test_a_damaged_key_in_a_branch_loses_nothing(tmp_path: Path, whole: Whole) -> None:
    """Only lookups fail."""
    for at in range(whole.root + 16, whole.root + read(whole.data, whole.root + 12, "H"), 2):
        data = bytearray(whole.data)
        struct.pack_into("H", data, whole.root + read(data, at, "H") + 6, 0xFFFF)
        assert entries(tmp_path, bytes(data)) == (ENTRIES, [])


def test_a_big_value_is_lost_if_the_file_is_cut_off_in_it(tmp_path: Path, whole: Whole) -> None:
    at = whole.big + 2 * PAGE
    if at > max(whole.root, whole.leaf):  # LMDB decides where its pages are
        reached, messages = entries(tmp_path, whole.data[:at])
        assert b"big" not in reached
        assert messages


@pytest.mark.parametrize("size", [0, 1, 100, 151, 152, PAGE, PAGE + 10, 2 * PAGE, 2 * PAGE + 1])
def test_a_file_cut_off_near_its_start_has_no_tree(tmp_path: Path, whole: Whole, size: int) -> None:
    """Without a meta page, a ValueError is raised, and nothing else."""
    (tmp_path / "data").write_bytes(whole.data[:size])
    with open(tmp_path / "data", "rb") as file:
        try:
            _, trees = last_state(file, lambda _: None)
        except ValueError as error:
            assert "neither" in str(error)  # noqa: PT017  it depends on the size
        else:
            assert trees == {}


@pytest.fixture(params=[1, 3, 40, 900, 30_000])
def pairs(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Pages, Tree, set[bytes]]:
    """Read a database of pairs: of one, of a few in the node, and of a tree of their own."""
    values = {struct.pack(">QQ", n * 7, n) for n in range(request.param)}
    name = str(tmp_path / "data")
    with (
        lmdb.open(name, subdir=False, max_dbs=1, map_size=1 << 24) as env,
        env.begin(write=True) as txn,
    ):
        assert txn.put(fmt.TRANSACTION, fmt.encode_checked(txn.id()))
        handle = env.open_db(b"t", txn=txn, dupsort=True, dupfixed=True)
        for key in (b"a", b"k", b"z"):
            for value in values:
                txn.put(key, value, db=handle)
    pages, trees = last_state(io.BytesIO((tmp_path / "data").read_bytes()), pytest.fail)
    return pages, trees[b"t"], values


def test_pairs_are_found(pairs: tuple[Pages, Tree, set[bytes]]) -> None:
    pages, tree, values = pairs
    for key in (b"a", b"k", b"z"):
        assert all(pages.has_pair(tree, key, value) for value in sorted(values)[:50])
        assert pages.has_pair(tree, key, max(values))
        for other in (bytes(16), b"\xff" * 16, struct.pack(">QQ", 7, 3)):
            assert pages.has_pair(tree, key, other) == (other in values)
    assert not pages.has_pair(tree, b"b", max(values))
    assert not pages.has_pair(None, b"a", max(values))


def test_the_first_entry_from_a_key_on_is_found(whole: Whole) -> None:
    pages, trees = last_state(io.BytesIO(whole.data), pytest.fail)
    keys = sorted(ENTRIES)
    for key in (b"", b"big", b"c", b"k0500", b"k0500x", b"k0998x", b"k0999"):
        first = next(other for other in keys if other >= key)
        assert pages.ceiling(trees[b"t"], key) == (first, ENTRIES[first])
        assert pages.has(trees[b"t"], key) == (key in ENTRIES)
    assert pages.ceiling(trees[b"t"], b"l") is None
    assert pages.ceiling(None, b"") is None
