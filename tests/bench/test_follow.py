"""The rows about following: their names, figures and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.follow import rows
from bench.follow.rows import IDLE, latency, run_follow
from bench.follow.sides import FOLLOWERS
from bench.report import markdown
from bench.runner import Settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_follower_gets_every_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "WRITERS", (2,))
    monkeypatch.setattr(rows, "BRIEF_EVENTS", 8)
    monkeypatch.setattr(rows, "BRIEF_SECONDS", 0.1)
    settings = Settings(80, 0, 1, "follow: ", tmp_path, True, lambda _: None)
    found = list(run_follow(settings))
    names = [latency(2, "median"), latency(2, "99th percentile"), IDLE]
    assert [row.name for row in found] == names
    for row in found:
        assert set(row.figures) == set(FOLLOWERS)
        assert all(len(figures) == 1 and figures[0] > 0 for figures in row.figures.values())
    assert found[0].figures["lmdbstore"] <= found[1].figures["lmdbstore"]
    assert list(tmp_path.iterdir()) == []
    assert "## Following a store" in markdown(found, {}, [])


def test_only_wanted_rows_are_run(tmp_path: Path) -> None:
    settings = Settings(80, 0, 1, "made: get", tmp_path, True, lambda _: None)
    assert list(run_follow(settings)) == []
