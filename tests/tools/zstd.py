"""Whether this Python can compress; below 3.14 it may lack the extra `zstd`."""

from __future__ import annotations

from typing import Any

import pytest

from lmdbstore import CompressionMissing
from lmdbstore.records.compression import library

__all__ = ["CAN_COMPRESS", "needs_zstd", "with_zstd"]


def _can_compress() -> bool:
    try:
        library()
    except CompressionMissing:
        return False
    return True


CAN_COMPRESS = _can_compress()
needs_zstd = pytest.mark.skipif(not CAN_COMPRESS, reason="pip install 'lmdbstore[zstd]'")


def with_zstd(*arguments: Any, id: str | None = None) -> Any:  # noqa: A002  pytest's word
    """Return a parameter of a test that needs the library."""
    return pytest.param(*arguments, marks=needs_zstd, id=id)
