"""Save the events of structlog with all of their fields.

    python tests/recipes/log_with_structlog.py

structlog hands its events to `logging`, with their fields as `extra=`; the handler makes them JSON.
"""

from __future__ import annotations

import json
import logging

import structlog

from lmdbstore import LMDBEventStore, LoggingHandler


def configure(store: LMDBEventStore) -> None:
    """Let structlog end in a handler of `logging`."""
    handler = LoggingHandler(store, extra=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.render_to_log_kwargs,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def main() -> None:
    """Log, and read what was logged."""
    with LMDBEventStore("events") as store:
        configure(store)
        log = structlog.get_logger("shop.orders").bind(customer="x")
        log.info("order came", items=3)
        log.warning("order is late", days=2)
        logging.shutdown()  # Python calls this at its exit, but the store is closed before
        for event in store.search(source="shop.orders"):
            print(event.tags, json.loads(event.content))


if __name__ == "__main__":
    main()
