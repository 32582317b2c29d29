"""The number of examples of a property: LMDBSTORE_EXAMPLES multiplies it.

The usual run has few, so that it is quick; LMDBSTORE_EXAMPLES=3 is a thorough one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXAMPLES", "examples"]

EXAMPLES = float(os.environ.get("LMDBSTORE_EXAMPLES", "1"))


def examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a property on this number of examples, multiplied by LMDBSTORE_EXAMPLES."""
    return settings(
        max_examples=max(1, int(number * EXAMPLES)),
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
