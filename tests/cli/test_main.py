"""The command as a whole: help, errors and their exit status, the environment, its imports."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lmdbstore
from lmdbstore import LMDBEventStore
from lmdbstore.cli.main import cli
from lmdbstore.cli.terminal import in_options
from lmdbstore.errors import shown
from lmdbstore.opening import create
from lmdbstore.opening.options import READ_IT
from tests.tools.commands import ENVIRONMENT, LOG, process, run

pytestmark = pytest.mark.surroundings


def test_help_and_the_version_are_printed() -> None:
    assert run("--version").stdout == f"lmdbstore {lmdbstore.__version__}\n"
    assert run().exit_code == 2
    for args in ([], ["import"], ["search"], ["seal"], ["purge"], ["stats"]):
        result = run(*args, "--help")
        assert result.exit_code == 0
        assert all(len(line) <= 100 for line in result.stdout.splitlines())


def test_the_help_of_each_command_begins_with_an_example() -> None:
    for name in ("", *cli.commands):
        text = run(*name.split(), "--help").stdout
        paragraphs = [part.strip() for part in text.split("\n\n")]
        assert any(part.startswith("Example:") for part in paragraphs[2:4]), name
        assert f"lmdbstore {name}".strip() in text


def test_the_list_of_commands_cuts_no_sentence() -> None:
    commands = run("--help").stdout.partition("Commands:")[2]
    assert "seal" in commands
    assert "..." not in commands


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["search", "--db", "none"], "there is no store in"),
        (["stats", "--db", "none"], "there is no store in"),
        (["stats", "--db", "a-file"], ""),
        (["seal", "--db", "new"], "there is no store in"),
        (["seal", "--db", "a-file"], ""),
        (["seal", "--db", "empty"], "there is no store in"),
        (["seal", "--db", "good", "more"], "more"),
        (["search", "--db", "empty"], "there is no store in"),
        (["import", "--db", "a-file", str(LOG)], ""),
        (["import", "--db", f"{LOG}/place", str(LOG)], ""),
        (["import", "--db", "new", "none.log"], "none.log"),
        (["import", "--db", "new", "empty"], "empty"),
        (["import", "--db", "new", "--format", "xml", str(LOG)], "xml"),
        (["search", "--db", "good", "("], "match:"),
        (["search", "--db", "good", "-1h"], "-1"),
        (["search", "--db", "good", "--limit", "-1"], "-1"),
        (["search", "--db", "good", "--limit", "x"], "x"),
        (["search", "--db", "good", "--since", "soon"], "-7d"),
        (["search", "--db", "good", "--until", "2025-13-01"], "ISO 8601"),
        (["search", "--db", "good", "--flag", b"\xff"], "flags"),
        (["search", "--db", "good", b"\xff"], "match"),
        (["import", "--db", "good", "--flag", b"\xff", str(LOG)], "tags"),
        (["import", "--db", "good", "--source", b"\xff", str(LOG)], "source"),
        (["nonsense"], "see 'lmdbstore --help'"),
        (["serch"], "Did you mean one of: 'search', 'serve'?"),
        (["--nonsense"], "see 'lmdbstore --help'"),
        (["search", "--tz", "UTC"], "see 'lmdbstore search --help'"),
        (["search", "--explian"], "'--explain'"),
        (["backup", "--db", "good"], "see 'lmdbstore backup --help'"),
        (["search", "--db", "good", "a\nb", "c\x1b"], "(c\\x1b)"),
    ],
)
def test_an_error_is_a_short_message_and_status_2(
    tmp_path: Path, args: list[Any], words: str
) -> None:
    (tmp_path / "a-file").write_text("x")
    (tmp_path / "empty").mkdir()
    LMDBEventStore(tmp_path / "good").close()
    status, out, err = process(*(os.fsdecode(arg) for arg in args), cwd=tmp_path)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert "create=True" not in err
    assert err.startswith("lmdbstore: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_environment_names_the_store(filled: Path) -> None:
    status, out, _ = process("search", "--count", env={**ENVIRONMENT, "LMDBSTORE_DB": str(filled)})
    assert (status, out) == (0, "3\n")


def test_without_the_extra_a_line_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'click' else find(name, *a)\n"
        "from lmdbstore.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (b"lmdbstore: the command needs click: pip install 'lmdbstore[cli]'\n")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import lmdbstore", ("click", "rich")),
        ("import lmdbstore.cli.main, lmdbstore.cli.search, lmdbstore.cli.stats", ("rich",)),
        ("import lmdbstore.cli.care", ("rich",)),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    code += f"; import sys; sys.exit(any(name in sys.modules for name in {absent}))"
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False)
    assert done.returncode == 0


def test_the_remedy_of_a_refused_store_is_one_of_the_command() -> None:
    assert in_options(f"refused{READ_IT}") == (
        "refused; run the command as a user that may write to the store"
    )


def test_a_store_that_cannot_be_made_is_named_without_its_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".lmdbstore-0123")

    monkeypatch.setattr(create, "in_made_folder", refused)
    result = run("import", "--db", tmp_path / "new", LOG)
    assert result.exit_code == 2
    name = shown(str(tmp_path / "new"))
    assert result.stderr == (
        f"lmdbstore: the store {name} could not be made: Permission denied; choose a folder in "
        "which this user may write\n"
    )


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_a_store_that_is_not_there_is_one_line_for_every_command(
    tmp_path: Path, command: str
) -> None:
    result = run(command, "--db", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"lmdbstore: there is no store in {shown(str(tmp_path))}; 'lmdbstore import --db DIR FILE' "
        "creates one\n"
    )
