"""The figures for Prometheus: a text that a strict reader takes, with every label as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore
from lmdbstore.care.prometheus import MOST_FLAGS, prometheus_text
from lmdbstore.care.statistics import StoreStatistics
from tests.tools.exposition import families
from tests.tools.properties import examples

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.sampled_from([*'\\"\n{}=,# n']) | st.characters(exclude_categories=["Cs"]))
EMPTY = StoreStatistics(0, None, None, 0, 0, 0, {"live": 0})


def test_every_figure_is_there_with_its_type(path: Path) -> None:
    with LMDBEventStore(path) as store:
        store.save_many(Event(f"{n}", "s", n + 0.5, ["even"] * (n % 2 == 0)) for n in range(9))
        store.delete("8")
        with store.snapshot():
            stats = store.stats()
            found = families(prometheus_text(stats, store.flags(), str(path)))
    label = (("store", str(path)),)
    values = {name: family.samples.get(label) for name, family in found.items()}
    assert all(name.startswith("lmdbstore_") for name in values)
    assert values["lmdbstore_events"] == 8
    assert values["lmdbstore_events_saved_total"] == 9
    assert values["lmdbstore_commits_total"] == stats.commits >= 2
    assert values["lmdbstore_oldest_timestamp_seconds"] == 0.5
    assert values["lmdbstore_newest_timestamp_seconds"] == 7.5
    assert values["lmdbstore_snapshots"] == values["lmdbstore_readers"] == 1
    assert (values["lmdbstore_oldest_snapshot_age_seconds"] or 0) >= 0
    for name in ("used_bytes", "free_bytes", "file_bytes", "map_bytes", "max_readers"):
        assert values[f"lmdbstore_{name}"] == getattr(stats, name), name
    assert found["lmdbstore_flag_events"].samples == {(*label, ("flag", "even")): 4}
    databases = found["lmdbstore_database_bytes"].samples
    assert {key[1]: size for key, size in databases.items()} == {
        ("database", name): size for name, size in stats.databases.items()
    }
    assert sum(databases.values()) == values["lmdbstore_used_bytes"]


def test_an_empty_store_leaves_out_what_is_not_known() -> None:
    found = families(prometheus_text(EMPTY, {}, "events"))
    assert "lmdbstore_events" in found
    for name in ("oldest_timestamp_seconds", "flag_events", "oldest_snapshot_age_seconds"):
        assert f"lmdbstore_{name}" not in found


def test_the_most_frequent_flags_are_shown() -> None:
    flags = {f"f{n:03}": n // 2 for n in range(300)}
    samples = families(prometheus_text(EMPTY, flags, "x"))["lmdbstore_flag_events"].samples
    assert len(samples) == MOST_FLAGS
    assert {dict(labels)["flag"] for labels in samples} == {f"f{n:03}" for n in range(200, 300)}


@examples(100)
@given(TEXT, st.dictionaries(TEXT, st.integers(1, 2**48), max_size=5))
def test_any_label_and_any_number_comes_through(store: str, flags: dict[str, int]) -> None:
    found = families(prometheus_text(EMPTY, flags, store))
    samples = found["lmdbstore_flag_events"].samples if flags else {}
    assert samples == {(("store", store), ("flag", f)): n for f, n in flags.items()}


@examples(100)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_time_comes_through(time: float) -> None:
    found = families(prometheus_text(EMPTY._replace(oldest=time), {}, "x"))
    assert [*found["lmdbstore_oldest_timestamp_seconds"].samples.values()] == [time]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lmdbstore_x 1\n",
        '# HELP a b\n# TYPE a gauge\na{store="x"} 1',
        '# HELP a b\n# TYPE a gauge\na{store="x\\y"} 1\n',
        '# HELP a b\n# TYPE a counter\na{store="x"} 1\n',
        '# HELP a b\n# TYPE a gauge\na{store="x"} 1\na{store="x"} 2\n',
        '# HELP a b\n# TYPE a gauge\nb{store="x"} 1\n',
        '# HELP a b\n# TYPE a gauge\na{store="x"} nan?\n',
    ],
)
def test_the_reader_is_strict(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        families(text)
