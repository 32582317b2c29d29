"""The contract of checkpoints: texts that are saved under a name, together with events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lmdbstore.contract.event import Event
from lmdbstore.errors import DuplicateEvent, InvalidEvent, InvalidQuery, StoreClosed

from .helpers import LONE, assert_empty, ids, in_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.contract.api import EventStore


class CheckpointContract:
    """Saving checkpoints, and reading them."""

    def test_a_new_store_has_no_checkpoint(self, store: EventStore) -> None:
        assert store.checkpoint("log") is None

    def test_a_checkpoint_is_saved_with_its_events(self, store: EventStore) -> None:
        assert store.save_many([Event("1"), Event("2")], checkpoint=("log", "line 2")) == 2
        assert store.checkpoint("log") == "line 2"
        assert type(store.checkpoint("log")) is str
        assert ids(store.search()) == ["1", "2"]

    def test_an_empty_batch_saves_its_checkpoint(self, store: EventStore) -> None:
        assert store.save_many([], checkpoint=("log", "at the end")) == 0
        assert store.checkpoint("log") == "at the end"
        assert_empty(store)

    def test_the_last_text_of_a_name_counts(self, store: EventStore) -> None:
        for n in range(3):
            store.save_many([Event(str(n))], checkpoint=("log", f"line {n}"))
            store.save_many([], checkpoint=("other", f"byte {n}"))
            assert store.checkpoint("log") == f"line {n}"
            assert store.checkpoint("other") == f"byte {n}"

    def test_other_writes_keep_the_checkpoints(self, store: EventStore) -> None:
        store.save_many([Event("1")], checkpoint=("log", "line 1"))
        store.save_many([Event("2")])
        store.save(Event("3"))
        for event_id in "123":
            store.delete(event_id)
        assert store.checkpoint("log") == "line 1"

    @pytest.mark.parametrize("wrong", ["twice", "stored"])
    def test_a_batch_with_a_duplicate_saves_no_checkpoint(
        self, store: EventStore, wrong: str
    ) -> None:
        store.save_many([Event("stored")], checkpoint=("log", "before"))
        with pytest.raises(DuplicateEvent):
            store.save_many(map(Event, ("twice", "new", wrong)), checkpoint=("log", "after"))
        assert store.checkpoint("log") == "before"
        assert "new" not in store

    def test_a_batch_that_fails_saves_no_checkpoint(self, store: EventStore) -> None:
        def failing() -> Iterator[Event]:
            yield Event("1")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.save_many(failing(), checkpoint=("log", "after"))
        with pytest.raises(InvalidEvent):
            store.save_many([Event("1"), Event("")], checkpoint=("log", "after"))
        assert store.checkpoint("log") is None

    @pytest.mark.parametrize("name", ["x", "ü\n\0", "a" * 510, "a" * 511, "a" * 600, "ü" * 300])
    @pytest.mark.parametrize("text", ["", "7", "ü\n\0" * 9, "x" * 10_000])
    def test_a_checkpoint_is_read_as_it_was_saved(
        self, store: EventStore, name: str, text: str
    ) -> None:
        store.save_many([], checkpoint=(name, text))
        assert store.checkpoint(name) == text
        assert store.checkpoint(f"{name}x") is None
        assert store.checkpoint(name[:-1]) is None

    @pytest.mark.parametrize(
        "wrong",
        [
            "log",
            "ab",
            7,
            (),
            ("log",),
            ("log", "1", "2"),
            ["log", "1"],
            ("", "1"),
            (None, "1"),
            ("log", None),
            ("log", 1),
            (b"log", "1"),
            (LONE, "1"),
            ("log", LONE),
        ],
    )
    def test_what_is_no_checkpoint_is_refused(self, store: EventStore, wrong: Any) -> None:
        """Before an event is read; the message names the argument and the remedy."""

        def unread() -> Iterator[Event]:
            pytest.fail("the events were read")
            yield Event()

        with pytest.raises(InvalidQuery, match=r"^checkpoint: .*; "):
            store.save_many(unread(), checkpoint=wrong)
        assert_empty(store)
        assert store.checkpoint("log") is None

    @pytest.mark.parametrize("absent", ["", LONE])
    def test_a_name_that_no_checkpoint_can_have_is_not_found(
        self, store: EventStore, absent: str
    ) -> None:
        assert store.checkpoint(absent) is None

    @pytest.mark.parametrize("wrong", [None, 7, b"log", ("log", "1")])
    def test_a_name_that_is_not_a_string_is_refused(self, store: EventStore, wrong: Any) -> None:
        with pytest.raises(InvalidQuery, match="name: "):
            store.checkpoint(wrong)

    def test_a_snapshot_has_the_checkpoints_of_its_state(self, store: EventStore) -> None:
        store.save_many([], checkpoint=("log", "before"))
        with store.snapshot() as view:
            store.save_many([Event("1")], checkpoint=("log", "after"))
            store.save_many([], checkpoint=("new", "after"))
            assert view.checkpoint("log") == "before"
            assert view.checkpoint("new") is None
        assert store.checkpoint("log") == "after"

    @pytest.mark.parametrize(
        "begin",
        ["", "l", "log", "logs", "ü", "a" * 478, "a" * 479, "a" * 480, "a" * 510 + "ü"],
    )
    def test_checkpoints_are_those_whose_names_begin_so(
        self, store: EventStore, begin: str
    ) -> None:
        """All of them, in the order of their names, however long these are."""
        long = ["a" * number for number in (470, 478, 479, 480, 500, 510, 511, 600)]
        others = ["log", "log/2", "log/10", "logs", "lo", "m", "\0", "ü", "üb", "\U0010ffff"]
        ends = ["b", "z", "ü", "\0"]
        names = sorted([*others, *long, *(name + end for name in long for end in ends)])
        texts = {name: f"text of {len(name)} {name[-3:]}" for name in names}
        for item in reversed(texts.items()):
            store.save_many([], checkpoint=item)
        expected = [item for item in texts.items() if item[0].startswith(begin)]
        assert expected
        assert list(store.checkpoints(begin).items()) == expected
        with store.snapshot() as view:
            store.save_many([], checkpoint=(begin + "new", "1"))
            assert list(view.checkpoints(begin).items()) == expected
        assert store.checkpoints(begin) == {**dict(expected), begin + "new": "1"}

    def test_checkpoints_without_a_prefix_are_all(self, store: EventStore) -> None:
        assert store.checkpoints() == {}
        store.save_many([], checkpoint=("log", "1"))
        store.save_many([Event("1")], checkpoint=("a", "2"))
        assert list(store.checkpoints().items()) == [("a", "2"), ("log", "1")]
        found = store.checkpoints()
        found["mine"] = "3"
        assert store.checkpoints("mine") == {}

    @pytest.mark.parametrize("absent", [LONE, "log2", "x" * 600])
    def test_a_prefix_that_no_checkpoint_has_finds_none(
        self, store: EventStore, absent: str
    ) -> None:
        store.save_many([], checkpoint=("log", "1"))
        assert store.checkpoints(absent) == {}

    @pytest.mark.parametrize("wrong", [None, 7, b"log", ("log", "1")])
    def test_a_prefix_that_is_not_a_string_is_refused(self, store: EventStore, wrong: Any) -> None:
        with pytest.raises(InvalidQuery, match=r"prefix: .*; "):
            store.checkpoints(wrong)

    def test_a_checkpoint_and_its_events_are_seen_together(self, store: EventStore) -> None:
        """A reader that finds a checkpoint finds the events before it."""
        rounds, each = 20, 5
        done: list[int] = []

        def write() -> None:
            for n in range(rounds):
                events = [Event(f"{n}-{m}") for m in range(each)]
                store.save_many(events, checkpoint=("log", str(n)))
            done.append(1)

        def read() -> None:
            while not done:
                seen = store.checkpoint("log")
                assert len(store) >= (int(seen) + 1) * each if seen else True
                with store.snapshot() as view:
                    seen = view.checkpoint("log")
                    assert len(view) == (0 if seen is None else (int(seen) + 1) * each)

        in_threads(write, read)
        assert store.checkpoint("log") == str(rounds - 1)

    @pytest.mark.parametrize("timeout", [None, 0, 5])
    def test_reading_a_checkpoint_takes_a_time_limit(self, store: EventStore, timeout: Any) -> None:
        store.save_many([], checkpoint=("log", "1"), timeout=timeout)
        assert store.checkpoint("log", timeout=timeout) == "1"
        assert store.checkpoints("l", timeout=timeout) == {"log": "1"}
        for read in (store.checkpoint, store.checkpoints):
            with pytest.raises(InvalidQuery, match="timeout"):
                read("log", timeout=-1)

    def test_a_closed_store_has_no_checkpoints(self, store: EventStore) -> None:
        store.save_many([], checkpoint=("log", "1"))
        store.close()
        with pytest.raises(StoreClosed):
            store.checkpoint("log")
        with pytest.raises(StoreClosed):
            store.checkpoints()
        with pytest.raises(StoreClosed):
            store.save_many([], checkpoint=("log", "2"))
