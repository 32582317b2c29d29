"""`lmdbstore copy`: all events, each once, however often it is stopped, and compared."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, WriteBusy
from lmdbstore.cli.moving import copying
from lmdbstore.contract.tables import columns
from tests.tools.commands import on_terminal, run
from tests.tools.remote import SECRET, SHOWN, URL, Remote, remotes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

EVENTS = [Event(f"{n:02}", f"s{n % 2}", float(n), ["t"] * (n % 4 == 0), f"{n}") for n in range(20)]
DIGEST = "digest [0-9a-f]{32}"


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Remote]:
    """Let batches be small, and stores in memory stand for servers."""
    monkeypatch.setattr(columns, "PIECE_EVENTS", 4)
    return remotes(monkeypatch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with LMDBEventStore(tmp_path / "source", durability="none") as store:
        store.save_many(EVENTS)
    return tmp_path / "source"


def copied(source: object, target: object, *options: object) -> Result:
    result = run("copy", source, target, *options)
    assert SECRET not in result.output
    return result


def events_in(folder: Path) -> list[Event]:
    with LMDBEventStore(folder, create=False) as store:
        return list(store.search())


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int, error: type[BaseException]) -> None:
    """Let the progress of a copy raise an exception when so many events are copied."""

    @contextmanager
    def counted(*_: object) -> Iterator[Callable[[int, int], None]]:
        def update(done: int, _: int) -> None:
            if done == number:
                raise error

        yield update

    monkeypatch.setattr(copying, "counted", counted)


def test_all_events_are_copied_and_compared(source: Path, path: Path) -> None:
    result = copied(source, path)
    assert (result.exit_code, result.stderr) == (0, "")
    line = rf"20 events compared, and equal: 20 copied; {DIGEST}; \d+\.\d\d s\n"
    assert re.fullmatch(line, result.stdout)
    assert events_in(path) == EVENTS
    again = copied(source, path)
    assert "20 events compared, and equal: 0 copied, 20 there before; digest" in again.stdout
    assert re.findall(DIGEST, again.stdout) == re.findall(DIGEST, result.stdout)


def test_what_came_since_is_copied_and_what_was_deleted_stays(source: Path, path: Path) -> None:
    copied(source, path)
    with LMDBEventStore(source) as store:
        store.save_many([Event("early", timestamp=-1.0), Event("late", timestamp=99.0)])
        store.delete("07")
    with LMDBEventStore(path) as store:
        store.save(Event("other"))
    result = copied(source, path)
    assert "21 events compared, and equal: 2 copied, 19 there before; 2 others in" in result.stdout
    assert len(events_in(path)) == 23


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--flag", "t"], ["00", "04", "08", "12", "16"]),
        (["--since", "15"], ["15", "16", "17", "18", "19"]),
        (["--until", "3", "--source", "s1"], ["01", "03"]),
    ],
)
def test_conditions_choose_events(
    source: Path, path: Path, options: list[str], ids: list[str]
) -> None:
    result = copied(source, path, *options)
    assert result.stdout.startswith(f"{len(ids)} events compared, and equal: {len(ids)} copied;")
    assert [event.id for event in events_in(path)] == ids
    assert "20 events compared" in copied(source, path).stdout


@pytest.mark.parametrize("number", [4, 12, 20])
def test_an_interrupted_copy_goes_on(
    source: Path, path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Also if the source has another path by then."""
    with monkeypatch.context() as patched:
        stop_at(patched, number, KeyboardInterrupt)
        result = copied(source, path)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == (
        "lmdbstore: stopped: what was copied so far stays; run the command again to continue\n"
    )
    assert events_in(path) == EVENTS[:number]
    moved = source.rename(source.with_name("moved"))
    result = copied(moved, path)
    saved = f"{20 - number} copied, {number} there before"
    assert f"20 events compared, and equal: {saved}; digest" in result.stdout
    with LMDBEventStore(path) as store:
        assert len(store.checkpoints()) == 1


def test_a_store_that_fails_in_the_middle_is_said_to_go_on(
    source: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(monkeypatch, 8, WriteBusy)
    result = copied(source, path)
    assert result.exit_code == 2
    assert "run the command again to continue" in result.stderr
    assert len(events_in(path)) == 8


def test_each_source_has_a_place_of_its_own(source: Path, path: Path, tmp_path: Path) -> None:
    with LMDBEventStore(tmp_path / "two") as two:
        two.save_many(Event(f"two {n}", timestamp=float(n)) for n in range(5))
    for folder in (source, tmp_path / "two", source):
        assert copied(folder, path).exit_code == 0
    with LMDBEventStore(path) as store:
        names = store.checkpoints()
        assert len(store) == 25
    assert len(names) == 2
    assert all(re.fullmatch("lmdbstore copy [0-9a-f]{32}", name) for name in names)


def test_events_that_differ_are_an_error(source: Path, path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save(Event("07", content="mine"))
    result = copied(source, path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "other events with the ids of 1 of the source, such as '07'" in result.stderr
    assert "stopped" not in result.stderr


# -- addresses ------------------------------------------------------------------------------------


def test_a_folder_is_copied_to_a_server_and_back(
    source: Path, path: Path, stores: dict[str, Remote]
) -> None:
    there = copied(source, URL, "--timeout", "9")
    assert there.exit_code == 0
    remote = stores[SHOWN]
    assert list(remote.search()) == EVENTS
    assert [one["timeout"] for one in remote.opened] == [9]
    back = copied(URL, f"lmdb:{path}")
    assert back.exit_code == 0
    assert events_in(path) == EVENTS
    assert remote.opened[1]["readonly"] is True
    assert remote.opened[1]["create"] is False
    assert remote.opened[1]["consistency"] == "snapshot"  # a standby can be copied
    assert remote.closed == 2
    assert re.findall(DIGEST, there.stdout) == re.findall(DIGEST, back.stdout)
    with LMDBEventStore(path) as store:
        assert not any(SECRET in name or "h:5" in name for name in store.checkpoints())


def test_one_server_is_copied_to_another(stores: dict[str, Remote]) -> None:
    stores[SHOWN] = Remote()
    stores[SHOWN].save_many(EVENTS)
    result = copied(URL, "postgresql://other/db")
    assert "20 events compared, and equal: 20 copied" in result.stdout
    assert list(stores["postgresql://other/db"].search()) == EVENTS


# -- refusals -------------------------------------------------------------------------------------


def test_one_store_by_two_names_is_refused(
    source: Path, tmp_path: Path, stores: dict[str, Remote]
) -> None:
    (tmp_path / "link").symlink_to(source)
    stores[SHOWN] = stores["postgres://alias/db"] = Remote()
    stores[SHOWN].save_many(EVENTS)
    for one, other in (
        (source, source),
        (source, tmp_path / "link"),
        (f"lmdb:{source}", os.path.relpath(source)),
        (URL, URL),
        (URL, "postgres://alias/db"),
    ):
        result = copied(one, other)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "SOURCE and TARGET are one store" in result.stderr
    with LMDBEventStore(source) as store:
        assert not store.checkpoints()
    assert not stores[SHOWN].checkpoints()


def test_a_backup_is_another_store(source: Path, tmp_path: Path) -> None:
    run("backup", "--db", source, tmp_path / "backup")
    result = copied(source, tmp_path / "backup")
    assert "20 events compared, and equal: 0 copied, 20 there before" in result.stdout


@pytest.mark.parametrize("made", [True, False])
def test_a_source_that_is_not_there_makes_no_target(path: Path, *, made: bool) -> None:
    if made:
        path.with_name("source").mkdir()
    result = copied(path.with_name("source"), path)
    assert result.exit_code == 2
    assert "there is no store in" in result.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "never"], "'--since'"),
        (["--source", "\udcff"], "source"),
        (["--timeout", "-1"], "'--timeout'"),
        (["--limit", "5"], "--limit"),
    ],
)
def test_wrong_options_make_no_target(
    source: Path, path: Path, arguments: list[str], said: str
) -> None:
    result = copied(source, path, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not path.exists()


def test_both_stores_are_named(source: Path, stores: dict[str, Remote]) -> None:
    for arguments in ([], [source], [source, ""], ["", source], [source, f"postgresql:{SECRET}"]):
        result = run("copy", *arguments)
        assert result.exit_code == 2
        assert SECRET not in result.output
    assert not stores


# -- progress -------------------------------------------------------------------------------------


def test_copying_and_comparing_are_shown(
    source: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    @contextmanager
    def pulse(text: str) -> Iterator[None]:
        seen.append(text)
        yield
        seen.append("end")

    @contextmanager
    def counted(text: str, _: str) -> Iterator[Callable[[int, int], None]]:
        seen.append(text)
        yield lambda done, total: seen.append((done, total))
        seen.append("end")

    with monkeypatch.context() as patched:
        stop_at(patched, 12, KeyboardInterrupt)
        copied(source, path)
    monkeypatch.setattr(copying, "pulse", pulse)
    monkeypatch.setattr(copying, "counted", counted)
    copied(source, path)
    copying_them = ["copying", (16, 20), (20, 20), "end"]
    assert seen == ["comparing", "end", *copying_them, "comparing", "end"]
    seen.clear()
    copied(source, path)
    assert seen == ["comparing", "end"]


@pytest.mark.surroundings
def test_a_terminal_shows_a_bar_that_disappears(source: Path, path: Path) -> None:
    status, shown = on_terminal("copy", source, path)
    assert status == 0
    assert "copying" in shown
    last = shown.rstrip().splitlines()[-1]
    assert "20 events compared, and equal: 20 copied" in last
    assert "copying" not in last
