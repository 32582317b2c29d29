"""What children of multiprocessing do with a handler: they log, and return."""

from __future__ import annotations

import logging
import logging.config
import sys
import threading
from typing import TYPE_CHECKING, Any

from lmdbstore import LoggingHandler
from tests.tools.children import until

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["config", "log_and_return", "log_late", "the_handler", "unconfigure"]


def config(store: Any, **options: Any) -> dict[str, Any]:
    """Return a configuration for the logger `app`."""
    handler = {"class": "lmdbstore.LoggingHandler", "store": store, **options}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"events": handler},
        "loggers": {"app": {"level": "DEBUG", "handlers": ["events"], "propagate": False}},
    }


def the_handler() -> LoggingHandler:
    """Return the handler of the logger `app`."""
    (handler,) = _ours()
    return handler


def _ours() -> list[LoggingHandler]:
    handlers = logging.getLogger("app").handlers  # pytest adds some of its own
    return [handler for handler in handlers if isinstance(handler, LoggingHandler)]


def unconfigure() -> None:
    """Close and remove the handlers of the logger `app`."""
    for handler in _ours():
        logging.getLogger("app").removeHandler(handler)
        handler.close()


def log_and_return(path: Path | None, number: int) -> None:
    """Log some records to the store at a path, or as this process was forked, and do not flush."""
    if path is not None:
        logging.config.dictConfig(config(str(path)))
    log = logging.getLogger("app")
    for n in range(20):
        log.info("%d %d", number, n)


def log_late(path: Path | None, number: int) -> None:
    """Let a thread log after multiprocessing has ended what it knows of."""
    log_and_return(path, number)
    sender = the_handler()._own_sender()

    def late() -> None:
        # From 3.13 on, threads end before what multiprocessing ends, and so before the handler.
        late = sys.version_info >= (3, 13)
        until(lambda: late or sender.waits, "the end of the process")
        logging.getLogger("app").info("%d late", number)

    threading.Thread(target=late).start()
