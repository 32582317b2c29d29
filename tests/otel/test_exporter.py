"""The exporter, called by the real SDK."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import (
    EventWriteException,
    InvalidOption,
    LMDBEventStore,
    MemoryEventStore,
    StoreFull,
)
from tests.tools.logged import Failing, contents

if TYPE_CHECKING:
    from pathlib import Path

_logs: Any = pytest.importorskip("opentelemetry._logs", reason="the extra otel is not installed")
sdk: Any = pytest.importorskip("opentelemetry.sdk._logs")
export: Any = pytest.importorskip("opentelemetry.sdk._logs.export")
resources: Any = pytest.importorskip("opentelemetry.sdk.resources")
LogRecord, Severity = _logs.LogRecord, _logs.SeverityNumber

from lmdbstore.otel import EventStoreLogExporter  # noqa: E402  after the skips


def provider_of(exporter: EventStoreLogExporter, *, batch: bool = False) -> Any:
    provider = sdk.LoggerProvider(resources.Resource({"service.name": "shop"}))
    kind = export.BatchLogRecordProcessor if batch else export.SimpleLogRecordProcessor
    provider.add_log_record_processor(kind(exporter))
    return provider


def exported(record: Any, scope: str = "shop.orders", tags: Any = ()) -> Any:
    """Return the event of a record."""
    store = MemoryEventStore()
    provider = provider_of(EventStoreLogExporter(store, tags))
    provider.get_logger(scope).emit(record)
    provider.shutdown()
    (event,) = store.search()
    return event


def test_a_record_becomes_an_event() -> None:
    record = LogRecord(
        timestamp=1_500_000_000,
        body="order came",
        severity_number=Severity.WARN2,
        severity_text="WARN",
        event_name="order",
        attributes={"items": 3, "names": ["a", "b"]},
    )
    record.trace_id, record.span_id = 0xABC, 0xDE
    event = exported(record, tags=["app"])
    assert (event.timestamp, event.source) == (1.5, "shop.orders")
    assert event.tags == ["level:warning", "app"]
    assert json.loads(event.content) == {
        "message": "order came",
        "event_name": "order",
        "attributes": {"items": 3, "names": ["a", "b"]},
        "trace_id": "0" * 29 + "abc",
        "span_id": "0" * 14 + "de",
        "resource": {"service.name": "shop"},
    }


def test_what_a_record_lacks_is_left_out() -> None:
    event = exported(LogRecord(observed_timestamp=2_000_000_000, body={"a": [1, b"x"]}), scope="")
    assert (event.timestamp, event.source, event.tags) == (2.0, "shop", [])
    assert json.loads(event.content) == {
        "message": {"a": [1, "b'x'"]},
        "resource": {"service.name": "shop"},
    }


LEVELS = ["trace", "debug", "info", "warning", "error", "critical"]


@pytest.mark.parametrize("number", range(1, 25))
def test_the_severity_is_a_level(number: int) -> None:
    event = exported(LogRecord(body="x", severity_number=Severity(number)))
    assert event.tags == [f"level:{LEVELS[(number - 1) // 4]}"]


def test_a_severity_without_a_number_is_taken_by_its_name() -> None:
    assert exported(LogRecord(body="x", severity_text="FATAL")).tags == ["level:critical"]


def test_half_a_character_keeps_no_batch_out() -> None:
    event = exported(LogRecord(body="half \ud800"), scope="half \ud800")
    assert event.source == "half \\ud800"
    assert json.loads(event.content)["message"] == "half \\ud800"


def test_an_attribute_that_json_does_not_have_leaves_the_others_as_they_are() -> None:
    event = exported(LogRecord(body="x", attributes={"half": "\ud800", "n": 7, "of": [1, 2]}))
    assert json.loads(event.content)["attributes"] == {"half": "\\ud800", "n": 7, "of": [1, 2]}


def test_a_batch_processor_exports_from_its_thread(path: Path) -> None:
    provider = provider_of(EventStoreLogExporter(path), batch=True)
    logger = provider.get_logger("shop")
    for number in range(1000):
        logger.emit(LogRecord(body=number))
    assert provider.force_flush()
    provider.shutdown()
    with LMDBEventStore(path) as store:
        assert [json.loads(text)["message"] for text in contents(store)] == [*range(1000)]


def test_an_error_of_the_store_is_raised_for_the_sdk_to_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = EventStoreLogExporter(Failing(StoreFull))
    provider = provider_of(exporter)
    with caplog.at_level(logging.ERROR):
        provider.get_logger("x").emit(LogRecord(body="x"))
    assert "StoreFull" in caplog.text
    store = Failing(EventWriteException)
    with pytest.raises(EventWriteException):
        EventStoreLogExporter(store).export(readable())
    provider.shutdown()


def readable() -> list[Any]:
    exporter = export.InMemoryLogRecordExporter()
    provider = provider_of(exporter)
    provider.get_logger("x").emit(LogRecord(body="x"))
    found = list(exporter.get_finished_logs())
    provider.shutdown()
    return found


def test_after_the_shutdown_nothing_is_exported(path: Path) -> None:
    exporter = EventStoreLogExporter(path)
    assert exporter.export(readable()) is export.LogRecordExportResult.SUCCESS
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export(readable()) is export.LogRecordExportResult.FAILURE
    with LMDBEventStore(path) as store:
        assert len(store) == 1


def test_a_wrong_argument_is_refused_by_name() -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("store", {"store": 7}),
        ("tags", {"tags": "x"}),
        ("timeout", {"timeout": -1}),
    ]
    for name, argument in wrong:
        with pytest.raises(InvalidOption, match=f"^{name}: "):
            EventStoreLogExporter(**{"store": MemoryEventStore(), **argument})
