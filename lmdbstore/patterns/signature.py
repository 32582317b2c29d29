r"""The signature of a run of events: which pieces of text are in their contents, in a few bytes.

Rules: pure; bytes in, bytes out. A signature may report a piece that is not there (that costs
time). It never denies a piece that is there (that would lose an event).

**Folding.** Contents and patterns are folded in the same way: ASCII capitals become small letters,
and so do the Kelvin sign (U+212A, k), the long s (U+017F, s) and two further letters i (U+0130,
U+0131), which `(?i)` takes for cases of them. White space, other control characters and these
become spaces: ``" ' ` , ; ( ) [ ] { } = < > | & ? !``. Folding works on whole characters, so a
piece of a text stays a piece of it.

**Grams.** A word is the text between two spaces. A gram is four neighbouring bytes of a word, read
as a little-endian number. A word shorter than that has none.

**Filter.** A Bloom filter with one hash. Its number of bits, `bits`, is the smallest size in
`PRIMES` with at least eight bits for each different gram, or else the largest size. For each gram,
bit `gram % prime` is set, where `prime` is the largest prime below `bits`. Bit number n is in byte
`n // 8`, with the value `1 << n % 8`. A few more bits are set, for pieces that join words with
spaces. The sizes double from 128 bytes to 128 KiB, some a little less, so that they fill LMDB's
pages of 4 KiB.

With one hash and an eighth of the bits set, a word of seven letters (four grams) that is not there
is reported as possible in one run of 4,096. The filter for Event contents "Ab_cd" and "x" has 128
bytes; its grams are 'ab_c' (0x635f6261) and 'b_cd' (0x64635f62), its prime is 1021, and bits 505
and 650 are set.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ANYTHING", "Needs", "Probe", "grams", "holds", "signature"]

Needs = frozenset[frozenset[int]]
"""What a text must hold: all the grams of one of the alternatives, at least."""

ANYTHING: Needs = frozenset([frozenset()])  # an alternative that asks for nothing

GRAM = 4  # bytes
BITS_PER_GRAM = 8
# The largest prime below each number of bits, by that number.
PRIMES = {
    8 * length: 8 * length - less
    for length, less in (
        *((128, 3), (256, 9), (512, 3), (992, 3), (1984, 13), (4064, 5), (8160, 11)),
        *((16352, 5), (32736, 1), (65504, 35), (131_040, 11)),
    )
}

_SEPARATORS = b"\"'`,;()[]{}=<>|&?!\x7f"
_FOLDED = bytes(
    ord(" ") if code <= ord(" ") or code in _SEPARATORS else code
    for code in bytes(range(256)).lower()
)  # `bytes.lower` changes ASCII only
_LETTERS = [(b"\xe2\x84\xaa", b"k"), (b"\xc5\xbf", b"s"), (b"\xc4\xb0", b"i"), (b"\xc4\xb1", b"i")]
# Three spaces: then few different pieces join a word with spaces.
_JOINT = b" " * (GRAM - 1)


def fold(text: bytes) -> bytes:
    """Fold a text in UTF-8."""
    if not text.isascii():
        for letter, small in _LETTERS:
            text = text.replace(letter, small)
    return text.translate(_FOLDED)


def grams(text: bytes) -> frozenset[int]:
    """Return the grams of a text in UTF-8."""
    return frozenset(
        int.from_bytes(word[at : at + GRAM], "little")
        for word in fold(text).split()
        for at in range(len(word) - GRAM + 1)
    )


def signature(contents: Iterable[bytes]) -> bytes:
    """Return the filter over the grams of some contents in UTF-8."""
    # There are few different words, so `split` and `set` do most of the work.
    words = _JOINT.join(set(fold(b"\n".join(contents)).split()))
    found: set[int] = set()
    view = memoryview(words)
    for at in range(GRAM):
        part = view[at : at + (len(words) - at) // GRAM * GRAM]
        found.update(part.cast("I") if sys.byteorder == "little" else _swapped(part))
    wanted = len(found) * BITS_PER_GRAM
    bits = next((bits for bits in PRIMES if bits >= wanted), max(PRIMES))
    prime = PRIMES[bits]
    digits = bytearray(b"0") * bits
    for gram in found:
        digits[gram % prime] = 49  # the digit 1
    digits.reverse()  # the last digit is bit 0
    return int(digits, 2).to_bytes(bits // 8, "little")  # linear: the base is a power of two


def holds(filter_: bytes, contents: Iterable[bytes]) -> bool:
    """Whether a filter has all grams of some contents in UTF-8; False if its length is not ours."""
    prime = PRIMES.get(len(filter_) * 8)
    if prime is None:
        return False
    places = {gram % prime for gram in grams(b"\n".join(contents))}
    return all(filter_[place // 8] >> place % 8 & 1 for place in places)


def _swapped(part: memoryview) -> Iterable[int]:
    return (int.from_bytes(part[at : at + GRAM], "little") for at in range(0, len(part), GRAM))


class Probe:
    """The needs of a pattern, prepared for checking many signatures; immutable to its users."""

    def __init__(self, needs: Needs) -> None:
        """Check signatures for `needs`."""
        self._needs = needs
        # By the length of a filter: for each alternative the bytes and the bits to check.
        self._places: dict[int, list[list[tuple[int, int]]]] = {}

    @property
    def helps(self) -> bool:
        """Whether it excludes any text."""
        return all(self._needs)

    def passing(self, values: Iterable[bytes | memoryview], begin: int) -> Iterator[Any]:
        """Yield the values that have a signature, from byte `begin` on, of which a text may match.

        If no filter has its length, the signature is not ours; then everything may match.
        """
        places = self._places
        for value in values:
            size = len(value) - begin
            if size not in places:
                places[size] = self._placed(size)
            for alternative in places[size]:
                for at, bit in alternative:
                    if not value[begin + at] & bit:
                        break
                else:
                    yield value
                    break

    def _placed(self, length: int) -> list[list[tuple[int, int]]]:
        prime = PRIMES.get(length * 8)
        if prime is None:
            return [[]]
        return [
            [(gram % prime // 8, 1 << gram % prime % 8) for gram in alternative]
            for alternative in self._needs
        ]
