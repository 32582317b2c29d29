"""The store that a command uses without --db, and what `lmdbstore` alone says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, LMDBEventStore
from tests.tools.commands import ENVIRONMENT, LOG, process, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.surroundings

NEEDS = (["search"], ["stats"], ["seal"], ["verify"], ["purge", "--before", "-90d"])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the commands run in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LMDBSTORE_DB", raising=False)
    return folder


def made(folder: Path) -> None:
    with LMDBEventStore(folder, durability="none") as store:
        store.save(Event(source="door", content=folder.name))


@pytest.mark.parametrize("args", NEEDS)
def test_no_store_is_guessed_where_none_is(here: Path, args: list[str]) -> None:
    (here / "other").mkdir()
    (here / "other" / "data.mdb").touch()  # of another program
    result = run(*args)
    assert result.exit_code == 2
    assert "give --db DIR, or set LMDBSTORE_DB=DIR" in result.stderr


def test_the_only_store_here_is_used_and_named(here: Path) -> None:
    made(here / "one")
    result = run("search")
    assert (result.exit_code, result.stdout) == (0, "one\n")
    assert result.stderr == "lmdbstore: uses the store 'one'; --db names another one\n"
    assert run("import", LOG).exit_code == 0
    assert int(run("search", "--count").stdout) == 4892


def test_a_command_inside_of_a_store_uses_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(here / "one")
    monkeypatch.chdir(here / "one")
    assert run("search").stdout == "one\n"


def test_several_stores_are_named_and_none_is_used(here: Path) -> None:
    made(here / "one")
    made(here / "two")
    for args in (*NEEDS, ["import", LOG]):
        assert run(*args).exit_code == 2
    assert "there are several stores here, 'one', 'two'" in run("search").stderr


def test_the_option_and_the_variable_come_first(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(here / "one")
    made(here / "two")
    monkeypatch.setenv("LMDBSTORE_DB", "two")
    for args, content in ((["search"], "two\n"), (["search", "--db", "one"], "one\n")):
        result = run(*args)
        assert (result.stdout, result.stderr) == (content, "")


def test_the_command_alone_says_what_to_do_first(here: Path) -> None:
    assert "lmdbstore import --db events" in run().stderr
    made(here / "one")
    assert "The store 'one' is here" in run().stderr
    made(here / "two")
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "stats  --db 'one'" in result.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [("lmdbstore sea", {"seal", "search"}), ("lmdbstore search --coun", {"--count", "--count-by"})],
)
def test_a_shell_completes_commands_and_options(words: str, expected: set[str]) -> None:
    """As the line in `lmdbstore --help` lets bash do it."""
    number = str(len(words.split()) - 1)
    variables = {"_LMDBSTORE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": number}
    status, out, err = process(env={**ENVIRONMENT, **variables})
    assert (status, err) == (0, "")
    assert {line.partition(",")[2] for line in out.splitlines()} == expected
