"""Forks at any moment: `os.fork`, multiprocessing with its three methods, and a server.

A child is judged by its exit status, and by the events that the parent finds in the store
afterwards: all acknowledged ones.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lmdbstore import DuplicateEvent, Event, LMDBEventStore
from tests.tools.beside import beside
from tests.tools.children import in_child, needs_semaphores
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from random import Random

    from tests.tools.rounds import Rounds

LONG = 120  # seconds; ends a hang, decides nothing
GIVEN = 1500  # events that are there from the beginning, and stay
TURNS = 30  # of each work that goes on meanwhile, for each step of the test

pytestmark = [
    pytest.mark.usefixtures("resource_tracker"),
]


def give(store: LMDBEventStore) -> None:
    store.save_many(
        Event(f"e{n}", timestamp=float(n), tags=["given"], content=f"given {n} " + "x" * 300)
        for n in range(GIVEN)
    )


# -- the work of other threads --------------------------------------------------------------------


class Work:
    """Threads that use a store in every way beside a test."""

    def __init__(self, store: LMDBEventStore, elsewhere: Path) -> None:
        self.store = store
        self.elsewhere = elsewhere  # the folder where other stores are opened and closed
        self.saved = 0

    def saving(self, _: int) -> None:
        self.store.save(Event(tags=["saved"]))
        self.saved += 1

    def coming_and_going(self, _: int) -> None:
        event = Event(tags=["gone"], content="gone " * 200)
        self.store.save_many([event, Event(gone := f"{event.id}-2", tags=["gone"])])
        assert {event.id, gone} <= {found.id for found in self.store.search(flags=["gone"])}
        self.store.delete(event.id)
        self.store.delete(gone)

    def reading(self, _: int) -> None:
        assert self.store.get("e7").timestamp == 7.0
        assert self.store.count(flags=["given"]) == GIVEN
        assert self.store.count(match="^given [0-9]+ x") == GIVEN
        next(self.store.search(order="desc"))  # and forget the search
        self.store.stats()

    def in_snapshots(self, _: int) -> None:
        with self.store.snapshot() as view:
            assert view.flags()["given"] == GIVEN
            number = len(view)
            assert sum(1 for _ in view.search(match="given|gone|^x*$")) == number == len(view)

    def opening(self, _: int) -> None:
        with LMDBEventStore(self.store._path) as again, LMDBEventStore(self.elsewhere) as other:
            assert "e7" in again
            other.save(Event())
            other.seal()

    def beside(self) -> AbstractContextManager[Callable[..., None]]:
        """Do it all in threads, so many turns for each call of what is given."""
        works = self.saving, self.coming_and_going, self.reading, self.in_snapshots, self.opening
        return beside(*works, turns=TURNS)


def use(store: LMDBEventStore, name: str) -> None:
    """Use the store in a child."""
    assert store.get("e7").timestamp == 7.0
    assert store.count(flags=["given"]) == store.count(match="^given [0-9]+ x") == GIVEN
    store.save(Event(name, tags=["child"]))
    with store.snapshot() as view:
        store.save_many([Event(f"{name}-2", tags=["child"]), Event(f"{name}-3", tags=["child"])])
        assert name in view
        assert f"{name}-3" not in view
    assert {name, f"{name}-2"} <= {event.id for event in store.search(flags=["child"])}


USED = 3  # events that `use` saves


@pytest.mark.endurance("a process forks while its threads do everything", rounds=3)
def test_forks_in_the_middle_of_everything(path: Path, tmp_path: Path, rounds: Rounds) -> None:
    with LMDBEventStore(path) as store:
        give(store)
        work = Work(store, tmp_path / "other")
        half_read = store.search(flags=["given"])
        next(half_read)

        def child(name: str, generations: int) -> None:
            use(store, name)
            with LMDBEventStore(path) as again:
                assert name in again
            if generations:
                with ThreadPoolExecutor(2) as pool:
                    inside = pool.submit(use, store, f"{name}.t")
                    in_child(lambda: child(f"{name}.c", generations - 1))
                    inside.result(LONG)
            assert len(list(half_read)) == GIVEN - 1

        def fork(name: str) -> None:
            in_child(lambda: child(name, generations=1))

        with work.beside() as go_on, ThreadPoolExecutor(1) as pool, store.snapshot() as view:
            before = len(view)
            for number in rounds:
                go_on()
                another = pool.submit(fork, f"t{number}")  # two threads fork at the same time
                fork(f"m{number}")
                another.result(LONG)
                rounds.add("children and grandchildren", 4)
                rounds.add("their acknowledged events", 6 * USED)
                assert len(view) == before
        assert store.count(flags=["child"]) == rounds.number * 6 * USED
        assert store.count(flags=["saved"]) == work.saved
        rounds.add("acknowledged events of the parent", work.saved)
    with LMDBEventStore(path) as store:
        assert store.stats().readers == 0


# -- multiprocessing ------------------------------------------------------------------------------


def use_by_pickle(store: LMDBEventStore, name: str) -> bool:
    use(store, name)
    return True


@pytest.mark.endurance("multiprocessing workers by fork, forkserver and spawn at once", rounds=1)
def test_the_three_methods_of_multiprocessing_work_at_once(
    path: Path, tmp_path: Path, rounds: Rounds
) -> None:
    needs_semaphores()
    methods, tasks = ("fork", "forkserver", "spawn"), 10
    try:
        with LMDBEventStore(path) as store:
            give(store)
            work = Work(store, tmp_path / "other")
            for number in rounds:
                with work.beside() as go_on:
                    go_on()
                    pools = [multiprocessing.get_context(method).Pool(2) for method in methods]
                    try:
                        found = [
                            pool.starmap_async(
                                use_by_pickle,
                                [(store, f"{number} {method} {n}") for n in range(tasks)],
                            )
                            for pool, method in zip(pools, methods, strict=True)
                        ]
                        assert [one.get(LONG) for one in found] == [[True] * tasks] * len(pools)
                    finally:
                        for pool in pools:
                            pool.terminate()
                            pool.join()
                rounds.add("acknowledged events of workers", len(pools) * tasks * USED)
            assert store.count(flags=["child"]) == rounds.counts["acknowledged events of workers"]
            assert store.count(flags=["saved"]) == work.saved
    finally:
        stop = multiprocessing.forkserver._forkserver._stop  # type: ignore[attr-defined]  # it would outlive the test
        stop()


# -- a server that forks its workers in advance ---------------------------------------------------

BURST = 8  # requests that are sent to a worker at once


class Request(NamedTuple):
    do: str  # save, save_many or get
    events: list[Event]


def requests(random: Random, prefix: str, known: dict[str, Event]) -> list[Request]:
    """Make a burst of requests; `known` are the events that are certainly there."""
    made = []
    for number in range(BURST):
        do = random.choice(["save", "save_many", "get"])
        if do == "get" and known:
            made.append(Request("get", [known[random.choice(list(known))]]))
            continue
        events = [
            Event(f"{prefix}-{number}-{n}", tags=["served"], content="x" * random.randrange(2000))
            for n in range(1 if do == "save" else 5)
        ]
        made.append(Request("save" if do == "save" else "save_many", events))
    return made


def answer(store: LMDBEventStore, request: Request) -> bool:
    if request.do == "get":
        return store.get(request.events[0].id) == request.events[0]
    try:
        if request.do == "save":
            store.save(request.events[0])
        else:
            store.save_many(request.events)
    except DuplicateEvent:
        return False
    return all(event.id in store for event in request.events)


class Worker:
    """A forked worker, seen from its master."""

    def __init__(self, store: LMDBEventStore, others: list[Worker], *, graceful: bool) -> None:
        ours, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        self.pipe: Connection[Any, Any] = ours
        self.asked: list[Request] = []
        if self.pid:
            theirs.close()
            return
        status = 1
        try:
            for pipe in (ours, *(other.pipe for other in others)):
                pipe.close()
            if graceful:
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            serve(store, theirs)
            status = 0
        except SystemExit:
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def ask(self, some: list[Request]) -> None:
        self.asked += some
        for request in some:
            self.pipe.send(request)

    def answers(self, most: int) -> Iterator[Request]:
        """Yield the answered requests, `most` at most; fewer if the worker died."""
        for _ in range(most):
            assert self.pipe.poll(LONG), "a worker hangs"
            try:
                assert self.pipe.recv() is True
            except (EOFError, ConnectionResetError):
                return
            yield self.asked.pop(0)

    def end(self) -> int:
        self.pipe.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def serve(store: LMDBEventStore, pipe: Connection[Any, Any]) -> None:
    """Answer the requests of the master until it sends no more; a worker runs this."""
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            store.close()
            return
        pipe.send(answer(store, request))


@pytest.mark.endurance("a server loses a worker in the middle of its requests", rounds=3)
def test_a_server_whose_workers_are_killed_and_replaced(
    path: Path, tmp_path: Path, rounds: Rounds
) -> None:
    known: dict[str, Event] = {}  # acknowledged to the master, by its own calls or by a worker
    open_ended: list[Request] = []  # sent to workers that died
    random = rounds.random
    workers: list[Worker] = []

    def acknowledged(answered: Iterator[Request]) -> None:
        for request in answered:
            known.update((event.id, event) for event in request.events)

    with LMDBEventStore(path) as store:
        give(store)
        work = Work(store, tmp_path / "other")
        try:
            with work.beside() as go_on:
                for number in rounds:
                    go_on()
                    while len(workers) < 3:
                        workers.append(Worker(store, workers, graceful=random.random() < 0.5))
                    for worker in workers:
                        worker.ask(requests(random, f"{number}-{worker.pid}", known))
                    victim = random.choice(workers)
                    acknowledged(victim.answers(random.randrange(BURST)))
                    os.kill(victim.pid, how := random.choice([signal.SIGTERM, signal.SIGKILL]))
                    for worker in workers:
                        acknowledged(worker.answers(BURST))
                    workers.remove(victim)
                    open_ended += victim.asked
                    assert victim.end() in {-how, 0}
                    assert not any(worker.asked for worker in workers)
                    master = Event(f"master {number}", tags=["served"])
                    store.save(master)
                    known[master.id] = master
                    check_served(store, known, open_ended, rounds)
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    worker.pipe.close()
            assert [worker.end() for worker in workers] == [0] * len(workers)
        assert store.count(flags=["saved"]) == work.saved
    with LMDBEventStore(path) as store:
        assert store.stats().readers == 0
        assert_indexes_agree(store)


def check_served(
    store: LMDBEventStore, known: dict[str, Event], open_ended: list[Request], rounds: Rounds
) -> None:
    """Check that acknowledged events are there; other requests had their full effect or none."""
    found = {event.id: event for event in store.search(flags=["served"])}
    for event_id, event in known.items():
        assert found.pop(event_id) == event
    for request in open_ended:
        if request.do != "get":
            there = [event for event in request.events if found.pop(event.id, None) == event]
            assert there in ([], request.events), "half of a request was met"
            rounds.add("requests of killed workers, met or not at all")
    assert not found
    rounds.add("acknowledged events found", len(known))
    for event_id in list(known):  # those of earlier rounds are deleted
        if len(known) > 500:
            store.delete(event_id)
            del known[event_id]
    for request in open_ended:
        for event in request.events:
            if event.id not in known and event.id in store:
                store.delete(event.id)
    open_ended.clear()
