"""The environments of this process: each folder opened once, shared by its stores, apart in forks.

Rules:
- The same files are opened once in a process: stores on one path share an environment, counted.
  LMDB loses its locks otherwise.
- A forked child touches nothing of its parent's: it drops what it inherited and opens the store
  anew when it is first used. While the process forks, no thread of it is inside LMDB, nor inside
  RE2, whose locks the child would inherit as they are.
"""

from __future__ import annotations

import _thread
import os
import threading
from typing import TYPE_CHECKING

from lmdbstore.errors import InvalidOption, StoreOpenError, shown
from lmdbstore.threads import re2_gate as leaving

from .create import DATA_FILE, FILE_MODE, NewStore, check_plain, create_store
from .environment import Environment, Options

if TYPE_CHECKING:
    from lmdbstore.threads.gate import Gate

__all__ = ["dropped", "open_environment", "registry_lock", "release", "renamed", "writing_here"]


_registry: dict[tuple[int, int], Environment] = {}  # by the data file's device and inode
_registry_lock = threading.RLock()


def open_environment(
    path: str, options: Options, *, create: bool, mode: int = FILE_MODE
) -> Environment:
    """Return the environment on `path`, opened or shared; give it back with `release`.

    `mode` are the rights of the files of a store that is made.

    Raises:
        StoreOpenError: the store is not there and may not be made, or cannot be opened.
        InvalidOption: it is open in this process with another option.
    """
    with _registry_lock:
        _release_dropped()
        check_plain(path)
        if _identity(path) is None:
            new = NewStore(mode, options.max_readers, options.map_size or 0)
            create_store(path, new, create=create, readonly=options.readonly)
        identity = _identity(path)
        if identity is None:
            raise StoreOpenError(f"the store {path!r} was removed while it was being opened")
        environment = _registry.get(identity)
        if environment is not None and environment.gate.closed:
            environment.close()  # this was interrupted
            environment = None
        if environment is None:
            environment = Environment(path, options)
            # By what the file is now: until it was opened, another process might replace it.
            _registry[_identity(path) or identity] = environment
        else:
            _check_agreement(path, environment.options, options)
        environment.users += 1
        return environment


def release(environment: Environment) -> None:
    """Give an environment back; the last user closes it. Interrupted, it was not given back."""
    with _registry_lock:
        if environment.users == 1:
            environment.close()
            _forget(environment)
        environment.users -= 1


# Environments of stores that were dropped and not closed. A finalizer may run anywhere, inside of
# an operation too, so it only notes them here, and the next opening gives them back.
dropped: list[Environment] = []


def _release_dropped() -> None:
    while dropped:
        environment = dropped[0]  # it stays until it is released; others are added behind it
        if environment.pid == os.getpid():
            release(environment)
        dropped.remove(environment)


def registry_lock() -> threading.RLock:
    """Return what keeps this process from opening and closing stores, and from forking."""
    return _registry_lock


def renamed(environment: Environment) -> None:
    """Note that an environment has another data file now; the registry's lock is held."""
    identity = _identity(environment.path) or (0, 0)
    _registry[identity] = environment  # first: who forks asks for all
    for other, known in list(_registry.items()):
        if known is environment and other != identity:
            del _registry[other]


def writing_here(path: str) -> bool:
    """Whether this thread is in the middle of a write to the store in `path`.

    Then what called this is a signal handler, and would wait for itself if it waited for the write.
    """
    identity = _identity(path)
    environment = None if identity is None else _registry.get(identity)
    return environment is not None and environment.writer.writing_here


def _forget(environment: Environment) -> None:
    for identity, known in list(_registry.items()):
        if known is environment:
            del _registry[identity]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(os.path.join(path, DATA_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreOpenError(f"the store {shown(path)} could not be opened: {error}") from error
    return status.st_dev, status.st_ino


def _check_agreement(path: str, present: Options, wanted: Options) -> None:
    for name, has, wants in zip(Options._fields, present, wanted, strict=True):
        if has != wants:
            raise InvalidOption(
                f"{name}: {shown(wants)} contradicts {shown(has)}, with which this process has "
                f"the store {path!r} open; pass the same, or close the other store first"
            )


# -- fork -------------------------------------------------------------------------------------


_barred: list[Gate] = []  # by the fork that is under way


def _before_fork() -> None:
    """Keep everyone out of LMDB and RE2; Ctrl-C must wait, a fork cannot be called off here."""
    interrupted: BaseException | None = None
    _registry_lock.acquire()
    gates = [environment.gate for environment in _registry.values()]
    # That of RE2 is the last: who is behind it waits for no other.
    for gate in [*gates, leaving.engine_gate()]:
        while gate not in _barred:
            try:
                gate.bar(forking=True)
                _barred.append(gate)
            except BaseException as error:  # noqa: BLE001  raised below
                interrupted = error
    if isinstance(interrupted, KeyboardInterrupt):
        _thread.interrupt_main()
    elif interrupted is not None:
        raise interrupted


def _after_fork_in_parent() -> None:
    try:
        while _barred:
            _barred.pop().unbar()
    finally:
        _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603  the inherited one is held by a thread that is not here
    _registry_lock = threading.RLock()
    inherited = list(_registry.values())
    _registry.clear()
    _barred.clear()
    dropped.clear()
    leaving.renew_engine_gate()
    for environment in inherited:
        environment.abandon()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
