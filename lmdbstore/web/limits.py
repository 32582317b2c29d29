"""How much a request may cost, and a client may keep."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Limits"]


class Limits(NamedTuple):
    """The limits of a server; times are in seconds."""

    seconds: float = 2.0  # of the work of a search; then it gives what it has
    counting: float = 5.0  # the same of a histogram, and of facets
    working: int = 8  # requests that read the store at once; others wait for their turn
    requests: int = 100  # at once, those that wait included
    streams: int = 200  # clients that follow, or export, at once
    connections: int = 256
    events: int = 1000  # of a list
    characters: int = 4_000_000  # of the contents of a list, or of a message of a stream
    shown: int = 20_000  # characters of a content in a list
    marks: int = 100  # of a content
    message: int = 500  # events of a message of `follow`
    pause: float = 0.1  # between two messages of `follow`
    keep: float = 15.0  # without a message of `follow`
    head: float = 10.0  # until a client has sent the head of a request
    send: float = 30.0  # until a client has taken what it was sent
    end: float = 0.4  # for clients to take what they were sent, when the server stops
