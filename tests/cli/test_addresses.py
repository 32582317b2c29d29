"""Commands on a store that an address names; `tests.sql` has those on a real server."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore, StoreOpenError
from lmdbstore.cli import opening
from lmdbstore.cli.commands import serving
from lmdbstore.cli.importing import files
from lmdbstore.ingest.importer import Importer
from tests.tools.commands import LINES, LOG, run
from tests.tools.remote import SECRET, SHOWN, URL, Remote, remotes

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

EVENTS = [
    Event("a", "door", 1000.0, ["alarm"], "opened by force"),
    Event("b", "door", 2000.0, ["alarm", "night"], '{"status": 500}'),
    Event("c", "gate", 3000.5, [], "closed"),
]
READING = [
    ["search"],
    ["search", "--count"],
    ["search", "--explain"],
    ["search", "--count-by", "day"],
    ["search", "--count-by", "o."],
    ["tail"],
    ["histogram"],
    ["top"],
    ["stats"],
    ["stats", "--json"],
    ["export"],
]
OF_FOLDERS = {
    "seal": "nothing to seal",
    "verify": "pg_amcheck",
    "repair": "REINDEX",
    "backup": "pg_dump",
    "compact": "VACUUM FULL",
}


@pytest.fixture(autouse=True)
def stores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Remote]:
    """Put stores in memory in the place of servers."""
    monkeypatch.delenv("LMDBSTORE_DB", raising=False)
    return remotes(monkeypatch)


@pytest.fixture
def remote(stores: dict[str, Remote]) -> Remote:
    """Return the store at `URL`, with three events."""
    store = stores[SHOWN] = Remote()
    store.save_many(EVENTS)
    return store


@pytest.fixture
def folder(path: Path) -> Path:
    """Return a folder with the same events."""
    with LMDBEventStore(path) as store:
        store.save_many(EVENTS)
    return path


def on_remote(command: str, *arguments: object) -> Result:
    """Run a command on the store at `URL`; nothing that it prints may have the password."""
    result = run(command, "--db", URL, *arguments)
    assert SECRET not in result.output
    return result


@pytest.mark.parametrize("command", [one for one in READING if one[0] != "stats"])
def test_commands_that_read_print_what_they_print_of_a_folder(
    remote: Remote, folder: Path, command: list[str]
) -> None:
    result, expected = on_remote(*command), run(*command, "--db", folder)
    assert (result.exit_code, result.stderr) == (expected.exit_code, expected.stderr) == (0, "")
    if "--explain" not in command:
        assert result.stdout == expected.stdout
    assert [one["readonly"] for one in remote.opened] == [True] * remote.closed
    assert remote.opened[0]["create"] is False


def test_conditions_and_the_time_limit_reach_the_store(remote: Remote) -> None:
    result = on_remote("search", "o", "--flag", "alarm", "--where", "status>=500", "--timeout", "7")
    assert result.stdout == ""
    result = on_remote("search", "--source", "door", "--where", "status=500", "--timeout", "7")
    assert result.stdout == '{"status": 500}\n'
    assert remote.opened[-1]["timeout"] == 7


def test_the_variable_may_have_an_address(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMDBSTORE_DB", URL)
    assert run("search", "--count").output == "3\n"
    assert remote.closed == 1


def test_an_address_may_name_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("search", "--count", "--db", f"lmdb:{folder}").output == "3\n"
    assert run("verify", "--db", f"lmdb:{folder}").exit_code == 0
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("LMDBSTORE_DB", f"lmdb:{folder.name}")
    assert run("stats").stdout.startswith("events       3\n")


@pytest.mark.parametrize("name", ["a:b", "postgresql", "u@h", "x?schema=y", "lmdb"])
def test_a_plain_folder_has_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with LMDBEventStore(name) as store:
        store.save_many(EVENTS)
    assert run("search", "--count", "--db", name).output == "3\n"


# -- figures --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("remote")
def test_stats_are_those_that_every_store_has() -> None:
    plain = on_remote("stats", "--all").stdout
    assert [line.split()[0] for line in plain.splitlines()] == [
        *("events", "oldest", "newest", "flags", "flag:alarm", "flag:night"),
    ]
    assert json.loads(on_remote("stats", "--json").stdout) == {
        "events": 3,
        "oldest": 1000.0,
        "newest": 3000.5,
        "flags": 2,
        "beyond_year_5000": 0,
        "events_by_flag": {"alarm": 2, "night": 1},
    }


@pytest.mark.usefixtures("remote")
def test_the_label_of_prometheus_has_no_password() -> None:
    text = on_remote("stats", "--prometheus").stdout
    assert f'lmdbstore_events{{store="{SHOWN}"}} 3\n' in text
    assert f'lmdbstore_flag_events{{store="{SHOWN}",flag="night"}} 1\n' in text
    assert "file_bytes" not in text


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("remote")
def test_output_goes_to_a_file(tmp_path: Path) -> None:
    assert on_remote("export", "--output", tmp_path / "all.jsonl").exit_code == 0
    assert on_remote("search", "force", "--output", tmp_path / "some.csv").exit_code == 0
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b", "c"]
    assert "opened by force" in (tmp_path / "some.csv").read_text()


# -- writing --------------------------------------------------------------------------------------


def test_import_makes_a_store_and_stores_no_line_twice(
    stores: dict[str, Remote], tmp_path: Path
) -> None:
    assert on_remote("import", LOG).exit_code == 0
    store = stores[SHOWN]
    assert len(store) == LINES
    assert on_remote("import", LOG, "--timeout", "3").exit_code == 0
    assert len(store) == LINES
    assert [one["timeout"] for one in store.opened] == [None, 3]
    assert "readonly" not in store.opened[0]
    assert store.closed == 2
    (tmp_path / "more").write_text("2025-06-24 10:00:00 more\n")
    assert on_remote("import", tmp_path, "--glob", "mo*").exit_code == 0
    assert len(store) == LINES + 1


def test_import_reads_in_one_process(
    stores: dict[str, Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork would have the connections of its parent."""
    numbers = []

    class Noting(Importer):
        def __init__(self, *given: Any, processes: int = 0, **named: Any) -> None:
            numbers.append(processes)
            super().__init__(*given, **named)

    monkeypatch.setattr(files, "Importer", Noting)
    monkeypatch.setattr(files, "processors", lambda: 2)
    assert on_remote("import", LOG).exit_code == 0
    assert on_remote("import", LOG, "--processes", 1).exit_code == 0
    assert numbers == [1, 1]
    opened = len(stores[SHOWN].opened)
    result = on_remote("import", LOG, "--processes", 2)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--processes 2 is for a store in a folder" in result.stderr
    assert len(stores[SHOWN].opened) == opened


def test_import_follows_files(
    stores: dict[str, Remote], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def followed(importer: Any, *_: Any) -> None:
        importer.finish()
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "follow_files", followed)
    assert on_remote("import", "--follow", tmp_path).exit_code == 130
    assert stores[SHOWN].closed == 1


def test_compression_is_for_a_folder(stores: dict[str, Remote]) -> None:
    result = on_remote("import", LOG, "--compression", "zstd")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--compression is for a store in a folder" in result.stderr
    assert not stores


def test_purge_deletes_by_all_but_the_size(remote: Remote) -> None:
    result = on_remote(
        "purge", "--before", "1000000000", "--flag", "x", "--dry-run", "--timeout", "4"
    )
    assert result.exit_code == 0
    assert result.stdout.startswith("1 events would be purged, from 1970-")
    assert result.stdout.endswith("; 2 left with these flags\n")
    assert remote.opened[0]["readonly"] is True
    assert remote.opened[0]["timeout"] == 4
    result = on_remote("purge", "--max-events", "2", "--json")
    assert json.loads(result.stdout)["left"] == 2
    assert remote.opened[1]["readonly"] is False
    assert [(one["before"], one["max_events"]) for one in remote.purged] == [
        (1e9, None),
        (None, 2),
    ]
    assert "max_bytes" not in remote.purged[0]
    result = on_remote("purge", "--max-bytes", "1GiB")
    assert (result.exit_code, len(remote.opened)) == (2, 2)
    assert "--max-bytes is for a store in a folder" in result.stderr
    assert "stopped" not in result.stderr


def test_serve_shows_it_without_waiting_for_writers(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda store, *_, **__: served.append(store))
    assert on_remote("serve").exit_code == 0
    assert served == [remote]
    assert remote.opened[0]["consistency"] == "snapshot"
    assert remote.opened[0]["readonly"] is True


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", OF_FOLDERS)
def test_commands_for_a_folder_say_what_to_use_instead(
    remote: Remote, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMDBSTORE_DB", URL)
    more = ["new"] * (command == "backup")
    for result in (on_remote(command, *more), run(command, *more)):
        assert (result.exit_code, result.stdout) == (2, "")
        assert OF_FOLDERS[command] in result.stderr
        assert f"this works on a folder, and not on {SHOWN};" in result.stderr
        assert result.stderr.count("\n") == 1
        assert SECRET not in result.output
    assert not remote.opened


def test_a_backup_goes_to_a_folder(folder: Path) -> None:
    result = run("backup", "--db", folder, URL)
    assert result.exit_code == 2
    assert "'lmdbstore copy'" in result.stderr
    assert SECRET not in result.output
    assert run("backup", "--db", folder, f"lmdb:{folder}-copy").exit_code == 0
    assert run("search", "--count", "--db", f"{folder}-copy").output == "3\n"


@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:a@{SECRET}@h/db",
        f"postgresql:u:{SECRET}@h",
        f"mysql://u:{SECRET}@h/db",
        f"POSTGRES://u:{SECRET}@h/db",
        "lmdb:",
    ],
)
@pytest.mark.parametrize("command", ["search", "import", "verify", "purge"])
def test_a_wrong_address_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, wrong: str
) -> None:
    """It is no folder, which `import` would make."""
    monkeypatch.chdir(tmp_path)
    result = run(command, "--db", wrong, *[LOG] * (command == "import"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for '--db'" in result.stderr
    assert "give '" in result.stderr
    assert SECRET not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [*READING, ["import", LOG], ["purge", "--before", "5"], ["serve"]]
)
def test_a_server_that_cannot_be_reached_is_an_error(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise StoreOpenError("the server cannot be reached")

    monkeypatch.setattr(opening, "open_server", refuse)
    result = on_remote(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "lmdbstore: the server cannot be reached\n"


def test_the_remedy_is_that_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        said = "it is a standby; open another, or pass readonly=True and consistency='snapshot' to "
        raise StoreOpenError(f"{said}read what the standby has")

    monkeypatch.setattr(opening, "open_server", refuse)
    result = on_remote("search")
    assert result.stderr.endswith("another; commands that only read show what the standby has\n")


def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "psycopg", None)
    result = on_remote("search")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'lmdbstore[postgres]'" in result.stderr


def test_help_says_where_a_password_belongs() -> None:
    assert "PGPASSWORD" in run("--help").stdout
    assert "DIR|ADDRESS" in run("search", "--help").stdout
    assert "DIR|ADDRESS" not in run("verify", "--help").stdout
