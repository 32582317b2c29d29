"""The picture of the commands in the README."""

from __future__ import annotations

import os
import pty
import re
import sys
from html import unescape
from typing import TYPE_CHECKING

import pytest

from bench import terminal

if TYPE_CHECKING:
    from pathlib import Path


def words(picture: Path) -> str:
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))
    return "".join(unescape(text).replace("\xa0", " ") for text in texts)


def test_the_picture_is_of_what_the_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them does its work, and the picture in the project shows the same commands."""
    try:
        ends = pty.openpty()
    except OSError as error:
        pytest.skip(f"there are no terminals here: {error}")
    for descriptor in ends:
        os.close(descriptor)
    out = tmp_path / "terminal.svg"
    monkeypatch.setattr(sys, "argv", ["terminal", "--out", str(out)])
    monkeypatch.setenv("LMDBSTORE_DB", "")
    terminal.main()
    made, kept = words(out), words(terminal.OUT)
    for command in terminal.COMMANDS:
        assert command in made
        assert command in kept
    for text in ("4,891 new events", "400 new events", "/login", "similar: 'level:error'", "█"):
        assert text in made
    assert "Usage:" not in made
