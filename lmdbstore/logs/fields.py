"""What is found in a line beside its time: fields by their usual names, and the level.

Rules: the first name that a line has counts. A name with dots is a path through objects, or a
field that has dots in its name. Levels have the names of syslog, and `trace`. The level of a text
is taken from where the format has it, or else from a word in capitals, in brackets, or after
`level=`, near the time and not from the rest of the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "JOURNAL_TIME",
    "LEVEL",
    "LEVELS",
    "LOGGERS",
    "TIMES",
    "LevelFinder",
    "at_path",
    "caught",
    "first_field",
    "level_named",
    "level_of_value",
]

JOURNAL_TIME = "__REALTIME_TIMESTAMP"

# logrus, zap, zerolog, slog, structlog, pino, bunyan, log4j2, logback, Docker, journald,
# CloudTrail, MongoDB, Caddy, Elastic, OpenTelemetry, Google Cloud, Cloudflare, Splunk.
TIMES = (
    "timestamp",
    "time",
    "ts",
    "@timestamp",
    JOURNAL_TIME,
    "_SOURCE_REALTIME_TIMESTAMP",
    "eventTime",
    "instant",
    "t",
    "datetime",
    "dateTime",
    "date",
    "asctime",
    "@t",
    "timestamp_ns",
    "timestamp_ms",
    "timeMillis",
    "timeUnixNano",
    "observedTimeUnixNano",
    "log_time",
    "logTime",
    "event_time",
    "eventTimestamp",
    "receiveTimestamp",
    "EdgeStartTimestamp",
    "request timestamp",
    "TimeCreated",
    "start_time",
    "started_at",
    "created_at",
    "created",
    "_time",
    "Timestamp",
    "Time",
    "TIMESTAMP",
    "msg_time",
    "epoch",
    "event.created",
    "record.time.repr",
    "unixtime",
    "at",
)
LEVELS = (
    "level",
    "severity",
    "lvl",
    "levelname",
    "log.level",
    "loglevel",
    "log_level",
    "logLevel",
    "Level",
    "@l",
    "@level",
    "PRIORITY",
    "s",
    "severityText",
    "severity_text",
    "record.level.name",
)
LOGGERS = (
    "logger",
    "loggerName",
    "logger_name",
    "log.logger",
    "_SYSTEMD_UNIT",
    "SYSLOG_IDENTIFIER",
    "name",
)

LEVEL = "level:"  # before the name, in the flag
LEARNT_FROM = 500  # lines
NEAR = 64  # characters after the time in which a level is sought

_SYSLOG = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_NAMES = {
    "trace": "trace finest finer verbose vrb trc",
    "debug": "debug dbg fine debug1 debug2 debug3 debug4 debug5",
    "info": "info information informational inf config log",
    "notice": "notice",
    "warning": "warning warn wrn",
    "error": "error err eror failure",
    "critical": "critical crit fatal severe panic ftl dpanic",
    "alert": "alert",
    "emergency": "emergency emerg",
}
_LEVELS = {word: level for level, words in _NAMES.items() for word in words.split()}
# Of glog, logcat, MongoDB, Ruby and CUPS; and the signs of Redis.
_LETTERS = {
    letter: level
    for level, letters in {
        "trace": "TV-",
        "debug": "D.",
        "info": "I",
        "notice": "N*",
        "warning": "W#",
        "error": "E",
        "critical": "CF",
        "alert": "A",
    }.items()
    for letter in letters
}
_WORDS = (
    "TRACE|FINEST|FINER|FINE|VERBOSE|DEBUG|INFORMATION|INFO|CONFIG|NOTICE|WARNING|WARN|ERROR|ERR"
    "|CRITICAL|CRIT|FATAL|SEVERE|PANIC|ALERT|EMERGENCY|EMERG|LOG"
)
_LOWER = (
    "trace|verbose|debug|information|info|notice|warning|warn|error|err|critical|crit|fatal|panic"
    "|alert|emerg"
)
_capitals = re.compile(rf"(?:{_WORDS})(?!\w|[./-]\w)")
_marked = re.compile(
    rf"[\[<|(:]\s?({_LOWER}|{_LOWER.title()})\s?[\]>|):]"
    rf"|\b(?:level|lvl|severity)=[\"']?([A-Za-z]+)",
)
_leading = re.compile(rf"[\s\[|]{{0,4}}({_WORDS}|{_LOWER}|{_LOWER.title()})()(?=[\s\]|:,])")
_first = re.compile(rf"[\s\[|:,-]{{1,4}}({_LOWER}|{_LOWER.title()})(?=[\s\]|:,])")
_PLACED = {"L", "word"}  # in formats that have the level at a place
LONGEST_NUMBER = 18  # digits of a level
_PINO = 10  # pino and bunyan count levels in tens, from trace


def first_field(
    found: dict[str, Any], names: Sequence[str], to_text: Callable[[Any], str | None]
) -> str | None:
    """Return the text of the first of these fields that has one."""
    for name in names:
        if name in found:
            value = found[name]
        elif "." in name and name.partition(".")[0] in found:
            value = at_path(found, name)
        else:
            continue
        if value is not None and (text := to_text(value)):
            return text
    return None


def at_path(found: dict[str, Any], name: str) -> Any:
    """Return the field of a name, or of a path such as `a.b`; None if there is none."""
    value = found.get(name)
    if value is not None or "." not in name:
        return value
    first, _, rest = name.partition(".")
    inner = found.get(first)
    return at_path(inner, rest) if isinstance(inner, dict) else None


def level_named(word: str) -> str | None:
    """Return the level that a word names, or None."""
    return _LEVELS.get(word.lower())


def _in_capitals(line: str, start: int, end: int) -> str | None:
    found = _capitals.search(line, start, end)
    if found is None or line[found.start() - 1 : found.start()].isalnum():
        return None
    return _LEVELS.get(found[0].lower())


def _next_word(line: str, start: int, _: int) -> str | None:
    found = _first.match(line, start)
    return level_named(found[1]) if found else None


def _in_brackets(line: str, start: int, end: int) -> str | None:
    found = _marked.search(line, start, end)
    return level_named(found[1] or found[2]) if found else None


def _before(line: str, start: int, _: int) -> str | None:
    found = _leading.match(line, 0, start) or _marked.search(line, 0, start)
    return level_named(found[1] or found[2]) if found else None


_Style = Callable[[str, int, int], str | None]
_STYLES: tuple[_Style, ...] = (_in_capitals, _next_word, _in_brackets, _before)


class LevelFinder:
    """Finds the levels of the lines of one input, in the ways that its first lines have."""

    def __init__(self) -> None:
        """Try every way, until enough lines were seen."""
        self._styles = _STYLES
        self._seen = 0
        self._used: set[_Style] = set()

    def of_each(
        self, lines: Sequence[str], matches: Sequence[re.Match[str] | None]
    ) -> Iterable[str | None]:
        """Give the levels of lines, as `of` does for each of them."""
        if self._styles != _STYLES[:1]:
            return map(self.of, lines, matches)
        pattern = next((match.re for match in matches if match is not None), None)
        if pattern is None or _PLACED & pattern.groupindex.keys():
            return map(self.of, lines, matches)
        priority = pattern.groupindex.get("pri", 0)
        return [
            self.of(line, match)
            if match is None or match.re is not pattern or (priority and match[priority])
            else _in_capitals(line, end := match.end(), end + NEAR)
            for line, match in zip(lines, matches, strict=True)
        ]

    def of(self, line: str, match: re.Match[str] | None) -> str | None:
        """Return the level of a line, of which `match` is the time; None if it has none."""
        end = 0
        if match is not None:
            end = match.end()
            groups = match.re.groupindex
            if "L" in groups:
                return _LETTERS.get(match["L"])
            if "word" in groups and (word := match["word"]):
                return level_named(word)
            if "pri" in groups and (priority := match["pri"]):
                return _SYSLOG[int(priority) % 8]
        for style in self._styles:
            if level := style(line, end, end + NEAR):
                break
        else:
            level = None
        if self._seen < LEARNT_FROM:
            self._seen += 1
            if level:
                self._used.add(style)
            if self._seen == LEARNT_FROM:
                self._styles = tuple(one for one in _STYLES if one in self._used) or _STYLES[:1]
        return level


def level_of_value(value: Any) -> str | None:
    """Return the level of a field: a word, a number of syslog (0 to 7), or of pino (10 to 60)."""
    if isinstance(value, str):
        if value.isdecimal() and len(value) <= LONGEST_NUMBER:
            return level_of_value(int(value))
        return level_named(value) or (_LETTERS.get(value) if len(value) == 1 else None)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if 0 <= value < len(_SYSLOG):
        return _SYSLOG[value]
    names = ("trace", "debug", "info", "warning", "error", "critical")
    return names[min(value // _PINO, len(names)) - 1] if value >= _PINO else None


def caught(pattern: re.Pattern[str], content: str) -> Sequence[str]:
    """Return the flags that a pattern of the user makes: `name:text` for a group with a name."""
    names = {number: name for name, number in pattern.groupindex.items()}
    flags = []
    for found in pattern.finditer(content):
        for number, text in enumerate(found.groups() or (found[0],), 1):
            if text:
                flags.append(f"{names[number]}:{text}" if number in names else text)
    return flags
