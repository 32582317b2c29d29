"""The environments of this process: each folder is opened once, and its stores share it.

Rules: a process opens the same files once, because LMDB loses its locks otherwise. An environment
knows its users; when it has none, it is closed. A user that was dropped without closing leaves by
itself, and the next opening closes the environment. A forked child uses nothing of its parent: it
drops the inherited environments, and opens a store for itself when it first uses it. It cannot do
that if a thread of the parent was inside LMDB for longer than the fork waited: LMDB would wait for
that thread as it closes the inherited environment, and opens no file a second time. Neither can it
if the thread that forked is in a read, which a signal handler interrupts: LMDB would end that read
for the parent, too, and take the memory away that the read goes on to look at.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from lmdbstore.contract.closing import closing_busy
from lmdbstore.disk.folder import StoreFolder, identity_of
from lmdbstore.errors import StoreBusy, StoreClosed, StoreMoved, StoreOpenError, WriteBusy, shown
from lmdbstore.processes.lock_list import held_up_by
from lmdbstore.processes.opening_lock import opening_busy
from lmdbstore.processes.waits import FIRST_WAIT, THREAD
from lmdbstore.threads.deadline import FOREVER, NOW, Deadline
from lmdbstore.threads.forking import at_fork, process_lock
from lmdbstore.threads.run_locked import run_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.disk.folder import Identity
    from lmdbstore.threads.gate import Gate

    from .environment import Environment
    from .open_file import User

__all__ = [
    "add",
    "are_many",
    "check_free",
    "find",
    "release",
    "release_unused",
    "renamed",
    "writing_here",
]


MANY = 16  # environments
MOMENT = 0.02  # seconds; almost every call ends sooner

_registry: dict[tuple[int, int], Environment] = {}  # by the data file's device and inode
_unusable: dict[Identity, Environment] = {}  # in a forked child, by their folders: see `_renew`


def find(identity: tuple[int, int], deadline: Deadline = FOREVER) -> Environment | None:
    """Return the environment that has the data file of this identity open; the lock is held.

    Raises:
        OpenBusy: it is lost, and a thread was at work in it until the deadline.
    """
    environment = _registry.get(identity)
    if environment is not None and (environment.gate.closed or environment.barrier.is_lost):
        # An interrupt struck its closing, or its descriptors were closed.
        if not environment.close(deadline):
            raise opening_busy(_folder(environment), deadline, in_process=True)
        return None
    return environment


def are_many() -> bool:
    """Whether this process has so many stores open that their maps may fill the address space."""
    return len(_registry) >= MANY


def add(environment: Environment) -> None:
    """Add an environment, by the identity of its present data file; the lock is held."""
    _registry[environment.known.files.data or (0, 0)] = environment


def check_free(folder: StoreFolder) -> None:
    """Raise StoreMoved if a process has a store open in a folder whose data file is gone.

    Another data file must not be used with the side files of the open one. The lock is held.

    Raises:
        StoreOpenError: a forked child cannot open it.
    """
    if not (_registry or _unusable):
        return
    try:
        identity = identity_of(os.stat(folder.path))
    except OSError:
        return  # opening reports it, or makes the folder
    if identity in _unusable:
        raise StoreOpenError(
            f"the store {shown(folder.path)} cannot be used in this process: when it was forked, "
            "another thread of its parent was at work in the store for longer than the time limit, "
            "or a signal handler forked in the middle of a read; open it in a process that is "
            'started anew (multiprocessing: "spawn"), or fork while no thread uses it'
        )
    for environment in _registry.values():
        if environment.known.files.folder != identity:
            continue
        if not environment.gate.closed:
            raise StoreMoved(
                f"the data file in {folder.path!r} is not the one that this process has open there:"
                " that one was removed or replaced; close every store object on this folder first"
            )
        environment.close()  # an interrupt struck its closing


def renamed(environment: Environment) -> None:
    """Note that an environment has another data file now; the lock is held."""
    add(environment)  # first: a fork needs every environment
    identity = environment.known.files.data or (0, 0)
    for other, known in list(_registry.items()):
        if known is environment and other != identity:
            del _registry[other]


def release(environment: Environment, user: User, deadline: Deadline = FOREVER) -> None:
    """Take away a user; the last one closes the environment when no thread is at work in it.

    The other threads of the process can open stores, and fork, while this waits for one of them:
    that one may wait for another process.

    After an interrupt the user may still be there; then the call can be repeated.

    Raises:
        StoreBusy: a thread was at work until the deadline; the user is still there.
    """
    refusal = partial(_closing_busy, environment, deadline)
    patience = NOW
    lock = process_lock()
    try:
        while not run_within(lock, deadline, refusal, _release, environment, user, patience):
            with suppress(WriteBusy):  # then nothing is left
                environment.writer.while_idle(_nothing, deadline)
            if not deadline.left:
                raise refusal()
            time.sleep(FIRST_WAIT)
            patience = deadline.moment(MOMENT)
    except StoreClosed:
        if not environment.gate.closed:  # else another thread has closed it in the meantime
            raise


def _closing_busy(environment: Environment, deadline: Deadline) -> StoreBusy:
    folder, holder = _folder(environment), THREAD
    by = held_up_by(folder.data, folder.barrier)
    if by not in (None, THREAD):
        holder += f", which may wait for {by}"
    return closing_busy(f"the store {shown(environment.path)}", deadline, holder)


def _folder(environment: Environment) -> StoreFolder:
    """Return the folder, for a message; raises StoreClosed if the environment is closed."""
    return StoreFolder(environment.path) if environment.is_lost else environment.folder


def _nothing() -> None:
    pass


def _release(environment: Environment, user: User, patience: Deadline) -> bool:
    """Take away a user; False if it is the last one, and a thread was at work all the time."""
    if environment.users <= {ref(user)} and not _close(environment, patience):
        return False
    environment.users.discard(ref(user))
    if environment.users:
        environment.forget_writers()
    return True


def _close(environment: Environment, patience: Deadline) -> bool:
    if not environment.close(patience):
        return False
    for identity, known in list(_registry.items()):
        if known is environment:
            del _registry[identity]
    return True


def release_unused() -> None:
    """Close the environments whose users were all dropped; the lock is held."""
    for environment in list(_registry.values()):
        if not environment.users:
            _close(environment, Deadline(MOMENT))
        else:
            environment.forget_writers()


def writing_here(folder: StoreFolder) -> bool:
    """Whether this thread is inside a write to the store in a folder.

    Then the caller is a signal handler, and waiting for the write would never end.
    """
    identity = folder.identity
    environment = None if identity is None else _registry.get(identity)
    return environment is not None and environment.writer.writing_here


# -- fork -----------------------------------------------------------------------------------------


def _gates() -> list[Gate]:
    return [environment.gate for environment in _registry.values()]


def _limits() -> Iterator[float | None]:
    for environment in list(_registry.values()):
        for found in list(environment.users):
            if (user := found()) is not None:
                yield user.timeout


def _renew() -> None:
    inherited = list(_registry.values())
    _registry.clear()
    for environment in inherited:
        usable = environment.gate.barred_here and not environment.is_read_here
        if not usable:
            _unusable[environment.known.files.folder] = environment
        environment.abandon(usable=usable)


at_fork("stores", gates=_gates, renew=_renew, limits=_limits)
