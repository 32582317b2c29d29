"""Named texts: the documented bytes, and flipped bits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdbstore.disk import format as fmt
from lmdbstore.records.layout import digest
from lmdbstore.records.named import NamedText, decode_named, encode_named, name_of
from tests.tools.properties import examples

DOC = fmt.__doc__ or ""
NAMED = NamedText("log", "line 7")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def example() -> bytes:
    """Return the documented value."""
    found = re.search(r'"log" with the text "line 7":\s+([0-9a-f]+)$', DOC, re.MULTILINE)
    assert found
    return bytes.fromhex(found[1])


def test_the_documented_named_text_is_correct() -> None:
    value = example()
    assert encode_named(NAMED) == value
    assert decode_named(value) == NAMED
    assert NAMED.key == b"log"
    checksum, size, name = value[:4], value[4:12], value[12:15]
    assert checksum == digest(value[4:]).to_bytes(8, "little")[:4]
    assert (fmt.decode_number(size), name, value[15:]) == (3, b"log", b"line 7")


@examples(100)
@given(texts.filter(bool), texts)
def test_every_named_text_is_decoded_as_it_was_encoded(name: str, text: str) -> None:
    named = NamedText(name, text)
    assert decode_named(encode_named(named)) == named


def test_no_flipped_bit_passes() -> None:
    value = encode_named(NAMED)
    for bit in range(len(value) * 8):
        damaged = bytearray(value)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_named(bytes(damaged)) is None


@pytest.mark.parametrize("size", range(len(encode_named(NAMED))))
def test_no_value_that_is_cut_off_passes(size: int) -> None:
    assert decode_named(encode_named(NAMED)[:size]) is None
    assert decode_named(encode_named(NAMED) + bytes(size + 1)) is None


@pytest.mark.parametrize(
    ("size", "rest"), [(0, b"text"), (9, b"log"), (1 << 63, b"log"), (1, b"\xff"), (1, b"a\xff")]
)
def test_what_was_never_written_does_not_pass_even_with_a_checksum(size: int, rest: bytes) -> None:
    """No name, one that is longer than the value, and text that is not UTF-8."""
    rest = fmt.encode_number(size) + rest
    assert decode_named(digest(rest).to_bytes(8, "little")[:4] + rest) is None


def test_the_name_of_a_damaged_entry_is_told_as_well_as_possible() -> None:
    long = NamedText("ü" * 300, "text")
    assert name_of(NAMED.key, b"") == "log"
    assert name_of(long.key, encode_named(long)) == "ü" * 300
    assert name_of(b"a\xff", b"") == "a\\xff"
    assert name_of(long.key, b"").startswith("ü" * 239)
