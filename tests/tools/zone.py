"""The zone of this machine, as a test wants it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["local_zone"]


@contextmanager
def local_zone(name: str) -> Iterator[None]:
    """Let local time be that of a zone, for `TZ`, until the end of the context."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", name)
            time.tzset()
            yield
    finally:
        time.tzset()
