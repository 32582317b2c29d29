"""Type checkers find what is wrong at the call: each planted mistake, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import lmdbstore

PLANTED = Path(__file__).parent / "data" / "mistakes.txt"
ROOT = Path(lmdbstore.__file__).parents[1]


def planted() -> list[int]:
    """Return the numbers of the lines with a mistake, from 1."""
    lines = PLANTED.read_text(encoding="utf-8").splitlines()
    return [number for number, line in enumerate(lines, 1) if line.endswith("# mistake")]


def checked_by(checker: str, folder: Path, *arguments: str) -> str:
    """Return what a type checker prints about the planted mistakes."""
    if find_spec(checker) is None:
        pytest.skip(f"pip install '.[lint]': {checker} is not installed")
    (folder / "mistakes.py").write_bytes(PLANTED.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", checker, *arguments, "mistakes.py"],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stdout


def test_mypy_finds_the_planted_mistakes(tmp_path: Path) -> None:
    options = "--strict", "--no-error-summary", "--hide-error-context", "--cache-dir", "cache"
    lines = checked_by("mypy", tmp_path, *options).splitlines()
    errors = {int(line.split(":")[1]) for line in lines if ": error:" in line}
    assert sorted(errors) == planted()


def test_pyright_finds_the_planted_mistakes(tmp_path: Path) -> None:
    """By basedpyright, which is pyright in a wheel that needs nothing else."""
    config = {"extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    output = checked_by("basedpyright", tmp_path, "--outputjson", "--pythonpath", sys.executable)
    found = json.loads(output)["generalDiagnostics"]
    errors = {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}
    assert sorted(errors) == planted()
