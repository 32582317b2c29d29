"""Processes that are killed at any moment: nothing is lost or torn, and no process is stuck.

`killed` has the work of the children, `history` what must be true afterwards. A kill comes at a
random moment, so one round may prove nothing; many rounds together reach every place. The steps of
a commit are cut off one by one in `tests/processes/test_killed.py`.
"""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import ExitStack, closing
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore import Event, LMDBEventStore
from lmdbstore.write import writer
from tests.endurance.tools.history import LANES, Known, SharedNumbers, probed
from tests.endurance.tools.killed import READS
from tests.endurance.tools.nursery import Nursery
from tests.tools.children import until
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from tests.tools.rounds import Rounds

ENOUGH = 6000  # events; then a new store is made, so that rounds stay short
MOST_USED = 16_000_000  # bytes of the map: the space of a few rounds of churn, not of all rounds
NOTES = 1000  # bytes of a journal: some tens of notes, more than were unfinished


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with Nursery("tests.endurance.tools.killed", tmp_path / "complaints") as nursery:
        yield nursery


def moment(chance: Random) -> float:
    """Return seconds until a kill: about as long as a start, a call, or many calls."""
    return chance.choice([0.0, 0.0005, 0.005, 0.05]) * chance.random()


class Life:
    """One store from its creation, its constant readers, and what is known of it."""

    def __init__(self, nursery: Nursery, folder: Path, rounds: Rounds) -> None:
        folder.mkdir()
        self.nursery, self.folder = nursery, folder
        self.rounds, self.chance = rounds, rounds.random
        self.path, self.shared = folder / "events", SharedNumbers(folder / "shared")
        self.known, self.probes = Known(), 0
        LMDBEventStore(self.path).close()
        # Without readers, the first process after a kill resets LMDB's lock file.
        watched = self.chance.random() < 0.7
        self.readers = [
            self._reader(readonly=readonly) for readonly in (False, True)[: 2 * watched]
        ]

    def _begin(self, role: str, **arguments: Any) -> int:
        seed = self.chance.getrandbits(32)
        return self.nursery.begin(
            role, path=str(self.path), shared=str(self.folder / "shared"), seed=seed, **arguments
        )

    def _reader(self, *, readonly: bool) -> int:
        return self._begin("read", reader=int(readonly), readonly=readonly)

    def writers_are_killed(self) -> list[Path]:
        """Let two processes write, kill them, and return their journals."""
        first = self.known.next
        journals = [self.folder / f"{first}-{writer}" for writer in range(2)]
        writers = [
            self._begin(
                "write",
                journal=str(journal),
                lanes=list(range(LANES))[writer::2],
                first=first,
                durability=self.chance.choice(["full", "full", "none"]),
            )
            for writer, journal in enumerate(journals)
        ]
        if self.chance.random() < 0.8:
            until(lambda: all(map(size, journals)), "the writers do not begin to write")
        time.sleep(moment(self.chance))
        self.a_reader_is_killed()
        if self.chance.random() < 0.5:
            self.nursery.kill(*writers)
        else:
            self.nursery.kill(writers[0])
            before = size(journals[1])
            until(lambda: size(journals[1]) > before + NOTES, "the other writer is stuck")
            self.nursery.kill(writers[1])
        return journals

    def a_reader_is_killed(self) -> None:
        """Kill one of the constant readers at any point, and start another."""
        if self.readers and self.chance.random() < 0.3:
            readonly = self.chance.choice([False, True])
            self.nursery.kill(self.readers[readonly])
            self.readers[readonly] = self._reader(readonly=readonly)

    def readers_continue(self) -> None:
        """Wait until each reader has begun and ended a new step."""
        for reader, pid in enumerate(self.readers):
            self._continues(reader, pid, self.shared.steps(reader) + 1)

    def _continues(self, reader: int, pid: int, steps: int) -> None:
        def does() -> bool:
            self.nursery.assert_alive(pid)
            return self.shared.steps(reader) > steps

        until(does, "a reader is stuck")

    def check(self, journals: list[Path]) -> None:
        """Let another process read and write, and compare all events with what is known."""
        readers_first = self.chance.random() < 0.5
        if readers_first:
            self.readers_continue()
        self.probe(write_first=not readers_first)
        self.readers_continue()
        with LMDBEventStore(self.path, create=False) as store:
            verify(store)
            found = list(store.search())
        self.known.check(found, journals)

    def probe(self, *, write_first: bool) -> None:
        self.probes += 1
        n = self.probes
        self.nursery.run("probe", path=str(self.path), n=n, write_first=write_first)
        self.known.events[probed(n).id] = probed(n)

    def close(self) -> None:
        self.rounds.add("acknowledged writes checked", self.known.acknowledged)
        self.rounds.add("writes cut off", self.known.unacknowledged)
        self.rounds.add(
            "strict reads at the same time", sum(map(self.shared.steps, (0, 1))) * READS
        )
        self.shared.close()
        self.nursery.kill(*self.readers)
        shutil.rmtree(self.folder)


def verify(store: LMDBEventStore) -> None:
    """Fail if the store contradicts itself."""
    assert store.verify(pages=True) == []
    assert_indexes_agree(store)


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.endurance("two processes of four threads each write and are killed", rounds=4)
def test_writers_are_killed(nursery: Nursery, tmp_path: Path, rounds: Rounds) -> None:
    going_on = iter(rounds)
    for number in going_on:
        with closing(Life(nursery, tmp_path / str(number), rounds)) as life:
            life.check(life.writers_are_killed())
            while len(life.known.events) < ENOUGH and next(going_on, None) is not None:
                life.check(life.writers_are_killed())


LINES = 220  # more than a change reaches
CUTS = 25  # rounds with one store, which other processes may read


@pytest.mark.endurance("a process is killed at one line of a write", rounds=12)
def test_a_writer_is_killed_at_any_line(nursery: Nursery, tmp_path: Path, rounds: Rounds) -> None:
    """Of all lines of the package that a change comes upon, in the order of their first time."""
    going_on = iter(rounds)
    for number in going_on:
        with closing(Life(nursery, tmp_path / str(number), rounds)) as life:
            cut(life)
            for _ in islice(going_on, CUTS - 1):
                cut(life)


def cut(life: Life) -> None:
    n = life.known.next
    journal = life.folder / str(n)
    pid = life.nursery.begin(
        "cut",
        path=str(life.path),
        journal=str(journal),
        kind=life.chance.choice(["save", "delete", "few"]),
        n=n,
        place=life.chance.randrange(LINES),
    )
    code = life.nursery.code(pid)
    assert code in (0, -signal.SIGKILL), life.nursery.complaints()
    life.check([journal])


HOLDERS, THREADS = 2, 5  # processes, and the snapshots of each
CHURN = 100  # events that are saved and deleted in each round, of 1,000 bytes each


@pytest.mark.endurance("processes that hold snapshots are killed", rounds=10)
def test_readers_are_killed(
    nursery: Nursery, path: Path, tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The space of events that were deleted while they read is used again, too."""
    monkeypatch.setattr(writer, "SLOTS_CHECK", 0.0)
    with (
        closing(SharedNumbers(tmp_path / "shared")) as shared,
        LMDBEventStore(path, max_readers=1, durability="none") as store,
    ):
        used = []
        for number in rounds:
            before = shared.steps(0)
            holders = [
                nursery.begin(
                    "hold",
                    path=str(path),
                    shared=str(tmp_path / "shared"),
                    reader=0,
                    number=THREADS,
                )
                for _ in range(HOLDERS)
            ]
            if rounds.random.random() < 0.8:
                until(lambda before=before: shared.steps(0) > before, "no process holds a snapshot")  # type: ignore[misc]  # the default binds it
            time.sleep(moment(rounds.random))
            churn(store, f"{number} beside them")
            nursery.kill(*holders)
            if rounds.random.random() < 0.5:  # in the other half a writer frees the slots
                every_slot_is_free(store)
            churn(store, f"{number} after them")
            used.append(store.stats().map_used)
            rounds.add("snapshots of killed processes", HOLDERS * THREADS)
        assert used[-1] <= MOST_USED, f"the file grows: {used}"


def churn(store: LMDBEventStore, name: str) -> None:
    """Save and delete: the space is used again if no process reads the state before."""
    names = [f"{name} {n}" for n in range(CHURN)]
    store.save_many(Event(one, "churn", 1.0, ["all"], "x" * 1000) for one in names)
    for one in names:
        store.delete(one)


def every_slot_is_free(store: LMDBEventStore) -> None:
    slots = store.stats().max_readers  # as many as fit into LMDB's smallest table
    with ExitStack() as views:
        for _ in range(slots):
            assert len(views.enter_context(store.snapshot())) == 0


CREATORS: list[dict[str, Any]] = [
    {},
    {"map_size": 1 << 20, "durability": "none"},
    {"map_size": 1 << 24},
]


@pytest.mark.endurance("processes that make one store at once are killed", rounds=4)
def test_creators_are_killed(nursery: Nursery, tmp_path: Path, rounds: Rounds) -> None:
    """They open it with different map sizes, again and again."""
    for number in rounds:
        folder = tmp_path / str(number)
        folder.mkdir()
        path, known = folder / "events", Known()
        if rounds.random.random() < 0.3:
            path.mkdir()
        journals = [folder / f"journal {lane}" for lane in range(len(CREATORS))]
        creators = [
            nursery.begin("create", path=str(path), journal=str(journal), lane=lane, first=1, **how)
            for lane, (journal, how) in enumerate(zip(journals, CREATORS, strict=True))
        ]
        rounds.random.shuffle(creators)
        for pid in creators:
            time.sleep(moment(rounds.random))
            nursery.kill(pid)
        nursery.run("probe", path=str(path), n=number, write_first=rounds.random.random() < 0.5)
        known.events[probed(number).id] = probed(number)
        with LMDBEventStore(path, create=False) as store:
            verify(store)
            known.check(list(store.search()), journals)
        rounds.add("processes killed", len(creators))
        rounds.add("acknowledged writes checked", known.acknowledged)
        shutil.rmtree(folder)
