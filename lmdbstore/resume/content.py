"""The identity of what was read of an input: a hash of its text.

Rules: the text is hashed in blocks. The chain value of a block is the BLAKE2b digest, of 16 bytes,
of the chain value of the block before it and its own bytes; the first block comes after an empty
value. The digest of a text is the chain value of its last block, which has 1 byte to `BLOCK` bytes.
So the digest is that of the whole text, but to continue it, or to compare it with a file that can
only have grown, takes the last block alone.
"""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["BLOCK", "Content"]

BLOCK = 1 << 20  # bytes
SIZE = 16  # bytes of a digest


class Content:
    """The hash of a text that is read."""

    __slots__ = ("_hash", "base", "chain", "offset")

    def __init__(self, chain: bytes = b"", base: int = 0) -> None:
        """Begin at the offset `base`, a block's start; `chain` is the value of the block before."""
        self.chain = chain
        self.base = base
        self.offset = base
        self._hash = blake2b(chain, digest_size=SIZE)

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes."""
        view = memoryview(data)
        while view:
            if self.offset == self.base + BLOCK:
                self._next_block()
            part = view[: self.base + BLOCK - self.offset]
            self._hash.update(part)
            self.offset += len(part)
            view = view[len(part) :]

    def _next_block(self) -> None:
        self.chain, self.base = self._hash.digest(), self.offset
        self._hash = blake2b(self.chain, digest_size=SIZE)

    def copy(self) -> Content:
        """Return another hash of the same text."""
        other = Content(self.chain, self.base)
        other.offset, other._hash = self.offset, self._hash.copy()
        return other

    def digest(self) -> bytes:
        """Return the digest of the text so far."""
        return self._hash.digest()
