"""The rows about the page: their names and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.page import HISTOGRAM, LIST, STARTUP, row_name, run_page
from bench.report import markdown
from bench.runner import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_and_sqlite_agree(tmp_path: Path) -> None:
    settings = Settings(20_000, 0, 1, "page: ", tmp_path, True, lambda _: None)
    found = list(run_page(settings))
    assert [row.name for row in found] == [row_name(n, 20_000) for n in (LIST, HISTOGRAM, STARTUP)]
    for row in found:
        peers = {"lmdbstore"} if row.name.startswith(STARTUP) else {"lmdbstore", "SQLite"}
        assert set(row.figures) == peers
        assert all(figures and min(figures) > 0 for figures in row.figures.values())
    assert "## The page" in markdown(found, {}, [])


def test_only_wanted_rows_are_run(tmp_path: Path) -> None:
    settings = Settings(80, 80, 1, "made: get", tmp_path, True, lambda _: None)
    assert list(run_page(settings)) == []
