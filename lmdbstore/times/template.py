r"""Templates of times: a regular expression in which `%Y`, `%m` and so on are fields.

Rules: a template is a regular expression of Python with the fields below in it; each field may
appear once. The fields up to the minute become the group `minute`, so that a reader can remember
what it made of them: of a thousand lines a minute, one is read field by field.

The fields: %Y and %y (a year of 4 and 2 digits), %m (a month of 2 digits), %n (of 1 or 2), %b (its
name), %d (a day of 2 digits), %e (of 1 or 2, or a space and 1), %a (a weekday in any language), %A
(Mon to Sun), %j (the day of the year), %G %V %u (year, week and weekday of ISO 8601), %H (an hour
of 2 digits), %k (of 1 or 2, or a space and 1), %M %S (2 digits), %i %o (minute and second of 1 or
2), %p (AM or PM, may be missing), %f (a point, comma or colon and a fraction, may be missing), %q
(a colon and milliseconds, of 1 to 3 digits), %z (a zone, may be missing), %s (an epoch: seconds,
milliseconds, microseconds or nanoseconds since 1970), %@ (a label of TAI64N), %T (%H:%M:%S%f), %D
(%Y-%m-%d), %L (a letter or sign for the level). A group `word` is a word for the level.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .names import ABBREVIATIONS

__all__ = ["Compiled", "UnknownField", "compiled", "from_strptime"]

_AREAS = "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific"
# After a sign, two digits of hours, and quarters of an hour: "14:36:25 -1234 widgets" has no zone.
ZONE = (
    r"Z(?!\w)"
    r"| ?[+-](?:0\d|1[0-4])(?::?(?:00|15|30|45))?(?![\w:]|[.,]\d)"
    r"| ?(?:UTC|GMT)(?:[+-]\d{1,2}(?::?\d\d)?)?(?![\w/])"
    rf"| (?:{'|'.join(ABBREVIATIONS)})(?![\w/.-])"
    rf"| (?:{_AREAS})/[A-Za-z_/-]+"
)
FRACTION = r"(?:(?:[.,]|:(?=\d{3}(?:\d{3})?(?!\d)))(?P<f>\d+))?"
# Digits are ASCII, letters of any language. A set of what is no letter is compiled much faster.
LETTER = r"[^\x00-@\[-`{-\x7f]"
MONTH = (
    rf"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?!{LETTER})|{LETTER}{{3,10}}\.?|1?\d月"
)

_SHORT = {"%T": "%H:%M:%S%f", "%D": "%Y-%m-%d"}
_FIELDS = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d)",
    "n": r"(?P<m>\d{1,2})",
    "b": rf"(?P<b>{MONTH})",
    "d": r"(?P<d>\d\d)",
    "e": r"(?P<d>[ \d]?\d)",
    "a": rf"(?P<a>{LETTER}{{2,10}})\.?",
    "A": r"(?P<a>Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
    "j": r"(?P<j>\d{3})",
    "G": r"(?P<G>\d{4})",
    "V": r"(?P<V>\d\d)",
    "u": r"(?P<u>[1-7])",
    "H": r"(?P<H>\d\d)",
    "k": r"(?P<H>[ \d]?\d)",
    "M": r"(?P<M>\d\d)",
    "i": r"(?P<M>\d{1,2})",
    "S": r"(?P<S>\d\d)",
    "o": r"(?P<S>\d{1,2})",
    "p": r"(?:\s?(?P<p>[AaPp]\.?[Mm]\b\.?))?",
    "f": FRACTION,
    "q": r":(?P<ms>\d{1,3})",
    "z": rf"(?P<z>{ZONE})?",
    "s": r"(?P<s>[1-9](?:\d{18}|\d{15}|\d{12}|\d{8,9}))(?!\d)(?:\.(?P<f>\d+))?",
    "@": r"(?P<tai>[0-9a-f]{16})(?P<nano>[0-9a-f]{8})?(?![0-9a-f])",
    "L": r"(?P<L>[A-Z*#.-])",
}
_WITHIN_MINUTE = {"S", "f", "ms", "L", "word", "pri", "minute"}
_token = re.compile(r"%(.)|\\.|[^%\\]+", re.DOTALL)


class UnknownField(ValueError):
    """A template has a field that there is not; the message is the field."""


class Compiled(NamedTuple):
    """A template as one pattern, and the numbers of the groups that a reader needs."""

    pattern: re.Pattern[str]
    key: tuple[int, ...]  # the groups that say which minute it is
    second: int  # 0: there is none
    fraction: int  # 0: there is none
    fields: frozenset[str]


def compiled(template: str, lead: str = "") -> Compiled:
    """Compile a template; the time follows `lead`, a regular expression, at the line's start."""
    for short, long in _SHORT.items():
        template = template.replace(short, long)
    tokens = [found[0] for found in _token.finditer(template)]
    named = [n for n, token in enumerate(tokens) if token[0] == "%" and token not in {"%L", "%%"}]
    minute = [n for n in named if tokens[n] in {"%M", "%i"}]
    parts = [_part(token) for token in tokens]
    if minute and "(" not in "".join(tokens[named[0] : minute[0]]).replace("(?:", ""):
        parts[named[0]] = "(?P<minute>" + parts[named[0]]
        parts[minute[0]] += ")"
    pattern = re.compile(lead + "".join(parts), re.ASCII)
    groups = pattern.groupindex
    keys = set(groups) - _WITHIN_MINUTE
    if "minute" in groups:
        inside = {tokens[n][1] for n in named if n <= minute[0]}
        keys -= {name for code in inside for name in _names(code)}
        keys.add("minute")
    return Compiled(
        pattern,
        tuple(sorted(groups[name] for name in keys)),
        groups.get("S", 0),
        groups.get("f") or groups.get("ms", 0),
        frozenset(groups),
    )


def _part(token: str) -> str:
    if token[0] != "%":
        return token
    code = token[1]
    if code == "%":
        return "%"
    try:
        return _FIELDS[code]
    except KeyError:
        raise UnknownField(token) from None


def _names(code: str) -> list[str]:
    return re.findall(r"\(\?P<(\w+)>", _FIELDS[code])


_STRPTIME = {
    "B": "%b",
    "h": "%b",
    "A": "%a",
    "d": "%e",
    "m": "%n",
    "I": "%k",
    "l": "%k",
    "H": "%k",
    "Z": "%z",
    "c": "%a %b %e %H:%M:%S %Y",
    "F": "%D",
    "R": "%H:%M",
    "r": "%k:%M:%S %p",
    "t": r"\s+",
    "n": r"\s+",
    "N": "%f",
    "%": "%%",
    **{code: f"%{code}" for code in "YyebajGVukMSpfzsT"},
}
_plain = re.compile(r"(?:[.,](?=%[fN]))?( ?)(?:%([-_0^]?)(.)|(.))", re.DOTALL)


def from_strptime(text: str) -> str:
    """Return the template of a format as `strptime` and `date(1)` write it.

    Raises:
        UnknownField: it has a field that there is not.
    """
    parts = []
    for found in _plain.finditer(text):
        space, _, code, other = found.groups()
        if other is not None:
            parts.append(re.escape(space + other))
        elif code not in _STRPTIME:
            raise UnknownField(f"%{code}")
        else:  # a zone, AM and PM, and a fraction begin with their own separator
            parts.append(r"\s+" * bool(space and code not in "zZpfN") + _STRPTIME[code])
    return "".join(parts)
