"""Texts as PostgreSQL can keep them: a NUL, and texts that are too long for an index.

Rules: pure, exact and reversible. A text of PostgreSQL cannot hold a NUL, so U+001A and a digit
stand for it, and for U+001A itself. This is done character by character: a piece of a text is still
a piece of it. An entry of an index ends at some 2,700 bytes, so a longer id, source or flag is
known by its key: its digest (BLAKE2b, 256 bits). The text itself is then kept beside it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DIGEST",
    "MOST_BYTES",
    "array",
    "can_be_kept",
    "key",
    "long_texts",
    "original",
    "read_long",
    "stored",
]

LONGEST = 512  # bytes of a text that is its own key
MOST_BYTES = 4  # of a character in UTF-8
_ESCAPE = "\x1a"
_NUL, _ITSELF = _ESCAPE + "0", _ESCAPE + "1"
DIGEST = _ESCAPE + "2"  # how a key begins that is not the text itself


def can_be_kept(text: str) -> bool:
    """Whether a text has no lone surrogate, which UTF-8 cannot encode."""
    return text.isascii() or text.encode("utf-8", "ignore").decode() == text


def stored(text: str) -> str:
    """Return a text as it is kept."""
    if "\0" in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ITSELF).replace("\0", _NUL)
    return text


def original(text: str) -> str:
    """Return the text that is kept as `text`."""
    if _ESCAPE in text:
        return text.replace(_NUL, "\0").replace(_ITSELF, _ESCAPE)
    return text


def key(text: str) -> str:
    """Return what a text is found by: itself as it is kept, or its digest.

    A text with a lone surrogate, which nothing has, gets a key that nothing has.
    """
    if text.isascii() and len(text) <= LONGEST:
        return stored(text)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return DIGEST
    if len(encoded) > LONGEST:
        return DIGEST + blake2b(encoded, digest_size=32).hexdigest()
    return stored(text)


def long_texts(id_: str, source: str, flags: Sequence[str]) -> str | None:
    """Return an id, a source and flags as they are, if one of them is too long for an index."""
    texts = (id_, source, *flags)
    if all(len(text) * MOST_BYTES <= LONGEST for text in texts):
        return None
    if not any(key(text).startswith(DIGEST) for text in texts):
        return None
    return orjson.dumps([id_, source, list(flags)]).decode()


def read_long(text: str) -> tuple[str, str, list[str]]:
    """Return the id, the source and the flags in what `long_texts` returned."""
    id_, source, flags = orjson.loads(text)
    return id_, source, flags


def array(texts: Sequence[str]) -> str:
    """Return texts as PostgreSQL writes an array, for arrays in an array."""
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"
