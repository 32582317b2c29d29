"""The command `tail`: the newest events, and those that come."""

from __future__ import annotations

import json
import signal
from typing import IO, TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.commands import TIMEOUT, on_terminal, process, run, start

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import Changes

pytestmark = pytest.mark.surroundings


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ([], "abc"),
        (["-n", "2"], "bc"),
        (["-n", "0"], ""),
        (["--lines", "1"], "c"),
        (["opened"], "ab"),
        (["opened", "-n", "1"], "b"),
        (["--flag", "alarm"], "ab"),
        (["--source", "gate"], "c"),
        (["absent"], ""),
    ],
)
def test_the_newest_events_are_printed_oldest_first(
    filled: Path, args: list[str], ids: str
) -> None:
    result = run("tail", "--db", filled, "--json", *args)
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == list(ids)
    assert result.exit_code == (0 if ids else 1)


def test_ten_is_the_number_without_one(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(Event(timestamp=float(n), content=str(n)) for n in range(30))
    _, out, _ = process("tail", "--db", path)
    assert out.split() == [str(n) for n in range(20, 30)]


def test_a_terminal_is_shown_what_search_shows(filled: Path) -> None:
    _, shown = on_terminal("tail", "--db", filled, "f[o-r]+ce")
    begin = "\x1b[2m1970-01-01 00:16:40.000  door  \x1b[0m"
    assert shown == f"{begin}opened by \x1b[1;31mforce\x1b[0m\r\n"


def next_line(output: IO[bytes] | None) -> str:
    assert output is not None
    return output.readline().decode().rstrip("\n")


def test_following_prints_what_comes_until_an_interrupt(path: Path) -> None:
    """In the order of saving, and each event at once, also to a pipe."""
    with LMDBEventStore(path) as store:
        store.save_many([Event("a", "door", 5.0, [], "old 1"), Event("b", "gate", 6.0, [], "no")])
        with start("tail", "--db", path, "-f", "--source", "door") as child:
            assert next_line(child.stdout) == "old 1"
            for n in range(5):
                store.save(Event(source="gate", content="other"))
                store.save(Event(source="door", timestamp=-float(n), content=f"new {n}"))
                assert next_line(child.stdout) == f"new {n}"
            for content in ("old 1", "replaced"):
                event = Event("a", "door", 5.0, [], content)
                store.save_many([event], on_duplicate="replace")
                assert next_line(child.stdout) == content
            for _ in range(2):
                store.save(event, on_duplicate="replace")  # the same again
                assert next_line(child.stdout) == "replaced"
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=TIMEOUT)
            assert (out, err) == (b"", b"")
            assert child.returncode == 130


def test_nothing_is_lost_or_repeated_between_the_newest_and_what_comes(path: Path) -> None:
    """While others save without a pause."""
    with LMDBEventStore(path) as store:
        store.save(Event("0", content="0"))
        with start("tail", "--db", path, "-f", "-n", "100000") as child:
            for n in range(1, 300):
                store.save(Event(str(n), content=str(n)))
            lines = [next_line(child.stdout) for _ in range(300)]
            child.send_signal(signal.SIGTERM)
            out, _ = child.communicate(timeout=TIMEOUT)
            assert (out, child.returncode) == (b"", 143)
    assert lines == [str(n) for n in range(300)]


def test_what_is_saved_while_the_newest_are_looked_up_is_printed_once(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    position, follow = LMDBEventStore.position, LMDBEventStore.follow

    def beside(store: LMDBEventStore, **named: Any) -> str:
        found = position(store, **named)
        monkeypatch.setattr(LMDBEventStore, "position", position)  # once
        with LMDBEventStore(filled) as other:
            other.save(Event("d", timestamp=9000.0))
            other.save(Event("old", timestamp=1.0))
        return found

    def to_the_end(store: LMDBEventStore, place: str, **named: Any) -> Changes:
        return follow(store, place, timeout=0, **named)

    monkeypatch.setattr(LMDBEventStore, "position", beside)
    monkeypatch.setattr(LMDBEventStore, "follow", to_the_end)
    result = run("tail", "--db", filled, "-f", "-n", "2", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["c", "d", "old"]


def test_a_pattern_that_cannot_be_used_is_refused(filled: Path) -> None:
    for args in (["("], ["-n", "-1"], ["-n", "x"]):
        assert run("tail", "--db", filled, *args).exit_code == 2
    assert run("tail", "--db", filled.with_name("none")).exit_code == 2
