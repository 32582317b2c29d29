"""Patterns that exhaust the time of a backtracking engine, and some that exhaust a compiler.

`python -m tests.tools.hostile PATH CPU_SECONDS [NAME]` runs them as another process, under
limits of the operating system that do not depend on how fast the machine is relative to the clock:
used by `tests.patterns.test_hostile_patterns`. With a NAME, only that one is run, with Python's
`re`.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from typing import TYPE_CHECKING, NamedTuple

from lmdbstore import Event, InvalidQuery, LMDBEventStore, MemoryEventStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore import EventStore

__all__ = ["BOMBS", "HOSTILE", "Hostile"]

LONG = 50_000  # characters: 2**LONG steps, LONG**3, or at the very least LONG**2
MEMORY = 2 << 30  # bytes of address space for the whole process
MAP = 1 << 26  # bytes, of them


class Hostile(NamedTuple):
    """A pattern, a text on which backtracking takes ages to find nothing, and a text it matches."""

    name: str
    pattern: str
    attack: str
    hit: str


HOSTILE = [
    # OWASP, "Regular expression Denial of Service - ReDoS": its examples of evil patterns.
    Hostile("owasp nested", r"^(a+)+$", "a" * LONG + "!", "aaa"),
    Hostile("owasp starred", r"^([a-zA-Z]+)*$", "a" * LONG + "!", "abc"),
    Hostile("owasp overlap", r"^(a|aa)+$", "a" * LONG + "!", "aaa"),
    Hostile("owasp optional", r"^(a|a?)+$", "a" * LONG + "!", "aaa"),
    Hostile("owasp counted", r"^(.*a){20}$", "a" * LONG + "!", "a" * 20),
    # OWASP Validation Regex Repository: the name of a Java class.
    Hostile("owasp java", r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * LONG, "java.lang.String"),
    # RegExLib, an email address (in OWASP's article).
    Hostile(
        "regexlib email",
        r"^([0-9a-zA-Z]([-.\w]*[0-9a-zA-Z])*@(([0-9a-zA-Z])+([-\w]*[0-9a-zA-Z])*\.)+[a-zA-Z]{2,9})$",
        "a" * LONG + "!",
        "a@b.com",
    ),
    # Cloudflare, outage of 2 July 2019: the rule, and the part of it that their report explains.
    Hostile(
        "cloudflare 2019",
        r"""(?:(?:\"|'|\]|\}|\\|\d|(?:nan|infinity|true|false|null|undefined|symbol|math)|\`|\-"""
        r"""|\+)+[)]*;?((?:\s|-|~|!|{}|\|\||\+)*.*(?:.*=.*)))""",
        "math" * (LONG // 4),
        '"a=b',
    ),
    Hostile("cloudflare core", r".*.*=.*", "x" * LONG, "x=x"),
    # Stack Exchange, outage of 20 July 2016: trimming a comment of 20,000 spaces.
    Hostile(
        "stackoverflow 2016",
        r"^[\s\u200c]+|[\s\u200c]+$",
        f"-- play happy sound{' ' * LONG}end",
        "ends in a blank ",
    ),
    # lodash, CVE-2020-28500: trim.
    Hostile("lodash trim", r"^\s+|\s+$", f"1{' ' * LONG}1", " 1"),
    # moment.js, CVE-2016-4055 (duration), months in a format, and CVE-2017-18214 (words).
    Hostile(
        "moment duration",
        r"^(\-)?(?:(\d*)[. ])?(\d+)\:(\d+)(?:\:(\d+)\.?(\d{3})?)?$",
        "1" * LONG,
        "12:34:56.789",
    ),
    Hostile("moment months", r"D[oD]?(\[[^\[\]]*\]|\s+)+MMMM?", f"D{' ' * LONG}", "Do [of]  MMMM"),
    Hostile(
        "moment words",
        r"^[0-9]*['a-z\u00A0-\u05FF\u0700-\uD7FF\uF900-\uFDCF\uFDF0-\uFFEF]+$"
        r"|^[\u0600-\u06FF\/]+(\s*?[\u0600-\u06FF]+){1,2}$",
        "1" * LONG,
        "1er",
    ),
    # ua-parser's uap-core, CVE-2020-5243: two of its patterns for devices.
    Hostile(
        "ua-parser watch",
        r"SmartWatch *\( *([^;]+) *; *([^;]+) *;",
        f"SmartWatch({' ' * LONG}z",
        "SmartWatch(a;b;",
    ),
    Hostile(
        "ua-parser huawei",
        r"; *([^;/]+) Build[/ ]Huawei(MT1-U06|[A-Z]+\d+[^\);]+)[^\);]*\)",
        f"; A Build HuaweiA{'4' * LONG}",
        "; A Build/HuaweiA4x)",
    ),
    # marked, CVE-2015-8854: emphasis, without its lookahead.
    Hostile("marked", r"^_((?:__|[\s\S])+?)_$", f"{'_' * LONG}!", "_a_"),
    # brace-expansion, CVE-2017-18077, which minimatch uses; and a glob of many stars as minimatch
    # translates it (CVE-2016-10540).
    Hostile("brace-expansion", r"^(.*,)+(.+)?$", "," * LONG + "\n!", "a,b"),
    Hostile("minimatch", f"^{'[^/]*?a' * 20}[^/]*?b$", "a" * LONG, "a" * 20 + "b"),
    # ms, CVE-2015-8315.
    Hostile(
        "ms",
        r"(?i)^((?:\d+)?\.?\d+) *(ms|seconds?|s|minutes?|m|hours?|h|days?|d|years?|y)?$",
        "1" * LONG + "!",
        "2.5 hours",
    ),
    # node-semver, CVE-2022-25883: blanks of a comparator.
    Hostile("semver", r"(\s*)((?:<|>)?=?)\s*([0-9]+\.[0-9]+\.[0-9]+)", " " * LONG, ">=  1.2.3"),
    # forwarded, CVE-2017-16118.
    Hostile("forwarded", r" *, *", " " * LONG, "a , b"),
    # tough-cookie, CVE-2017-15010.
    Hostile("tough-cookie", r"^(([^=;]+))\s*=\s*([^\n\r\0]*)", f"x{' ' * LONG}", "a = b"),
    # ansi-regex, CVE-2021-3807.
    Hostile(
        "ansi-regex",
        r"[\u001B\u009B][\[\]()#;?]*(?:(?:(?:[a-zA-Z\d]*(?:;[-a-zA-Z\d\/#&.:=?%@~_]*)*)?\u0007)"
        r"|(?:(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-ntqry=><~]))",
        f"\x1b[{';' * LONG}",
        "\x1b[0m",
    ),
    # nth-check, CVE-2021-3803.
    Hostile("nth-check", r"^([+-]?\d*n)?\s*(?:([+-]?)\s*(\d+))?$", f"2n{' ' * LONG}!", "2n + 1"),
    # glob-parent, CVE-2020-28469.
    Hostile("glob-parent", r"[\{\[].*[\}\]]$", "{" * LONG, "{a}"),
    # path-to-regexp, CVE-2024-45296: two parameters in one segment.
    Hostile("path-to-regexp", r"^\/([^\/]+?)-([^\/]+?)\/?$", f"/a{'-a' * LONG}/a", "/a-b"),
    # Django, CVE-2009-3695: the domain of an email address.
    Hostile(
        "django email",
        r"(?i)^[a-z]+@(?:[A-Z0-9]+(?:-*[A-Z0-9]+)*\.)+[A-Z]{2,6}$",
        f"a@{'a' * LONG}",
        "a@b.org",
    ),
    # CPython: poplib (CVE-2018-1060), difflib (CVE-2018-1061), urllib (CVE-2020-8492, its
    # backreference left out), http.cookiejar (bpo-38804, its lookahead left out).
    Hostile("poplib", r"\+OK.*(<[^>]+>)", f"+OK{'<' * LONG}", "+OK <a>"),
    Hostile("difflib", r"^\s*#?\s*$", f"{' ' * LONG}x", "  #  "),
    Hostile(
        "urllib",
        r"""(?:.*,)*[ \t]*([^ \t]+)[ \t]+realm=(["']?)([^"']*)$""",
        "," * LONG,
        "Basic realm=x",
    ),
    Hostile(
        "cookiejar",
        r"^(\d\d?)(?:\s+|[-\/])(\w+)(?:\s+|[-\/])(\d+)(?:(?:\s+|:)(\d\d?):(\d\d)(?::(\d\d))?)?"
        r"\s*([-+]?\d{2,4}|[A-Za-z]+)?\s*(?:\(\w+\))?\s*$",
        f"1-1-1{' ' * LONG}!",
        "01-Jan-2020 10:00",
    ),
    # Jinja2, CVE-2020-28493: urlize.
    Hostile("jinja2", r"^\S+@[a-zA-Z0-9._-]*\.[a-zA-Z0-9._-]*$", f"a@{'.' * LONG}!", "a@b.c"),
    # J. Goyvaerts, regular-expressions.info, "Catastrophic Backtracking": x+x+ and the CSV record.
    Hostile("goyvaerts", r"(x+x+)+y", "x" * LONG, "xxy"),
    Hostile("goyvaerts csv", r"^(.*?,){11}P", "1," * LONG, "1," * 11 + "P"),
    # J. Friedl, "Mastering Regular Expressions": the neverending match of a quoted string.
    Hostile("friedl", r'^"(\\.|[^\\"]+)*"$', '"' + "x" * LONG, '"x"'),
    # R. Cox, "Regular Expression Matching Can Be Simple And Fast" (2007): a?^n a^n.
    Hostile("cox", r"^(?:a?){500}a{500}$", "a" * LONG, "a" * 500),
    # A. Meyer, M. Fischer, "Economy of Description by Automata" (1971): a deterministic automaton
    # needs 2**n states.
    Hostile(
        "meyer fischer",
        r"^[ab]*a[ab]{200}c$",
        "".join(random.Random(1971).choices("ab", k=LONG)),
        "a" * 201 + "c",
    ),
    # J. Kirrage, A. Rathnayake, H. Thielecke, "Static Analysis for Regular Expression
    # Denial-of-Service Attacks" (RXXR, 2013).
    Hostile("rxxr", r"^(a|b|ab)*c$", "ab" * LONG, "abc"),
    # S. Crosby, "Denial of Service through Regular Expressions" (2003): the shape a*a*…b.
    Hostile("crosby", f"^{'a*' * 30}b$", "a" * LONG, "aab"),
    # J. Davis et al., "The Impact of Regular Expression Denial of Service (ReDoS) in Practice"
    # (2018): the anti-patterns star height, overlapping disjunction, overlapping adjacency.
    Hostile("davis star height", r"^(\w+)+$", "a" * LONG + "!", "abc"),
    Hostile("davis disjunction", r"^(\w|\d)+$", "1" * LONG + "!", "a1"),
    Hostile("davis adjacency", r"^\w*\d*\w*$", "1" * LONG + "!", "a1a"),
]

# Constructs of the same literature in a form that is refused: they cannot be searched in linear
# time, or not by RE2. And patterns that are too large for its compiler.
BOMBS = {
    "marked, with its lookahead": r"^_((?:__|[\s\S])+?)_(?!_)",
    "urllib, with its backreference": r"""(?:.*,)*[ \t]+realm=(["']?)([^"']*)\2""",
    "a backreference under a star": r"(\w*)*\1*$",
    "atomic": r"(?>a+)+$",
    "possessive": r"(a++)+$",
    "nested repeats": "((a{100}){100}){100}",
    "nested ranges": "(x{1,1000}){1,1000}",
    "open ranges": "((x{1,}){1000,}){1000,}",
    "a repeat in a star in a repeat": "((x{1000})*){1000}",
    "no times": "((((x{1000}){0}){1000}){0}){1000}",
    "30 levels of two": "(" * 30 + "a" + "){2}" * 30,
    "many large repeats": ".{1000}" * 500,
    "many ranges": "x{0,1000}" * 400,
    "stars of stars": "(" * 99 + "a*" + ")*" * 99,
    "lazy and greedy": "(?:" * 99 + "a+?" + ")+" * 99,
    "empty": "(|){1000}" * 100,
    "empty stars": "(" * 99 + ")*" * 99,
    "boundaries": r"(?:\b|\B|)*" * 300,
    "anchors": "(?:^|$)*" * 500,
    "10,000 brackets": "(" * 10_000 + "a" + ")" * 10_000,
    "2,000 brackets": "(" * 2000 + "a" + ")" * 2000,
    "4,000 open brackets": "(" * 4000,
    "100 brackets": "(" * 100 + "a" + ")" * 100,
    "a megabyte": "a" * 1_000_000,
    "a megabyte of classes": "[a-z]" * 200_000,
    "alternation": "|".join(f"w{n}" for n in range(800)),
    "alternation of one letter": "a|" * 2000 + "b",
    "alternation, repeated": f"(?:{'|'.join(f'w{n}' for n in range(700))}){{1000}}",
    "long class": f"[{''.join(chr(n) for n in range(0x400, 0xFFF, 2))[:1300]}]",
    "long class, repeated": f"[{''.join(chr(n) for n in range(0x400, 0xC00, 2))}]{{1000}}",
    "long class, negated": f"(?i)[^{''.join(chr(n) for n in range(0x400, 0xC00, 2))}]{{1000}}",
    "all letters": "(?i)[\\x00-\U0010ffff]{1000}",
    "many large ranges": "(?i)" + "".join(f"[\u0100-\\u{n:04x}]" for n in range(0x1000, 0x1100)),
    "their repeats": "(?i)" + "[\u0100-\uabff]{1000}" * 200,
    "far planes": "(?i)" + "".join(f"[\U00010400-\\U{n:08x}]" for n in range(0x1F000, 0x1F0C0)),
    "many categories": "(?i)" + r"[\W\D\S]" * 300,
    "large bounds": "a{99999999999999999999}",
    "bounds of 4,000 digits": f"a{{{'9' * 4000}}}",
    "many groups": "(a)" * 1300,
    "many names": "".join(f"(?P<n{n}>a)" for n in range(300)),
    "many needs": "(?:aaaa|bbbb).*" * 6 + "".join(f"c{n:03}.*" for n in range(650)),
    "many alternative needs": ".*".join(f"(?:a{n:03}|b{n:03})" for n in range(250)),
    "needs in needs": "(?:" * 90 + "abcd" + "|wxyz.)" * 90,
    "flags in flags": "(?i:(?-i:" * 49 + "a" + "))" * 49,
    "NULs": "\0" * 4096,
    "surrogate": "(?:\ud800)*",
    "unclosed class": "[" + "a-" * 2000,
    "backslashes": "\\" * 4095,
}


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _limited(cpu: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _outcome(store: EventStore, pattern: str) -> list[str] | None:
    """Return the ids of the events that the pattern matches; None if it is refused."""
    try:
        found = [event.id for event in store.search(match=pattern)]
    except InvalidQuery:
        for call in (store.count, store.explain):
            try:
                call(match=pattern)
            except InvalidQuery:
                continue
            raise AssertionError(f"{call} takes what search refuses") from None
        return None
    assert store.count(match=pattern) == len(found)
    assert store.explain(match=pattern)
    return found


def _events() -> Iterator[Event]:
    for one in HOSTILE:
        yield Event(f"attack {one.name}", content=one.attack)
        yield Event(f"hit {one.name}", content=one.hit)


def _main(path: str, cpu: str, name: str | None = None) -> None:
    _limited(int(cpu))
    if name:
        (one,) = (one for one in HOSTILE if one.name == name)
        with MemoryEventStore() as memory:
            memory.save_many(_events())
            _say("begun\n")
            _outcome(memory, one.pattern)
        _say("finished\n")
        return
    with LMDBEventStore(path, map_size=MAP) as store:
        store.save_many(_events())
        for what, pattern in [*((one.name, one.pattern) for one in HOSTILE), *BOMBS.items()]:
            _say(f"{what}\t")  # so that it is known which one did not end
            _say(f"{json.dumps(_outcome(store, pattern))}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
