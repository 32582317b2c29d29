"""What of a record becomes what of an event."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest

from lmdbstore import Event, InvalidOption, LoggingHandler, MemoryEventStore
from lmdbstore.logs.fields import LEVEL
from tests.tools.children import until
from tests.tools.logged import contents, logging_to


def logged(level: int, message: str, *arguments: Any, tags: Any = (), **named: Any) -> Event:
    """Return the event of one record."""
    extra = named.pop("as_json", False)
    store = MemoryEventStore()
    with logging_to(store, tags, extra=extra) as (log, handler):
        log.log(level, message, *arguments, **named)
        handler.flush()
        assert not handler.dropped
        assert handler.errors == []
    (event,) = store.search()
    return event


def test_time_logger_level_and_text_become_the_fields_of_an_event() -> None:
    store, times = MemoryEventStore(), list[float]()

    def noted(record: logging.LogRecord) -> bool:
        times.append(record.created)
        return True

    with logging_to(store, ["app", "app"]) as (log, _):
        log.addFilter(noted)
        log.warning("opened %d times by %s", 3, "force")
    (event,) = store.search()
    assert event.source == "app.door"
    assert event.tags == ["level:warning", "app"]
    assert event.content == "opened 3 times by force"
    assert [event.timestamp] == times


@pytest.mark.parametrize(
    ("level", "flag"),
    [
        (10, "debug"),
        (20, "info"),
        (30, "warning"),
        (40, "error"),
        (50, "critical"),
        (33, "level 33"),
    ],
)
def test_the_flag_of_a_level_is_that_of_imported_logs(level: int, flag: str) -> None:
    assert logged(level, "x").tags == [LEVEL + flag]


def test_what_the_caller_changes_later_does_not_show() -> None:
    store, given = MemoryEventStore(), [1]
    with logging_to(store) as (log, handler):
        log.info("given %s", given)
        given.append(2)
        handler.flush()
    assert contents(store) == ["given [1]"]


def test_exceptions_and_stacks_are_in_the_content() -> None:
    try:
        dict[str, int]()["door"]
    except KeyError:
        event = logged(40, "failed", exc_info=True)
    assert event.content.startswith("failed\nTraceback (most recent call last):\n")
    assert event.content.endswith("KeyError: 'door'")
    assert "\nStack (most recent call last):\n" in logged(20, "here", stack_info=True).content


def test_a_formatter_may_be_set() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        handler.setFormatter(logging.Formatter("%(levelname)s! %(message)s"))
        log.info("x")
    assert contents(store) == ["INFO! x"]


def test_extra_fields_are_json_if_asked() -> None:
    fields = {"status": 500, "user": {"id": "x"}, "when": [1.5, None, True], "text": "half \ud800"}
    assert logged(20, "plain", extra=fields).content == "plain"
    content = logged(20, "served", extra=fields, as_json=True).content
    assert json.loads(content) == {"message": "served", **fields, "text": "half \\ud800"}


def test_a_record_without_extra_fields_is_a_json_object_too() -> None:
    assert logged(20, "served", as_json=True).content == '{"message":"served"}'


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError


class Plain:
    def __repr__(self) -> str:
        return "<plain>"


def test_what_json_does_not_have_is_shown() -> None:
    endless: list[object] = []
    endless.append(endless)
    fields = {
        "huge": 1 << 99,
        "endless": endless,
        "plain": Plain(),
        "bad": Unshown(),
        "keys": {1: 2},
    }
    found = json.loads(logged(20, "x", extra=fields, as_json=True).content)
    assert found["huge"] == str(1 << 99)
    assert found["endless"] == "[[...]]"
    assert found["plain"] == "<plain>"
    assert "RuntimeError" in found["bad"]
    assert found["keys"] == {"1": 2}
    assert json.loads(logged(20, "x", extra={"n": math.inf}, as_json=True).content)["n"] is None


def test_half_a_character_is_written_as_its_escape_and_keeps_nothing_else_out() -> None:
    store = MemoryEventStore()
    with logging_to(store, ["a\udc00"]) as (log, handler):
        log.info("before")
        log.info("half \ud800")
        log.info("after")
        handler.flush()
        assert not handler.dropped
    assert contents(store) == ["before", "half \\ud800", "after"]
    assert next(store.search()).tags == ["level:info", "a\\udc00"]


def test_dropped_records_are_told_of_with_a_flag_that_has_half_a_character() -> None:
    store = MemoryEventStore()
    with logging_to(store, ["a\udc00"]) as (log, handler):
        log.info("%d", "no number")
        log.info("good")
    assert handler.dropped == 1
    assert [e.content for e in store.search(flags=["dropped", "a\\udc00"])] == [
        "1 log records were dropped: they could not be formatted"
    ]


def test_a_record_that_cannot_be_stored_is_dropped_alone() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        log.info("before")
        log.handle(logging.makeLogRecord({"msg": "never", "levelno": 20, "created": math.nan}))
        log.info("after")
        handler.flush()
        assert handler.dropped == 1
        assert "InvalidEvent" in handler.errors[0]
        until(lambda: store.count(flags=["dropped"]) == 1, "it is told before the next record")
    assert contents(store, source="app.door") == ["before", "after"]
    assert contents(store, flags=["dropped"]) == [
        "1 log records were dropped: the store refused them"
    ]


def test_a_record_that_cannot_be_formatted_is_counted_and_reported_by_logging() -> None:
    store = MemoryEventStore()
    with logging_to(store) as (log, handler):
        log.info("two %s %s", 1)  # noqa: PLE1206
        log.info("%s", Unshown())
        log.info("good")
        assert handler.dropped == 2
        assert [error.partition("(")[0] for error in handler.errors] == [
            "TypeError",
            "RuntimeError",
        ]
    assert contents(store, source="app.door") == ["good"]


def test_filters_and_levels_of_the_handler_count() -> None:
    store = MemoryEventStore()
    with logging_to(store, level="WARNING") as (log, handler):
        handler.addFilter(lambda record: "secret" not in record.getMessage())
        log.info("low")
        log.warning("secret")
        log.warning("seen")
    assert contents(store) == ["seen"]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("store", {"store": 7}),
    ("store", {"store": lambda: 7}),
    ("tags", {"tags": "app"}),
    ("tags", {"tags": [7]}),
    ("tags", {"tags": 7}),
    ("level", {"level": "LOUD"}),
    ("flush_level", {"flush_level": 1.5}),
    ("flush_level", {"flush_level": True}),
    ("capacity", {"capacity": 0}),
    ("capacity", {"capacity": True}),
    ("extra", {"extra": "yes"}),
    ("timeout", {"timeout": -1}),
    ("timeout", {"timeout": "1"}),
]


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_a_wrong_argument_is_refused_by_name(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=rf"^{name}: .*(pass|return) "):
        LoggingHandler(**{"store": MemoryEventStore(), **wrong})
