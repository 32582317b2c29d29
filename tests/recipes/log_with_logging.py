"""Save the log of a program with `logging`, and search it.

    python tests/recipes/log_with_logging.py

It makes a store in the present folder. The fields given by `extra=` are JSON in the content; a call
that logs an error returns when that is on disk.
"""

from __future__ import annotations

import json
import logging
import logging.config

from lmdbstore import LMDBEventStore

CONFIG = {
    "version": 1,
    "handlers": {
        "events": {
            "class": "lmdbstore.LoggingHandler",
            "store": "events",  # a path, or "ext://module.store"
            "tags": ["shop"],
            "extra": True,
            "flush_level": "ERROR",
        },
    },
    "root": {"level": "INFO", "handlers": ["events"]},
}


def work() -> None:
    """Log as any program does."""
    log = logging.getLogger("shop.orders")
    log.info("order %d came", 7, extra={"customer": "x", "items": 3})
    try:
        _ = 3 / 0
    except ZeroDivisionError:
        log.exception("order %d failed", 7, extra={"customer": "x"})


def main() -> None:
    """Log, and read what was logged."""
    logging.config.dictConfig(CONFIG)
    work()
    logging.shutdown()  # Python calls this at its exit; here, to read what was logged
    with LMDBEventStore("events", readonly=True) as store:
        for event in store.search(source="shop.orders", flags=["shop"]):
            fields = json.loads(event.content)
            print(event.tags[0], fields["customer"], fields["message"].splitlines()[0])
        print("errors:", store.count(flags=["level:error"], match="ZeroDivisionError"))


if __name__ == "__main__":
    main()
