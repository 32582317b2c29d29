"""A store whose folder or files are mounted over, or copied up by overlayfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore, StoreMoved
from lmdbstore.disk.meta_page import metas_in
from lmdbstore.opening import place
from tests.tools.children import output_of
from tests.tools.mounts import in_namespace, needs_mounts, needs_overlay
from tests.tools.moves import other_store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings

BEGIN = """
import os, subprocess, sys
from lmdbstore import Event, LMDBEventStore, StoreMoved

def run(*command):
    subprocess.run(command, check=True)

def refused(call, text, committed=False):
    try:
        call()
    except StoreMoved as error:
        assert text in str(error), error
        assert error.committed is committed
    else:
        raise AssertionError("it was acknowledged")

def a_second_later(store):
    store._session.place.deadline = 0.0

path, other = sys.argv[1:]
"""


def check(code: str, *arguments: object) -> None:
    output_of(in_namespace(BEGIN + code, *map(str, arguments)))


MOUNTS = {
    "an empty disk": ("run('mount', '-t', 'tmpfs', 'none', path)", "without a store"),
    "another store": ("run('mount', '--bind', other, path)", "with another store"),
    "the parent": (
        "run('mount', '-t', 'tmpfs', 'none', os.path.dirname(path))",
        "nothing is there",
    ),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_a_folder_that_is_mounted_over_is_noticed(path: Path, tmp_path: Path, name: str) -> None:
    needs_mounts()
    other_store(tmp_path / "other")
    mount, says = MOUNTS[name]
    code = f"""
store = LMDBEventStore(path)
store.save(Event("a"))
{mount}
refused(lambda: store.save(Event("b")), {says!r}, committed=True)
refused(lambda: store.save(Event("c")), {says!r})
refused(store.compact, {says!r})
refused(lambda: store.get("a"), {says!r})
run("umount", os.path.dirname(path) if {name!r} == "the parent" else path)
store.save(Event("d"))
assert [event.id for event in store.search()] == ["a", "b", "d"]
store.close()
"""
    check(code, path, tmp_path / "other")
    with LMDBEventStore(tmp_path / "other") as other:
        assert len(other) == 1


@pytest.mark.parametrize("name", ["data.mdb", "barrier", "lock.mdb"])
def test_a_file_that_is_mounted_over_is_noticed_within_a_second(
    path: Path, tmp_path: Path, name: str
) -> None:
    """That changes no name in the folder."""
    needs_mounts()
    other_store(tmp_path / "other")
    code = f"""
store = LMDBEventStore(path)
store.save(Event("a"))
run("mount", "--bind", other + "/{name}", path + "/{name}")
a_second_later(store)
refused(lambda: store.get("a"), "{name} in the folder is another file")
refused(lambda: store.save(Event("b")), "{name} in the folder is another file")
run("umount", path + "/{name}")
store.save(Event("d"))
assert [event.id for event in store.search()] == ["a", "d"]
store.close()
"""
    check(code, path, tmp_path / "other")


def test_a_reader_notices_that_overlayfs_has_copied_the_file(tmp_path: Path) -> None:
    """The reader keeps the file of the lower layer, and the new one may have the same inode."""
    needs_overlay()
    disk = tmp_path / "disk"
    disk.mkdir()
    code = """
disk, events = path, path + "/merged/events"
run("mount", "-t", "tmpfs", "none", disk)
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(f"{disk}/{name}")
with LMDBEventStore(disk + "/lower/events") as store:
    store.save(Event("old"))
layers = f"lowerdir={disk}/lower,upperdir={disk}/upper,workdir={disk}/work"
run("mount", "-t", "overlay", "none", "-o", layers, disk + "/merged")
data = events + "/data.mdb"
reader = LMDBEventStore(events, readonly=True)
inode = os.stat(data).st_ino
write = "import sys; from lmdbstore import *; LMDBEventStore(sys.argv[1]).save(Event('new'))"
run(sys.executable, "-c", write, events)
assert os.stat(data).st_ino == inode, "it would be noticed by the inode"
a_second_later(reader)
refused(lambda: reader.get("new", None), "newer copy")
reader.close()
with LMDBEventStore(events, readonly=True) as again:
    assert [event.id for event in again.search()] == ["old", "new"]
"""
    check(code, disk, "")


def test_a_map_that_is_older_than_the_file_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read first: of a file that others write to, the map is never older."""
    other_store(path)
    with LMDBEventStore(path, readonly=True) as reader:
        known = reader._session.place._known
        last = known.transaction()
        for older, says in ((0, ""), (1, "newer copy")):
            monkeypatch.setattr(known, "transaction", lambda older=older: last - older)
            assert says in reader._session.place._look()
            assert bool(reader._session.place._look()) is bool(says)
        with pytest.raises(StoreMoved, match="newer copy"):
            reader.get("e", None)
    order: list[str] = []
    with LMDBEventStore(path, readonly=True) as reader:
        known = reader._session.place._known

        def file(*arguments: object) -> object:
            order.append("file")
            return metas_in(*arguments)  # type: ignore[arg-type]  # passed on

        def transaction() -> int:
            order.append("map")
            return last

        monkeypatch.setattr(place, "metas_in", file)
        monkeypatch.setattr(known, "transaction", transaction)
        reader._session.place.check()
    assert order == ["file", "map", "file"]
