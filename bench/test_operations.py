"""The operations of the store under pytest-benchmark, to compare it before and after a change.

    pytest bench/ --benchmark-autosave
    pytest bench/ --benchmark-compare

The rows are those of `operations`, run on a small store of lmdbstore alone. A time is for a whole
row: that of `get` is for many ids. Rows that write are prepared again for each round.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .data import BATCH, batches
from .measure import Run
from .operations import GROUPS, Group, Row, Sample
from .peers import OURS, Peer, open_peer

EVENTS = 50_000  # of the whole benchmark, from which a group derives its own number
WRITES = 10  # rounds of a row that writes

COVERED = [group for group in GROUPS if group.name in {"made", "log"}]
ROWS = [(group, row) for group in COVERED for row in group.rows if OURS in row.peers]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Peer, Sample]]]:
    made = {group.name: _loaded(group, tmp_path_factory.mktemp(group.name)) for group in COVERED}
    yield made
    for peer, _ in made.values():
        peer.close()


@pytest.mark.parametrize(
    ("group", "row"), ROWS, ids=[f"{group.name}: {row.name}" for group, row in ROWS]
)
def test_row(
    group: Group, row: Row, stores: dict[str, tuple[Peer, Sample]], benchmark: Any
) -> None:
    peer, sample = stores[group.name]
    if row.answer is not None:
        benchmark(row.prepare(peer, sample).work)
        return
    _measure_writes(benchmark, lambda: row.prepare(peer, sample))


def test_save_many(stores: dict[str, tuple[Peer, Sample]], benchmark: Any) -> None:
    peer, sample = stores["made"]

    def prepare() -> Run:
        events = sample.new(BATCH)
        return Run(lambda: peer.save_many(events), BATCH)

    _measure_writes(benchmark, prepare)


def _measure_writes(benchmark: Any, prepare: Any) -> None:
    benchmark.pedantic(
        lambda run: run.work(), setup=lambda: ((prepare(),), {}), rounds=WRITES, warmup_rounds=1
    )


def _loaded(group: Group, folder: Path) -> tuple[Peer, Sample]:
    sample = Sample(group.number(EVENTS))
    peer = open_peer(OURS, folder)
    for batch in batches(group.events(sample.number), group.batch):
        sample.add(batch)
        peer.save_many(batch)
    return peer, sample
