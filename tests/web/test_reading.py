"""Lists of events, and one event with its neighbours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from lmdbstore import Event
from tests.web.conftest import EVENTS

if TYPE_CHECKING:
    from lmdbstore import EventStore
    from tests.tools.asking import Asking

ASKED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"since": 1010, "until": "1020.5"}, {"ts_start": 1010, "ts_end": 1020.5}),
    ({"since": "1970-01-01T00:17:00Z"}, {"ts_start": 1020.0}),
    ({"until": "1970-01-01T02:17:00+02:00"}, {"ts_end": 1020.0}),
    ({"match": "red [3-5]$"}, {"match": "red [3-5]$"}),
    ({"match": ""}, {"match": ""}),
    ({"flag": ["even", "fifth"]}, {"flags": ["even", "fifth"]}),
    ({"any_flag": ["even", "fifth"]}, {"any_flags": ["even", "fifth"]}),
    ({"not_flag": ["even", "fifth"]}, {"not_flags": ["even", "fifth"]}),
    ({"source": "s1"}, {"source": "s1"}),
    ({"source": ""}, {"source": ""}),
    ({"where": '{"status":50}'}, {"where": {"status": 50}}),
    ({"where": '{"status":[">=",50]}'}, {"where": {"status": (">=", 50)}}),
    (
        {"where": '{"status":[[">=",50],["<",70]]}'},
        {"where": {"status": [(">=", 50), ("<", 70)]}},
    ),
    (
        {"source": "s1", "flag": "even", "match": "red", "since": 1001},
        {"source": "s1", "flags": ["even"], "match": "red", "ts_start": 1001},
    ),
]


def listed(answer: Any) -> list[str]:
    return [event["id"] for event in answer["events"]]


@pytest.mark.parametrize(("asked", "sought"), ASKED)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_list_is_what_the_store_finds(
    asking: Asking, store: EventStore, asked: dict[str, Any], sought: dict[str, Any], order: Any
) -> None:
    found = [event.id for event in store.search(**sought, order=order)]
    assert listed(asking.get("search", **asked, order=order)) == found
    pages: list[str] = []
    token: dict[str, str] = {}
    for _ in range(len(found) + 1):
        answer = asking.get("search", **asked, order=order, limit=7, **token)
        pages += listed(answer)
        token = {"after": answer["token"]}
        if not answer["more"]:
            break
        assert len(answer["events"]) == 7
    assert (pages, answer["complete"], answer["more"]) == (found, True, False)


def test_an_event_is_an_object_of_its_fields(asking: Asking) -> None:
    (event,) = asking.get("search", limit=1, order="asc")["events"]
    assert event == EVENTS[0]._asdict()
    assert list(event) == list(Event._fields)


def test_a_position_keeps_what_comes_later_out(asking: Asking, store: EventStore) -> None:
    position = asking.get("search")["position"]
    assert position == store.position()
    store.save(Event("new", timestamp=9e9))
    store.delete("e3")
    assert listed(asking.get("search", limit=1)) == ["new"]
    pinned = listed(asking.get("search", at=position))
    assert (len(pinned), pinned[0]) == (99, "e99")
    assert asking.get("search", at=position)["position"] != position


def test_matches_are_marked_in_units_of_utf_16(store: EventStore, asking: Asking) -> None:
    content = "é \U0001f600 red \U0001f600\U0001f600 red"
    store.save(Event("new", timestamp=9e9, content=content))
    (event,) = asking.get("search", match="red", limit=1)["events"]
    units = content.encode("utf-16-le")
    assert event["marks"] == [[5, 8], [14, 17]]
    for start, end in event["marks"]:
        assert units[2 * start : 2 * end].decode("utf-16-le") == "red"
    assert "marks" not in asking.get("search", limit=1)["events"][0]
    store.save(Event("many", timestamp=9e9, content="red" * 1000))
    (event,) = asking.get("search", match="red", limit=1)["events"]
    assert event["marks"] == [[3 * n, 3 * n + 3] for n in range(100)]
    assert asking.get("search", match="x*", limit=1)["events"][0]["marks"] == []


def test_long_contents_are_cut_in_lists(store: EventStore, asking: Asking) -> None:
    long = "\U0001f600" * 20_000
    store.save_many(Event(f"long{n}", "long", 9e9 + n, [], long + "red" * n) for n in (0, 1))
    second, first = asking.get("search", source="long")["events"]
    assert (first["content"], "length" in first) == (long, False)
    assert (second["content"], second["length"]) == (long, 20_003)
    answer = asking.get("event/long1", match="red")
    assert answer["event"]["content"] == f"{long}red"
    assert "length" not in answer["event"]
    assert answer["before"] == [first | {"marks": []}]


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("search", {"since": "yesterday"}, "since", "ISO 8601 with a zone"),
    ("search", {"since": ""}, "since", "seconds"),
    ("search", {"since": "nan"}, "since", "seconds"),
    ("search", {"since": "1e999"}, "since", "seconds"),
    ("search", {"since": "1_0"}, "since", "seconds"),
    ("search", {"until": "2024-01-01T00:00:00"}, "until", "zone"),
    ("search", {"until": "2024-01-01T00:00:00 02:00"}, "until", "%2B"),
    ("search", {"limit": "0"}, "limit", "from 1 to 1,000"),
    ("search", {"limit": "1001"}, "limit", "from 1 to 1,000"),
    ("search", {"limit": "-1"}, "limit", "whole number"),
    ("search", {"limit": "1.5"}, "limit", "whole number"),
    ("search", {"limit": "٣"}, "limit", "whole number"),
    ("search", {"limit": ""}, "limit", "whole number"),
    ("search", {"order": "up"}, "order", "'desc' or 'asc'"),
    ("search", {"order": ""}, "order", "'desc' or 'asc'"),
    ("search", {"after": "x"}, "after", "token"),
    ("search", {"at": "x"}, "at", "position"),
    ("search", {"where": "x"}, "where", "object of JSON"),
    ("search", {"where": "[1]"}, "where", "object of JSON"),
    ("search", {"where": '{"a":["~",1]}'}, "where", ""),
    ("search", {"where": '{"a":[]}'}, "where", ""),
    ("search", {"where": '{"a":{}}'}, "where", ""),
    ("search", {"match": "a("}, "match", ""),
    ("search", {"match": "(?=a)"}, "match", "subset"),
    ("search", {"match": "a" * 5000}, "match", "4096"),
    ("search", {"source": ["a", "b"]}, "source", "twice"),
    ("search", {"match": ["a", "a"]}, "match", "twice"),
    ("search", {"zone": "UTC"}, "zone", "since, until, at"),
    ("search", {"": "x"}, "parameter", "no such one"),
    ("search", {"token": "x"}, "token", "no such one"),
    ("stats", {"match": "x"}, "match", "no such one"),
    ("event/e1", {"before": "101"}, "before", "from 0 to 100"),
    ("event/e1", {"since": "1"}, "since", "before, after, match, at"),
    ("event/e1", {"at": "x"}, "at", "position"),
    ("event/e1", {"id": "e1"}, "id", "before, after, match, at"),
    ("event", {"before": "1"}, "id", "give it"),
    ("event/e1", {"match": "a("}, "match", ""),
    ("histogram", {"zone": "Nowhere"}, "zone", "Europe/Berlin"),
    ("histogram", {"zone": "../../etc/passwd"}, "zone", "Europe/Berlin"),
    ("histogram", {"zone": "\0"}, "zone", "Europe/Berlin"),
    ("histogram", {"buckets": "2"}, "buckets", "from 3 to 500"),
    ("histogram", {"order": "asc"}, "order", "no such one"),
    ("histogram", {"match": "a(", "buckets": 5}, "match", ""),
    ("facets", {"at": "1:00"}, "at", "position"),
    ("facets", {"limit": "x"}, "limit", "whole number"),
    ("export", {"format": "xml"}, "format", "'jsonl' or 'csv'"),
    ("export", {"match": "a("}, "match", ""),
    ("export", {"limit": "5"}, "limit", "no such one"),
    ("follow", {"since": "1"}, "since", "no such one"),
    ("follow", {"after": "x"}, "after", "position"),
    ("follow", {"where": "{1}"}, "where", "object of JSON"),
    ("follow", {"match": "a("}, "match", ""),
]


@pytest.mark.parametrize(("call", "asked", "field", "remedy"), WRONG)
def test_what_is_wrong_is_refused_by_name(
    asking: Asking, call: str, asked: dict[str, Any], field: str, remedy: str
) -> None:
    answer = asking.fails(call, **asked)
    assert (answer.status, answer.error["code"]) == (400, "invalid_query")
    assert answer.error["field"] == field
    assert answer.error["message"].startswith(f"{field}: ")
    assert remedy in answer.error["message"]
    assert asking.said == []


@pytest.mark.parametrize(("query", "field"), [("match=%ff", "parameters"), ("a&b" * 150, None)])
def test_what_is_no_query_is_refused(asking: Asking, query: str, field: str | None) -> None:
    answer = asking.ask(f"/api/search?{query}")
    assert answer.status == 400
    assert field in (None, answer.error["field"])


def test_the_place_in_a_pattern_is_told(asking: Asking) -> None:
    for match, position in {"a(?=b)": 1, "\U0001f600 at position 7 (?<!a)": 17}.items():
        for call in ("search", "histogram", "facets", "export", "follow", "event/e1"):
            error = asking.fails(call, match=match).error
            assert (error["field"], error["position"]) == ("match", position)
    assert asking.fails("search", order="x").error["position"] is None


def test_an_event_comes_with_its_neighbours(asking: Asking) -> None:
    answer = asking.get("event/e50", before=2, after=1)
    assert [event["id"] for event in answer["before"]] == ["e44", "e47"]
    assert answer["event"] == EVENTS[50]._asdict()
    assert [event["id"] for event in answer["after"]] == ["e53"]
    assert asking.get("event/e0")["before"] == []
    assert len(asking.get("event/e50")["after"]) == 5
    error = asking.fails("event/nothing").error
    assert (error["code"], error["field"]) == ("not_found", None)
    assert asking.ask("/api/event/%ff").error["field"] == "id"
    assert asking.ask("/api/event/").status == 404


def test_the_neighbours_of_an_event_are_those_at_a_position(
    asking: Asking, store: EventStore
) -> None:
    position = store.position()
    for n, time in enumerate((1024.0, 1025.5)):  # both sides of e50
        store.save(Event(f"new{n}", "s2", time))
    asked = {"before": 3, "after": 3}
    pinned = asking.get("event/e50", **asked, at=position)
    assert [event["id"] for event in pinned["before"]] == ["e41", "e44", "e47"]
    assert [event["id"] for event in pinned["after"]] == ["e53", "e56", "e59"]
    now = asking.get("event/e50", **asked)
    assert [event["id"] for event in now["before"]] == ["e44", "e47", "new0"]
    assert [event["id"] for event in now["after"]] == ["new1", "e53", "e56"]
    assert asking.get("event/new0", **asked, at=position)["event"]["id"] == "new0"


HOSTILE = [
    "</script><script>alert(1)</script>",
    "nul \0 nul",
    "'\"`",
    "\U0001f600\U0010ffff",
    "line\nline\r\n\u2028",
    "../../etc/passwd",
    "..",
    "/",
    "a/b?c=d#e&f",
    "%2e%2e%2f%00",
    "\x1b[31m\x7f",
    " ",
    "data: x\n\nevent: error\n\n",
    "\u202e\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_come_as_they_are(asking: Asking, store: EventStore, text: str) -> None:
    event = Event(text, text, 9e9, [text], text)
    store.save(event)
    assert asking.get(f"event/{quote(text, safe='')}")["event"] == event._asdict()
    assert asking.get("event", id=text)["event"] == event._asdict()
    conditions = {"flag": text, "source": text, "where": json.dumps({text: 1})}
    assert asking.get("search", **conditions)["events"] == []
    del conditions["where"]
    assert asking.get("search", **conditions)["events"] == [event._asdict()]
    facets = asking.get("facets", **conditions)
    assert facets["flags"] == facets["sources"] == [{"value": text, "count": 1}]
    assert asking.fails("search", **{text: text}).error["field"] == text
    assert asking.fails("search", order=text).status == 400
    assert asking.ask(f"/api/{quote(text)}").status == 404
    assert asking.ask(f"/page/{quote(text)}").status == 404
    assert asking.ask(f"/{quote(text)}").status == 404
    assert asking.said == []


def test_the_figures_of_a_store(asking: Asking, store: EventStore) -> None:
    answer = asking.get("stats")
    assert (answer["events"], answer["flags"], answer["sources"]) == (100, 3, 3)
    assert (answer["first"], answer["last"]) == (1000.0, 1049.0)
    assert (answer["position"], answer["readonly"]) == (store.position(), True)
