"""The writer: group commit. Threads that write at the same moment share a transaction and a flush.

Rules: a caller queues its change and becomes the leader if there is none. The leader takes the
barrier's lock, and then its own change and the waiting ones. It publishes what these may change
(`processes.write_set`), commits them together, reports to each caller its own outcome, and wakes
the next leader. No extra thread is needed (like the writer queue of LevelDB). Leading means holding
`Writer._leading`; inside it, in this order: the barrier's lock, the gate, the byte of the barrier,
LMDB's transaction. A change never waits for a later one, except in the same batch.

A caller whose deadline is over withdraws its change. While no leader has the lock, every change is
in the queue: so a leader that waits for another process holds up only the callers that wait too,
and a change that is withdrawn was not written. If a leader has taken the change, its outcome is
unknown: the leader may be committing it.

A refused change (a duplicate id) fails only for its caller. If the transaction breaks while it is
being filled, each change is tried alone, so that one that cannot be written does not fail the
others. If the commit fails, all of its changes fail, and nothing is written.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import lmdb

from lmdbstore.disk.lmdb_errors import in_any_map, read_error
from lmdbstore.errors import (
    EventReadException,
    EventStoreException,
    EventWriteException,
    StoreClosed,
    WriteBusy,
)
from lmdbstore.processes.write_set import EVERYTHING, Fields, united
from lmdbstore.threads.deadline import FOREVER, Deadline
from lmdbstore.threads.reentry import reentry
from lmdbstore.threads.run_locked import run_if_free, run_within

from .change import Job
from .commit import BrokenTransaction, commit, own_error
from .damage import CannotSeal
from .transaction import Due, WriteTransaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.disk.databases import Databases
    from lmdbstore.opening.place import Place
    from lmdbstore.processes.barrier import Barrier
    from lmdbstore.threads.gate import Gate

    from .change import Change

__all__ = ["Writer"]

LONGEST_BATCH = 1024  # changes; bounds a caller's waiting time and the dirty pages of a commit

# Callers that were answered a moment ago are likely to write again. Without waiting for them half
# of the threads queue while the changes of the other half are written: 8 changes a flush from 16
# threads, and a third less throughput. So a leader waits for a fraction of the time of a flush, and
# not at all if they did not write lately.
GATHER_WAIT, GATHER_WAITS = 0.00005, 4  # seconds; how often, at most
GATHER_WITHIN = 0.002  # seconds since they were answered
GATHER_REST = 16  # batches without waiting, after a wait in vain


NOTHING_WRITTEN = "nothing was written"
UNKNOWN = (
    "another thread had begun to write this change together with its own, so it is not known "
    "whether it will be written: search for it when the store is free again"
)
FORKED = (
    "a signal handler forked in the middle of a write, which the parent goes on with; this process "
    "wrote nothing: let a child that a handler forks end in the handler, or fork outside of calls"
)

# Seconds between two checks for reader slots of processes that died. LMDB takes such a reader for a
# living one: it would not use space again that was freed since, and the file would keep growing.
SLOTS_CHECK = 1.0


class Writer:
    """Carries out changes, one transaction at a time."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of an environment
        self,
        environment: lmdb.Environment,
        databases: Databases,
        gate: Gate,
        barrier: Barrier,
        adopt_map: Callable[[], None],
        compresses: Callable[[], bool],
    ) -> None:
        """Write to `environment`; `adopt_map` adopts a larger map of another process.

        `compresses` says whether runs are compressed.
        """
        self._environment = environment
        self._databases = databases
        self._gate = gate
        self._barrier = barrier
        self._adopt_map = adopt_map
        self._compresses = compresses
        self._due = Due()
        self._leading = threading.RLock()  # held by the thread that leads a write
        self._queue: deque[Job] = deque()
        self._leader = 0
        self._companions: set[int] = set()  # the threads whose changes were in the last batch
        self._answered = 0.0  # when, by the monotonic clock
        self._slots_check = 0.0  # when reader slots are checked again, by the same clock
        self._resting = 0  # coming batches that are written without waiting for other callers
        self._is_parents = False  # this process is a child, which a signal handler forked

    def use(self, environment: lmdb.Environment, databases: Databases) -> None:
        """Write to another file from now on; no write is under way."""
        self._environment = environment
        self._databases = databases

    def leave_to_parent(self) -> None:
        """Let a write of this thread fail, in a forked child: it is the parent's."""
        self._is_parents = True

    def write(self, change: Change, place: Place, deadline: Deadline = FOREVER) -> None:
        """Carry out a change; when this returns it is committed, and its place led to the store.

        If Ctrl-C interrupts the wait, the change is carried out whole or not at all.

        Raises:
            WriteBusy: others wrote until the deadline.
            StoreClosed: the environment was closed before the change was carried out.
            StoreMoved: the place led elsewhere when the change was committed.
            EventWriteException, EventNotFound: the change was refused, or could not be written.
        """
        if self.writing_here or self._gate.barred_here:
            raise reentry(EventWriteException, "a write")
        job = Job(change, place)
        try:
            if deadline.limit != 0:  # else it leads or is refused: its outcome is always known
                self._queue.append(job)
            while not job.done:
                self._lead_or_wait(job, deadline)
        except BaseException:
            self._withdraw(job)
            self._wake_next()
            raise
        if job.error is not None:
            raise job.error

    @property
    def writing_here(self) -> bool:
        """Whether this thread is inside a write: then the caller is a signal handler."""
        return self._leader == threading.get_ident()

    def while_idle(self, work: Callable[[], None], deadline: Deadline = FOREVER) -> None:
        """Run `work` while no thread of this process writes, and then wake the next writer.

        Raises:
            WriteBusy: another thread of this process wrote until the deadline.
        """
        refusal = partial(self._barrier.write_busy, deadline, NOTHING_WRITTEN)
        try:
            run_within(self._leading, deadline, refusal, self._while_leading, work)
        finally:
            self._wake_next()

    def _while_leading(self, work: Callable[[], None]) -> None:
        try:
            self._leader = threading.get_ident()
            work()
        finally:
            self._leader = 0

    def settle(self, deadline: Deadline = FOREVER) -> None:
        """Complete the write of a process that died, with an empty transaction.

        Raises:
            StoreClosed: the store was closed.
            ReadBusy: others wrote until the deadline.
            EventReadException: it failed.
        """
        try:
            self.while_idle(partial(self._settle, deadline), deadline)
        except WriteBusy as error:
            raise self._barrier.read_busy(deadline) from error
        except lmdb.Error as error:
            raise read_error(error) from error
        except OSError as error:
            raise EventReadException(
                f"the write of a process that died could not be settled: {error}"
            ) from error

    def _settle(self, deadline: Deadline) -> None:
        if self._gate.closed:
            raise StoreClosed("the store is closed; open it again")
        try:
            self._barrier.lock(deadline)
            self._transact(WriteTransaction.settle)
        finally:
            self._barrier.unlock()

    def _lead_or_wait(self, job: Job, deadline: Deadline) -> None:
        if self._may_lead(job) and run_if_free(self._leading, self._lead, job, deadline):
            self._wake_next()
        elif deadline.left:
            job.wait(deadline)
        elif self._withdraw(job) or not deadline.limit:
            raise self._barrier.write_busy(deadline, NOTHING_WRITTEN)
        elif not job.done:
            raise self._barrier.write_busy(deadline, UNKNOWN)

    def _withdraw(self, job: Job) -> bool:
        """Take a job out of the queue; return False if a leader has it, and may carry it out."""
        job.withdrawn = True  # first: a leader that puts it back looks at this afterwards
        try:
            self._queue.remove(job)
        except ValueError:
            return False
        return True

    def _may_lead(self, job: Job) -> bool:
        """Whether a job may lead now: it has waited longest, or takes along the job that has.

        A thread that writes without a pause is quicker to lead again than the thread that was
        woken for it. Without this rule it could keep out a change that is alone, and all changes
        after that, for ever. A signal handler does not wait for the change that it interrupted.
        """
        try:
            first = self._queue[0]
        except IndexError:
            return True
        return first.thread == job.thread or not (first.change.alone or job.change.alone)

    def _wake_next(self) -> None:
        if self._queue:
            with contextlib.suppress(IndexError):  # another thread has taken it out
                self._queue[0].wake()

    def _lead(self, own: Job, deadline: Deadline) -> None:
        batch: list[Job] = []
        try:
            self._leader = threading.get_ident()
            if own.done:  # by a signal handler that came first
                return
            if deadline.limit != 0:
                self._gather(own)
            if self._gate.closed:
                raise StoreClosed("the store is closed; open it again")
            try:
                self._barrier.lock(deadline)
                batch += self._batch(own)
                alone = len(batch) == 1
                self._companions = {own.thread} if alone else {job.thread for job in batch}
                self._carry_out(batch)
            finally:
                self._barrier.unlock()  # does nothing if an interrupt left it unlocked
            self._answered = time.monotonic()
        except OSError as error:  # the lock was refused
            own.end(own_error(error, self._environment))
        finally:
            self._leader = 0
            for job in reversed(batch[1:]):
                if job.done:
                    job.wake()
                else:  # this leader was interrupted; another takes the rest
                    self._queue.appendleft(job)
                    if job.withdrawn:
                        self._withdraw(job)

    def _gather(self, own: Job) -> None:
        """Wait a little for the callers answered last, if they are likely to write again."""
        if own.change.alone or time.monotonic() > self._answered + GATHER_WITHIN:
            return
        if len(self._queue) == len(self._companions) == 1 and own.thread in self._companions:
            return  # a thread that writes alone; a short path for what follows
        if self._resting:
            self._resting -= 1
            return
        present = list(self._queue)
        expected = self._companions.union([job.thread for job in present])
        if len(expected) <= len(present):
            return
        for _ in range(GATHER_WAITS):
            time.sleep(GATHER_WAIT)
            if len(self._queue) >= len(expected):
                return
        if len(self._queue) <= len(present):
            self._resting = GATHER_REST

    def _batch(self, own: Job) -> list[Job]:
        try:  # noqa: SIM105  a hundredth of the time of a save
            self._queue.remove(own)
        except ValueError:  # an interrupted leader may have taken it out
            pass
        batch = [own]
        while not own.change.alone and self._queue and len(batch) < LONGEST_BATCH:
            with contextlib.suppress(IndexError):  # its caller was interrupted and withdrew it
                if self._queue[0].change.alone:
                    break
                batch.append(self._queue.popleft())
        return batch

    def _carry_out(self, batch: list[Job]) -> None:
        try:
            writes = batch[0].change.writes
            if len(batch) > 1:
                writes = united([job.change.writes for job in batch])
            self._transact(lambda txn: commit(txn, batch), writes)
        except BrokenTransaction as broken:
            if len(batch) == 1 and _is_final(broken, batch[0].change):
                batch[0].end(own_error(broken.error, self._environment))
            else:
                for job in batch:
                    self._carry_out([job])
        except (EventStoreException, lmdb.Error, OSError) as error:
            for job in batch:
                job.end(own_error(error, self._environment))

    def _transact(
        self, work: Callable[[WriteTransaction], None], writes: Fields = EVERYTHING
    ) -> None:
        """Run `work`, which ends its transaction; every other writer is kept out."""
        in_any_map(lambda: self._gate.run(self._inside, work, writes), self._adopt_map)

    def _inside(self, work: Callable[[WriteTransaction], None], writes: Fields) -> None:
        if self._is_parents:
            raise EventWriteException(FORKED)
        self._free_slots()
        byte = self._barrier.byte
        left_odd = byte[0] & 1  # by a writer that died
        txn = WriteTransaction(
            self._environment, self._databases, self._due, compresses=self._compresses()
        )
        try:
            self._barrier.raised(txn.begin, writes)
            work(txn)
        except BaseException as error:
            txn.drop(error)
            if self._is_parents:
                raise EventWriteException(FORKED) from error
            raise
        finally:
            # Even, so that readers continue; without a call, so that no interrupt can come before.
            # But if the transaction did not begin, the write of a dead writer is not settled yet.
            if not self._is_parents:
                byte[0] = byte[0] if left_odd and not txn.number else (byte[0] + 1) & 0xFE

    def _free_slots(self) -> None:
        """From time to time, free the reader slots of dead processes: see `SLOTS_CHECK`."""
        now = time.monotonic()
        if now >= self._slots_check:
            self._slots_check = now + SLOTS_CHECK
            self._environment.reader_check()


def _is_final(broken: BrokenTransaction, change: Change) -> bool:
    """Whether a change is not tried again, without sealing: see `write.damage`."""
    return change.alone or not isinstance(broken.error, CannotSeal)
