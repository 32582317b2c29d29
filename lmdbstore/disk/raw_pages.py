"""Reading a data file without LMDB: the part of its trees that is reachable, whatever the damage.

Rules: nothing in the file is trusted. Numbers and offsets are checked against the file and the page
before they are used, no page is visited twice, and anything that cannot be read is reported and
left out. Only a few pages are in memory at once.

The layout is that of LMDB 0.9 (`mdb.c`: MDB_page, MDB_node, MDB_db) on 64-bit machines. A page
begins with its number (8 bytes), padding (2), flags (2), and the ends of its table of offsets and
of its free space (2 each). An overflow page has the number of its pages (4) instead of the last
two. A node has the size of its value in two halves (2 each), flags (2), the length of its key (2),
the key, and the value; in a branch, the first six bytes are the number of a page. In a database of
pairs of one size, several values of a key are a small page inside of the node, or a tree of their
own; they lie side by side after the header of a page, whose padding is their size.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .meta_page import four_at, number_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["NO_ROOT", "Pages", "Tree"]

HEADER = 16  # bytes of the header of a page
NODE = 8  # bytes of the header of a node
BRANCH, LEAF, OVERFLOW, ONE_SIZE = 1, 2, 4, 32  # flags of pages
BIG, SUBTREE, PAIRS = 1, 2, 4  # flags of nodes: a value in overflow pages; a tree; several values
DB_ENTRIES, DB_ROOT, DB_END = 32, 40, 48  # in an MDB_db
NO_ROOT = (1 << 64) - 1  # of an empty tree
DEEPEST = 32  # levels of a tree (CURSOR_STACK)
CACHED = 1 << 20  # bytes of pages
OVERLAPPING = 4  # entries of a page that overlap may have this many times its bytes


class Tree(NamedTuple):
    """A named database: its root page, and how many entries LMDB counted."""

    root: int
    entries: int


class _Node(NamedTuple):
    key: bytes
    flags: int
    value: bytes  # in a branch: empty
    page: int  # in a branch: the page below; for a big value: its first page
    size: int  # of the value


class Pages:
    """The pages of an LMDB data file that may be damaged."""

    def __init__(self, file: BinaryIO, page_size: int, tell: Callable[[str], None]) -> None:
        """Read `file`; `tell` is called with a text about anything that cannot be read."""
        self.page_size = page_size
        self._file = file
        self._size = file.seek(0, 2)
        self.count = self._size // page_size
        self._tell = tell
        self._nodes = lru_cache(max(CACHED // page_size, 1))(self._read_nodes)

    def walk(self, root: int) -> Iterator[tuple[bytes, bytes]]:
        """Give the entries of a tree that are reachable, in its order."""
        return self._walk(root, 0)

    def trees(self, root: int) -> dict[bytes, Tree]:
        """Return the named databases in the tree at `root`."""
        return {
            name: Tree(number_at(value, DB_ROOT, 8), number_at(value, DB_ENTRIES, 8))
            for name, value in self._walk(root, SUBTREE)
            if len(value) == DB_END
        }

    def noted(self, number: int, key: bytes) -> bytes:
        """Return the value of a key in one page, if that is a leaf; otherwise empty bytes."""
        _, nodes = self._nodes(number) or (True, [])
        return next((node.value for node in nodes if node.key == key), b"")

    def _walk(self, root: int, wanted: int) -> Iterator[tuple[bytes, bytes]]:
        seen = bytearray(self.count // 8 + 1)
        places = [(root, 0)]
        while places:
            number, depth = places.pop()
            if number == NO_ROOT:
                continue
            if depth > DEEPEST or number // 8 >= len(seen) or seen[number // 8] >> number % 8 & 1:
                self._tell(f"page {number} cannot belong where it is referenced")
                continue
            seen[number // 8] |= 1 << number % 8
            found = self._nodes(number)
            if found is None:
                self._tell(f"page {number} cannot be read")
                continue
            is_branch, nodes = found
            if is_branch:
                places += [(node.page, depth + 1) for node in reversed(nodes)]
                continue
            for node in nodes:
                if wanted and not node.flags:
                    continue  # next to the names of the databases
                value = self._value(node) if node.flags & ~BIG == wanted else None
                if value is not None:
                    yield node.key, value
                else:
                    self._tell(f"an entry in page {number} cannot be read")

    def lookup(self, tree: Tree | None, key: bytes, *, big: bool = False) -> bytes | None:
        """Return the value of a key, or None if it is not found in what can be read.

        `big` allows a value that is not stored in its page.
        """
        node = None if tree is None else self._find(tree.root, key)
        right = node is not None and node.flags in ((0, BIG) if big else (0,))
        return self._value(node) if node is not None and right else None

    def _find(self, root: int, key: bytes) -> _Node | None:
        """Return the node of a key, or None if it is not found in what can be read."""
        number = root
        for _ in range(DEEPEST):
            found = self._nodes(number)
            if found is None:
                return None
            is_branch, nodes = found
            node = _last_up_to(nodes, key, is_branch=is_branch)
            if node is None or not is_branch:
                return node if node is not None and node.key == key else None
            number = node.page
        return None

    def ceiling(self, tree: Tree | None, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the first entry that can be read whose key is not below `key`."""
        places = [] if tree is None else [tree.root]
        seen: set[int] = set()
        while places:
            number = places.pop()
            found = None if number in seen else self._nodes(number)
            seen.add(number)
            if found is None:
                continue
            is_branch, nodes = found
            if is_branch:
                first = _last_up_to(nodes, key, is_branch=True) or nodes[0]
                places += [node.page for node in reversed(nodes[nodes.index(first) :])]
                continue
            for node in nodes[bisect_left(nodes, key, key=_key) :]:
                value = self._value(node)
                if value is not None:
                    return node.key, value
        return None

    def has(self, tree: Tree | None, key: bytes) -> bool:
        """Whether a key is found in what can be read."""
        return tree is not None and self._find(tree.root, key) is not None

    def has_pair(self, tree: Tree | None, key: bytes, value: bytes) -> bool:
        """Whether a database of pairs of one size has a pair, in what can be read."""
        node = None if tree is None else self._find(tree.root, key)
        if node is None or not node.flags & PAIRS:
            return node is not None and not node.flags and node.value == value
        if node.flags == PAIRS:
            return value in _side_by_side(node.value)
        number = number_at(node.value, DB_ROOT, 8)
        for _ in range(DEEPEST):
            found = self._nodes(number)
            if found is None or not found[0]:
                page = self._read(number * self.page_size, self.page_size)
                return value in _side_by_side(page)
            below = _last_up_to(found[1], value, is_branch=True)
            if below is None:
                return False
            number = below.page
        return False

    def _read(self, at: int, size: int) -> bytes:
        if not 0 <= at <= self._size:
            return b""
        self._file.seek(at)
        return self._file.read(min(size, self._size - at))

    def _read_nodes(self, number: int) -> tuple[bool, list[_Node]] | None:
        """Return whether a page is a branch, and its nodes; None if it is not a page of a tree.

        Nodes that reach beyond the page are left out, and so are nodes that only fit because they
        overlap.
        """
        if number >= self.count:
            return None
        page = self._read(number * self.page_size, self.page_size)
        kind, lower = number_at(page, 10, 2), number_at(page, 12, 2)
        whole = len(page) == self.page_size and number_at(page, 0, 8) == number
        if not whole or kind not in (BRANCH, LEAF) or not HEADER <= lower <= self.page_size:
            return None
        nodes = []
        room = OVERLAPPING * self.page_size
        for at in range(HEADER, lower - 1, 2):
            node = self._node(page, number_at(page, at, 2), is_branch=kind == BRANCH)
            taken = NODE + len(node.key) + len(node.value) if node else 0
            if node is None or taken > room:
                self._tell(f"an entry in page {number} cannot be read")
            else:
                nodes.append(node)
                room -= taken
        return (kind == BRANCH, nodes) if nodes else None

    def _node(self, page: bytes, at: int, *, is_branch: bool) -> _Node | None:
        if not HEADER <= at <= len(page) - NODE:
            return None
        low, high, flags, length = four_at(page, at)
        begin = at + NODE + length
        key, size = page[at + NODE : begin], low | high << 16
        if is_branch:  # it points to its page even if its key is damaged
            return _Node(key, 0, b"", size | flags << 32, 0)
        end = begin + (8 if flags & BIG else size)
        if end > len(page):
            return None
        value = page[begin:end]
        return _Node(key, flags, value, number_at(value, 0, 8) if flags & BIG else 0, size)

    def _value(self, node: _Node) -> bytes | None:
        if not node.flags & BIG:
            return node.value
        at = node.page * self.page_size
        head = self._read(at, HEADER)
        room = number_at(head, 12, 4) * self.page_size - HEADER
        if (
            len(head) < HEADER
            or number_at(head, 0, 8) != node.page
            or number_at(head, 10, 2) != OVERFLOW
            or room < node.size
        ):
            # Where events are, a checksum decides whether it is the value.
            self._tell(f"page {node.page} does not begin as a large value does")
        value = self._read(at + HEADER, node.size)
        return value if len(value) == node.size else None


def _key(node: _Node) -> bytes:
    return node.key


def _last_up_to(nodes: list[_Node], key: bytes, *, is_branch: bool) -> _Node | None:
    """Return the last node whose key is not above `key`.

    The first key of a branch page is never compared: it may be empty.
    """
    place = bisect_right(nodes, key, lo=1 if is_branch else 0, key=_key)
    return nodes[place - 1] if place else None


def _side_by_side(page: bytes) -> list[bytes]:
    """Return the values of a page that has values of one size; none of another page."""
    size, kind, lower = (number_at(page, at, 2) for at in (8, 10, 12))
    if not size or not kind & ONE_SIZE or not lower >= HEADER:
        return []
    end = min(HEADER + (lower - HEADER) // 2 * size, len(page))
    return [page[at : at + size] for at in range(HEADER, end, size)]
