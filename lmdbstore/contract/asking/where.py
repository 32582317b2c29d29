"""Conditions on the fields of contents that are JSON objects: what `where` takes, and its meaning.

`where` is a mapping from the path of a field to what the field must be. All of it must hold:

    {"status": 500}                              the field is equal to the value
    {"status": (">=", 500)}                      the field compares so with the value
    {"status": [(">=", 500), ("<", 600)]}        all of these hold
    {"user.id": "x", "user.active": True}        fields of an object in a field

A **value** is a string, a number, a bool, or None for `null`. An **operator** is `==`, `!=`, `<`,
`<=`, `>` or `>=`.

Types are strict. Numbers equal numbers by their value, whether written `500`, `500.0` or `5e2`; one
that has no place in 64 bits is rounded to a float. A number never equals a string or a bool, and
nothing but `null` equals None. `<`, `<=`, `>` and `>=`
hold only between two numbers or two strings, the latter by their code points; with a bool or None
they are refused. `!=` holds for every field that is there and not equal: also one of another type,
a list or an object.

A field that is not there meets no condition, `!=` neither. A content that is not JSON (RFC 8259),
or not an object, meets none; nor does one with a number that no float can hold, or with half of a
surrogate pair. Of a name that an object has twice the last counts. A path leads
through objects, not through lists, at its dots. A name that has dots itself is found too, and
first: the path `a.b` leads to the field `a.b`, and to the field `b` of the object `a` if there is
none.

Rules: `checked_where` finds every error before a store is touched. No content raises anything. A
content is parsed only if it has some bytes that the conditions need, or a backslash: JSON without
escapes has its names and texts as they are.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import orjson

from lmdbstore.errors import InvalidQuery, shown

__all__ = ["OPERATORS", "JSONConditions", "checked_where"]

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED = {str, float}  # kinds that have an order
_SPACES = b" \t\n\r"  # before a text of JSON
_MISSING = object()


class _Condition(NamedTuple):
    path: str
    operator: str
    value: object

    def holds(self, fields: dict[str, Any]) -> bool:
        """Whether the object with these fields meets it."""
        found = _field(fields, self.path)
        if found is _MISSING:
            return False
        if _kind(found) is not _kind(self.value):
            return self.operator == "!="
        return OPERATORS[self.operator](found, self.value)

    def __str__(self) -> str:
        """The condition as text."""
        return f"{self.path} {self.operator} {shown(self.value)}"


class JSONConditions(NamedTuple):
    """Checked conditions."""

    conditions: tuple[_Condition, ...]
    needle: bytes  # what a content without escapes must have

    def matches(self, content: bytes) -> bool:
        """Whether a content in UTF-8 meets all of them."""
        if self.needle not in content and b"\\" not in content:
            return False
        if not content.startswith(b"{") and not content.lstrip(_SPACES).startswith(b"{"):
            return False
        try:
            fields = orjson.loads(content)
        except ValueError:
            return False
        return all(condition.holds(fields) for condition in self.conditions)

    def __str__(self) -> str:
        """The conditions as text."""
        return " and ".join(map(str, self.conditions))


def _field(fields: dict[str, Any], path: str) -> Any:
    if path in fields:
        return fields[path]
    dot = path.rfind(".")
    while dot >= 0:
        inner = fields.get(path[:dot])
        if isinstance(inner, dict) and (found := _field(inner, path[dot + 1 :])) is not _MISSING:
            return found
        dot = path.rfind(".", 0, dot)
    return _MISSING


def _kind(value: object) -> type:
    """Return the type of a value; numbers are of one."""
    return float if type(value) is int else type(value)


# -- checking --------------------------------------------------------------------------------------


def checked_where(where: object) -> JSONConditions | None:
    """Return the conditions of an argument; None: there are none. Raises InvalidQuery."""
    if where is None:
        return None
    if not isinstance(where, Mapping):
        _refuse(where, "pass a dict such as {'status': 500} or {'status': ('>=', 500)}")
    conditions = []
    for path, wanted in where.items():
        name = _text(path, "a path is a str, such as 'user.id'")
        pairs = wanted if isinstance(wanted, list) else [wanted]
        if not pairs:
            _refuse(wanted, "pass at least one pair of an operator and a value")
        alone = not isinstance(wanted, list)
        conditions += [_condition(name, pair, alone=alone) for pair in pairs]
    if not conditions:
        return None
    return JSONConditions(tuple(conditions), max(map(_needle, conditions), key=len))


def _needle(condition: _Condition) -> bytes:
    """Return bytes that each content without escapes has that meets a condition."""
    names = [condition.path.rpartition(".")[2] + '"']  # the end of a name
    if condition.operator == "==" and isinstance(condition.value, str):
        names.append(f'"{condition.value}"')
    return max((name.encode() for name in names), key=len)


def _condition(path: str, pair: object, *, alone: bool) -> _Condition:
    if not isinstance(pair, tuple):
        if not alone:
            _refuse(pair, "a list must have pairs of an operator and a value, such as ('>=', 500)")
        pair = ("==", pair)
    if len(pair) != 2:  # noqa: PLR2004
        _refuse(pair, "pass a pair of an operator and a value, such as ('>=', 500)")
    word, value = pair
    if not isinstance(word, str) or str.__str__(word) not in OPERATORS:
        _refuse(word, f"an operator is one of {', '.join(OPERATORS)}")
    compared = _value(value)
    if str.__str__(word) not in ("==", "!=") and _kind(compared) not in _ORDERED:
        _refuse(pair, "only strings and numbers have an order; pass '==' or '!='")
    return _Condition(path, str.__str__(word), compared)


def _value(value: object) -> object:
    """Return a plain value."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _number(int.__int__(value))
    if isinstance(value, float) and not math.isnan(float.__float__(value)):
        return float.__float__(value)
    return _text(value, "a value is a string, a number, a bool or None")


def _number(value: int) -> float:
    """Return a whole number as it is read from a content: without a fraction only to 64 bits."""
    if -(1 << 63) <= value < 1 << 64:
        return value
    try:
        return float(value)
    except OverflowError:
        _refuse(value, "no content can have it; pass a number that a float can hold")


def _text(value: object, remedy: str) -> str:
    if not isinstance(value, str):
        _refuse(value, remedy)
    text = str.__str__(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(value, "it has a lone surrogate, which no event can hold; remove it")
    return text


def _refuse(value: object, remedy: str) -> NoReturn:
    raise InvalidQuery(f"where: {shown(value)} cannot be used; {remedy}")
