"""The progress of work that is not counted: shown only if it is long."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from lmdbstore.cli import progress
from lmdbstore.cli.progress import pulse
from tests.tools.children import LONG


@pytest.fixture(params=[True, False])
def drawable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether there is a terminal."""
    monkeypatch.setattr(progress, "_can_draw", lambda: request.param)
    return bool(request.param)


class Pulsing:
    """What is shown of work that runs."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stopped = False
        shown.append(self)
        is_shown.set()

    def stop(self) -> None:
        self.stopped = True


shown: list[Pulsing] = []
is_shown = threading.Event()


@pytest.fixture(autouse=True)
def pulsing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown.clear()
    is_shown.clear()
    monkeypatch.setattr(progress, "_pulsing", Pulsing)


def test_long_work_is_shown_to_run_until_it_ends(
    monkeypatch: pytest.MonkeyPatch, *, drawable: bool
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with pulse("counting"):
        if drawable:
            assert is_shown.wait(LONG)
            assert [(one.text, one.stopped) for one in shown] == [("counting", False)]
    assert [one.stopped for one in shown] == [True] * drawable


@pytest.mark.usefixtures("drawable")
@pytest.mark.parametrize("fails", [True, False])
def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch, *, fails: bool) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 3600.0)
    before = threading.active_count()
    with suppress(ValueError), pulse("counting"):
        int("no number" if fails else "1")
    assert not shown
    assert threading.active_count() == before
