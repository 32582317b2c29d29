"""OpenTelemetry: `EventStoreLogExporter` saves the log records of its SDK as events.

It needs the extra `otel`. The SDK collects the records and calls the exporter from a thread:

    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from lmdbstore.otel import EventStoreLogExporter

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(EventStoreLogExporter("events")))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from lmdbstore.contract.event import Event, new_id
from lmdbstore.errors import InvalidEvent

from .handler.options import checked_tags, checked_timeout
from .handler.records import as_json, cleaned, level_flag
from .handler.target import Target

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.types import Strings

__all__ = ["EventStoreLogExporter"]

# The names of ranges of four severity numbers each; 0 is none.
LEVELS = "trace", "debug", "info", "warning", "error", "critical"
TIMEOUT = 5.0  # seconds


class EventStoreLogExporter(LogRecordExporter):  # type: ignore[misc]  # Any where it is not installed
    """Saves log records of OpenTelemetry as events.

    The event has the time of the record, or else that of its observation; the name of the
    instrumentation scope (the logger) as its `source`, or else `service.name`; and the severity as
    the flag `level:error` (`level:warning`, ...). The content is a JSON object of what the record
    has: `message` (the body), `event_name`, `attributes`, `trace_id`, `span_id` and `resource`.

    A batch is saved all or not at all, as durable as the store says, when `export` returns. If the
    store refuses it, `export` raises: the SDK logs the exception, and the batch is lost.
    """

    def __init__(
        self,
        store: EventStore | str | os.PathLike[str] | Callable[[], EventStore],
        tags: Strings = (),
        *,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """Save in `store`.

        Args:
            store: A store, which stays the caller's to close; or the path of a folder, or a
                function that returns a store: these are opened at once, and closed by `shutdown`.
            tags: Flags that each event gets after that of its level.
            timeout: Seconds that saving a batch may wait for others; None: for ever.

        Raises:
            InvalidOption: an argument has an invalid value.
            StoreOpenError: the store at the path could not be opened.
        """
        self._tags = checked_tags(tags)
        self._limit = checked_timeout(timeout)
        self._target = Target(store)
        self._ended = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Save a batch; raises what `save_many` of the store raises."""
        if self._ended:
            return LogRecordExportResult.FAILURE
        events = [self._event(record) for record in batch]
        try:
            self._target.save(events, self._limit)
        except InvalidEvent:
            self._target.save([cleaned(event) for event in events], self._limit)
        return LogRecordExportResult.SUCCESS

    def _event(self, readable: ReadableLogRecord) -> Event:
        record, scope = readable.log_record, readable.instrumentation_scope
        resource = dict(readable.resource.attributes)
        content = {
            "message": record.body,
            "event_name": record.event_name,
            "attributes": dict(record.attributes or {}),
            "trace_id": f"{record.trace_id:032x}" if record.trace_id else None,
            "span_id": f"{record.span_id:016x}" if record.span_id else None,
            "resource": resource,
        }
        return Event(
            new_id(),
            (scope.name if scope else "") or str(resource.get("service.name", "")),
            (record.timestamp or record.observed_timestamp or 0) / 1e9,
            [*_level(record), *self._tags],
            as_json({name: value for name, value in content.items() if value not in (None, {})}),
        )

    def shutdown(self) -> None:
        """Close a store that was opened here; what is exported later is refused."""
        self._ended = True
        self._target.close(self._limit)

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002  the SDK's name
        """Do nothing: what was exported is saved."""
        return True


def _level(record: Any) -> list[str]:
    number = getattr(record.severity_number, "value", 0)
    if number > 0:
        return [level_flag(LEVELS[min((number - 1) // 4, len(LEVELS) - 1)])]
    return [level_flag(record.severity_text)] if record.severity_text else []
