"""Compressing the headers and the contents of a run, and reading them; see `records.layout`.

Rules: a section that is read was compared with its checksum, so it is what was compressed. Its size
is known before: no more is ever decompressed. A section that cannot be decompressed raises
StoreDamaged; if only the library is missing, CompressionMissing. It is loaded when it is needed.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from lmdbstore.errors import CompressionMissing, StoreDamaged

from .layout import HEAD, HEAD_SIZE, PACKED_CONTENTS, PACKED_HEADERS, digest

__all__ = ["MAGIC", "compressed", "decompressed", "library", "plain", "remains"]

MAGIC = b"\x28\xb5\x2f\xfd"  # the first bytes of a zstd frame; no text in UTF-8 has them
LEVEL = 3  # higher ones take several times as long for a few percent
MOST_BYTES = 16 << 20  # of a section that is compressed


@cache
def library() -> Any:
    """Return the module `zstd`.

    Raises:
        CompressionMissing: it is not installed.
    """
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise CompressionMissing(
            "events that are compressed need zstd, which this Python lacks; install it with: "
            "pip install 'lmdbstore[zstd]'"
        ) from error
    return zstd


def compressed(value: bytes) -> bytes:
    """Return a run with compressed sections, each if that makes it smaller."""
    numbers = HEAD.unpack_from(value)
    kinds, headers_at, contents_at = numbers[7], numbers[-2], numbers[-1]
    headers, has_headers = _smaller(value[headers_at:contents_at])
    contents, has_contents = _smaller(value[contents_at:])
    kinds |= has_headers * PACKED_HEADERS | has_contents * PACKED_CONTENTS
    return _with_sections(value, headers, contents, kinds)


def plain(value: bytes, headers: bytes, contents: bytes) -> bytes:
    """Return a run as it was before it was compressed, by its sections as they were."""
    kinds = HEAD.unpack_from(value)[7] & ~(PACKED_HEADERS | PACKED_CONTENTS)
    return _with_sections(value, headers, contents, kinds)


def _smaller(section: bytes) -> tuple[bytes, bool]:
    """Return a section compressed, and True, if that is smaller."""
    if len(section) <= MOST_BYTES:
        packed: bytes = library().compress(section, LEVEL)
        if len(packed) < len(section):
            return packed, True
    return section, False


def _with_sections(value: bytes, headers: bytes, contents: bytes, kinds: int) -> bytes:
    numbers = list(HEAD.unpack_from(value))
    headers_at = numbers[-2]
    numbers[2:4] = digest(headers), digest(contents)
    numbers[7] = kinds
    numbers[-1] = headers_at + len(headers)
    head = HEAD.pack(*numbers)
    checksum = digest(memoryview(head)[8:])
    front = value[HEAD_SIZE:headers_at]
    return b"".join((checksum.to_bytes(8, "little"), head[8:], front, headers, contents))


def decompressed(section: bytes | memoryview, size: int) -> bytes:
    """Return what was compressed to a checked section, of so many bytes; raises StoreDamaged."""
    if not 0 < size <= MOST_BYTES:
        raise StoreDamaged(f"a section of {size:,} bytes is never compressed")
    found = remains(section, size)
    if len(found) != size:
        raise StoreDamaged("a section does not have its size when it is decompressed")
    return found


def remains(section: bytes | memoryview, most: int = MOST_BYTES) -> bytes:
    """Return up to `most` bytes of what was compressed to a section; nothing if it is damaged."""
    zstd = library()
    reader = zstd.ZstdDecompressor()
    try:
        found: bytes = reader.decompress(section, most + 1)
    except zstd.ZstdError:
        return b""
    return found if reader.eof and not reader.unused_data else b""
