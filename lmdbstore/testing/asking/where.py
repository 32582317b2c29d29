"""The contract of conditions on the fields of contents that are JSON."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import InvalidQuery
from lmdbstore.testing.helpers import LONE, ids

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore

CONTENTS = {
    "int": '{"status": 500, "user": {"id": "x", "roles": ["admin"]}, "ok": false, "gone": null}',
    "float": ' \n{"status": 500.0, "user.id": "y", "user": {"id": "x"}}',
    "exponent": '{"status": 5e2, "user": "x"}',
    "text": '{"status": "500", "user": {"id": 7}}',
    "true": '{"status": true, "ok": 0}',
    "low": '{"status": 404.5, "name": "é\\u00e9\\n", "a": {"b": {"c.d": 1}}}',
    "list": '{"status": [500], "a.b": {"c": {"d": 2}}}',
    "object": '{"status": {"code": 500}}',
    "twice": '{"status": 200, "status": 500}',
    "large": '{"status": 123456789012345678901234567890}',
    "not-an-object": "[500]",
    "number": "500",
    "no-json": '{"status": 500',
    "trailing": '{"status": 500} and more',
    "nan": '{"status": NaN}',
    "text-only": "status: 500",
    "empty": "",
    "deep": '{"status":' * 3000 + "500" + "}" * 3000,
}
FIVE_HUNDRED = ["int", "float", "exponent", "twice"]

FOUND: list[tuple[dict[str, Any], list[str]]] = [
    ({"status": 500}, FIVE_HUNDRED),
    ({"status": 500.0}, FIVE_HUNDRED),
    ({"status": ("==", 500)}, FIVE_HUNDRED),
    ({"status": "500"}, ["text"]),
    ({"status": True}, ["true"]),
    ({"status": 1}, []),
    ({"ok": False}, ["int"]),
    ({"ok": 0}, ["true"]),
    ({"gone": None}, ["int"]),
    ({"absent": None}, []),
    ({"absent": ("!=", 1)}, []),
    ({"gone": ("!=", None)}, []),
    ({"status": ("!=", 500)}, ["text", "true", "low", "list", "object", "large"]),
    ({"status": (">=", 500)}, [*FIVE_HUNDRED, "large"]),
    ({"status": (">", 500)}, ["large"]),
    ({"status": ("<", 500)}, ["low"]),
    ({"status": ("<=", 404.5)}, ["low"]),
    ({"status": (">", "5")}, ["text"]),
    ({"status": ("<", math.inf)}, [*FIVE_HUNDRED[:3], "low", "twice", "large"]),
    ({"status": 123456789012345678901234567890}, ["large"]),
    (
        {"status": ("!=", 123456789012345678901234567891), "user": ("!=", 0)},
        ["int", "float", "exponent", "text"],
    ),
    ({"status": [(">", 404), ("<", 500)]}, ["low"]),
    ({"status": [(">=", 404), ("!=", 500), ("<", 10**40)]}, ["low", "large"]),
    ({"user.id": "x"}, ["int"]),
    ({"user.id": "y"}, ["float"]),
    ({"user.id": 7, "status": "500"}, ["text"]),
    ({"user.id": 7, "status": 500}, []),
    ({"user": "x"}, ["exponent"]),
    ({"user": ("!=", "x")}, ["int", "float", "text"]),
    ({"user.roles": "admin"}, []),
    ({"user.roles.0": "admin"}, []),
    ({"name": "éé\n"}, ["low"]),
    ({"a.b.c.d": 1}, ["low"]),
    ({"a.b.c.d": 2}, ["list"]),
    ({"a.b": ("!=", 0)}, ["low", "list"]),
    ({}, list(CONTENTS)),
]

WRONG: dict[str, Any] = {
    "text": "status>=500",
    "list": [("status", 500)],
    "number": 7,
    "path-number": {7: 7},
    "path-surrogate": {LONE: 7},
    "value-surrogate": {"a": LONE},
    "value-nan": {"a": math.nan},
    "value-beyond-floats": {"a": ("<", 10**400)},
    "value-bytes": {"a": b"x"},
    "value-dict": {"a": {"b": 1}},
    "value-decimal": {"a": Decimal(1)},
    "no-pairs": {"a": []},
    "list-of-values": {"a": [1, 2]},
    "three": {"a": ("<", 1, 2)},
    "one": {"a": ("<",)},
    "unknown-operator": {"a": ("~", 1)},
    "one-equal-sign": {"a": ("=", 1)},
    "operator-number": {"a": (1, 2)},
    "order-of-none": {"a": ("<", None)},
    "order-of-a-bool": {"a": (">=", True)},
    "pair-in-a-pair": {"a": ("<", ("<", 1))},
}


class WhereContract:
    """`where`: what the fields of a content in JSON must be."""

    @pytest.mark.parametrize(("where", "found"), FOUND, ids=[str(where) for where, _ in FOUND])
    def test_types_are_strict(self, store: EventStore, where: Any, found: list[str]) -> None:
        store.save_many(
            Event(id=name, timestamp=float(n), content=content)
            for n, (name, content) in enumerate(CONTENTS.items())
        )
        assert ids(store.search(where=where)) == found
        assert ids(store.search(where=where, order="desc")) == found[::-1]
        assert store.count(where=where) == len(found)
        assert store.count(where=where, limit=2) == min(len(found), 2)
        assert store.count(where=where, damaged="skip") == len(found)
        assert store.explain(where=where).strip()
        with store.snapshot() as view:
            assert ids(view.search(where=where)) == found

    def test_it_is_one_condition_of_many(self, store: EventStore) -> None:
        store.save_many(
            Event(
                id=f"{n}",
                source="door" if n % 2 else "roof",
                timestamp=float(n),
                tags=["a"] * (n % 3 == 0) + ["b"] * (n % 5 == 0),
                content=json.dumps({"n": n, "text": "x" * (n % 7)}) if n % 11 else f"n {n}",
            )
            for n in range(200)
        )
        numbers = [n for n in range(200) if n % 11]
        wanted = [n for n in numbers if n % 3 == 0 and n >= 50]
        assert ids(store.search(flags=["a"], where={"n": (">=", 50)})) == [f"{n}" for n in wanted]
        wanted = [n for n in numbers if n % 2 and n % 7 == 3 and 20 <= n <= 150]
        found = store.search(20, 150, match="xxx", source="door", where={"text": "xxx"})
        assert ids(found) == [f"{n}" for n in wanted]
        wanted = [n for n in numbers if (n % 3 == 0 or n % 5 == 0) and n < 100][::-1]
        search = store.search(any_flags=["a", "b"], where={"n": ("<", 100)}, order="desc", limit=5)
        first = ids(search)
        rest = store.search(
            any_flags=["a", "b"], where={"n": ("<", 100)}, order="desc", after=search.token
        )
        assert first + ids(rest) == [f"{n}" for n in wanted]
        wanted = [n for n in numbers if n % 3 and n % 5 and n > 190]
        assert ids(store.search(not_flags=["a", "b"], where={"n": (">", 190)})) == [
            f"{n}" for n in wanted
        ]

    @pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
    def test_what_is_no_condition_is_refused(self, store: EventStore, wrong: Any) -> None:
        for ask in (store.search, store.count, store.explain):
            with pytest.raises(InvalidQuery, match=r"^where: .*; ") as caught:
                ask(where=wrong)
            str(caught.value).encode("utf-8")
