"""Save the log records of OpenTelemetry, which needs the extra `otel`.

    python tests/recipes/log_with_opentelemetry.py

The SDK collects records and exports them from its own thread.
"""

from __future__ import annotations

import json

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from lmdbstore import LMDBEventStore
from lmdbstore.otel import EventStoreLogExporter


def main() -> None:
    """Log, and read what was logged."""
    provider = LoggerProvider(Resource({"service.name": "shop"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(EventStoreLogExporter("events")))
    log = provider.get_logger("shop.orders")
    log.emit(
        LogRecord(
            body="order 7 came",
            severity_number=SeverityNumber.INFO,
            attributes={"customer": "x", "items": 3},
        )
    )
    provider.shutdown()  # exports what is left, and closes the store
    with LMDBEventStore("events", readonly=True) as store:
        for event in store.search(source="shop.orders", flags=["level:info"]):
            fields = json.loads(event.content)
            print(fields["message"], fields["attributes"], fields["resource"])


if __name__ == "__main__":
    main()
