"""Checkpoints and cursors: checked, copied and repaired like events, though no record has them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, FindingKind, LMDBEventStore, StoreDamaged, repair, verify
from lmdbstore.contract.commits.cursor_state import CursorState
from lmdbstore.disk import format as fmt
from lmdbstore.disk.folder import DATA_FILE
from lmdbstore.records.named import NamedText, encode_named
from tests.tools.damages import flipped
from tests.tools.planting import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENTS = [Event(f"e{n}", timestamp=float(n)) for n in range(700)]  # some of them in a run
LONG = "ü" * 300  # its key does not tell it
CHECKPOINTS = {"log": "line 7", LONG: "here", "big": "x" * 9000}
CURSORS = {"shipper": CursorState(after=9).encode(), LONG: CursorState(("ü",)).encode()}
BY_NAME = {fmt.CHECKPOINTS: CHECKPOINTS, fmt.CURSORS: CURSORS}
KINDS = {
    fmt.CHECKPOINTS: FindingKind.CHECKPOINT_DAMAGED,
    fmt.CURSORS: FindingKind.CURSOR_DAMAGED,
}
EACH = [(fmt.CHECKPOINTS, "log"), (fmt.CHECKPOINTS, LONG), (fmt.CURSORS, "shipper")]


@pytest.fixture
def path(path: Path) -> Path:
    """Return a store with events, checkpoints and cursors."""
    with LMDBEventStore(path) as store:
        store.save_many(EVENTS)
        for item in CHECKPOINTS.items():
            store.save_many([], checkpoint=item)
        with writing(store) as (txn, databases):
            for name, text in CURSORS.items():
                named = NamedText(name, text)
                txn.put(named.key, encode_named(named), db=databases.cursors)
    return path


def kept(path: Path) -> dict[bytes, dict[bytes, bytes]]:
    """Return the entries of a sound store, which has all events."""
    with LMDBEventStore(path, create=False) as store:
        assert store.verify(pages=True) == []
        assert list(store.search()) == EVENTS
        return store._session.read(
            lambda txn, dbs: {
                name: dict(txn.cursor(db=getattr(dbs, name.decode()))) for name in BY_NAME
            }
        )


def entries(but: tuple[bytes, str] | None = None) -> dict[bytes, dict[bytes, bytes]]:
    """Return the entries that there were, without one of them."""
    return {
        database: {
            NamedText(name, text).key: encode_named(NamedText(name, text))
            for name, text in texts.items()
            if (database, name) != but
        }
        for database, texts in BY_NAME.items()
    }


def plant(path: Path, database: bytes, change: Callable[[Any, Any], None]) -> None:
    with LMDBEventStore(path) as store, writing(store) as (txn, databases):
        change(txn, getattr(databases, database.decode()))


def flip(path: Path, database: bytes, name: str, bit: int) -> None:
    """Flip one bit of a value."""
    key = NamedText(name, "").key

    def change(txn: Any, handle: Any) -> None:
        txn.put(key, flipped(txn.get(key, db=handle), bit // 8, 1 << bit % 8), db=handle)

    plant(path, database, change)


def test_a_sound_store_keeps_them(path: Path) -> None:
    found = repair(path)
    assert (found.left_out, found.old_file) == ([], None)
    assert kept(path) == entries()


@pytest.mark.parametrize(("database", "name"), EACH)
def test_a_flipped_bit_is_found_named_and_left_out(path: Path, database: bytes, name: str) -> None:
    size = 8 * len(encode_named(NamedText(name, BY_NAME[database][name])))
    flip(path, database, name, random.Random(name).randrange(8 * 12, size))
    kind, where = KINDS[database], database.decode()
    for findings in (verify(path), repair(path).left_out):
        (finding,) = findings
        assert finding[:2] == (kind, where)
        # The bit may be in the name of a long one, of which the key tells the beginning only.
        assert name[:20] in finding.detail or name == LONG
        assert "is not what was written" in finding.detail
    assert kept(path) == entries(but=(database, name))


@pytest.mark.parametrize("bit", range(0, 8 * len(encode_named(NamedText("log", "line 7"))), 7))
def test_a_damaged_checkpoint_is_never_shown(path: Path, bit: int) -> None:
    """Reading it fails; other checkpoints, events and the next save of it do not."""
    flip(path, fmt.CHECKPOINTS, "log", bit)
    with LMDBEventStore(path) as store:
        with pytest.raises(StoreDamaged, match="'log'"):
            store.checkpoint("log")
        with pytest.raises(StoreDamaged, match="is not what was written"):
            store.checkpoints("lo")
        assert store.checkpoint("big") == CHECKPOINTS["big"]
        assert store.checkpoints("b") == {"big": CHECKPOINTS["big"]}
        assert len(store) == len(EVENTS)
        store.save_many([], checkpoint=("log", "line 7"))
        assert store.checkpoint("log") == "line 7"
    assert kept(path) == entries()


def test_a_checkpoint_at_the_key_of_another_is_found_and_keeps_its_name(path: Path) -> None:
    def change(txn: Any, handle: Any) -> None:
        txn.put(b"other", txn.pop(b"log", db=handle), db=handle)

    plant(path, fmt.CHECKPOINTS, change)
    with LMDBEventStore(path) as store, pytest.raises(StoreDamaged, match="'other'"):
        store.checkpoint("other")
    with LMDBEventStore(path) as store, pytest.raises(StoreDamaged, match="is not what was"):
        store.checkpoints("o")
    (finding,) = verify(path)
    assert finding[:2] == (FindingKind.CHECKPOINT_DAMAGED, "checkpoints")
    assert "'log' is at 6f74686572" in finding.detail
    assert repair(path).left_out == []
    assert kept(path) == entries()


@pytest.mark.parametrize("database", BY_NAME)
def test_a_missing_database_is_named_as_lost(path: Path, database: bytes) -> None:
    with LMDBEventStore(path) as store:
        handle = getattr(store._session._environment.databases, database.decode())
        with writing(store) as (txn, _):
            txn.drop(handle)
    expected = [(FindingKind.DATABASE, database.decode())]
    assert [finding[:2] for finding in verify(path)] == expected
    assert [finding[:2] for finding in repair(path).left_out] == expected
    assert kept(path) == {**entries(), database: {}}


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_in_the_pages_of_checkpoints_shows_nothing_wrong(
    path: Path, seed: int
) -> None:
    """Whatever it is in: after a repair each checkpoint is as it was, or was named as lost."""
    chance = random.Random(seed)
    data = bytearray((path / DATA_FILE).read_bytes())
    value = encode_named(NamedText("log", "line 7"))
    pages = [at for at in range(0, len(data), 4096) if value in data[at : at + 4096]]
    used = [at for at in range(4096) if any(data[page + at] for page in pages)]
    at, bit = chance.choice(used), 1 << chance.randrange(8)
    for page in pages:  # of the last state, and of older ones
        data[page + at] ^= bit
    (path / DATA_FILE).write_bytes(data)
    found = repair(path)
    after, before = kept(path)[fmt.CHECKPOINTS], entries()[fmt.CHECKPOINTS]
    assert after.items() <= before.items()
    assert after == before or found.left_out


def test_copies_have_them(path: Path, tmp_path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.backup(tmp_path / "copy")
        store.compact()
        store.seal()
        assert store.purge(before=3.0).events == 3
        store.save_many(EVENTS[:3])
    assert kept(tmp_path / "copy") == kept(path) == entries()
