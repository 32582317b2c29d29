"""Signatures of runs that are not sealed yet, made in advance, perhaps by another process.

Rules: a signature is found by a digest of the joined contents (XXH3, of 128 bits), so it is that of
these contents, wherever it was made; if there is none, it is made here. The digest begins with a
random number, which a fork has too: without it, one who writes to a log could make two runs with
one digest, and hide the words of one of them from searches. What was made for runs that are never
sealed costs time only. The latest offer takes the place of the one before, so memory is bounded.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from xxhash import xxh3_128_digest

from .signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["RUN", "RUN_BYTES", "joined_digest", "made_for", "offer", "signature_of"]

RUN = 512  # events
RUN_BYTES = 128 << 10  # of contents; a run is complete with fewer events if they reach this

_seed = int.from_bytes(os.urandom(8))
_made: Mapping[bytes, bytes] = {}  # signatures by digest


def joined_digest(joined: bytes) -> bytes:
    """Return the digest of joined contents, which is the same in this process and its forks."""
    return xxh3_128_digest(joined, _seed)


def offer(made: Mapping[bytes, bytes]) -> None:
    """Let this process use signatures that were made in advance, by digest."""
    global _made  # noqa: PLW0603  replaced at once: other threads may be sealing
    _made = made


def signature_of(contents: Sequence[bytes]) -> bytes:
    """Return the signature of a run with these contents in UTF-8."""
    made = _made
    if not made:
        return signature(contents)
    joined = b"\n".join(contents)
    found = made.get(joined_digest(joined))
    return signature([joined]) if found is None else found


def made_for(contents: Sequence[bytes], goes_on: Callable[[], bool]) -> dict[bytes, bytes]:
    """Return signatures of the runs that contents in time order will probably be in, by digest.

    It ends early when `goes_on` returns False.
    """
    made = {}
    for begin, end in _cuts(contents):
        if not goes_on():
            break
        joined = b"\n".join(contents[begin:end])
        made[joined_digest(joined)] = signature([joined])
    return made


def _cuts(contents: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield where runs begin and end; not a last one that is so small that others will join it."""
    sizes = list(accumulate(map(len, contents), initial=0))
    begin, stop = 0, len(contents)
    while stop - begin >= RUN // 2:
        end = min(begin + RUN, stop)
        end = max(bisect_right(sizes, sizes[begin] + RUN_BYTES, begin + 1, end + 1) - 1, begin + 1)
        yield begin, end
        begin = end
