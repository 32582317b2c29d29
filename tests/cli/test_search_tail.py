"""`search -n` and `search -f`: the newest of the events that are found, and those that come."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.commands import TIMEOUT, run, start

if TYPE_CHECKING:
    from pathlib import Path

    from lmdbstore import Changes

pytestmark = pytest.mark.surroundings


@pytest.fixture
def ends(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store into which another process saves during a search; what comes ends at once."""
    position, follow = LMDBEventStore.position, LMDBEventStore.follow

    def beside(store: LMDBEventStore, **named: Any) -> str:
        found = position(store, **named)
        with LMDBEventStore(filled) as other:
            other.save(Event("d", "door", 9000.0, ["alarm"], '{"opened": 1}'))
            other.save(Event("old", "gate", 1.0, ["night"], '{"opened": 2}'))
        return found

    def to_the_end(store: LMDBEventStore, place: str, **named: Any) -> Changes:
        return follow(store, place, timeout=0, **named)

    monkeypatch.setattr(LMDBEventStore, "position", beside)
    monkeypatch.setattr(LMDBEventStore, "follow", to_the_end)
    return filled


def found(*args: object) -> list[str]:
    result = run("search", "--json", *args)
    assert result.exit_code in {0, 1}, result.stderr
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        (["-n", "2"], "bc"),
        (["-n", "0"], ""),
        (["--lines", "9"], "abc"),
        (["opened", "-n", "1"], "b"),
        (["opened", "-v", "-n", "1"], "c"),
        (["-v", "-n", "1", "evil"], "b"),
        (["-n", "1", "key", "-B", "1"], "ab"),
        (["-n", "2", "--until", "1970-01-01T00:34Z"], "ab"),
        (["-n", "1", "--any-flag", "alarm", "--not-flag", "night"], "a"),
    ],
)
def test_the_newest_are_printed_oldest_first(filled: Path, args: list[str], ids: str) -> None:
    assert found("--db", filled, *args) == list(ids)


@pytest.mark.parametrize(
    ("args", "ids"),
    [
        ([], ["a", "b", "c", "d", "old"]),
        (["-n", "1"], ["c", "d", "old"]),
        (["-n", "0"], ["d", "old"]),
        (["opened", "--source", "door"], ["a", "b", "d"]),
        (["-v", "by|evil"], ["d", "old"]),
        (["-v", "opened"], ["c"]),
        (["--since", "1970-01-01T00:30Z"], ["b", "c", "d"]),
        (["--until", "1970-01-01T00:30Z"], ["a", "old"]),
        (["--any-flag", "night"], ["b", "old"]),
        (["--not-flag", "alarm"], ["c", "old"]),
        (["--flag", "alarm"], ["a", "b", "d"]),
        (["--where", "opened>1"], ["old"]),
    ],
)
def test_what_comes_meets_the_conditions(ends: Path, args: list[str], ids: list[str]) -> None:
    """None is left out between what is found and what comes, and none is printed twice."""
    assert found("--db", ends, "-f", *args) == ids


def test_each_event_is_printed_as_it_comes_until_an_interrupt(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many([Event("a", "door", 5.0, [], "old 1"), Event("b", "door", 6.0, [], "x 2")])
        with start("search", "--db", path, "-f", "-v", "x") as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"old 1\n"
            store.save_many([Event(content="x 3"), Event(content="new")])
            assert child.stdout.readline() == b"new\n"
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=TIMEOUT)
            assert (out, err, child.returncode) == (b"", b"", 130)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-n", "1", "--limit", "2"], "without --limit"),
        (["-n", "1", "--desc"], "without --limit"),
        (["-f", "--count"], "without --limit"),
        (["-f", "--explain"], "without --limit"),
        (["-f", "-C", "1"], "without -A, -B and -C"),
        (["-f", "--output", "f"], "give >FILE"),
        (["-f", "--count-by", "flag"], "-f and -n"),
        (["-n", "-1"], "'-n'"),
    ],
)
def test_what_has_no_meaning_is_refused(filled: Path, args: list[str], words: str) -> None:
    result = run("search", "--db", filled, *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
