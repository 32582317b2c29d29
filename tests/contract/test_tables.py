"""Calls that pass on the arguments of a search know all of them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from lmdbstore import Event, EventView, LMDBEventStore
from lmdbstore.contract.tables.chosen import Chosen, Filters

if TYPE_CHECKING:
    from pathlib import Path

NOT_CONDITIONS = {"order", "limit", "after", "at", "damaged", "timeout"}


def test_the_arguments_are_those_of_a_search() -> None:
    searched = {*inspect.signature(EventView.search).parameters} - {"self"}
    assert searched == {*Chosen.__annotations__}
    assert searched - NOT_CONDITIONS == {*Filters.__annotations__}


def test_a_table_may_be_as_of_a_position(path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    with LMDBEventStore(path) as store:
        store.save(Event("a"))
        position = store.position()
        store.save(Event("b"))
        assert store.to_arrow(at=position).read_all().column("id").to_pylist() == ["a"]
