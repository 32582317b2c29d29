"""Files of a store are private to its owner, and no content of the disk is executed or followed."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lmdbstore
from lmdbstore import Event, EventWriteException, LMDBEventStore, StoreOpenError, repair, verify
from lmdbstore.disk.folder import TEMPORARY
from tests.tools.stores import rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.surroundings


FILES = ["data.mdb", "lock.mdb", "barrier", "snapshots"]


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(
    ("options", "files", "folder"),
    [({}, 0o600, 0o700), ({"mode": 0o660}, 0o660, 0o770), ({"mode": 0o644}, 0o644, 0o755)],
)
def test_a_store_has_the_requested_rights(
    path: Path, options: dict[str, Any], files: int, folder: int
) -> None:
    """They do not depend on the umask, and files that are made again have them, too."""
    with LMDBEventStore(path, **options) as store:
        store.save(Event())
        with store.snapshot():
            pass
        assert {name: rights(path / name) for name in os.listdir(path)} == dict.fromkeys(
            os.listdir(path), files
        )
        assert rights(path) == folder
    (path / "lock.mdb").unlink()
    (path / "barrier").unlink()
    before = os.umask(0)
    with LMDBEventStore(path) as store:
        store.save(Event())
        os.umask(before)
        assert {rights(path / name) for name in os.listdir(path)} == {files}


def as_link(place: Path) -> None:
    target = place.parent.parent / "target"
    if place.exists():
        place.rename(target)
    else:
        target.write_bytes(b"")
    place.symlink_to(target)


def as_link_to_nothing(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(place.parent.parent / "target")


def as_pipe(place: Path) -> None:
    place.unlink(missing_ok=True)
    os.mkfifo(place)


def as_folder(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.mkdir()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("made", [as_link, as_link_to_nothing, as_pipe, as_folder])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_store_with_a_link_or_a_device_as_a_file_is_refused(
    tmp_path: Path, name: str, made: Callable[[Path], None], *, readonly: bool
) -> None:
    folder = tmp_path / "events"
    LMDBEventStore(folder).close()
    made(folder / name)
    target = tmp_path / "target"
    before = target.read_bytes() if target.exists() else None
    with pytest.raises(StoreOpenError, match=name):
        LMDBEventStore(folder, readonly=readonly)
    assert (target.read_bytes() if target.exists() else None) == before


@pytest.mark.parametrize("name", FILES)
def test_a_new_store_is_not_created_through_links(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    as_link_to_nothing(folder / name)
    with pytest.raises(StoreOpenError, match="symbolic link"):
        LMDBEventStore(folder)
    assert os.listdir(tmp_path) == ["events"]
    assert os.listdir(folder) == [name]


@pytest.mark.parametrize("made", [as_link, as_pipe, as_folder])
def test_verify_and_repair_do_not_follow_links(
    tmp_path: Path, made: Callable[[Path], None]
) -> None:
    folder = tmp_path / "events"
    LMDBEventStore(folder).close()
    made(folder / "data.mdb")
    target = tmp_path / "target"
    before = target.read_bytes() if target.exists() else None
    for work in (verify, lambda path: verify(path, pages=True), repair):
        with pytest.raises(StoreOpenError, match=r"data\.mdb"):
            work(folder)
    assert (target.read_bytes() if target.exists() else None) == before


@pytest.mark.parametrize("work", ["compact", "repair", "backup"])
def test_temporary_names_and_backup_targets_that_are_links_are_not_followed(
    path: Path, tmp_path: Path, work: str
) -> None:
    """An attacker may have put a link in the place of a temporary file, or of the backup."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("x")
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        link = tmp_path / "backup" if work == "backup" else path / f"{TEMPORARY}0"
        link.symlink_to(target)
        if work == "backup":
            with pytest.raises(EventWriteException, match="exists already"):
                store.backup(link)
        elif work == "compact":
            store.compact()
    if work == "repair":
        repair(path)
    assert link.is_symlink() == (work == "backup")
    assert os.listdir(target) == ["precious"]


def test_nothing_is_unpickled_or_evaluated() -> None:
    """No module has an import or a call that can do it."""
    loaders = {"pickle", "marshal", "shelve", "dill", "yaml", "code", "runpy", "dbm"}
    calls = {"eval", "exec", "compile", "__import__", "import_module"}
    for file in Path(lmdbstore.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not loaders & {name.name.partition(".")[0] for name in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in loaders or node.level, file
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in calls, (file, node.lineno)
