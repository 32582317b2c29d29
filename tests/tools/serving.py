"""The command `serve` as a process of its own, and its clients."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.tools.commands import TIMEOUT, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Server", "serving"]


class Server:
    """A server that runs."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        assert child.stdout is not None
        self.link = child.stdout.readline().decode().strip()
        parts = urlsplit(self.link)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port
        (self.token,) = parse_qs(parts.query)["token"]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)

    @contextmanager
    def asked(self, address: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Ask for an address, with a connection of its own."""
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request("GET", address, headers=self.authorized | named)
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    @property
    def authorized(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, call: str, **parameters: object) -> Any:
        """Return the answer of a call, whatever its status."""
        with self.asked(f"/api/{call}?{urlencode(parameters, doseq=True)}") as answer:
            return json.loads(answer.read())

    def raw(self, text: bytes = b"", buffer: int = 0) -> socket.socket:
        """Return a connection on which this was sent."""
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(TIMEOUT)
        client.connect((self.host, self.port))
        client.sendall(text)
        return client

    def head(self, address: str) -> bytes:
        """Return the head of a request."""
        lines = [f"GET {address} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.authorized.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    def end(self, number: int = signal.SIGINT) -> tuple[int, bytes, bytes]:
        """Send a signal; return the status, and what was printed after the link."""
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=TIMEOUT)
        return self.child.returncode, out, err


@contextmanager
def serving(path: Path, *arguments: object) -> Iterator[Server]:
    """Serve a store at any port."""
    with start("serve", "--db", path, "--port", 0, *arguments) as child:
        try:
            yield Server(child)
        finally:
            child.kill()
