"""The files that are imported: four formats of logs, with lines made from a seed.

Rules: the same constants give the same lines every time. Times ascend, are in UTC, and stay within
one year. The time of the file is that of its last line, as it is for a log; years that lines do
not have follow from it.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.data import SEED, WORDS, uuid4

__all__ = ["ACCESS", "ISO", "JSON", "LOGS", "SYSLOG", "YEAR", "Log", "Made", "Span", "write_log"]

YEAR = 2025
START = datetime(YEAR, 3, 1, 6, 0, 0, tzinfo=UTC)
LONGEST_STEP = 1500  # milliseconds from one record to the next, at most
TRACEBACK_EVERY = 100  # one record of this many has a traceback
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LEVELS = ["DEBUG", *["INFO"] * 5, "WARNING", "ERROR"]
LOGGERS = ["app.views", "app.models", "app.tasks.mail", "urllib3.connectionpool"]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "curl/8.5.0",
]
TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/app/views.py", line 118, in handle
    result = self.session.fetch(key, timeout=self.timeout)
  File "/srv/app/session.py", line 61, in fetch
    raise SessionError(f"no answer for {key!r}")
app.session.SessionError: no answer for 'user'"""


class Span(NamedTuple):
    """The records that have a time, and the first and the last of the times."""

    records: int
    first: float  # seconds since 1970
    last: float


class Made(NamedTuple):
    """A file of a log."""

    path: Path
    lines: int
    span: Span


class Log(NamedTuple):
    """A format: `record` makes the lines of one record, without the last newline."""

    name: str
    record: Callable[[datetime, int, random.Random], str]
    fraction: bool  # whether times have milliseconds


def write_log(log: Log, path: Path, lines: int) -> Made:
    """Write a file of at least so many lines, unless `lines` is 0."""
    written = records = 0
    last = START
    with path.open("w", encoding="utf-8") as file:
        for time, text in _records(log):
            if written >= lines:
                break
            file.write(text + "\n")
            written, records, last = written + text.count("\n") + 1, records + 1, time
    os.utime(path, (last.timestamp(), last.timestamp()))
    return Made(path, written, Span(records, START.timestamp(), last.timestamp()))


def _records(log: Log) -> Iterator[tuple[datetime, str]]:
    chance, time, number = random.Random(SEED), START, 0
    while True:
        kept = time if log.fraction else time.replace(microsecond=0)
        yield kept, log.record(kept, number, chance)
        time += timedelta(milliseconds=chance.randrange(LONGEST_STEP))
        number += 1


def _access(time: datetime, _: int, chance: random.Random) -> str:
    address = ".".join(str(part) for part in chance.getrandbits(32).to_bytes(4, "big"))
    path = "/".join(_words(chance, 3))
    status, size = chance.choice([200, 200, 200, 304, 404, 500]), chance.randrange(100_000)
    at = f"{time.day:02}/{MONTHS[time.month - 1]}/{time:%Y:%H:%M:%S} +0000"
    return (
        f'{address} - - [{at}] "GET /{path}?page={size % 50} HTTP/1.1" {status} {size} '
        f'"https://www.example.com/" "{chance.choice(AGENTS)}"'
    )


def _syslog(time: datetime, number: int, chance: random.Random) -> str:
    at = f"{MONTHS[time.month - 1]} {time.day:2} {time:%H:%M:%S}"
    program = ("sshd", "cron", "systemd", "postfix/smtpd")[number % 4]
    words = " ".join(_words(chance, 8))
    return f"{at} web{number % 20:02} {program}[{chance.randrange(2, 32768)}]: {words}"


def _iso(time: datetime, number: int, chance: random.Random) -> str:
    level, logger = chance.choice(LEVELS), chance.choice(LOGGERS)
    at = f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03}"
    line = f"{at} {level:<8} {logger}: {' '.join(_words(chance, 10))}"
    return f"{line}\n{TRACEBACK}" if number % TRACEBACK_EVERY == 1 else line


def _json(time: datetime, _: int, chance: random.Random) -> str:
    fields = {
        "timestamp": f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z",
        "level": chance.choice(LEVELS).lower(),
        "logger": chance.choice(LOGGERS),
        "event": " ".join(_words(chance, 8)),
        "request_id": uuid4(chance),
        "duration_ms": chance.randrange(100_000) / 100,
    }
    return json.dumps(fields)


def _words(chance: random.Random, number: int) -> list[str]:
    return chance.choices(WORDS, k=number)


ACCESS = Log("access log", _access, fraction=False)
SYSLOG = Log("syslog without year", _syslog, fraction=False)
ISO = Log("text with tracebacks", _iso, fraction=True)
JSON = Log("JSON lines", _json, fraction=True)
LOGS = (ACCESS, SYSLOG, ISO, JSON)
