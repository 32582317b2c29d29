"""The progress of work that is not counted: shown only if it is long."""

from __future__ import annotations

import io
import threading

import pytest

from lmdbstore.cli import progress
from lmdbstore.cli.progress import pulse
from tests.tools.children import LONG


class Screen(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    return made


@pytest.mark.usefixtures("screen")
def test_long_work_is_shown_to_run_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, stopped = threading.Event(), threading.Event()

    class Pulsing:
        def __init__(self, text: str) -> None:
            assert text == "counting"
            shown.set()

        def stop(self) -> None:
            stopped.set()

    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_pulsing", Pulsing)
    with pulse("counting"):
        assert shown.wait(LONG)
        assert not stopped.is_set()
    assert stopped.is_set()


@pytest.mark.parametrize("fails", [True, False])
def test_short_work_shows_nothing(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 3600.0)
    before = threading.active_count()
    try:
        with pulse("counting"):
            int("no number" if fails else "1")
    except ValueError:
        assert fails
    assert screen.getvalue() == ""
    assert threading.active_count() == before


def test_nothing_is_shown_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with pulse("counting"):
        assert threading.active_count() == 1
    assert capsys.readouterr().err == ""
