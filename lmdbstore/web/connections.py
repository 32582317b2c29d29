"""Connections of clients: how many there may be, and how slow.

Rules: a connection that has sent no whole head of a request in time is cut, and so is one that does
not take what it is sent. So no client holds a place for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

if TYPE_CHECKING:
    import asyncio

__all__ = ["Connection", "connection_with"]


class Connection(H11Protocol):
    """A connection of a client."""

    limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Make one; uvicorn does."""
        super().__init__(*arguments, **named)
        self._waits: asyncio.TimerHandle | None = None  # for the head of a request
        self._sends: asyncio.TimerHandle | None = None  # for the client to take what it was sent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Begin, unless there are too many."""
        if len(self.connections) >= self.limits.connections:
            transport.abort()
            return
        super().connection_made(transport)
        self._wait()

    def _wait(self) -> None:
        self._stop_waiting()
        self._waits = self.loop.call_later(self.limits.head, self.cut)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def cut(self) -> None:
        """End it now, whatever was not sent."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Go on with a request."""
        super().data_received(data)
        self._wait_no_longer()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()
        self._wait_no_longer()  # its head may have come before, with that of the last one

    def _wait_no_longer(self) -> None:
        """Stop waiting if the head of a request has come."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def pause_writing(self) -> None:
        """Wait for the client to take what it was sent."""
        super().pause_writing()
        self._sends = self.loop.call_later(self.limits.send, self.cut)

    def resume_writing(self) -> None:
        """Go on sending."""
        self._stop_sending()
        super().resume_writing()

    def _stop_sending(self) -> None:
        if self._sends is not None:
            self._sends.cancel()
            self._sends = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        self._stop_sending()
        if self in self.connections:
            super().connection_lost(exc)


def connection_with(limits: Limits) -> type[Connection]:
    """Return the class of connections with some limits."""
    return type("Connection", (Connection,), {"limits": limits})
