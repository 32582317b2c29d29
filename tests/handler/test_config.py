"""Configuration by a dict or a file."""

from __future__ import annotations

import logging
import logging.config
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import EventStore, InvalidOption, LMDBEventStore, MemoryEventStore
from tests.tools.logged import contents
from tests.tools.logging_children import config, the_handler, unconfigure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARED = MemoryEventStore()


def make() -> EventStore:
    return MemoryEventStore()


@pytest.fixture(autouse=True)
def as_before(path: Path) -> Iterator[None]:
    """Close the handler before the store at `path` is checked."""
    assert not path.exists()
    yield
    unconfigure()


def test_a_dict_configures_a_handler_for_a_path(path: Path) -> None:
    options: dict[str, Any] = {"tags": ["a", "b"], "level": "INFO", "flush_level": "ERROR"}
    options |= {"capacity": 100, "extra": True, "timeout": 20}
    logging.config.dictConfig(config(str(path), **options))
    log = logging.getLogger("app.part")
    log.debug("low")
    log.error("high", extra={"status": 500})
    with LMDBEventStore(path) as store:
        (event,) = store.search()
    assert event.source == "app.part"
    assert event.tags == ["level:error", "a", "b"]
    assert event.content == '{"message":"high","status":500}'


def test_a_dict_names_a_store_or_a_function() -> None:
    logging.config.dictConfig(config(f"ext://{__name__}.SHARED"))
    logging.getLogger("app").info("x")
    the_handler().flush()
    assert contents(SHARED) == ["x"]
    logging.config.dictConfig(config(f"ext://{__name__}.make"))
    logging.getLogger("app").info("y")
    assert contents(SHARED) == ["x"]


def test_the_next_configuration_closes_the_handler(path: Path) -> None:
    logging.config.dictConfig(config(str(path)))
    logging.getLogger("app").info("x")
    logging.config.dictConfig(config(str(path)))
    logging.getLogger("app").info("y")
    the_handler().flush()
    with LMDBEventStore(path) as store:
        assert contents(store) == ["x", "y"]


def test_a_formatter_and_filters_are_configured_as_for_every_handler(path: Path) -> None:
    found = config(str(path), formatter="short", filters=["part"])
    found["formatters"] = {"short": {"format": "%(name)s: %(message)s"}}
    found["filters"] = {"part": {"name": "app.part"}}
    logging.config.dictConfig(found)
    logging.getLogger("app").info("other")
    logging.getLogger("app.part").info("x")
    the_handler().flush()
    with LMDBEventStore(path) as store:
        assert contents(store) == ["app.part: x"]


def test_a_wrong_configuration_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ValueError, match="Unable to configure handler 'events'") as caught:
        logging.config.dictConfig(config(str(path), capacity=0))
    assert isinstance(caught.value.__cause__, InvalidOption)


def test_a_file_configures_a_handler(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "logging.ini"
    file.write_text(f"""
[loggers]
keys = root, app
[handlers]
keys = events
[formatters]
keys =
[logger_root]
handlers =
[logger_app]
qualname = app
level = INFO
handlers = events
propagate = 0
[handler_events]
class = lmdbstore.LoggingHandler
args = ({str(path)!r}, ["app"])
""")
    logging.config.fileConfig(file, disable_existing_loggers=False)
    logging.getLogger("app").info("x")
    the_handler().flush()
    with LMDBEventStore(path) as store:
        assert contents(store) == ["x"]
