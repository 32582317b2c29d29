"""The owner, the group and the mode of a store's files, whoever makes them and with any umask."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore, verify
from lmdbstore.disk.rights import Rights, excluded, rights_of
from tests.tools.stores import rights
from tests.tools.users import folder_for_all, needs_root, run_as

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.surroundings

ALICE, BOB, GROUP = 64711, 64712, 64713  # no user of the system needs to have these numbers
CONTENT = "the content of an event"
FILES = ["barrier", "data.mdb", "lock.mdb", "snapshots"]


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder in which stores of other users can be."""
    needs_root()
    with folder_for_all() as folder:
        yield folder


def owned(path: Path) -> tuple[int, int, int]:
    owner, group, mode = rights_of(path.stat())
    return owner, group, mode


def store_of_alice(place: Path, mode: int = 0o600) -> Path:
    """Make a store that has only a data file, as in a copy of it."""
    path = place / "events"
    with LMDBEventStore(path, mode=mode) as store:
        store.save(Event("a", content=CONTENT))
    for name in FILES:
        if name != "data.mdb":
            (path / name).unlink()
    for file in (path, path / "data.mdb"):
        os.chown(file, ALICE, GROUP)
    return path


def save(path: Path, event: str, options: str = "") -> str:
    return f"with LMDBEventStore({str(path)!r}{options}) as store: store.save(Event({event!r}))"


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_root_makes_side_files_for_the_owner_of_the_data_file(
    place: Path, mode: int, *, readonly: bool
) -> None:
    path = store_of_alice(place, mode)
    if readonly:
        assert verify(path) == []
    before = os.umask(0o077)
    try:
        with LMDBEventStore(path, readonly=readonly) as store:
            assert "a" in store
    finally:
        os.umask(before)
    made = sorted(file.name for file in path.iterdir())
    assert made == [name for name in FILES if name != "snapshots" or not readonly]
    assert {owned(path / name) for name in made} == {(ALICE, GROUP, mode)}
    run_as(ALICE, [GROUP], save(path, "b"))


def test_root_makes_a_store_for_the_owner_of_the_folder(place: Path) -> None:
    path = place / "events"
    path.mkdir(mode=0o700)
    os.chown(path, ALICE, GROUP)
    LMDBEventStore(path).close()
    assert {owned(path / name) for name in FILES} == {(ALICE, GROUP, 0o600)}
    assert owned(path) == (ALICE, GROUP, 0o700)
    run_as(ALICE, [], save(path, "a"))


@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("setgid", [0, stat.S_ISGID])
def test_members_of_a_group_share_a_store_in_its_folder(
    place: Path, umask: int, setgid: int
) -> None:
    """One of them makes it in an empty folder; each can write, compact and repair."""
    path = place / "events"
    path.mkdir()
    os.chown(path, 0, GROUP)
    path.chmod(0o770 | setgid)
    run_as(ALICE, [GROUP], save(path, "a", ", mode=0o660"), umask)
    assert {owned(path / name) for name in os.listdir(path)} == {(ALICE, GROUP, 0o660)}
    run_as(BOB, [GROUP], save(path, "b"), umask)
    run_as(BOB, [GROUP], f"with LMDBEventStore({str(path)!r}) as store: store.compact()", umask)
    assert owned(path / "data.mdb")[1:] == (GROUP, 0o660)
    (path / "lock.mdb").unlink()
    (path / "barrier").unlink()
    (path / "snapshots").unlink()
    run_as(ALICE, [GROUP], save(path, "c"), umask)
    run_as(BOB, [GROUP], save(path, "d"), umask)
    run_as(ALICE, [GROUP], f"repair({str(path)!r})", umask)
    run_as(BOB, [GROUP], save(path, "e"), umask)
    assert {owned(path / name)[1:] for name in os.listdir(path)} == {(GROUP, 0o660)}
    with LMDBEventStore(path) as store:
        assert len(store) == 5


def test_a_damaged_file_that_is_kept_keeps_its_rights(place: Path) -> None:
    path = store_of_alice(place, 0o660)
    path.chmod(0o770)
    data = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(data.replace(CONTENT.encode(), CONTENT.upper().encode()))
    run_as(BOB, [GROUP], f"repair({str(path)!r})")
    (kept,) = path.glob("damaged-*.mdb")
    assert owned(kept) == (ALICE, GROUP, 0o660)
    assert owned(path / "data.mdb") == (BOB, GROUP, 0o660)


def test_a_new_store_in_a_folder_of_a_group_belongs_to_the_group(place: Path) -> None:
    place.chmod(0o777 | stat.S_ISGID)
    os.chown(place, 0, GROUP)
    place.chmod(0o777 | stat.S_ISGID)
    path = place / "events"
    run_as(ALICE, [GROUP], save(path, "a", ", mode=0o660"), 0o077)
    assert {owned(path / name) for name in os.listdir(path)} == {(ALICE, GROUP, 0o660)}
    assert owned(path) == (ALICE, GROUP, 0o770 | stat.S_ISGID)
    run_as(BOB, [GROUP], save(path, "b"))


@pytest.mark.parametrize("name", ["lock.mdb", "barrier"])
@pytest.mark.parametrize("options", ["", ", readonly=True"])
@pytest.mark.parametrize("wrong", [(0, 0, 0o600), (BOB, BOB, 0o600), (ALICE, GROUP, 0o000)])
def test_a_side_file_with_wrong_rights_is_mended_or_the_error_has_the_command(
    place: Path, name: str, options: str, wrong: tuple[int, int, int]
) -> None:
    path = store_of_alice(place)
    LMDBEventStore(path).close()
    os.chown(path / name, *wrong[:2])
    (path / name).chmod(wrong[2])
    opening = f"""
try:
    LMDBEventStore({str(path)!r}{options}).close()
    print("open")
except StoreOpenError as error:
    print(error)
"""
    answer = run_as(ALICE, [GROUP], opening).strip()
    if wrong[0] == ALICE:
        assert answer == "open", "its owner mends it"
    else:
        assert f"belongs to user {wrong[0]} and group {wrong[1]} with mode 600" in answer
        command = answer.rpartition("root: ")[2]
        assert command == f"chown {ALICE}:{GROUP} {path / name} && chmod 600 {path / name}"
        if wrong[0] == BOB:
            subprocess.run(command, shell=True, check=True)
        else:
            LMDBEventStore(path).close()  # root mends it
        assert run_as(ALICE, [GROUP], opening) == "open\n"
    assert owned(path / name) == (ALICE, GROUP, 0o600)


@pytest.mark.parametrize("name", ["lock.mdb", "barrier"])
def test_a_member_mends_a_side_file_that_excludes_the_group(place: Path, name: str) -> None:
    path = store_of_alice(place, 0o660)
    path.chmod(0o770)
    LMDBEventStore(path).close()
    os.chown(path / name, BOB, BOB)
    (path / name).chmod(0o600)
    run_as(BOB, [GROUP], save(path, "b"))
    assert owned(path / name) == (BOB, GROUP, 0o660)
    run_as(ALICE, [GROUP], save(path, "c"))


def test_a_file_with_two_names_is_not_given_away(place: Path) -> None:
    """It may be a file of root, to which an owner of the folder has made a link."""
    path = store_of_alice(place)
    LMDBEventStore(path).close()
    shutil.copy(path / "barrier", place / "precious")
    (path / "barrier").unlink()
    (place / "precious").chmod(0o600)
    (path / "barrier").hardlink_to(place / "precious")
    LMDBEventStore(path).close()
    assert owned(place / "precious") == (0, 0, 0o600)


def test_a_side_file_is_never_made_less_open(path: Path) -> None:
    """An administrator may have let more users read than may write."""
    LMDBEventStore(path, mode=0o644).close()
    (path / "lock.mdb").chmod(0o666)
    (path / "barrier").chmod(0o606)  # not for the group: this is mended
    LMDBEventStore(path).close()
    assert (rights(path / "lock.mdb"), rights(path / "barrier")) == (0o666, 0o646)


def test_any_user_that_may_write_may_compact(place: Path) -> None:
    """A user of no common group cannot give the new file away, and lets all in."""
    path = store_of_alice(place, 0o666)
    path.chmod(0o777)
    run_as(BOB, [], f"with LMDBEventStore({str(path)!r}) as store: store.compact()")
    assert owned(path / "data.mdb") == (BOB, BOB, 0o666)
    run_as(ALICE, [GROUP], save(path, "b"))


def test_a_new_data_file_that_would_exclude_its_group_is_refused(place: Path) -> None:
    """Here the user is the owner, and no member of the group."""
    path = store_of_alice(place, 0o660)
    code = f"""
with LMDBEventStore({str(path)!r}) as store:
    try:
        store.compact()
    except EventWriteException as error:
        print(error)
    store.save(Event("b"))
"""
    assert "the group of the file could not use a new one" in run_as(ALICE, [], code)
    assert owned(path / "data.mdb") == (ALICE, GROUP, 0o660)


@pytest.mark.parametrize(
    ("present", "who"),
    [
        ((1, 2, 0o660), ""),
        ((9, 2, 0o660), ""),
        ((9, 2, 0o600), "owner"),
        ((1, 2, 0o640), "group"),
        ((1, 9, 0o660), "group"),
        ((1, 9, 0o666), ""),
        ((9, 9, 0o660), "owner"),
        ((1, 2, 0o060), "owner"),
    ],
)
def test_who_is_excluded(present: tuple[int, int, int], who: str) -> None:
    assert excluded(Rights(*present), Rights(1, 2, 0o660)) == who
    assert excluded(Rights(*present), Rights(0, 9, 0o600)) == ""


def test_a_reader_in_a_folder_of_another_user_is_told_what_is_missing(place: Path) -> None:
    """It may read the data file, and may not make the other files."""
    path = store_of_alice(place, 0o644)
    path.chmod(0o755)
    code = f"""
try:
    LMDBEventStore({str(path)!r}, readonly=True)
except StoreOpenError as error:
    print(error)
"""
    assert "lock.mdb" in run_as(BOB, [], code)
    assert os.listdir(path) == ["data.mdb"]
