"""The events of the benchmark: generated from a seed, or a real log repeated.

Rules: events are streams, since ten million events do not fit into a list. The same constants give
the same events every time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, product
from pathlib import Path

from lmdbstore import Event

SEED = 20_24
START = 1.7e9  # seconds since 1970, of the first generated event
STEP = 0.01  # seconds from one generated event to the next
SOURCES = 20
FLAGS = 200  # different flags, Zipf-distributed: two events of five have flag1
FLAGS_PER_EVENT = 3  # draws; a flag that is drawn twice is kept once
WORDS = ["user", "admin", "timeout", "connect", "open", "close", "read", "write", "session", "disk"]
WORDS_PER_EVENT = 15  # with the hexadecimal number after them, about 100 bytes of content
NEEDLE_EVERY = 10_007  # one of this many events has the word "needle"
ACCENT_EVERY = 4_999  # one of this many events has words that are not ASCII
ACCENTED = "Größe naïve Пётр 東京"
LOG = Path(__file__).parent.parent / "tests" / "data" / "dpkg.log"
BATCH = 10_000  # events that are loaded in one call

_WORDS_AT_ONCE = 3  # words per call of the random generator, which is the slow part


def made_events(number: int, seed: int = SEED) -> Iterator[Event]:
    """Generate events in the order of their times."""
    chance = random.Random(seed)
    phrases = [" ".join(words) for words in product(WORDS, repeat=_WORDS_AT_ONCE)]
    names = [f"flag{rank}" for rank in range(1, FLAGS + 1)]
    weights = _running_sums(1 / rank for rank in range(1, FLAGS + 1))
    for n in range(number):
        words = " ".join(chance.choices(phrases, k=WORDS_PER_EVENT // _WORDS_AT_ONCE))
        tags = chance.choices(names, cum_weights=weights, k=FLAGS_PER_EVENT)
        yield Event(
            uuid4(chance),
            f"host{n % SOURCES}",
            START + n * STEP,
            list(dict.fromkeys(tags)),
            f"{words} {chance.getrandbits(32):08x}{_rare_words(n)}",
        )


def ordered_events(number: int, seed: int = SEED) -> Iterator[Event]:
    """Generate the same events with time-ordered ids, UUIDv7, as `Event` makes them itself."""
    chance = random.Random(seed + 3)
    for event in made_events(number, seed):
        yield event._replace(id=uuid7(event.timestamp, chance))


def uuid7(seconds: float, chance: random.Random) -> str:
    """Draw a UUIDv7 of a time."""
    time, digits = f"{int(seconds * 1000):012x}", f"{chance.getrandbits(76):019x}"
    variant = "89ab"[int(digits[3], 16) & 3]
    return f"{time[:8]}-{time[8:]}-7{digits[:3]}-{variant}{digits[4:7]}-{digits[7:]}"


def uuid4(chance: random.Random) -> str:
    """Draw a UUIDv4, four times as fast as the module `uuid`."""
    digits = f"{chance.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def log_events(number: int) -> Iterator[Event]:
    """Give the lines of the log repeatedly, each time with new ids and later times."""
    chance = random.Random(SEED)
    lines = LOG.read_text(encoding="utf-8").splitlines()
    times = [_log_time(line) for line in lines]
    span = times[-1] - times[0] + 1
    for n in range(number):
        again, place = divmod(n, len(lines))
        line = lines[place]
        tags = line[20:].split(" ", 2)[:2]  # the action, and the state or the package
        yield Event(uuid4(chance), "dpkg.log", times[place] + again * span, tags, line)


def batches(events: Iterator[Event], size: int = BATCH) -> Iterator[list[Event]]:
    """Divide a stream into lists."""
    while batch := list(islice(events, size)):
        yield batch


def _rare_words(n: int) -> str:
    needle = " needle" if n % NEEDLE_EVERY == 0 else ""
    return needle + (f" {ACCENTED}" if n % ACCENT_EVERY == 0 else "")


def _running_sums(weights: Iterator[float]) -> list[float]:
    sums: list[float] = []
    for weight in weights:
        sums.append(weight + (sums[-1] if sums else 0.0))
    return sums


def _log_time(line: str) -> float:
    """Read the time at the start of a line, "2025-06-24 14:36:25", in seconds."""
    return datetime.fromisoformat(line[:19]).replace(tzinfo=UTC).timestamp()
