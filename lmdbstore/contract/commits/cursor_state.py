"""The state of a named cursor: what was acknowledged, and which worker has what.

Rules: pure. The events are known by their numbers, in the order of commits. Everything up to
`after` is done. After that, a part is done, or with a worker until its lease ends, or free. A part
is a low number, exclusive, and a high one, inclusive. Parts are in order, and do not overlap. What
no part covers is free; what is after the last part was never given.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["CursorState", "Lease", "Part", "decode_state"]


class Part(NamedTuple):
    """The numbers after `low`, up to `high`."""

    low: int
    high: int


class Lease(NamedTuple):
    """A part that a worker has, until a time in seconds since 1970."""

    low: int
    high: int
    worker: str
    until: float


class CursorState(NamedTuple):
    """What a cursor is for, and how far it is."""

    flags: tuple[str, ...] = ()
    match: str | None = None
    source: str | None = None
    hold: bool = False
    after: int = 0
    done: tuple[Part, ...] = ()
    leases: tuple[Lease, ...] = ()

    @property
    def frontier(self) -> int:
        """After this, nothing was given."""
        return max([self.after, *(part.high for part in self.done), *(x.high for x in self.leases)])

    def free(self, now: float, is_gone: Callable[[str], bool]) -> Part | None:
        """Return the first part that was given, and that no worker has any more."""
        low = self.after
        taken = sorted(
            [*self.done]
            + [Part(x.low, x.high) for x in self.leases if x.until > now and not is_gone(x.worker)]
        )
        for part in [*taken, Part(self.frontier, self.frontier)]:
            if part.low > low:
                return Part(low, part.low)
            low = max(low, part.high)
        return None

    def taken(self, part: Part, worker: str, until: float) -> CursorState:
        """Return the state in which a worker has a part, and all that it had, until then."""
        left = _without(self.leases, part)
        state = self._replace(leases=(*left, Lease(*part, worker, until)))
        return state.extended(worker, until)

    def finished(self, part: Part) -> CursorState:
        """Return the state in which a part is done."""
        parts = sorted([*self.done, part])
        after, done = self.after, list[Part]()
        for low, high in parts:
            if low <= after:
                after = max(after, high)
            elif done and low <= done[-1].high:
                done[-1] = Part(done[-1].low, max(done[-1].high, high))
            else:
                done.append(Part(low, high))
        done = [one for one in done if one.high > after]
        leases = _without(_without(self.leases, part), Part(0, after))
        return self._replace(after=after, done=tuple(done), leases=tuple(leases))

    def acknowledged(self, part: Part, worker: str) -> tuple[CursorState, bool]:
        """Return the state in which what a worker has of a part is done; and whether that is all.

        What is done already counts too.
        """
        state, left = self, [part]
        for lease in self.leases:
            if lease.worker == worker and lease.low < part.high and part.low < lease.high:
                own = Part(max(lease.low, part.low), min(lease.high, part.high))
                state = state.finished(own)
        for one in [Part(0, state.after), *state.done]:
            left = [rest for each in left for rest in _cut(each, one)]
        return state, not left

    def kept(self, worker: str, parts: Iterable[Part]) -> CursorState:
        """Return the state in which a worker has, of all that it had, no more than these parts."""
        leases = [lease for lease in self.leases if lease.worker != worker]
        for lease in self.leases:
            if lease.worker == worker:
                for low, high in parts:
                    inside = lease._replace(low=max(low, lease.low), high=min(high, lease.high))
                    if inside.low < inside.high:
                        leases.append(inside)
        # What was given stays so: else it would be taken for new, and found out of order.
        gone = Lease(self.frontier - 1, self.frontier, "", 0.0)
        state = self._replace(leases=_joined(leases))
        if state.frontier < self.frontier:
            state = state._replace(leases=_joined([*leases, gone]))
        return state

    def extended(self, worker: str, until: float) -> CursorState:
        """Return the state in which a worker has what it has until another time."""
        leases = [x._replace(until=until) if x.worker == worker else x for x in self.leases]
        return self._replace(leases=_joined(leases))

    def within(self, last: int) -> CursorState:
        """Return the state if no number above `last` was ever given."""
        if self.frontier <= last:
            return self
        return self._replace(after=min(self.after, last), done=(), leases=())

    def encode(self) -> str:
        """Return the state as a text."""
        return json.dumps(self._asdict(), ensure_ascii=False, separators=(",", ":"))


def decode_state(text: str) -> CursorState:
    """Return the state in a text; raises ValueError if it is none."""
    try:
        fields = json.loads(text)
        return CursorState(
            flags=tuple(fields["flags"]),
            match=fields["match"],
            source=fields["source"],
            hold=fields["hold"],
            after=fields["after"],
            done=tuple(Part(*part) for part in fields["done"]),
            leases=tuple(Lease(*lease) for lease in fields["leases"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"it is not the state of a cursor: {error!r}") from error


def _cut(part: Part, other: Part) -> list[Part]:
    """Return what is left of a part without another one."""
    pieces = (Part(part.low, min(part.high, other.low)), Part(max(part.low, other.high), part.high))
    return [piece for piece in pieces if piece.low < piece.high]


def _without(leases: Iterable[Lease], part: Part) -> list[Lease]:
    """Return leases without what they have of a part."""
    return [
        lease._replace(low=low, high=high)
        for lease in leases
        for low, high in _cut(Part(lease.low, lease.high), part)
    ]


def _joined(leases: Iterable[Lease]) -> tuple[Lease, ...]:
    """Return leases in order; those of one worker that touch are one."""
    joined: list[Lease] = []
    for lease in sorted(leases):
        last = joined[-1] if joined else None
        if last and (last.high, last.worker, last.until) == (
            lease.low,
            lease.worker,
            lease.until,
        ):
            joined[-1] = last._replace(high=lease.high)
        else:
            joined.append(lease)
    return tuple(joined)
