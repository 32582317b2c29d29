"""Save the records of loguru.

    python tests/recipes/log_with_loguru.py

loguru takes a handler of `logging` as a sink. What is bound is in the content, under `extra`.
"""

from __future__ import annotations

import json

from loguru import logger

from lmdbstore import LMDBEventStore, LoggingHandler


def main() -> None:
    """Log, and read what was logged."""
    with LMDBEventStore("events") as store:
        logger.remove()
        logger.add(LoggingHandler(store, ["shop"], extra=True), format="{message}")
        logger.bind(customer="x").info("order {} came", 7)
        try:
            _ = 3 / 0
        except ZeroDivisionError:
            logger.exception("order {} failed", 7)
        logger.success("order {} left", 8)
        logger.remove()  # closes the handler
        for event in store.search():
            fields = json.loads(event.content)
            print(event.tags, fields["message"].splitlines()[0], fields["extra"])
        print("errors:", store.count(flags=["level:error"], match="ZeroDivisionError"))


if __name__ == "__main__":
    main()
