"""The README: its commands are where readers expect them, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.surroundings

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = blocks("sh")[:2]
    assert "lmdbstore import --db events tests/data/dpkg.log" in first
    assert "lmdbstore search --db events" in first
    assert second.rstrip().endswith(".venv/bin/pytest -q")
    assert README.read_text(encoding="utf-8").find("```sh") < README.read_text(
        encoding="utf-8"
    ).find("```python")


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("python")[0], str(README), "exec"), {})
    assert capsys.readouterr().out.endswith("door opened by force\n")
