"""Values that no caller should pass: strategies of Hypothesis for tests.

A value that does harm when it is only inspected would harm Hypothesis, too. So the strategies draw
a `Box`, whose repr shows its content; `unboxed` makes the value.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, NoReturn
from unittest.mock import MagicMock

from hypothesis import strategies as st

from lmdbstore import Event
from lmdbstore.errors import shown

__all__ = [
    "BAD",
    "KNOWN",
    "Box",
    "Callers",
    "either",
    "events",
    "hostile",
    "inert",
    "junk",
    "many_events",
    "mostly_right",
    "texts",
    "unboxed",
]

KNOWN = [f"known {n}" for n in range(12)]  # ids of events that are in the store


class Callers(Exception):
    """The exception of a hostile value's code: it is the caller's own, and may pass through."""


class Box(NamedTuple):
    """A value that is made when it is needed."""

    label: str
    make: Callable[[], Any]

    def __repr__(self) -> str:
        return self.label


def unboxed(value: Any) -> Any:
    """Return the content of a box, or of the boxes of a dict."""
    if isinstance(value, dict):
        return {name: unboxed(one) for name, one in value.items()}
    return value.make() if isinstance(value, Box) else value


def box(value: object) -> Box:
    return Box(shown(value), lambda: value)


# --- plain values of wrong types, and extreme ones of right types ---------------------------------

ODD_TEXTS = ["", "\0", "\ud800", "é\udfff", "a\udfffb", "\n", "\r\n\0", "é" * 600, "\U0010ffff"]
NUMBERS = [0, 1, -1, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**400, -(10**5000), True, False]
FLOATS = [0.0, -0.0, 1.5, 5e-324, 1.7e308, -1e308, float("nan"), float("inf"), float("-inf")]


def either(*of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw from one of them with equal probability; `one_of` would flatten nested branches."""
    return st.integers(0, len(of) - 1).flatmap(lambda number: of[number])


texts = either(
    st.text(max_size=20),
    st.text(st.characters(), max_size=8),  # with surrogates
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(KNOWN),
)
values = st.one_of(
    st.none(),
    texts,
    st.integers(),
    st.floats(),
    st.binary(max_size=20),
    st.lists(texts, max_size=4),
    st.tuples(texts, texts),
    st.sets(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)
plain = values.map(box) | st.sampled_from(list(map(box, [*NUMBERS, *FLOATS, "x" * 70_000])))


def _generator() -> Any:
    yield "tag"
    yield 1


def _endless() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


odd = st.sampled_from(
    [
        Box("Decimal nan", lambda: Decimal("nan")),
        Box("Decimal snan", lambda: Decimal("sNaN")),
        Box("Decimal huge", lambda: Decimal("1e999999")),
        Box("Fraction", lambda: Fraction(10**400, 3)),
        Box("complex", lambda: 1j),
        Box("datetime", lambda: datetime(2020, 1, 1, tzinfo=UTC)),
        Box("UUID", lambda: uuid.UUID(int=1)),
        Box("bytearray", lambda: bytearray(b"1")),
        Box("memoryview", lambda: memoryview(b"1")),
        Box("object", object),
        Box("type", lambda: str),
        Box("function", lambda: box),
        Box("ellipsis", lambda: ...),
        Box("exception", lambda: ValueError("x")),
        Box("generator", _generator),
        Box("list in itself", _endless),
        Box("range", lambda: range(3)),
        Box("mock", MagicMock),
        Box("event", lambda: Event("known 1", "s", 1.0, ["a"], "x")),
        Box("unsaved event", lambda: Event("unknown", "s", 1.0, ["a"], "x")),
    ]
)

# --- values whose own code does harm --------------------------------------------------------------

OF_ALL = ["__eq__", "__hash__", "__str__", "__repr__", "__bool__", "__format__"]
OF_NUMBERS = ["__float__", "__int__", "__index__", "__lt__", "__le__", "__gt__", "__ge__"]
OF_NUMBERS += ["__add__", "__radd__", "__sub__", "__and__"]
OF_LISTS = ["__iter__", "__len__", "__contains__", "__getitem__", "__next__", "copy"]
OF_TEXTS = [*OF_LISTS, "encode", "isascii", "partition", "startswith", "split", "__fspath__"]
METHODS: dict[type, list[str]] = {
    object: [*OF_NUMBERS, *OF_TEXTS, "id"],
    **dict.fromkeys((float, int), OF_NUMBERS),
    **dict.fromkeys((list, tuple, dict), OF_LISTS),
    **dict.fromkeys((str, bytes), OF_TEXTS),
}
VALUES: dict[type, list[Any]] = {
    object: [None],
    str: ["asc", "desc", "known 3", "a\ud800", "é", "1@1.0", ""],
    bytes: [b"x"],
    float: [1.5, float("nan"), float("-inf")],
    int: [5, 0, -1, 0o600, 1 << 20, 10**400],
    list: [["a", "b"], ["a", "a"], [1]],
    tuple: [("a",)],
    dict: [{"a": 1}],
}
LIES: list[Any] = [None, "x", "\ud800", b"x", -1, 0, 1.5, 10**400, object(), [1], NotImplemented]


def _raises(*_: Any, **__: Any) -> NoReturn:
    raise Callers


def _hostile(base: type, value: Any, methods: dict[str, Any]) -> Box:
    def make() -> Any:
        made = type(f"hostile_{base.__name__}", (base,), dict(methods))
        return made() if base is object else made(value)

    names = ", ".join(sorted(methods))
    return Box(f"<{base.__name__} {shown(value)} with its own {names}>", make)


def _methods(names: set[str], lie: Box | None) -> dict[str, Any]:
    def lies(*_: Any, **__: Any) -> Any:
        return None if lie is None else lie.make()

    return dict.fromkeys(sorted(names), _raises if lie is None else lies)


def hostile(base: type) -> st.SearchStrategy[Box]:
    """Draw objects of a subclass of `base` with methods that raise or return nonsense."""
    names = st.sets(st.sampled_from(OF_ALL + METHODS[base]), min_size=1, max_size=3)
    lies = st.none() | st.sampled_from(list(map(box, LIES)))
    return st.builds(
        _hostile, st.just(base), st.sampled_from(VALUES[base]), st.builds(_methods, names, lies)
    )


any_hostile = st.sampled_from(list(VALUES)).flatmap(hostile)
inert = plain | any_hostile  # nothing that can be called
junk = either(plain, plain, odd, any_hostile)

# --- events ---------------------------------------------------------------------------------------

FIELDS = ("id", "source", "timestamp", "tags", "content")
# Most of them are right, so that a wrong one is checked together with right ones.
GOOD = {
    "id": st.sampled_from([None, None, None, *KNOWN[:2]]) | st.text(min_size=1, max_size=9),
    "source": st.text(max_size=9),
    "timestamp": st.floats(-1e12, 1e12) | st.integers(-(10**9), 10**9),
    "tags": st.lists(st.sampled_from(["a", "b", "", "é" * 300]), max_size=3),
    "content": st.text(max_size=30),
}
extremes = st.sampled_from(list(map(box, [*NUMBERS, *FLOATS])))
BAD = {
    **dict.fromkeys(("id", "source", "content"), either(texts, texts, hostile(str), junk)),
    "timestamp": either(extremes, hostile(float), junk),
    "tags": either(st.lists(texts, max_size=3), hostile(list), junk),
}


def mostly_right(
    right: dict[str, st.SearchStrategy[Any]], wrong: dict[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Draw from `right` for each name, except for at most two."""
    return st.sets(st.sampled_from(sorted(wrong)), max_size=2).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: wrong[name] if name in names else right[name] for name in right}
        )
    )


good_fields = st.fixed_dictionaries({name: of.map(box) for name, of in GOOD.items()})
fields = mostly_right({name: of.map(box) for name, of in GOOD.items()}, BAD)


def _event(of: dict[str, Any]) -> Box:
    return Box(f"Event(**{of})", lambda: Event(**unboxed(of)))


def _foreign(of: dict[str, Any], missing: set[str]) -> Box:
    def make() -> Any:
        made = unboxed(of)
        held = {name: property(lambda _, name=name: made[name]) for name in FIELDS}  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        return type("Foreign", (), {name: held[name] for name in FIELDS if name not in missing})()

    return Box(f"Foreign({of}, without {missing})", make)


def _spoilt(of: dict[str, Any], name: str, raised: type[Exception]) -> Box:
    def make() -> Any:
        def get(_: Any) -> NoReturn:
            raise raised

        return type("Spoilt", (), {**unboxed(of), name: property(get)})()

    return Box(f"Spoilt({of}, {name} raises {raised.__name__})", make)


def _raw(of: list[Box]) -> Box:
    return Box(f"raw {of}", lambda: tuple.__new__(Event, [one.make() for one in of]))


good_events = st.builds(_event, good_fields)
events = either(
    good_events,
    st.builds(_event, fields),
    st.builds(_event, fields),
    st.builds(_foreign, fields, st.sets(st.sampled_from(FIELDS), max_size=1)),
    st.builds(_spoilt, fields, st.sampled_from(FIELDS), st.sampled_from([Callers, AttributeError])),
    st.builds(_raw, st.lists(junk, min_size=5, max_size=5)),
    junk,
)


# Good events, one that may be bad, and good events.
rows = st.builds(
    lambda before, one, following: [*before, *one, *following],
    st.lists(good_events, max_size=3),
    st.lists(events, max_size=1),
    st.lists(good_events, max_size=2),
)


def _yielding(of: list[Box], raised: type[Exception] | None) -> Box:
    def make() -> Any:
        for one in of:
            yield one.make()
        if raised is not None:
            raise raised

    return Box(f"a generator of {of}, then {raised}", make)


many_events = either(
    st.builds(_yielding, rows, st.sampled_from([None, None, Callers])),
    rows.map(lambda of: Box(f"{of}", lambda: [one.make() for one in of])),
    rows.map(lambda of: Box(f"{of}", lambda: [one.make() for one in of])),
    events,
)
