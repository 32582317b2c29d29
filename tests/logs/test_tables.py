"""Tables with a header, and the W3C's extended log format."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from lmdbstore.logs.common import Options
from lmdbstore.times.zones import Zones
from tests.tools.imports import MOMENT, events_of
from tests.tools.zone import local_zone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


@pytest.mark.parametrize("mark", [",", "\t", ";", "|"])
def test_the_columns_of_a_table_are_known_by_their_header(log: Path, mark: str) -> None:
    header = mark.join(["id", "level", "timestamp", "text"])
    row = mark.join(["7", "error", "2024-03-05T10:00:00Z", "x"])
    events, report = events_of(log, f"{header}\n{row}\n")
    assert [(event.timestamp, event.content) for event in events] == [
        (MOMENT, header),
        (MOMENT, row),
    ]
    assert events[1].tags == ["level:error"]
    assert report.details() == [f"{log}: table: 1 with their own time, 1 inherited"]


def test_a_quotation_may_go_on_over_lines(log: Path) -> None:
    text = 'time,text\n1709632800,"one\n2001-01-01T00:00:00Z,two"\n1709632801,three\n'
    events, _ = events_of(log, text)
    assert [(event.timestamp - MOMENT, event.content) for event in events] == [
        (0, "time,text"),
        (0, '1709632800,"one\n2001-01-01T00:00:00Z,two"'),
        (1, "1709632801,three"),
    ]


@pytest.mark.parametrize("lines", [2, 60])
def test_the_first_row_may_have_a_line_break(log: Path, lines: int) -> None:
    row = '"a' + "\n\nand 1709632700" * lines + '",2024-03-05T10:00:00Z,"b ""c"""'
    events, report = events_of(log, f"text,time,more\n{row}\nd,2024-03-05T10:00:01Z,e\n")
    assert [(event.timestamp - MOMENT, event.content) for event in events] == [
        (0, "text,time,more"),
        (0, row),
        (1, "d,2024-03-05T10:00:01Z,e"),
    ]
    assert report.details() == [f"{log}: table: 2 with their own time, 1 inherited"]


def test_an_open_quotation_in_the_first_row_hides_no_table(log: Path) -> None:
    events, report = events_of(log, 'time,text\n1709632800,3" of rain\n1709632801,none\n')
    assert report.details()[0].startswith(f"{log}: table: ")
    assert events[1].timestamp == MOMENT


def test_date_and_time_may_be_two_columns(log: Path) -> None:
    events, _ = events_of(log, "Date,Time,Event\n2024-03-05,10:00:00Z,x\n")
    assert events[1].timestamp == MOMENT


def test_the_column_can_be_named(log: Path) -> None:
    text = "time,seen,text\n2001-01-01T00:00:00Z,2024-03-05T10:00:00Z,x\n"
    events, _ = events_of(log, text, options=Options(time_field="seen"))
    assert events[1].timestamp == MOMENT


W3C = """#Software: Microsoft Internet Information Services
#Version: 1.0
#Date: 2024-03-05 09:00:00
#Fields: {fields}
{row}
"""


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ("date time s-ip cs-method", "2024-03-05 10:00:00 10.0.0.1 GET"),
        ("s-ip date time cs(User-Agent)", '10.0.0.1 2024-03-05 10:00:00 "a b"'),
        ("time cs-method date", "10:00:00 GET 2024-03-05"),
        ("time cs-method", "10:00:00 GET"),
        ("date\ttime\tx-edge-location", "2024-03-05\t10:00:00\tSEA19"),
    ],
)
def test_the_w3c_format_is_in_utc_wherever_its_columns_are(
    log: Path, fields: str, row: str
) -> None:
    with local_zone("XXX-02:00"):
        events, report = events_of(log, W3C.format(fields=fields, row=row))
    assert [event.timestamp for event in events] == [MOMENT] * 5
    assert events[4].content == row
    assert report.details() == [f"{log}: W3C: 1 with their own time, 4 inherited"]


def test_a_row_without_a_date_has_that_of_the_date_line(log: Path) -> None:
    text = W3C.format(fields="time x", row="10:00:00 y").replace("2024-03-05", "2023-12-31")
    assert events_of(log, text)[0][-1].timestamp == 1704016800.0


def test_a_given_zone_counts_for_the_w3c_format(log: Path) -> None:
    options = Options(zones=Zones(ZoneInfo("Europe/Berlin")))
    text = W3C.format(fields="date time x", row="2024-03-05 11:00:00 y")
    assert events_of(log, text, options=options)[0][4].timestamp == MOMENT


def test_fields_may_change_within_a_file(log: Path) -> None:
    text = W3C.format(fields="date time x", row="2024-03-05 10:00:00 y")
    text += W3C.format(fields="x time date", row="y 10:00:01 2024-03-05")
    assert events_of(log, text)[0][-1].timestamp == MOMENT + 1


def test_text_with_commas_is_no_table(log: Path) -> None:
    text = "started, time, all well\n2024-03-05 10:00:00 a, b, c\n"
    assert "iso" in events_of(log, text)[1].details()[0]
