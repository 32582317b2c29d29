"""The picture of the page is made by its command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.tools.browser import why_no_browser
from tests.tools.children import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MOST = 300_000  # bytes of the picture that the README opens with
PNG = b"\x89PNG"


def test_the_command_makes_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = why_no_browser()
    if why:
        pytest.skip(why)
    from bench.picture import main

    out = tmp_path / "page.png"
    monkeypatch.setattr(sys, "argv", ["picture", "--out", str(out)])
    main()
    made = out.read_bytes()
    assert made.startswith(PNG)
    assert 50_000 < len(made) < MOST


def test_the_readme_opens_with_the_picture() -> None:
    assert (ROOT / "bench" / "page.png").stat().st_size < MOST
    head = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert "](bench/page.png)" in head
