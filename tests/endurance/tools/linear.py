"""Whether the calls of many callers on one key, and their answers, fit one sequential order.

A history is strictly consistent (linearizable; Herlihy and Wing, 1990) if each call can be given a
moment between its begin and its end so that, done at these moments, all calls answer what they did.
Every key is checked alone, which suffices (the same paper). The search is that of Wing and Gong
(1993), without visiting a state twice; a call that changes nothing and fits is done at once, since
that takes nothing away from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Call", "linearizable"]


class Call(NamedTuple):
    """A call and its answer; times are nanoseconds of a clock that all processes share."""

    begin: int
    end: int
    kind: str  # "save", "delete" or "read"
    key: str
    value: str | None  # the saved value, or the value of a read: None if there is nothing
    done: bool  # whether a save or a delete succeeded; if not, it was refused


def linearizable(calls: Sequence[Call]) -> bool:
    """Whether the calls on one key, which is empty at first, fit a sequential order."""
    ordered = sorted(calls, key=lambda call: call.begin)
    everything = (1 << len(ordered)) - 1
    places: list[tuple[int, str | None]] = [(0, None)]
    seen = set(places)
    while places:
        done, state = places.pop()
        if done == everything:
            return True
        for next_place in _next(ordered, done, state):
            if next_place not in seen:
                seen.add(next_place)
                places.append(next_place)
    return False


def _next(calls: Sequence[Call], done: int, state: str | None) -> Iterator[tuple[int, str | None]]:
    fitting = [n for n in _first(calls, done) if _fits(calls[n], state)]
    for n in fitting:
        if not _changes(calls[n]):
            yield done | 1 << n, state
            return
    for n in fitting:
        yield done | 1 << n, calls[n].value if calls[n].kind == "save" else None


def _first(calls: Sequence[Call], done: int) -> list[int]:
    """Return the calls that may be next: those that began before any other ended."""
    at = ((done + 1) & ~done).bit_length() - 1  # the first that is not done
    found: list[int] = []
    ended = calls[at].end
    for n in range(at, len(calls)):
        if calls[n].begin > ended:
            break
        if not done >> n & 1:
            found.append(n)
            ended = min(ended, calls[n].end)
    return [n for n in found if calls[n].begin <= ended]


def _changes(call: Call) -> bool:
    return call.kind != "read" and call.done


def _fits(call: Call, state: str | None) -> bool:
    if call.kind == "read":
        return call.value == state
    return (state is None) == (call.done if call.kind == "save" else not call.done)
