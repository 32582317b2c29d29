"""The server: a socket, the application, and a clean stop.

Rules: the address is printed when it can be opened. SIGINT and SIGTERM end every request, and then
the server, within a second; the signal is then raised again, for its exit status.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn

from lmdbstore.aio import AsyncEventStore
from lmdbstore.errors import InvalidOption, shown

from .app import App
from .connections import Connection, connection_with
from .guard import Guard, checked_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from ipaddress import IPv4Address, IPv6Address

    from lmdbstore.contract.api import EventStore

    from .limits import Limits

__all__ = ["run"]

HEAD = 65_536  # bytes of the head of a request, at most


class _Server(uvicorn.Server):
    """Stops with all its clients."""

    def __init__(
        self, config: uvicorn.Config, app: App, ready: Callable[[], object], end: float
    ) -> None:
        super().__init__(config)
        self._app, self._ready, self._end = app, ready, end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stop()
        cut = asyncio.get_running_loop().call_later(self._end, self._cut)
        await super().shutdown(sockets)
        cut.cancel()

    def _cut(self) -> None:
        """End the connections whose clients do not take what they were sent."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.cut()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; port 0 is any free one.

    Raises:
        InvalidOption: it cannot be bound.
    """
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(kind[4][:2], family=kind[0], backlog=128)
    except (socket.gaierror, ValueError):  # the second one: it is too long, or has a NUL
        raise InvalidOption(
            f"host: {shown(host)} is no address of this machine; give one, such as 127.0.0.1"
        ) from None
    except OSError as error:
        raise InvalidOption(_not_bound(host, port, error)) from error


def _not_bound(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port: {port} of {host} is in use; give another one, or 0 for any that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host: {shown(host)} is no address of this machine; give one, such as 127.0.0.1"
    reason = error.strerror or error
    return f"port: {port} of {host} cannot be used ({reason}); give another one"


async def _serve(  # noqa: PLR0913, PLR0917  what a server is made of
    store: EventStore,
    listener: socket.socket,
    guard: Guard,
    limits: Limits,
    ready: Callable[[], object],
    say: Callable[[str], object],
) -> None:
    async with AsyncEventStore(store, threads=limits.working) as served:
        app = App(served, guard, limits, say)
        config = uvicorn.Config(
            app,
            http=connection_with(limits),
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEAD,
            timeout_graceful_shutdown=1,
        )
        await _Server(config, app, ready, limits.end).serve([listener])


def run(  # noqa: PLR0913  what a server is made of
    store: EventStore,
    host: str,
    port: int,
    names: Iterable[str],
    limits: Limits,
    *,
    ready: Callable[[str], object],
    say: Callable[[str], object],
) -> None:
    """Serve until a signal comes; close the store."""
    names = checked_names(names)
    with _bound(host, port) as listener:
        at, number = listener.getsockname()[:2]
        guard = Guard(number, [host, *names])
        link = f"http://{_shown_host(host, at, names)}:{number}{guard.link}"
        if not _address(at).is_loopback:
            say(
                "warning: other machines reach this address; who has the link sees every event, "
                "and what is sent is not encrypted"
            )
        asyncio.run(_serve(store, listener, guard, limits, lambda: ready(link), say))


def _address(at: str) -> IPv4Address | IPv6Address:
    return ip_address(at.partition("%")[0])


def _shown_host(host: str, at: str, names: list[str]) -> str:
    """Return the name of the server in its address."""
    if names:
        return names[0]
    if _address(at).is_unspecified:
        return "127.0.0.1" if "." in at else "[::1]"
    return f"[{host}]" if ":" in host else host
