"""The tests of this folder have UTC as local time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tools.zone import local_zone

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with local_zone("UTC"):
        yield
