"""The commands on a store on PostgreSQL; `tests.cli` has their refusals."""

from __future__ import annotations

import json
import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from lmdbstore import Event, LMDBEventStore, SQLEventStore, open_store
from lmdbstore.cli.moving import copying
from lmdbstore.contract.tables import columns
from tests.sql.other_writer import OtherWriter
from tests.tools.children import until
from tests.tools.commands import LINES, LOG, TIMEOUT, process, run, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def url(single: str, schema: str) -> str:
    """The address of a store that is not there yet."""
    return f"{single}&schema={quote(schema)}"


@pytest.fixture
def filled(url: str) -> str:
    """The address of a store with the events of a log."""
    assert worked("import", "--db", url, LOG, "--flag", "dpkg").exit_code == 0
    return url


def worked(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def test_the_schema_of_an_address_is_that_of_the_store(single: str, url: str, schema: str) -> None:
    with open_store(url) as store:
        assert isinstance(store, SQLEventStore)
    with SQLEventStore(single, schema=schema, create=False) as same:
        assert not same.flags()


def test_what_was_imported_is_found(filled: str) -> None:
    with open_store(filled, create=False) as store:
        assert len(store) == LINES
    again = worked("import", "--db", filled, LOG, "--flag", "dpkg", "--json")
    assert json.loads(again.stdout)["new"] == 0
    assert worked("search", "--db", filled, "--count").stdout == f"{LINES}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["search", "status installed", "--limit", "5", "--desc", "--json"],
        ["search", "-i", "PYTHON", "-C", "2", "-n", "3"],
        ["search", "--count-by", "status"],
        ["tail", "-n", "3"],
        ["histogram", "--by", "day"],
        ["top"],
        ["export", "--limit", "9"],
    ],
)
def test_commands_print_what_they_print_of_a_folder(
    filled: str, path: Path, command: list[str]
) -> None:
    with LMDBEventStore(path, durability="none"):
        pass
    worked("import", "--db", path, LOG, "--flag", "dpkg")
    there, here = worked(*command, "--db", filled), worked(*command, "--db", path)
    assert there.stdout == here.stdout
    assert there.stdout


def test_a_store_that_is_not_there_is_not_made_by_reading(url: str) -> None:
    for command in (["search"], ["stats"], ["serve"], ["purge", "--before", "5"]):
        result = run(*command, "--db", url)
        assert result.exit_code == 2
        assert "there is no store in the schema" in result.stderr
        assert "'lmdbstore import --db ADDRESS FILE' makes one" in result.stderr


def test_stats_and_purge(filled: str) -> None:
    assert re.match(rf"events +{LINES}\n", worked("stats", "--db", filled).stdout)
    kept = worked("purge", "--db", filled, "--max-events", "100", "--dry-run").stdout
    assert kept.startswith(f"{LINES - 100:,} events would be purged, from ")
    assert worked("search", "--db", filled, "--count").stdout == f"{LINES}\n"
    assert worked("purge", "--db", filled, "--max-events", "100").stdout.endswith("; 100 left\n")
    assert worked("search", "--db", filled, "--count").stdout == "100\n"


def test_a_copy_is_stopped_and_goes_on_and_comes_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both copies have the digest of the first store."""
    here, back = tmp_path / "here", tmp_path / "back"
    worked("import", "--db", here, LOG)
    monkeypatch.setattr(columns, "PIECE_EVENTS", 1000)

    @contextmanager
    def counted(*_: object) -> Iterator[Callable[[int, int], Any]]:
        def stop(done: int, _: int) -> None:
            if done == 3000:
                raise KeyboardInterrupt

        yield stop

    with monkeypatch.context() as patched:
        patched.setattr(copying, "counted", counted)
        assert run("copy", here, url).exit_code == 130
    assert worked("search", "--db", url, "--count").stdout == "3000\n"
    there = worked("copy", here, url).stdout
    saved = f"{LINES - 3000:,} copied, 3,000 there before"
    assert f"{LINES:,} events compared, and equal: {saved};" in there
    again = worked("copy", url, back).stdout
    assert f"{LINES:,} copied;" in again
    (digest,) = re.findall("digest ([0-9a-f]{32})", there)
    assert digest in again
    assert run("copy", url, url).exit_code == 2


@pytest.mark.parametrize("command", ["import", "copy", "search"])
def test_an_interrupt_of_a_wait_prints_nothing(
    filled: str, single: str, schema: str, tmp_path: Path, command: str
) -> None:
    """The pool of connections would log that it gets back one that is closed."""
    with LMDBEventStore(tmp_path / "source") as source:
        source.save(Event("a"))
    arguments: dict[str, list[object]] = {
        "import": ["import", "--db", filled, LOG],
        "copy": ["copy", tmp_path / "source", filled],
        "search": ["search", "--db", filled],
    }
    with OtherWriter(single, schema) as other:
        other.lock()
        with start(*arguments[command]) as child:
            try:
                until(lambda: other.waiting() > 0, "the command waits")
                child.send_signal(signal.SIGINT)
                assert child.communicate(timeout=TIMEOUT) == (b"", b"")
            finally:
                child.kill()
    assert child.returncode == 130


def test_another_process_works_on_it_too(filled: str) -> None:
    status, out, err = process("search", "--db", filled, "--count")
    assert (status, out, err) == (0, f"{LINES}\n", "")
