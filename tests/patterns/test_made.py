"""Signatures that were made in advance: for which runs, and which of them are taken."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest
from xxhash import xxh3_128_digest

from lmdbstore.patterns.made import RUN, RUN_BYTES, joined_digest, made_for, offer, signature_of
from lmdbstore.patterns.signature import signature

CONTENTS = [f"word{n} other{n}\nline".encode() for n in range(3 * RUN)]


@pytest.fixture(autouse=True)
def _nothing_is_offered() -> Iterator[None]:
    yield
    offer({})


def digest(contents: list[bytes]) -> bytes:
    return joined_digest(b"\n".join(contents))


def test_a_signature_is_that_of_the_contents_whether_it_was_made_or_not() -> None:
    wanted = signature(CONTENTS[:RUN])
    assert signature_of(CONTENTS[:RUN]) == wanted
    offer(made_for(CONTENTS, lambda: True))
    assert signature_of(CONTENTS[:RUN]) == wanted
    assert signature_of(CONTENTS[1:RUN]) == signature(CONTENTS[1:RUN])


def test_a_signature_that_was_made_is_taken_by_the_joined_digest_all_contents_alone() -> None:
    """It is taken for these contents, and of no other contents, however little these differ."""
    one = CONTENTS[:RUN]
    offer({digest(one): b"made"})
    assert signature_of(one) == b"made"
    for other in (one[:-1], [*one, b""], [*one[:-1], one[-1] + b"x"], one[::-1]):
        assert signature_of(other) == signature(other)
    wrong = bytearray(digest(one))
    wrong[0] ^= 1
    offer({bytes(wrong): b"made"})
    assert signature_of(one) == signature(one)
    offer({})
    assert signature_of(one) == signature(one)


def test_one_who_writes_contents_cannot_make_two_runs_with_one_digest() -> None:
    """A part of XXH3 without a seed is a sum, in which the changes of two places cancel out."""
    one = [b"a" * 7] * RUN
    other = one.copy()
    one[0], one[96] = b"@0@0`aa", b"P4Z6aaa"
    other[0], other[96] = b"@0@0aaa", b"P4Z6`aa"
    assert xxh3_128_digest(b"\n".join(one)) == xxh3_128_digest(b"\n".join(other))
    assert signature(one) != signature(other)
    offer(made_for(one, lambda: True))
    assert signature_of(other) == signature(other)


@pytest.mark.parametrize(
    ("sizes", "cuts"),
    [
        ([9] * (2 * RUN), [RUN, RUN]),
        ([9] * (2 * RUN + RUN // 2), [RUN, RUN, RUN // 2]),
        ([9] * (2 * RUN + RUN // 2 - 1), [RUN, RUN]),  # the rest is joined by the next events
        ([9] * 20, []),
        ([], []),
        ([RUN_BYTES // 300] * (RUN + 300), [300, 300]),
        ([*[9] * 300, RUN_BYTES + 1, *[9] * RUN], [300, 1, RUN]),
    ],
)
def test_signatures_are_made_for_runs_as_they_are_sealed(sizes: list[int], cuts: list[int]) -> None:
    contents = [b"%d " % n + b"x" * (size - len(b"%d " % n)) for n, size in enumerate(sizes)]
    begins = [sum(cuts[:n]) for n in range(len(cuts))]
    parts = [contents[begin : begin + size] for begin, size in zip(begins, cuts, strict=True)]
    assert made_for(contents, lambda: True) == {digest(part): signature(part) for part in parts}


def test_no_more_are_made_when_there_is_no_time() -> None:
    answers = chain([True, False], iter(bool, True))
    assert list(made_for(CONTENTS, lambda: next(answers))) == [digest(CONTENTS[:RUN])]
