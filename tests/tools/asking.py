"""Requests to the application of the page, without a network."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import unquote, urlencode

from lmdbstore.aio import AsyncEventStore
from lmdbstore.web.app import App
from lmdbstore.web.guard import Guard
from lmdbstore.web.limits import Limits
from tests.tools.children import LONG

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from lmdbstore import EventStore

__all__ = ["TOKEN", "Answer", "Asking", "Request", "messages"]

TOKEN = "a-token"
PORT = 8474


class Answer(NamedTuple):
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True  # whether it has its end

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


class Request:
    """A request that is under way."""

    def __init__(self, app: App, scope: dict[str, Any]) -> None:
        self._gone = asyncio.Event()
        self._asked = False
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self._messages.put(message)

    async def leave(self) -> None:
        """Go, and wait for the end of the request."""
        self._gone.set()
        await asyncio.wait_for(self.task, LONG)

    async def message(self) -> dict[str, Any]:
        """Return the next thing that is sent."""
        return await asyncio.wait_for(self._messages.get(), LONG)

    async def answer(self) -> Answer:
        """Wait for the end, and return all that was sent and not taken yet."""
        await asyncio.wait_for(self.task, LONG)
        found = [self._messages.get_nowait() for _ in range(self._messages.qsize())]
        start, rest = found[0], found[1:]
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        body = b"".join(message.get("body", b"") for message in rest)
        whole = bool(rest) and not rest[-1].get("more_body", False)
        return Answer(start["status"], headers, body, whole)


class Asking:
    """The application of a store, and its clients."""

    def __init__(
        self, store: EventStore, limits: Limits | None = None, names: Iterable[str] = ()
    ) -> None:
        limits = limits or Limits()
        self._runner = asyncio.Runner()
        self.said: list[str] = []
        self.served = AsyncEventStore(store, threads=limits.working)
        self.app = App(self.served, Guard(PORT, names, TOKEN), limits, self.said.append)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store; its threads end soon."""
        self._runner.run(self.served.close())
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a scenario in the event loop."""
        return self._runner.run(work)

    def request(
        self,
        address: str,
        *,
        method: str = "GET",
        token: str | None = TOKEN,
        host: str | None = f"127.0.0.1:{PORT}",
        headers: dict[str, str] | None = None,
    ) -> Request:
        """Begin a request; call it in the event loop."""
        path, _, query = address.partition("?")
        given = {} if host is None else {"Host": host}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        given |= headers or {}
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),  # as uvicorn does
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), text.encode()) for name, text in given.items()],
            "server": ("192.0.2.7", PORT),
        }
        return Request(self.app, scope)

    def ask(self, address: str, **request: Any) -> Answer:
        """Return the answer to a request."""

        async def asked() -> Answer:
            return await self.request(address, **request).answer()

        answer: Answer = self.run(asked())
        return answer

    def get(self, call: str, **parameters: object) -> Any:
        """Return the answer of a call, which is no error."""
        answer = self.ask(f"/api/{call}?{urlencode(parameters, doseq=True)}")
        assert answer.status == 200, answer.body
        return answer.json

    def fails(self, call: str, **parameters: object) -> Answer:
        """Return the answer of a call, which is an error."""
        answer = self.ask(f"/api/{call}?{urlencode(parameters, doseq=True)}")
        assert answer.status >= 400
        return answer


def messages(text: bytes) -> list[dict[str, str]]:
    """Return the messages of a stream of server-sent events, by the names of their fields."""
    found = []
    for block in text.decode().split("\n\n")[:-1]:
        lines = [line.split(": ", 1) for line in block.split("\n") if not line.startswith(":")]
        found.append(dict(lines))
    return found
