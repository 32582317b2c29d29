"""Sizes with which a few events are a large purge."""

from __future__ import annotations

import pytest

from lmdbstore.care import choice
from lmdbstore.care import purge as purging


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "PURGE_EVENTS", 5)
    monkeypatch.setattr(choice, "SPAN", 5)
