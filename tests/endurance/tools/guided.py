"""The targets of atheris, which it calls with inputs that lead to code it has not reached yet.

`python -m tests.endurance.tools.guided TARGET ARGUMENTS` runs libFuzzer with its own arguments.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import atheris

with atheris.instrument_imports(include=["lmdbstore"]):
    from lmdbstore import InvalidQuery, StoreDamaged
    from lmdbstore.disk.keys import KEY, LONG_KEY
    from lmdbstore.patterns.needs import needs
    from lmdbstore.patterns.parse import render
    from lmdbstore.patterns.pattern import compile_pattern
    from lmdbstore.records.record import TermKeys, decode, decode_one, term_name
    from lmdbstore.records.run import Run
    from lmdbstore.times.clock import Setting
    from lmdbstore.times.dater import Dater

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SEEDS"]

LATEST = 1.7e9  # seconds since 1970

# The first inputs: libFuzzer reads them from files.
SEEDS = {
    "parse": [rb"(?i)a|[^b-d\d]{2,3}?", rb"^(?P<n>\w+)$\b", rb"(?s:.)*\x41(?-i:\u00e9)"],
    "compile": [rb"(?im)^[a-z]+\d{1,3}$", rb"\bfoo|bar\B", "(?i)é|ß".encode()],
    "logtime": [
        *(b"2024-06-24T14:36:25.5+02:00 x", b"<34>Jun 24 14:36:25 x", b"1600000000.25 x"),
        *(b"x [24/Jun/2024:14:36:25 +0200]", b"Mon Jun 24 14:36:25 2024", b"20240624T143625Z"),
    ],
    "decode": [b'"a","s",1.5,["x","y"]\nhi', b'"","\\u0000",-1e3,[]\n'],
}


def _check_message(error: Exception) -> None:
    assert str(error).isprintable(), repr(error)


def _parse(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")  # so that there are lone surrogates, too
    try:
        rendered = render(text)
    except InvalidQuery as error:
        _check_message(error)
    else:
        needs(rendered.single)


def _compile(data: bytes) -> None:
    pattern, _, content = data.partition(b"\0")
    try:
        compiled = compile_pattern(pattern.decode("utf-8", "surrogateescape"))
    except InvalidQuery as error:
        _check_message(error)
    else:
        compiled.matches(content)


def _logtime(data: bytes) -> None:
    line = data.decode("utf-8", "backslashreplace")
    (seconds,), _ = Dater(Setting(LATEST)).date([line])
    assert seconds is None or math.isnan(seconds) or math.isfinite(seconds)


def _decode(data: bytes) -> None:
    decoded = [
        _or_damaged(decode_one, data),
        _or_damaged(lambda one: decode([one])[0], data),
    ]
    if None not in decoded:
        assert decoded[0] == decoded[1]
    _or_damaged(lambda one: term_name(bytes(LONG_KEY), decode_one(one)), data)
    _or_damaged(lambda one: term_name(one, None), data)
    _or_damaged(lambda one: Run(bytes(KEY), one).unpacked(TermKeys()), data)


def _or_damaged(work: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return work(data)
    except StoreDamaged as error:
        _check_message(error)
        return None


_TARGETS = {"parse": _parse, "compile": _compile, "logtime": _logtime, "decode": _decode}

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], _TARGETS[sys.argv[1]])
    atheris.Fuzz()
