"""The table of formats: each entry by its example, and lines as the world writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lmdbstore.times.clock import Setting
from lmdbstore.times.dater import Dater
from lmdbstore.times.formats import FORMATS
from lmdbstore.times.learning import format_named

if TYPE_CHECKING:
    from lmdbstore.times.formats import Format

MOMENT = 1709632800.0  # 2024-03-05 10:00:00 UTC
MTIME = 1709683200.0  # the file's time, 2024-03-06


def time_of(line: str) -> tuple[float | None, str]:
    """Return the time of a line that is a whole file, and the format's name."""
    dater = Dater(Setting(MTIME))
    (found,), _ = dater.date([line])
    return found, dater.learnt[0].format.name if dater.learnt else ""


@pytest.mark.parametrize("entry", FORMATS, ids=[entry.name for entry in FORMATS])
def test_the_example_of_an_entry_has_its_time(entry: Format) -> None:
    learnt = format_named(entry.name)
    dater = Dater(Setting(MTIME), learnt)
    assert dater.date([entry.example])[0] == [MOMENT]


# These read what an entry before them reads, too, and are chosen by what the file has.
RIVALS = {"iso-hour"} | {entry.name for entry in FORMATS if entry.choice}


@pytest.mark.parametrize("entry", FORMATS, ids=[entry.name for entry in FORMATS])
def test_the_example_of_an_entry_is_read_by_that_entry(entry: Format) -> None:
    if entry.name not in RIVALS:
        assert time_of(entry.example) == (MOMENT, entry.name)


def test_names_are_unique() -> None:
    assert len({entry.name for entry in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("iso", ()),
        ("syslog", ("year",)),
        ("ctime", ()),
        ("redis-old", ("year", "zone")),
        ("time-of-day", ("year", "day")),
        ("hdfs", ("zone",)),
        ("epoch", ()),
        ("tai64n", ()),
        ("iso-week", ()),
    ],
)
def test_an_entry_says_what_it_lacks(name: str, missing: tuple[str, ...]) -> None:
    assert format_named(name).format.missing == missing


LINES = r"""
I0305 10:00:00.000000       1 server.go:10] started
03-05 10:00:00.000  1000  1001 I Tag: x
240305 10:00:00 [Note] ready
240305 100000 148 INFO dfs.DataNode: x
24/03/05 10:00:00 INFO Executor: x
[03.05 10:00:00] chrome.exe - x
20240305-10:0:0:000|Step|1|x
- 1709632800 2024.03.05 n1 2024-03-05-10.00.00.000000 n1 RAS x
460903 node-1 unix.hw state 1709632800 1 x
460903 node-1 unix.hw state 1709632800 -1 x
9:M 05 Mar 2024 10:00:00.000 * Ready
[9] 05 Mar 10:00:00.000 # x
127.0.0.1 - - [05/Mar/2024 10:00:00] "GET / HTTP/1.1" 200 -
127.0.0.1 - me [05/Mar/2024:11:00:00 +0100] "GET / HTTP/1.1" 200 -
127.0.0.1 - J. Smith [05/Mar/2024:10:00:00 +0000] "GET /?from=2001-01-01T00:00:00Z HTTP/1.1" 200 -
10.0.0.1:3317 [05/Mar/2024:10:00:00.000] web~ app/s1 0/0/1/2/3 200 9
[05-Mar-2024 10:00:00 UTC] PHP Warning:  x
[05-Mar-2024 11:00:00 Europe/Berlin] PHP Warning:  x
05-Mar-2024 10:00:00.000 INFO [main] org.a.B x
Mar 05, 2024 10:00:00 AM org.a.B c
*Mar  5 10:00:00.000: %LINK-3-UPDOWN: x
000123: *Mar  5 10:00:00.000 UTC: %LINK-3-UPDOWN: x
Mar 05 2024 10:00:00: %ASA-6-302013: x
1709632800.000    180 10.0.0.1 TCP_MISS/200 x
type=SYSCALL msg=audit(1709632800.000:9): arch=c000003e
2 123456789010 eni-1 10.0.0.1 10.0.0.2 20641 22 6 20 4249 1709632800 1709632860 ACCEPT OK
[pid: 9|app: 0] 10.0.0.1 () {38 vars} [Tue Mar  5 10:00:00 2024] GET /
MainThread::INFO::2024-03-05 10:00:00,000::x
Tue 2024-03-05 10:00:00 UTC h systemd[1]: x
Tue Mar  5 10:00:00 UTC 2024 backup started
Tue Mar  5 11:00:00 CET 2024 backup started
Tue, 05 Mar 2024 10:00:00 +0000 x
Tue, 5 Mar 2024 11:00:00 +0100 x
Information,3/5/2024 10:00:00 AM,Service,7036,None,x
10,03/05/24,10:00:00,Assign,10.0.0.9
03/05/2024 10:00:00 x
05.03.2024 10:00:00 x
20240305T100000Z x
20240305T110000+0100 x
20240305100000.000 INFO x
20240305.100000,000 x
20240305 10:00:00.000 x
2024-03-05_10:00:00.00000 x
2024/03/05T10:00:00Z x
2024-03-05 10:00:00:000 x
2024-03-05T10:00:00: x
2024-W10-2T10:00:00Z x
2024W102T100000Z x
2024-065T10:00:00Z x
2024065T100000Z x
@4000000065e6ed4500000000 x
10:00:00.000 [main] INFO x
10:00:00 x
mars 05 10:00:00 h x
mars  5 10:00:00 h x
Mär  5 10:00:00 h x
marzo 5 10:00:00 h x
марта  5 10:00:00 h x
3月  5 10:00:00 h x
2024-03-05 07:00:00.000 -03 [9] LOG:  x
2024-03-05 19:00:00 +09 x
2024-03-05 05:00:00.000 EST x
2024-03-05 11:00:00 CET x
2024-03-05 11:00:00 UTC+1 x
2024-03-05 11:00:00 GMT+0100 x
2024-03-05T11:00:00+01:00 x
2024-03-05T11:00:00+0100 x
2024-03-05T11:00:00+01 x
2024-03-05 15:45:00 +05:45 x
2024-03-05 02:00:00 America/Los_Angeles x
Start-Date: 2024-03-05  10:00:00
2024-03-05	10:00:00	SEA19	411
<34>Mar  5 10:00:00 h su: x
<34>1 2024-03-05T10:00:00.000Z h su - ID47 - x
2024-03-05 10:00:00,000 INFO x
[2024-03-05 10:00:00] x
INFO 2024-03-05 10:00:00 x
Füße: 2024-03-05 10:00:00 x
2024/03/05 10:00:00 [error] 7#7: x
[Tue Mar 05 10:00:00.000000 2024] [core:error] [pid 9] x
1709632800 x
1709632800000 x
1709632800000000 x
1709632800000000000 x
[1709632800.000] x
level=info ts=2024-03-05T10:00:00Z msg="x"
time="2024-03-05T11:00:00+01:00" level=info msg="x"
Mar  5 10:00:00 2024 h x
5/3/2024 10:00:00 AM x
2024-03-04T24:00:00-10:00 x
# Time: 240305 10:00:00
""".strip("\n").split("\n")


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_world_has_its_time(line: str) -> None:
    assert time_of(line)[0] == MOMENT


def test_an_afternoon_hour_is_twelve_later() -> None:
    for line in ("03/05/2024 10:00:00 PM x", "Mar 05, 2024 10:00:00 PM a.B c"):
        assert time_of(line)[0] == MOMENT + 12 * 3600
    assert time_of("03/05/2024 12:00:00 AM x")[0] == MOMENT - 10 * 3600
    assert time_of("03/05/2024 12:00:00 PM x")[0] == MOMENT + 2 * 3600


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no time",
        "2024-03-05 a date alone",
        "12345678 short",
        "12345678901 eleven digits",
        "1709632800x",
        "1709632800.1.2",
        "0171234567 a telephone",
        "took 1709632800 ns",
        "the backup of 2020-01-01 00:00:00 is old",
        "restored to 2020-01-01 00:00:00",
        "x" * 130 + " 2020-01-01 00:00:00",
        "/backup/2023-01-01 03:04:05",
        "Nov 31 07:05:09 host",
        "Foo  5 07:05:09 host",
        "10.0.0.1 - - [10/Foo/2000:13:55:36 -0700]",
        "٢٠٢٣-01-02 03:04:05",
        "[   12.345678] usb 1-1: new device",
    ],
)
def test_a_line_without_a_time_has_none(line: str) -> None:
    assert time_of(line)[0] is None


@pytest.mark.parametrize(
    ("text", "fraction"), [(".5", 0.5), (",25", 0.25), (".123456789", 0.123456789), (":125", 0.125)]
)
def test_a_fraction_is_rounded_once(text: str, fraction: float) -> None:
    assert time_of(f"2024-03-05 10:00:00{text} x")[0] == MOMENT + fraction


def test_milliseconds_may_have_one_digit() -> None:
    assert time_of("20240305-10:0:0:7|Step|1|x")[0] == MOMENT + 0.007


def test_a_fraction_before_1970_counts_forward() -> None:
    assert time_of("1969-12-31T23:59:59.25Z")[0] == -0.75


def test_a_leap_second_is_the_second_after() -> None:
    assert time_of("2016-12-31T23:59:60Z x")[0] == 1483228800.0
