"""A page to look at a store, and the JSON that it is made of: `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmdbstore.contract.tables.libraries import library

from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lmdbstore.contract.api import EventStore

__all__ = ["HOST", "PORT", "Limits", "serve"]

HOST, PORT = "127.0.0.1", 8474


def serve(  # noqa: PLR0913
    store: EventStore,
    host: str = HOST,
    port: int = PORT,
    *,
    names: Iterable[str] = (),
    limits: Limits = Limits(),  # noqa: B008  never changed
    ready: Callable[[str], object] = print,
    say: Callable[[str], object] = print,
) -> None:
    """Serve a page to look at a store, until SIGINT or SIGTERM comes; then close the store."""
    for name in ("starlette", "uvicorn"):
        library(name, "web")
    from .server import run

    run(store, host, port, names, limits, ready=ready, say=say)
