"""What partitions by time would cost and give: saving and purging, with them and without.

    python -m bench.servers.partitions [--events 1000000]

A partitioned table can have no unique index on ids alone. So with partitions each save also inserts
its id into a second table, which has that index, and each purge also deletes the ids from there.
Both sides have the other indexes of a store. The statements are run as they are, without a store.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import psycopg

from bench.data import BATCH, START, STEP, batches, made_events
from bench.servers.volume import USUAL
from lmdbstore import Event
from lmdbstore.sql.server.names import Names
from lmdbstore.sql.server.schema import events_statements
from lmdbstore.sql.writing.rows import insert_events
from tests.sql.servers import Servers

PARTS = 10
IDS = """
CREATE TABLE {events}_ids (id text COLLATE "C" PRIMARY KEY, ts float8 NOT NULL);
CREATE INDEX ON {events}_ids (ts);
"""


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.servers.partitions")
    parser.add_argument("--events", type=int, default=1_000_000)
    number = parser.parse_args().events
    servers = Servers()
    try:
        address = servers.get("one", USUAL).address
        with psycopg.connect(address, autocommit=True) as connection:
            for parts in (0, PARTS):
                measure(connection, number, parts)
    finally:
        servers.stop()


def measure(connection: Any, number: int, parts: int) -> None:
    """Save and purge, with so many partitions or none."""
    names = Names(f"parts{parts}")
    connection.execute(f"CREATE SCHEMA {names.schema}")
    length = number * STEP / max(parts, 1)
    for statement in events_statements(names):
        connection.execute(_partitioned(statement) if parts else statement)
    for part in range(parts):
        low, high = START + part * length - STEP / 2, START + (part + 1) * length - STEP / 2
        connection.execute(
            f"CREATE TABLE {names.events}_{part} PARTITION OF {names.events} "
            f"FOR VALUES FROM ({low!r}) TO ({high!r})"
        )
    if parts:
        connection.execute(IDS.format(events=names.events))
    begin = time.perf_counter()
    for turn, batch in enumerate(batches(made_events(number))):
        save(connection, names, batch, turn * BATCH, parts)
    saved = time.perf_counter() - begin
    begin = time.perf_counter()
    purge(connection, names, parts, START + number // 2 * STEP)
    purged = time.perf_counter() - begin
    print(
        f"{parts or 'no'} partitions: saving {number / saved:,.0f} events a second, purging half "
        f"of them {purged:.2f} s, {number / 2 / purged:,.0f} events a second",
        flush=True,
    )


def _partitioned(statement: str) -> str:
    if statement.lstrip().startswith("CREATE TABLE"):
        return f"{statement.rstrip()} PARTITION BY RANGE (ts)"
    return statement.replace("UNIQUE ", "")


def save(connection: Any, names: Names, batch: list[Event], base: int, parts: int) -> None:
    """Save a batch, with its ids where there are partitions."""
    with connection.transaction():
        if parts:
            connection.execute(
                f"INSERT INTO {names.events}_ids SELECT * FROM unnest(%s::text[], %s::float8[])",
                [[event.id for event in batch], [event.timestamp for event in batch]],
            )
        insert_events(connection, names.events, {event.id: event for event in batch}, base)


def purge(connection: Any, names: Names, parts: int, before: float) -> None:
    """Delete what is older: whole partitions, or events by pieces."""
    if parts:
        connection.execute(f"DELETE FROM {names.events}_ids WHERE ts < {before!r}")
        for part in range(parts // 2):
            connection.execute(f"DROP TABLE {names.events}_{part}")
        return
    piece = f"SELECT id FROM {names.events} WHERE ts < {before!r} ORDER BY ts, seq LIMIT 8192"
    while ids := [row[0] for row in connection.execute(piece)]:
        connection.execute(f"DELETE FROM {names.events} WHERE id = ANY(%s)", [ids])


if __name__ == "__main__":
    main()
