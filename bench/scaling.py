"""How the time of reads grows with the store: the same operations on stores of several sizes.

Rules: one stream of events fills all stores, each up to its size. The stores are measured in turn,
so that ratios compare times of the same minutes. Loading is not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import partial

from lmdbstore import Event

from .data import batches, made_events
from .measure import Figures, Run, drained, in_turn
from .operations import Sample
from .peers import OURS, Peer, open_peer
from .runner import Settings

__all__ = ["SIZES", "run_scaling"]

GROUP = "scaling"
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)  # events
SMALL_SIZES = (1_000, 10_000)
BASE = 100_000  # events of the store with which the others are compared

Ask = Callable[[Peer, Sample], Iterable[Event | None]]


def _gets(peer: Peer, sample: Sample) -> Iterable[Event | None]:
    return map(peer.get, sample.ids)


ROWS: dict[str, tuple[str, Ask]] = {
    "get": ("us a call", _gets),
    "newest 100": ("us a call", lambda peer, _: peer.newest(100)),
    "range of 100": ("us a call", lambda peer, sample: peer.between(*sample.range(100))),
    "pattern, rare literal": ("ms a query", lambda peer, _: peer.matching("needle")),
    "pattern, one match": ("ms a query", lambda peer, sample: peer.matching(sample.word)),
}


def run_scaling(settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows."""
    rows = {name: row for name, row in ROWS.items() if settings.wants(GROUP, name)}
    sizes = [size for size in SIZES if size <= settings.largest] or list(SMALL_SIZES)
    if not rows:
        return
    with ExitStack() as stack:
        stores = {}
        for size in sizes:
            folder = settings.folder / GROUP / str(size)
            folder.mkdir(parents=True)
            peer = stack.enter_context(closing(open_peer(OURS, folder)))
            stores[size] = (peer, Sample(size))
        settings.say(f"Scaling: loading {sizes[-1]:,} events")
        _load(stores)
        for name, (unit, ask) in rows.items():
            settings.say(f"Scaling: {name}")
            runs = {_size(size): partial(_run, ask, *stores[size]) for size in sizes}
            figures = in_turn(runs, settings.repeat)
            base = BASE if BASE in sizes else sizes[0]
            yield Figures(GROUP, name, unit, _size(base), figures)


def _load(stores: dict[int, tuple[Peer, Sample]]) -> None:
    loaded = 0
    for batch in batches(made_events(max(stores))):
        for size, (peer, sample) in stores.items():
            part = batch[: max(0, size - loaded)]
            if part:
                sample.add(part)
                peer.save_many(part)
        loaded += len(batch)


def _run(ask: Ask, peer: Peer, sample: Sample) -> Run:
    units = len(sample.ids) if ask is _gets else 1
    return Run(lambda: drained(ask(peer, sample)), units)


def _size(events: int) -> str:
    return f"{events:,} events"
