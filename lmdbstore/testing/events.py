"""The contract of events: every valid text and time is stored exactly, all else is refused."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import EventWriteException, InvalidEvent

from .helpers import LONE, assert_empty, ids, like

if TYPE_CHECKING:
    from lmdbstore.contract.api import EventStore

LONG = "x" * 600

TEXTS = {  # as an id, a source, a flag and a content
    "comma": "a,b",
    "comma-alone": ",",
    "newline": "a\nb",
    "newline-at-the-end": "a\n",
    "return": "a\r\nb",
    "nul": "a\0b",
    "nul-alone": "\0",
    "nul-at-the-end": "a\0",
    "space": " ",
    "quote": 'a"b\\u0041\\',
    "json": '["a",1]',
    "accent": "é",
    "accent-in-two": "e\u0301",
    "astral": "𝄞",
    "last": "\U0010ffff",
    "not-a-character": "\ufffe\uffff",
    "separators": "\u2028\u2029\x85\x1c",
    "byte-order-mark": "\ufeffa",
    "prefix": "a",
    "prefix-and-one": "ab",
    "prefix-and-two": "abc",
    "509": "x" * 509,
    "510": "x" * 510,
    "511": "x" * 511,
    "512": "x" * 512,
    "long": LONG,
    "long-1": LONG + "1",
    "long-2": LONG + "2",
    "long-accents": "é" * 300,
    "long-accents-cut": "x" + "é" * 300,
    "100-kB": "k" * 100_000,
    "100-kB-and-one": "k" * 100_000 + "1",
}

TIMES = {
    "zero": 0.0,
    "minus-zero": -0.0,
    "one": 1.0,
    "next-to-one": math.nextafter(1.0, 2.0),
    "before-one": math.nextafter(1.0, 0.0),
    "minus-one": -1.0,
    "next-to-minus-one": math.nextafter(-1.0, 0.0),
    "tiny": 5e-324,
    "minus-tiny": -5e-324,
    "huge": 1e300,
    "minus-huge": -1e300,
    "largest": 1.7976931348623157e308,
    "smallest": -1.7976931348623157e308,
    "now": 1509989630.6749051,
    "integer": 1509989630,
    "above-2-to-53": 9007199254740994.0,
}

# A field, an invalid value of it, and the part of the value that the message shows.
INVALID = {
    "id-empty": ("id", "", "''"),
    "id-number": ("id", 7, "7"),
    "id-bytes": ("id", b"a", "b'a'"),
    "id-none": ("id", None, "None"),
    "id-surrogate": ("id", LONE, r"a\ud800z"),
    "source-none": ("source", None, "None"),
    "source-bytes": ("source", b"s", "b's'"),
    "source-surrogate": ("source", LONE, r"a\ud800z"),
    "timestamp-nan": ("timestamp", math.nan, "nan"),
    "timestamp-infinite": ("timestamp", math.inf, "inf"),
    "timestamp-minus-infinite": ("timestamp", -math.inf, "-inf"),
    "timestamp-nan-text": ("timestamp", "nan", "nan"),
    "timestamp-huge-integer": ("timestamp", 10**400, "10000000"),
    "timestamp-none": ("timestamp", None, "None"),
    "timestamp-text": ("timestamp", "soon", "'soon'"),
    "timestamp-complex": ("timestamp", 1j, "1j"),
    "tags-string": ("tags", "door", "'door'"),
    "tags-bytes": ("tags", b"door", "b'door'"),
    "tags-number": ("tags", 7, "7"),
    "tags-with-a-number": ("tags", ["door", 7], "7"),
    "tags-with-none": ("tags", ["door", None], "None"),
    "tags-with-bytes": ("tags", [b"door"], "b'door'"),
    "tags-with-a-surrogate": ("tags", ["door", LONE], r"a\ud800z"),
    "content-bytes": ("content", b"text", "b'text'"),
    "content-number": ("content", 7, "7"),
    "content-surrogate": ("content", LONE, r"a\ud800z"),
}


class EventContract:
    """The fields of an event."""

    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
    def test_any_text_in_any_field(self, store: EventStore, text: str) -> None:
        """As id, source, flag and content it is returned exactly, can be found, and is deleted."""
        event = Event(text, text, 1.0, [text], text)
        store.save(event)
        assert store.get(text) == event
        assert text in store
        assert list(store.search(flags=[text], source=text)) == [event]
        assert store.flags() == {text: 1}
        store.delete(text)
        assert_empty(store)
        assert text not in store

    def test_similar_ids_are_different_ids(self, store: EventStore) -> None:
        """Such as prefixes, ids with the same first 600 bytes, and ids equal when normalised."""
        store.save_many([Event(text, content=name) for name, text in TEXTS.items()])
        assert {name: store.get(text).content for name, text in TEXTS.items()} == {
            name: name for name in TEXTS
        }
        for text in TEXTS.values():
            store.delete(text)
        assert_empty(store)

    def test_similar_flags_are_different_flags(self, store: EventStore) -> None:
        store.save_many([Event(name, tags=[text, "all"]) for name, text in TEXTS.items()])
        for name, text in TEXTS.items():
            assert ids(store.search(flags=[text])) == [name]
            assert store.count(flags=["all", text]) == 1
        assert store.flags() == {**dict.fromkeys(TEXTS.values(), 1), "all": len(TEXTS)}

    def test_one_event_with_every_flag(self, store: EventStore) -> None:
        event = Event("a", tags=TEXTS.values())
        store.save(event)
        assert store.get("a").tags == list(TEXTS.values())
        assert list(store.search(flags=TEXTS.values())) == [event]

    def test_the_empty_flag_is_a_flag(self, store: EventStore) -> None:
        """Theia's parser gives the tags [''] to events without tags."""
        store.save_many(
            [Event("parsed", tags=[""]), Event("none"), Event("both", tags=["door", ""])]
        )
        assert ids(store.search(flags=[""])) == ["parsed", "both"]
        assert ids(store.search(flags=["door", ""])) == ["both"]
        assert store.get("parsed").tags == [""]
        assert store.get("none").tags == []
        assert store.flags() == {"": 2, "door": 1}
        store.delete("both")
        assert store.flags() == {"": 1}

    def test_a_content_of_5_megabytes(self, store: EventStore) -> None:
        event = Event("a", content="0123456789é\n" * 400_000)
        store.save(event)
        assert store.get("a").content == event.content
        assert store.count(match="9é\n0") == 1

    def test_a_repeated_tag_is_kept_once_in_its_first_place(self, store: EventStore) -> None:
        store.save(Event("a", tags=["y", "x", "y", "z", "x"]))
        assert store.get("a").tags == ["y", "x", "z"]
        assert store.flags() == {"x": 1, "y": 1, "z": 1}
        store.delete("a")
        assert_empty(store)

    def test_tags_may_be_any_collection_of_strings(self, store: EventStore) -> None:
        for number, tags in enumerate([("y", "x"), {"y": 1, "x": 2}, iter(["y", "x"])]):
            store.save(like(id=str(number), tags=tags))
            assert store.get(str(number)).tags == ["y", "x"]

    def test_missing_tags_and_content_are_empty(self, store: EventStore) -> None:
        store.save(like(tags=None, content=None))
        assert store.get("a") == Event("a", "s", 1.0, [], "")

    @pytest.mark.parametrize("time", TIMES.values(), ids=TIMES.keys())
    def test_a_timestamp_is_exact(self, store: EventStore, time: float) -> None:
        """It is returned as the same float, and only bounds that include it find the event."""
        store.save(Event("a", timestamp=time))
        assert store.get("a").timestamp == time
        assert type(store.get("a").timestamp) is float
        assert store.count(time, time) == 1
        assert store.count(ts_start=math.nextafter(time, math.inf)) == 0
        assert store.count(ts_end=math.nextafter(time, -math.inf)) == 0

    def test_timestamps_sort_as_numbers(self, store: EventStore) -> None:
        """0.0 and -0.0 are equal, so they keep the order of saving."""
        store.save_many([Event(name, timestamp=time) for name, time in TIMES.items()])
        by_time = sorted(TIMES, key=lambda name: TIMES[name])
        assert ids(store.search()) == by_time
        assert ids(store.search(order="desc")) == by_time[::-1]

    @pytest.mark.parametrize(("given", "kept"), [("1.5", 1.5), (" -2 ", -2.0), ("1e3", 1000.0)])
    def test_a_numeric_string_is_a_timestamp(
        self, store: EventStore, given: str, kept: float
    ) -> None:
        store.save(like(timestamp=given))
        assert store.get("a").timestamp == kept
        assert store.count(kept, kept) == 1

    def test_a_uuid_is_an_id(self, store: EventStore) -> None:
        """It is stored as its text; the UUID and the text both find the event."""
        number = uuid.UUID("331c531d-6eb4-4fb5-84d3-ea6937b01fdd")
        store.save(like(id=number))
        assert store.get(str(number)).id == str(number)
        assert store.get(number).id == str(number)
        assert number in store
        store.delete(number)
        assert_empty(store)

    @pytest.mark.parametrize(("field", "value", "quoted"), INVALID.values(), ids=INVALID.keys())
    def test_an_invalid_event_is_refused(
        self, store: EventStore, field: str, value: Any, quoted: str
    ) -> None:
        """The message names the field and shows the value; nothing is written."""
        for save in (store.save, lambda event: store.save_many([event])):
            with pytest.raises(InvalidEvent) as info:
                save(like(**{field: value}))
            assert isinstance(info.value, EventWriteException)
            assert isinstance(info.value, ValueError)
            assert field in str(info.value)
            assert quoted in str(info.value)
            str(info.value).encode("utf-8")  # so that it can be printed
        assert_empty(store)

    @pytest.mark.parametrize("field", ["id", "source", "timestamp", "tags", "content"])
    def test_an_object_without_a_field_is_refused(self, store: EventStore, field: str) -> None:
        event = like()
        delattr(event, field)
        with pytest.raises(InvalidEvent, match=field):
            store.save(event)
        assert_empty(store)

    @pytest.mark.parametrize("thing", [None, "a", 7, {"id": "a"}])
    def test_what_is_no_event_is_refused(self, store: EventStore, thing: Any) -> None:
        with pytest.raises(InvalidEvent):
            store.save(thing)
        with pytest.raises(InvalidEvent):
            store.save_many([thing])
        assert_empty(store)
