"""What the second process sends: messages on a pipe, one after the other.

Rules: a message is the length of its front in 8 bytes, the front, and the parts whose lengths the
front has. The front is one object of JSON. Events are sent column by column; a source, and a list
of tags, that many of them share is sent once a message, and is shared again. Nothing that is read
is executed.
"""

from __future__ import annotations

import json
from array import array
from functools import partial
from itertools import accumulate, pairwise
from typing import IO, TYPE_CHECKING, Any

import orjson

from lmdbstore.contract.event import Event
from lmdbstore.logs.common import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["batch_in", "filters_in", "message", "messages", "of_batch", "of_filters"]

LENGTH = 8  # bytes
_event = partial(tuple.__new__, Event)

Fields = dict[str, Any]
Parts = list[bytes]


def message(fields: Fields, parts: Sequence[bytes] = ()) -> bytes:
    """Return a message."""
    fields = {**fields, "parts": list(map(len, parts))}
    try:
        front = orjson.dumps(fields)
    except TypeError:  # a lone surrogate
        front = json.dumps(fields).encode()
    return b"".join((len(front).to_bytes(LENGTH, "big"), front, *parts))


def messages(file: IO[bytes]) -> Iterator[tuple[Fields, Parts]]:
    """Give the messages in a file, up to its end, or to the one in which it ends."""
    while len(length := file.read(LENGTH)) == LENGTH:
        wanted = int.from_bytes(length, "big")
        front = file.read(wanted)
        if len(front) < wanted:
            return
        try:
            fields = orjson.loads(front)
        except ValueError:
            fields = json.loads(front)
        parts = [file.read(size) for size in fields["parts"]]
        if list(map(len, parts)) != fields["parts"]:
            return
        yield fields, parts


def of_batch(batch: Batch) -> tuple[Fields, Parts]:
    """Return some events as fields and parts of a message."""
    ids, sources, times, tags, contents = (
        zip(*batch.events, strict=True) if batch.events else [()] * 5
    )
    text = "".join(contents)
    fields = {
        "ids": ids,
        "numbers": batch.numbers,
        "sources": _shared(sources, lambda source: source),
        "tags": _shared(tags, id),
        "sizes": list(map(len, contents)),
    }
    return fields, [array("d", times).tobytes(), text.encode("utf-8", "surrogatepass")]


def batch_in(fields: Fields, parts: Parts) -> Batch:
    """Return the events of a message."""
    times, text = array("d", parts[0]).tolist(), parts[1].decode("utf-8", "surrogatepass")
    ends = accumulate(fields["sizes"], initial=0)
    contents = [text[begin:end] for begin, end in pairwise(ends)]
    columns = fields["ids"], _each(fields["sources"]), times, _each(fields["tags"]), contents
    return Batch(list(map(_event, zip(*columns, strict=True))), fields["numbers"])


def _shared(values: Sequence[Any], label: Callable[[Any], Any]) -> tuple[list[Any], list[int]]:
    """Return the different values, and for each value its place among them."""
    labels = list(map(label, values))
    different = dict(zip(labels, values, strict=True))
    places = {label: place for place, label in enumerate(different)}
    return list(different.values()), list(map(places.__getitem__, labels))


def _each(shared: tuple[list[Any], list[int]]) -> list[Any]:
    different, places = shared
    return list(map(different.__getitem__, places))


def of_filters(made: Mapping[bytes, bytes]) -> tuple[Fields, Parts]:
    """Return signatures by digest as fields and parts of a message."""
    return {"digests": [digest.hex() for digest in made]}, list(made.values())


def filters_in(fields: Fields, parts: Parts) -> dict[bytes, bytes]:
    """Return the signatures of a message, which are its last parts."""
    digests = list(map(bytes.fromhex, fields["digests"]))
    return dict(zip(digests, parts[len(parts) - len(digests) :], strict=True))
