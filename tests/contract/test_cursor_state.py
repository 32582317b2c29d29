"""The state of a cursor, against a model: a plain list of who has each number."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.contract.commits.cursor_state import CursorState, Part, decode_state
from tests.tools.properties import examples

MOST = 12
LEASE = 10.0

numbers = st.integers(0, MOST)
workers = st.sampled_from("abc")
commands = st.lists(
    st.one_of(
        st.tuples(st.just("take"), workers, st.integers(1, 4)),
        st.tuples(st.just("ack"), workers, numbers, numbers),
        st.tuples(st.just("finish"), workers),
        st.tuples(st.just("keep"), workers, numbers, numbers),
        st.tuples(st.just("pass"), st.sampled_from([1.0, 4.0, 11.0])),
        st.tuples(st.just("die"), workers),
    ),
    max_size=30,
)


class Model:
    """Of each number: done, or who has it and until when, or None: free."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gone: set[str] = set()
        self.has: list[Any] = [None] * (MOST + 1)
        self.has[0] = "done"
        self.frontier = 0

    def is_free(self, number: int) -> bool:
        has = self.has[number]
        return has is None or (has != "done" and (has[1] <= self.now or has[0] in self.gone))

    def free(self) -> tuple[int, int] | None:
        low = next((n for n in range(1, self.frontier + 1) if self.is_free(n)), None)
        if low is None:
            return None
        high = low
        while high < self.frontier and self.is_free(high + 1):
            high += 1
        return low - 1, high

    def put(self, low: int, high: int, has: Any) -> None:
        self.has[low + 1 : high + 1] = [has] * (high - low)
        self.frontier = max(self.frontier, high)

    def renew(self, worker: str, until: float) -> None:
        self.has = [
            (worker, until) if isinstance(one, tuple) and one[0] == worker else one
            for one in self.has
        ]


@examples(100)
@given(commands)
def test_a_state_is_as_a_list_of_who_has_each_number(  # noqa: C901, PLR0912  one branch a command
    steps: list[tuple[Any, ...]],
) -> None:
    state, model = CursorState(), Model()
    for name, *rest in steps:
        until = model.now + LEASE
        part = state.free(model.now, model.gone.__contains__)
        if name == "take":
            worker, size = rest
            if part is None:
                part = Part(state.frontier, min(state.frontier + size, MOST))
            part = Part(part.low, min(part.high, part.low + size))
            if part.low < part.high:
                state = state.taken(part, worker, until)
                model.gone.discard(worker)
                model.put(*part, (worker, until))
                model.renew(worker, until)
        elif name == "ack":
            worker, low, high = rest
            given = Part(min(low, high), max(low, high))
            inside = range(given.low + 1, given.high + 1)
            own = [n for n in inside if model.has[n] not in (None, "done")]
            own = [n for n in own if model.has[n][0] == worker]
            state, whole = state.acknowledged(given, worker)
            for n in own:
                model.has[n] = "done"
            assert whole == all(model.has[n] == "done" for n in inside)
        elif name == "finish":
            if part is not None:
                state = state.finished(part)
                model.put(*part, "done")
        elif name == "keep":
            worker, low, high = rest
            state = state.kept(worker, [Part(min(low, high), max(low, high))])
            for n in range(MOST + 1):
                has = model.has[n]
                mine = isinstance(has, tuple) and has[0] == worker
                if mine and not min(low, high) < n <= max(low, high):
                    model.has[n] = None
        elif name == "pass":
            model.now += rest[0]
        else:
            model.gone.add(rest[0])
        assert state.frontier == model.frontier
        assert state.free(model.now, model.gone.__contains__) == model.free()
        done = [n for n in range(1, MOST + 1) if model.has[n] == "done"]
        after = next((n for n in range(MOST + 1) if model.has[n] != "done"), MOST + 1) - 1
        assert state.after == after
        assert [n for low, high in state.done for n in range(low + 1, high + 1)] == [
            n for n in done if n > after
        ]
        assert decode_state(state.encode()) == state
