"""The application: from a request to an answer, as ASGI.

Rules: a request is checked before anything is read (`guard`). It ends when its client goes, or when
the server stops, and with it what it has under way in the store: at the next page, or the next part
that is counted. Every failure is answered with an error as JSON; what it was is said where the
server runs.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from lmdbstore.errors import EventStoreException

from .calls.counting import facets, histogram, stats
from .calls.reading import event, search
from .calls.streams import Stream, export, follow
from .guard import HEADERS, Guard
from .refusals import Refusal, refused
from .texts import encoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from starlette.types import Message, Receive, Scope, Send

    from lmdbstore.aio import AsyncEventStore

    from .limits import Limits

__all__ = ["App"]

PAGE = Path(__file__).parent / "page"
Call = Callable[["AsyncEventStore", bytes, "Limits"], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "search": search,
    "histogram": histogram,
    "facets": facets,
    "stats": stats,
}
EVENT = b"/api/event/"
FRESH = {"Cache-Control": "no-store"}
JSON = FRESH | {"Content-Type": "application/json"}


class App:
    """The application of one store."""

    def __init__(
        self, store: AsyncEventStore, guard: Guard, limits: Limits, say: Callable[[str], object]
    ) -> None:
        """Answer from `store` those that `guard` admits; `say` gets a line for each failure."""
        self._store, self._guard, self._limits, self._say = store, guard, limits, say
        self._files = StaticFiles(directory=PAGE, check_dir=False)
        self._turn = asyncio.Semaphore(limits.working)
        self._requests = self._streams = 0
        self._stopping = asyncio.Event()
        self._said = ""

    def stop(self) -> None:
        """End all requests; later ones are refused."""
        self._stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        answer = _Answer(send, head=scope["method"] == "HEAD")
        try:
            await self._unless_gone(self._answered(scope, receive, answer), receive)
        except Exception as error:  # noqa: BLE001  the answer says what it may
            await self._failed(error, answer)

    async def _failed(self, error: Exception, answer: _Answer) -> None:
        refusal = self._refused(error)
        if not answer.begun:  # else it ends without its end, which the client sees
            headers = JSON | refusal.headers
            await answer.whole(encoded(refusal.body()), refusal.status, headers)

    def _refused(self, error: Exception) -> Refusal:
        """Return what is answered for an error; say what it is, if it is one of the server."""
        refusal = refused(error)
        if refusal.status >= 500 and refusal is not error:  # noqa: PLR2004
            known = isinstance(error, EventStoreException)
            line = str(error) if known else "".join(traceback.format_exception(error))
            if line != self._said:  # a page asks again and again
                self._said = line
                self._say(line)
        return refusal

    async def _unless_gone(self, work: Coroutine[Any, Any, None], receive: Receive) -> None:
        """Do the work, unless the client goes or the server stops before its end."""
        task = asyncio.ensure_future(work)
        others = [
            asyncio.ensure_future(_gone(receive)),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        try:
            await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            left = [one for one in (task, *others) if not one.done()]
            for one in left:
                one.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if not task.cancelled():
            task.result()
        elif self._stopping.is_set():
            raise Refusal(503, "closed", "the server is stopping; start it again")

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        method, headers, path = scope["method"], Headers(scope=scope), scope["path"]
        at = (scope.get("server") or ("",))[0]
        self._guard.check_origin(headers, at, api=path.startswith("/api/"))
        if method not in {"GET", "HEAD"}:
            message = f"{method[:20]} is not possible; the server only reads: ask with GET"
            raise Refusal(405, "method", message, headers={"Allow": "GET, HEAD"})
        if path == "/" and (first := self._guard.first_link(scope["query_string"])):
            leads = {"Location": first[0], "Set-Cookie": first[1]}
            await answer.whole(b"", 303, FRESH | leads)
            return
        self._guard.check_token(headers)
        if path.startswith("/api/"):
            await self._api(scope, headers, answer)
        else:
            await self._file(scope, receive, answer)

    # -- files of the page ------------------------------------------------------------------------

    async def _file(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        path: str = scope["path"]
        name = "index.html" if path == "/" else path.removeprefix("/page/")
        try:
            response = None if name == path else await self._files.get_response(name, scope)
        except (HTTPException, ValueError):  # the second one: a NUL
            response = None
        if response is None:
            raise Refusal(404, "not_found", "there is nothing at this address")
        response.headers["Cache-Control"] = "no-cache"
        await response(scope, receive, answer.send)

    # -- the API ----------------------------------------------------------------------------------

    async def _api(self, scope: Scope, headers: Headers, answer: _Answer) -> None:
        store, limits, query = self._store, self._limits, scope["query_string"]
        name, raw = scope["path"].removeprefix("/api/"), scope["raw_path"]
        if name == "follow":
            last = headers.get("last-event-id")
            await self._stream(partial(follow, store, query, last, limits), answer)
        elif name == "export":
            await self._stream(partial(export, store, query), answer)
        elif raw.startswith(EVENT):
            named = _decoded(raw[len(EVENT) :])
            await self._once(partial(event, store, named, query, limits), answer)
        elif name == "event":
            await self._once(partial(event, store, None, query, limits), answer)
        elif name in CALLS:
            await self._once(partial(CALLS[name], store, query, limits), answer)
        else:
            raise Refusal(404, "not_found", "there is no such call")

    async def _once(self, call: Callable[[], Awaitable[Any]], answer: _Answer) -> None:
        """Answer with all at once."""
        async with self._one_of("_requests", self._limits.requests), self._turn:
            found = await call()
            body = found if isinstance(found, bytes) else encoded(found)
        await answer.whole(body, 200, JSON)

    async def _stream(self, begin: Callable[[], Awaitable[Stream]], answer: _Answer) -> None:
        """Answer piece by piece."""
        async with self._one_of("_streams", self._limits.streams):
            stream, last = await begin(), b""
            try:
                await answer.pieces(FRESH | stream.headers, stream.pieces)
            except Exception as error:
                if stream.failed is None:
                    raise
                last = stream.failed(self._refused(error))
            finally:
                await stream.source.aclose()
            await answer.piece(last, more=False)

    @asynccontextmanager
    async def _one_of(self, name: str, most: int) -> AsyncIterator[None]:
        """Count what is under way; refuse what is too much."""
        if getattr(self, name) >= most:
            message = "the server has too many clients; close some, or ask again later"
            raise Refusal(503, "busy", message, headers={"Retry-After": "5"})
        setattr(self, name, getattr(self, name) + 1)
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) - 1)


def _decoded(raw: bytes) -> str:
    """Return an id from an address."""
    try:
        return unquote(raw.decode("ascii"), errors="strict")
    except UnicodeError:
        raise Refusal(
            400,
            "invalid_query",
            "id: it is not UTF-8 in percent encoding; correct it",
            field="id",
        ) from None


async def _gone(receive: Receive) -> None:
    """Wait until the client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """The answer to one request."""

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self._head = head  # whether only the head is asked for
        self.begun = False

    async def send(self, message: Message) -> None:
        """Send a message, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.begun = True
            every = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *every]}
        await self._send(message)

    async def whole(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        """Send all at once."""
        await self._start(status, headers | {"Content-Length": str(len(body))})
        await self.send({"type": "http.response.body", "body": b"" if self._head else body})

    async def pieces(self, headers: dict[str, str], pieces: AsyncIterator[bytes]) -> None:
        """Send piece by piece."""
        await self._start(200, headers)
        if not self._head:
            async for piece in pieces:
                await self.piece(piece)

    async def piece(self, piece: bytes, *, more: bool = True) -> None:
        """Send a piece; the last one, unless there are `more`."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
