"""`--timeout`: a command says in one line what holds it up."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tools.children import ROOT
from tests.tools.held_writer import LONG
from tests.tools.stopped import stopped
from tests.tools.waits import (
    LIMIT,
    named,
    with_one_event,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def filled(path: Path) -> Path:
    return with_one_event(path)


@pytest.mark.parametrize(
    "command",
    [
        ["search", "--count"],
        ["stats"],
        ["seal"],
        ["purge", "--before", "now"],
        ["verify", "--pages"],
        ["backup", "copy"],
        ["compact"],
        ["import", "-"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_says_in_one_line_what_holds_it_up(filled: Path, command: list[str]) -> None:
    name, *rest = command
    rest = [str(filled.parent / "copy") if word == "copy" else word for word in rest]
    limit = ["--timeout", str(LIMIT)]
    with stopped(filled, "write") as other:
        done = subprocess.run(
            [sys.executable, "-m", "lmdbstore", name, "--db", filled, *limit, *rest],
            input="line",
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG,
            cwd=ROOT,
        )
        assert done.returncode == 2, done
        (line,) = (line for line in done.stderr.splitlines() if "is busy" in line)
        assert f"waited {LIMIT} s" in line
        assert "or wait longer (--timeout)" in line
        assert "timeout=" not in line
        assert "consistency" not in line
        assert named(other.pid) in line
        other.go()


@pytest.mark.parametrize("text", ["x", "-1", "", "nan", "5s", "-inf", "0x1"])
def test_what_is_no_time_limit_is_refused_in_words(filled: Path, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lmdbstore", "stats", "--db", filled, f"--timeout={text}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert f"'--timeout': {text!r} is no time limit; give seconds, 0 or more" in done.stderr
