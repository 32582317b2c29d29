"""`LoggingHandler`: the public handler for `logging`.

Rules: a record is filtered and formatted in the thread that logs, without a lock, and handed to the
sender of this process. What the store logs while the sender's thread writes is left out, so that
logging never leads to more logging. An error goes where those of other handlers go: `handleError`.
"""

from __future__ import annotations

import logging
import sys
from os import getpid
from threading import get_ident
from typing import TYPE_CHECKING, Any
from weakref import ref

from lmdbstore.errors import EventStoreException, InvalidOption, shown
from lmdbstore.threads.deadline import Deadline
from lmdbstore.threads.fork_lock import ForkLock

from .options import checked_capacity, checked_level, checked_tags, checked_timeout
from .records import Line, json_of, level_flag
from .sender import FULL, Sender
from .target import Target

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from lmdbstore.contract.api import EventStore
    from lmdbstore.contract.types import Strings

__all__ = ["LoggingHandler"]

CAPACITY = 10_000
TIMEOUT = 5.0  # seconds
LAST = -1000  # of the priorities of multiprocessing; those below 0 come after its children ended
UNFORMATTED = "they could not be formatted"


class LoggingHandler(logging.Handler):
    """A handler for Python's `logging` that saves each record as an event.

    The event has the time of the record, the name of the logger as its `source`, the level as the
    flag `level:error` (`level:warning`, ...) and the formatted text as its content, with the
    traceback if there is one. A `logging.Formatter` may be set, as with every handler; the time
    need not be in the text.

    The call that logs formats the record and puts it in a queue. One thread of the process takes
    the records from it, and saves those of about 20 milliseconds at once. `logging.shutdown`, which
    Python calls at its exit, writes the rest; in a child of `multiprocessing`, which does not call
    it, this does. After `fork` the child has a queue and a thread of its own. Several processes may
    write to one store of `LMDBEventStore`, such as the workers of a server.

    Lost: a record is saved, or counted in `dropped`, once `flush` or `close` has returned within
    its time, or the call that logged it with `flush_level`. Until then it is lost if the process is
    killed, or ends by `os._exit`: `capacity` records, and the 1024 that are being saved, at most.
    No record is saved twice.

    Dropped: a record that comes when the queue is full, that cannot be formatted, that the store
    refuses for good, or that could not be written when the handler was closed. An event with the
    flag `dropped` tells how many there were, as soon as the store can be written.

    Errors: `handleError` is called, as in every handler: it prints to standard error unless
    `logging.raiseExceptions` is false. If the store is busy or full, or any other write fails, the
    thread tries again, from every 50 milliseconds to every second. A store that was given and is
    closed, or was opened for reading only, takes no records: they are dropped. A store opened by
    its path is opened again if it was closed, or if the path leads to another one.

    What the store itself logs while the handler writes to it is left out.

    In a dict for `logging.config.dictConfig`: `{"class": "lmdbstore.LoggingHandler", "store":
    "/var/lib/app/events", "tags": ["app"], "flush_level": "ERROR"}`; a function or a store is given
    as `"ext://module.name"`.
    """

    def __init__(  # noqa: PLR0913
        self,
        store: EventStore | str | os.PathLike[str] | Callable[[], EventStore],
        tags: Strings = (),
        *,
        level: int | str = logging.NOTSET,
        flush_level: int | str | None = None,
        capacity: int = CAPACITY,
        extra: bool = False,
        timeout: float | None = TIMEOUT,
    ) -> None:
        """Write to `store`.

        Args:
            store: A store, which stays the caller's to close; or the path of a folder, where an
                `LMDBEventStore` is opened at once, or a function that returns a store, called at
                once: these are closed by `close`.
            tags: Flags that each event gets after that of its level.
            level: The lowest level that is handled.
            flush_level: A call that logs with this level or a higher one waits until its record is
                saved, as durable as the store says. It also waits for room in the queue. None: no
                call waits.
            capacity: Records that the queue holds.
            extra: The content is a JSON object: `message`, which is the formatted text, and the
                fields given by `extra=`. What JSON does not have is its `repr`; a number that is
                not finite is `null`.
            timeout: Seconds that a call with `flush_level`, a `flush`, a `close`, and one write may
                wait; None: for ever. When it is over a call goes on, and its record stays in the
                queue. What `close` leaves is dropped.

        Raises:
            InvalidOption: an argument has an invalid value.
            StoreOpenError: the store at the path could not be opened.
        """
        own_level = checked_level("level", level)
        self._flush_level = (
            sys.maxsize if flush_level is None else checked_level("flush_level", flush_level)
        )
        self._tags = checked_tags(tags)
        self._capacity = checked_capacity(capacity)
        if not isinstance(extra, bool):
            raise InvalidOption(f"extra: {shown(extra)} is neither; pass True or False")
        self._extra = extra
        self._limit = checked_timeout(timeout)
        self._flags: dict[str, list[str]] = {}  # of a level's name
        self._target = Target(store)
        self._renewing = ForkLock()
        self._sender = self._new_sender()
        super().__init__(own_level)  # last: from here on `logging.shutdown` knows the handler

    def _new_sender(self) -> Sender:
        """Make the sender of this process, which multiprocessing ends if it ends the process."""
        sender = Sender(self._target, self._tags, self._limit, self._report)
        util: Any = sys.modules.get("multiprocessing.util")  # its children have it
        self._finalizer = util and util.Finalize(
            None, _finish, [ref(self), ref(sender)], exitpriority=LAST
        )
        return sender

    def _own_sender(self) -> Sender:
        """Return the sender of this process."""
        sender = self._sender
        return sender if sender.pid == getpid() else self._renewing.run(self._renew)

    def _renew(self) -> Sender:
        if self._sender.pid != getpid():  # else another thread was first
            self._sender = self._new_sender()
        return self._sender

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit a record that passes the filters; return whether it does.

        There is no lock: a call that waits for its record keeps no other one from logging.
        """
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Format a record, and put it in the queue; see the class."""
        sender = self._sender
        if sender.pid != getpid():
            sender = self._own_sender()
        if sender.writing == get_ident():
            return  # the store logs
        try:
            line = self._line(record)
        except RecursionError:  # as logging's handlers do
            sender.drop(UNFORMATTED)
            raise
        except Exception:  # noqa: BLE001  the convention of logging
            sender.drop(UNFORMATTED)
            self.handleError(record)
            return
        waits = record.levelno >= self._flush_level or sender.waits
        deadline = Deadline(self._limit) if waits else None
        if sender.queue.qsize() >= self._capacity and not self._room(sender, deadline):
            sender.drop(FULL)
            return
        sender.put(line)
        if deadline is not None:
            sender.wait(deadline)

    def _line(self, record: logging.LogRecord) -> Line:
        text = self.format(record)
        if self._extra:
            text = json_of(text, record)
        name = record.levelname
        tags = self._flags.get(name)
        if tags is None:
            tags = self._flags[name] = [level_flag(name), *self._tags]
        return Line(record.created, record.name, tags, text)

    def _room(self, sender: Sender, deadline: Deadline | None) -> bool:
        """Wait for room in the queue, if the call waits; return whether there is some."""
        return deadline is not None and (
            sender.wait(deadline) and sender.queue.qsize() < self._capacity
        )

    @property
    def dropped(self) -> int:
        """The number of records that were dropped in this process; see the class."""
        sender = self._sender
        return sender.dropped if sender.pid == getpid() else 0

    def flush(self) -> None:
        """Wait until what was logged before is saved or dropped, or until the timeout."""
        self._own_sender().wait(Deadline(self._limit))

    def close(self) -> None:
        """Write what is left, end the thread, and close a store that was opened by its path.

        What cannot be written until the timeout is dropped, and reported to `handleError`. A record
        that is logged later is written by the call that logs it, if the store can be written.
        """
        sender, deadline = self._own_sender(), Deadline(self._limit)
        before = sender.dropped
        try:
            ended = sender.stop(deadline)
            if ended:  # else the store is in use
                self._target.close(None if self._limit is None else deadline.left)
            _check_all_saved(sender, before, ended=ended)
        except EventStoreException as error:
            self._report(error, "the handler is closed")
        finally:
            if self._finalizer:
                self._finalizer.cancel()
            super().close()

    def _report(self, error: Exception, outcome: str) -> None:
        """Pass the exception that is being handled to `handleError`."""
        text = f"{type(error).__name__} in lmdbstore.LoggingHandler: {outcome}"
        self.handleError(
            logging.LogRecord(type(self).__name__, logging.ERROR, "", 0, text, None, None)
        )


def _check_all_saved(sender: Sender, before: int, *, ended: bool) -> None:
    if not ended:
        left = max(0, sender.queue.qsize() - 1)  # without the end itself, if that is still there
        raise EventStoreException(f"a write of log records has not ended, and {left} wait for it")
    if lost := sender.dropped - before:
        raise EventStoreException(f"{lost} log records could not be saved")


def _finish(handler: ref[LoggingHandler], sender: ref[Sender]) -> None:
    """Write what is left. From then on each call waits: nothing may come after it."""
    own, its = handler(), sender()
    if own is not None and its is not None:
        its.waits = True
        own.flush()
