"""The zone of a local time: offsets, names, abbreviations, and clocks set back in autumn.

Rules: an offset or a name in the text counts before the zone that was given, which counts before
the zone of this machine. A local time that comes twice, in autumn, is the first of the two unless
the time before it in the file shows that the clock was set back already.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .names import ABBREVIATIONS

__all__ = ["LocalZone", "UnknownZone", "Zones", "zone_named"]

DISORDER = 300.0  # seconds by which lines may be out of order where local times come twice
_is_offset = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d\d)?", re.ASCII).fullmatch


class UnknownZone(ValueError):
    """There is no zone of this name."""


def zone_named(name: str) -> tzinfo:
    """Return the zone of a name such as Europe/Berlin, UTC, CET or +02:00.

    Raises:
        UnknownZone: there is none.
    """
    try:
        return _fixed(name) or ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnknownZone(name) from None


def _fixed(text: str) -> timezone | None:
    if text in {"Z", "UTC", "GMT"}:
        return UTC
    if found := _is_offset(text):
        sign, hours, minutes = found.groups("0")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if sign == "-" else offset)
    if (ahead := ABBREVIATIONS.get(text)) is not None:
        return timezone(timedelta(minutes=ahead))
    return None


class LocalZone(tzinfo):
    """The zone of this machine, with all of its changes; `astimezone` knows one offset only."""

    def utcoffset(self, local: datetime | None) -> timedelta | None:
        """Return by how much the local clock is ahead of UTC."""
        if local is None:
            return None
        naive = local.replace(tzinfo=None)
        return naive - datetime(1970, 1, 1) - timedelta(seconds=naive.timestamp())  # noqa: DTZ001

    def dst(self, _: datetime | None) -> None:
        """It is not known which part of the offset is for summer."""

    def tzname(self, local: datetime | None) -> str | None:
        """Return the abbreviation of the zone at a time."""
        return None if local is None else local.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        """Return a time in UTC, that has this zone, as local time."""
        since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        local = datetime.fromtimestamp(since.total_seconds())  # noqa: DTZ006
        return local.replace(tzinfo=self)

    def __repr__(self) -> str:
        """The class alone: there is one such zone."""
        return "LocalZone()"


class Zones:
    """Makes local times into seconds since 1970, for one file."""

    def __init__(self, given: tzinfo | None = None) -> None:
        """A time without a zone is in the zone `given`, or else in that of this machine."""
        self.given = given

    def second(self, local: datetime, zone: str | None, before: float | None) -> tuple[int, bool]:
        """Return the second since 1970 of a local time, and whether it is the only such second.

        `zone` is the text of the zone in the line. `before` is the time before this one in the
        file, in seconds since 1970.

        Raises:
            ValueError, OverflowError, OSError: there is no such time.
        """
        if zone:
            return round(local.replace(tzinfo=self._zone(zone.strip(), local)).timestamp()), True
        aware = local if self.given is None else local.replace(tzinfo=self.given)
        first, second = aware.timestamp(), aware.replace(fold=1).timestamp()
        if second <= first:  # usually equal; less in spring, where this local time is skipped
            return round(first), True
        late = before is not None and first < before - DISORDER
        return round(second if late else first), False

    def _zone(self, text: str, local: datetime) -> tzinfo:
        """Return the zone of a text; the given zone knows its own abbreviations best."""
        if self.given is not None and text.isalpha() and text not in {"UTC", "GMT", "Z"}:
            for fold in (0, 1):
                for months in (0, 182):  # in winter, or in summer
                    moment = local.replace(tzinfo=self.given, fold=fold) + timedelta(days=months)
                    offset = moment.utcoffset()
                    if moment.tzname() == text and offset is not None:
                        return timezone(offset)
        return zone_named(text)
