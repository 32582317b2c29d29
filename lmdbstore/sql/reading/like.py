"""What the server can exclude before a pattern is compared: texts that a content must hold.

Rules: pure. The texts are necessary for a match and seldom sufficient: RE2 decides. They are
compared with small letters on both sides. Only ASCII has some there, because the collation of
`content` is C: the answer is that of no locale.
"""

from __future__ import annotations

from functools import lru_cache

from lmdbstore.patterns.needs import needed_parts
from lmdbstore.patterns.parse import render
from lmdbstore.sql.texts import stored

__all__ = ["FOLDED", "like"]

FOLDED = "lower(content)"  # an index on trigrams of this helps
SHORTEST = 3  # characters of a text; a shorter one excludes little


def like(pattern: str) -> tuple[str, list[str]]:
    """Return a condition that every content meets in which a pattern matches, and its texts."""
    alternatives = _alternatives(pattern)
    if not all(alternatives):
        return "", []
    each = " OR ".join(" AND ".join([f"{FOLDED} LIKE %s"] * len(texts)) for texts in alternatives)
    return f"({each})", [f"%{_quoted(text)}%" for texts in alternatives for text in texts]


@lru_cache(maxsize=32)
def _alternatives(pattern: str) -> list[list[str]]:
    needed = needed_parts(render(pattern).single, bytes.lower, _texts)
    return sorted(sorted(texts) for texts in needed)


def _texts(text: bytes) -> frozenset[str]:
    try:
        plain = text.decode()
    except UnicodeDecodeError:  # a lone surrogate, which no content has
        return frozenset()
    return frozenset([plain] if len(plain) >= SHORTEST else [])


def _quoted(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return stored(text)
