"""Fixtures of all tests: stores on disk whose indexes are checked at the end, leaks, and rounds."""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from lmdbstore.engine.registry import _registry
from tests.tools.indexes import assert_indexes_agree
from tests.tools.leaks import Kept, leaks
from tests.tools.rounds import Rounds, make_rounds, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the endurance tests; see `tests.tools.rounds`."""
    parser.addoption("--minutes", type=float, default=0.0, help="how long endurance tests run")
    parser.addoption("--seed", type=int, help="of the random numbers of endurance tests")


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis keep its notes elsewhere if the source tree is read-only.

    Ctrl-C interrupts tests and what they start, also if this was started to ignore it, as by `&`.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not os.access(config.rootpath, os.W_OK):
        from hypothesis.configuration import set_hypothesis_home_dir  # it takes time

        folder = tempfile.TemporaryDirectory(prefix="lmdbstore-notes-")
        config.add_cleanup(folder.cleanup)
        set_hypothesis_home_dir(folder.name)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run all tests on all processors if pytest-xdist is installed and no `-n` was given.

    Tests that are named run in one process. So do endurance tests with `--minutes`: their table
    shows what this process counted.
    """
    option = config.option
    if hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return
    if option.minutes and option.numprocesses:
        raise pytest.UsageError("--minutes works in one process only: leave out -n")
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if everything and option.numprocesses is None and option.dist == "no" and not option.minutes:
        option.numprocesses, option.dist = "auto", "worksteal"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the endurance tests counted, if `--minutes` was given."""
    if terminalreporter.config.getoption("--minutes"):
        failed = {report.nodeid for report in terminalreporter.getreports("failed")}
        terminalreporter.section("endurance")
        for line in table(failed):
            terminalreporter.write_line(line)


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """Return the rounds of an endurance test."""
    tests = [item for item in request.session.items if item.get_closest_marker("endurance")]
    return make_rounds(request, len(tests))


@pytest.fixture(scope="session")
def resource_tracker() -> None:
    """Start the process that multiprocessing starts once, and leaves running."""
    multiprocessing.resource_tracker.ensure_running()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Yield a path for a store; the store that a test made there is checked at the end."""
    folder, before = tmp_path / "events", dict(_registry)
    yield folder
    if (folder / "data.mdb").exists():
        assert_indexes_agree(folder)
    assert _registry == before, "a test left a store open"


@pytest.fixture
def store(path: Path) -> Iterator[LMDBEventStore]:
    """Yield an open, empty store."""
    with LMDBEventStore(path) as opened:
        yield opened
        if not opened._closed and not (path / "data.mdb").exists():  # else `path` checks it
            assert_indexes_agree(opened)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail a test that leaks a thread, a file descriptor or a process."""
    before = Kept.now()
    yield
    left = leaks(before)
    assert not left, left
