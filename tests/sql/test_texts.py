"""Texts as PostgreSQL keeps them: exact, piece by piece, and short enough for an index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.sql.texts import DIGEST, LONGEST, key, long_texts, original, read_long, stored
from tests.tools.properties import examples

TEXT = st.text(st.sampled_from("a0123\0\x1aé😀\\%_\"'{},"), max_size=12)


@given(TEXT)
@examples(300)
def test_a_text_comes_back(text: str) -> None:
    kept = stored(text)
    assert "\0" not in kept
    assert original(kept) == text


@given(TEXT, TEXT, TEXT)
@examples(200)
def test_a_piece_of_a_text_is_a_piece_of_what_is_kept(one: str, two: str, three: str) -> None:
    assert stored(one + two + three) == stored(one) + stored(two) + stored(three)


@given(TEXT, TEXT)
@examples(300)
def test_different_texts_are_kept_differently(one: str, two: str) -> None:
    assert (stored(one) == stored(two)) == (one == two)
    assert (key(one) == key(two)) == (one == two)


@pytest.mark.parametrize("character", ["x", "é", "😀", "\0", "\x1a"])
def test_a_key_is_short_whatever_the_text(character: str) -> None:
    size = len(character.encode())
    for length in (1, LONGEST // size, LONGEST // size + 1, 100_000):
        text = character * length
        found = key(text)
        assert len(found.encode()) <= 2 * LONGEST
        assert found.startswith(DIGEST) == (length * size > LONGEST)
        assert found.startswith(DIGEST) or original(found) == text


def test_no_short_text_has_the_key_of_a_long_one() -> None:
    long = "x" * (LONGEST + 1)
    assert original(key(long)) != long
    assert key(key(long)) != key(long)
    assert key(long + "y") != key(long)


def test_texts_are_kept_as_they_are_if_one_is_long() -> None:
    assert long_texts("a", "b", ["c"]) is None
    assert long_texts("é" * 200, "b", []) is None  # 400 bytes
    kept = long_texts("a\0", "b" * 600, ["c\x1a", "d" * 600])
    assert kept is not None
    assert "\0" not in kept
    assert read_long(kept) == ("a\0", "b" * 600, ["c\x1a", "d" * 600])
