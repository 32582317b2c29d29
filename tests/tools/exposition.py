"""A strict reader of Prometheus' text format, version 0.0.4; what is not exactly so is an error."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Family", "families"]

_NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
_help = re.compile(rf"# HELP ({_NAME}) ((?:[^\\]|\\\\|\\n)+)").fullmatch
_type = re.compile(rf"# TYPE ({_NAME}) (counter|gauge)").fullmatch
_label = re.compile(rf'({_NAME})="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')
_number = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_sample = re.compile(rf"({_NAME})\{{({_label.pattern}(?:,{_label.pattern})*)\}} ({_number})")
_escape = re.compile(r"\\(.)")
UNITS = {"bytes", "seconds"}


class Family(NamedTuple):
    """A metric: its type, its help, and its values by their labels."""

    kind: str
    help: str
    samples: dict[tuple[tuple[str, str], ...], float]


def families(text: str) -> dict[str, Family]:
    """Read a text: for each metric its help, its type, and then all of its samples, at least one.

    Raises:
        ValueError: it is something else.
    """
    found: dict[str, Family] = {}
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    lines = text[:-1].split("\n")
    while lines:
        about, kind = _help(lines.pop(0)), _type(lines.pop(0))
        if about is None or kind is None or about[1] != kind[1] or about[1] in found:
            raise ValueError(f"no metric begins after {[*found]}")
        name = about[1]
        if (kind[2] == "counter") != name.endswith("_total"):
            raise ValueError(f"{name} is a {kind[2]}")
        family = found[name] = Family(kind[2], about[2], {})
        while lines and not lines[0].startswith("#"):
            labels, value = _sample_of(name, lines.pop(0))
            if labels in family.samples:
                raise ValueError(f"{name} has {labels} twice")
            family.samples[labels] = value
        if not family.samples:
            raise ValueError(f"{name} has no samples")
    return found


def _sample_of(name: str, line: str) -> tuple[tuple[tuple[str, str], ...], float]:
    sample = _sample.fullmatch(line)
    if sample is None or sample[1] != name:
        raise ValueError(f"{line!r} is no sample of {name}")
    pairs = [(label[1], _plain(label[2])) for label in _label.finditer(sample[2])]
    if len({label for label, _ in pairs}) < len(pairs):
        raise ValueError(f"{line!r} has a label twice")
    return tuple(pairs), float(sample[sample.re.groups])


def _plain(text: str) -> str:
    return _escape.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), text)
