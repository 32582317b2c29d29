"""The local ids of events that were seen: a bit for each, whatever their order.

Rules: pure; it does not look at records.
"""

from __future__ import annotations

__all__ = ["LocalIds"]

CHUNK = 1 << 13  # local ids of one bitmap


class LocalIds:
    """A set of local ids that takes little memory where they are close together."""

    def __init__(self) -> None:
        """Begin with none."""
        self._chunks: dict[int, bytearray] = {}

    def __contains__(self, local_id: int) -> bool:
        """Whether it was seen."""
        chunk = self._chunks.get(local_id // CHUNK)
        return chunk is not None and bool(chunk[local_id % CHUNK // 8] >> local_id % 8 & 1)

    def take(self, local_id: int) -> bool:
        """Note a local id; False if it was seen before."""
        chunk = self._chunks.get(local_id // CHUNK)
        if chunk is None:
            chunk = self._chunks[local_id // CHUNK] = bytearray(CHUNK // 8)
        at, bit = local_id % CHUNK // 8, 1 << local_id % 8
        if chunk[at] & bit:
            return False
        chunk[at] |= bit
        return True
