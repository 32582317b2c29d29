"""A real pre-forked server: all of its processes log to one store at once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lmdbstore import LMDBEventStore
from tests.tools.children import LONG, ROOT, until
from tests.tools.logged import contents

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS, RECORDS = 3, 200
CONFIG = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
bind = "127.0.0.1:0"
workers = {WORKERS}
accesslog = "-"
preload_app = PRELOAD
logconfig_dict = {{
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {{
        "events": {{"class": "lmdbstore.LoggingHandler", "store": "STORE", "flush_level": "ERROR"}},
    }},
    "root": {{"level": "INFO", "handlers": ["events"]}},
    "loggers": {{
        "gunicorn.error": {{"level": "INFO", "handlers": ["events"], "propagate": False}},
        "gunicorn.access": {{"level": "INFO", "handlers": ["events"], "propagate": False}},
    }},
}}
"""
APP = f"""
import logging, os, time
log = logging.getLogger("app")
log.info("imported by %d", os.getpid())

def app(environ, start_response):
    # One request for each worker: none is answered before all have come.
    here, end = os.path.dirname(__file__), time.monotonic() + {LONG}
    open(os.path.join(here, "%d.here" % os.getpid()), "w").close()
    while sum(name.endswith(".here") for name in os.listdir(here)) < {WORKERS}:
        assert time.monotonic() < end
        time.sleep(0.001)
    for number in range({RECORDS}):
        log.info("%d %d", os.getpid(), number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"""


@contextmanager
def serving(folder: Path, store: Path, *, preload: bool) -> Iterator[subprocess.Popen[bytes]]:
    """Run gunicorn until the end of the block; it must end well."""
    config = CONFIG.replace("STORE", str(store)).replace("PRELOAD", str(preload))
    (folder / "served_app.py").write_text(APP, encoding="utf-8")
    (folder / "config.py").write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "gunicorn", "--config", "config.py", "served_app:app"]
    with subprocess.Popen(command, cwd=folder) as server:
        try:
            yield server
            server.terminate()
            assert server.wait(LONG) == 0
        finally:
            server.kill()


@pytest.mark.skipif(
    importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"
)
@pytest.mark.parametrize("preload", [True, False])
def test_all_workers_of_a_server_log_to_one_store(
    path: Path, tmp_path: Path, *, preload: bool
) -> None:
    answers: list[int] = []

    def ask(address: str) -> None:
        with urllib.request.urlopen(address, timeout=LONG) as answer:
            answers.append(int(answer.read()))

    with LMDBEventStore(path) as store:
        with serving(tmp_path, path, preload=preload):
            until(lambda: store.count(match="^Listening at: ") > 0, "the server does not listen")
            (line,) = contents(store, match="^Listening at: ")
            threads = [
                threading.Thread(target=ask, args=(line.split()[2],)) for _ in range(WORKERS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        by_worker = defaultdict(list)
        for content in contents(store, source="app", match="^[0-9]"):
            pid, number = map(int, content.split())
            by_worker[pid].append(number)
        assert by_worker == {pid: [*range(RECORDS)] for pid in answers}
        assert len(by_worker) == WORKERS
        assert store.count(source="app", match="^imported by ") == (1 if preload else WORKERS)
        assert store.count(source="gunicorn.access", match='"GET / HTTP/1.1" 200') == WORKERS
        assert store.count(match="^Booting worker with pid: ") == WORKERS
        assert store.count(match="^Worker exiting ") == WORKERS
        assert store.count(match="^Shutting down: Master") == 1
        assert store.count(flags=["dropped"]) == 0
