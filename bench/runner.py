"""Runs groups of rows: opens the stores, loads and measures them in turn, and closes them.

Rules: every peer saves a batch before the next batch is made; this is the row of `save_many`. A
peer whose package is missing is left out. A peer with a result other than that of the store ends
the benchmark.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from .data import batches
from .measure import Figures, Run, in_order, in_turn, taken
from .operations import Answer, Group, Row, Sample
from .peers import PEERS, Peer, missing, open_peer

__all__ = ["LOADED", "ON_DISK", "Settings", "disk_bytes", "folder_of", "present", "run_group"]

LOADED = "save_many, 10,000"
ON_DISK = "bytes on disk"


class Settings(NamedTuple):
    """How the benchmark is run."""

    events: int
    largest: int  # events of the largest store for the rows about growth
    repeat: int
    only: str  # only rows whose name contains this
    folder: Path
    brief: bool  # shorter windows and fewer starts
    say: Callable[[str], None]  # shows progress

    def wants(self, group: str, name: str) -> bool:
        """Whether a row is wanted."""
        return self.only in f"{group}: {name}"


def present(peers: Iterable[str]) -> list[str]:
    """Return those peers whose packages are installed."""
    return [name for name in peers if not missing(name)]


def folder_of(settings: Settings, group: str, peer: str) -> Path:
    """Return the folder with the data of a peer."""
    owner = PEERS[peer].folder_of or peer
    return settings.folder / group / owner.replace(" ", "-").replace(",", "")


def disk_bytes(folder: Path) -> int:
    """Return the bytes that the files of a folder take on disk."""
    paths = [Path(at) / name for at, _, names in os.walk(folder) for name in names]
    return sum(path.stat().st_blocks * 512 for path in paths)


def run_group(group: Group, settings: Settings) -> Iterator[Figures]:
    """Run the wanted rows of a group, and give the figures of each."""
    sample = Sample(group.number(settings.events))
    with _opened(group, settings) as peers:
        settings.say(f"{group.title}: loading {sample.number:,} events")
        owners = {name: peer for name, peer in peers.items() if not PEERS[name].folder_of}
        figures = _load(group, owners, sample)
        for peer in owners.values():
            peer.finish()
        if settings.wants(group.name, LOADED):
            times = {n: times for n, times in figures.items() if PEERS[n].stores}
            yield Figures(group.name, LOADED, "us an event", group.base, times, _batch(group))
        if settings.wants(group.name, ON_DISK):
            sizes = {
                n: [disk_bytes(p.folder) / sample.number]
                for n, p in owners.items()
                if PEERS[n].stores
            }
            yield Figures(group.name, ON_DISK, "bytes an event", group.base, sizes)
        for row in group.rows:
            if settings.wants(group.name, row.name):
                settings.say(f"{group.title}: {row.name}")
                yield _run_row(row, group, peers, sample, settings.repeat)


def _batch(group: Group) -> str:
    return "" if group.batch == 10_000 else f"in batches of {group.batch:,}"


@contextmanager
def _opened(group: Group, settings: Settings) -> Iterator[dict[str, Peer]]:
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name in present(group.peers):
            folder = folder_of(settings, group.name, name)
            folder.mkdir(parents=True, exist_ok=True)
            peers[name] = open_peer(name, folder)
            stack.enter_context(closing(peers[name]))
        yield peers


def _load(group: Group, peers: Mapping[str, Peer], sample: Sample) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {name: [] for name in peers}
    for number, batch in enumerate(batches(group.events(sample.number), group.batch)):
        sample.add(batch)
        for name in in_order(peers, number):
            run = Run(partial(peers[name].save_many, batch), len(batch))
            figures[name].append(taken(run))
    return {name: times[1:] or times for name, times in figures.items()}  # the first warms up


def _run_row(
    row: Row, group: Group, peers: Mapping[str, Peer], sample: Sample, repeat: int
) -> Figures:
    takes_part = {name: peers[name] for name in row.peers if name in peers}
    if row.answer is not None:
        _check(row, takes_part, sample)
    prepared = {n: partial(_prepare, row, peer, sample) for n, peer in takes_part.items()}
    figures = in_turn(prepared, repeat, repeatable=row.answer is not None)
    return Figures(group.name, row.name, row.unit, group.base, figures, row.note)


def _prepare(row: Row, peer: Peer, sample: Sample) -> Run:
    peer.ready()
    return row.prepare(peer, sample)


def _check(row: Row, peers: Mapping[str, Peer], sample: Sample) -> None:
    """Raise AssertionError unless all peers give the same events in the same order."""
    answers = {}
    for name, peer in peers.items():
        peer.ready()
        answers[name] = _summary(row.answer(peer, sample)) if row.answer else ""
    if len(set(answers.values())) > 1:
        raise AssertionError(f"{row.name}: the peers do not agree: {answers}")
    gc.collect()


def _summary(answer: Answer) -> str:
    if isinstance(answer, int):
        return str(answer)
    digest, number = blake2b(digest_size=8), 0
    for event in answer:
        number += 1
        digest.update(repr(event).encode())
    return f"{number:,} events, {digest.hexdigest()}"
