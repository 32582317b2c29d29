"""What is closed at the end of a `with` block, and what is said if it cannot be closed yet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from lmdbstore.errors import StoreBusy

if TYPE_CHECKING:
    from types import TracebackType

    from lmdbstore.threads.deadline import Deadline

__all__ = ["Closable", "closing_busy"]


class Closable(ABC):
    """Something to be closed, by a call or by a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Close it; closing again does nothing."""

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def closing_busy(what: str, deadline: Deadline, holder: str) -> StoreBusy:
    """Return the exception for a closing that waited until its deadline."""
    return StoreBusy(
        f"{what} is busy: waited {deadline.limit or 0:.3g} s for {holder}; it refuses all further "
        "calls, but is still open; let that end, or wait longer (timeout=), and close "
        "it again"
    )
