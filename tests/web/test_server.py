"""The server as a process: its address, its end, and connections that are slow or too many."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import uvicorn

from lmdbstore import Event, LMDBEventStore, MemoryEventStore
from lmdbstore.errors import ExtraMissing, InvalidOption
from lmdbstore.web import serve
from lmdbstore.web import server as server_module
from tests.tools.asking import Asking
from tests.tools.commands import ENVIRONMENT, TIMEOUT, process, run
from tests.tools.serving import Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "</script>\0'\"\n\U0001f600../"


@pytest.fixture
def filled(path: Path) -> Path:
    with LMDBEventStore(path) as store:
        store.save(Event(TEXT, TEXT, 5.0, [TEXT], TEXT))
        store.save_many(Event(f"e{n}", content="x" * 50_000) for n in range(200))
    return path


def test_one_line_is_printed_and_it_leads_to_the_page(filled: Path) -> None:
    with serving(filled) as server:
        assert server.host == "127.0.0.1"
        connection = server.connect()
        connection.request("GET", f"/?{server.link.partition('?')[2]}&match=x")
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.headers["Location"]) == (303, "/?match=x")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert cookie.startswith(f"lmdbstore_{server.port}=")
        connection.request("GET", "/api/stats", headers={"Cookie": cookie})
        assert json.loads(connection.getresponse().read())["events"] == 201
        connection.request("GET", "/api/stats", headers={"Cookie": cookie, "Host": "evil.example"})
        assert connection.getresponse().status == 421
        connection.close()
        assert server.end() == (130, b"", b"")


def test_hostile_texts_come_through_a_connection(filled: Path) -> None:
    with serving(filled) as server:
        answer = server.get(f"event/{quote(TEXT, safe='')}", match="script")
        assert answer["event"]["content"] == answer["event"]["id"] == TEXT
        assert answer["event"]["marks"] == [[2, 8]]
        assert len(server.get("search", flag=TEXT, source=TEXT)["events"]) == 1
        for address in ("/page/../app.py", "/page/%2e%2e/app.py", "/page//etc/passwd", "/%00"):
            with server.asked(address) as found:
                assert (found.status, found.headers["Content-Type"]) == (404, "application/json")
        with server.raw(b"not HTTP\r\n\r\n") as client:
            assert client.recv(100).startswith(b"HTTP/1.1 400")
        with server.raw(server.head("/api/stats").replace(b"GET", b"POST")) as client:
            assert client.recv(100).startswith(b"HTTP/1.1 405")
        assert server.end() == (130, b"", b"")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_it_whatever_clients_have_open(
    filled: Path, number: int, status: int
) -> None:
    with serving(filled) as server:
        clients = [server.raw(server.head("/api/follow")) for _ in range(10)]
        for client in clients:
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        stalled = server.raw(server.head("/api/export"), buffer=4096)
        assert stalled.recv(10)
        clients += [stalled, server.raw(), server.raw(b"GET / HT")]
        assert server.end(number) == (status, b"", b"")
        for client in clients:
            client.close()


def test_a_stop_ends_streams_before_their_connections_are_cut() -> None:
    with Asking(MemoryEventStore()) as asking:

        async def scenario() -> None:
            app = asking.app
            server = server_module._Server(uvicorn.Config(app), app, lambda: None, TIMEOUT)
            server.servers, server.force_exit = [], True  # there are no connections
            stream = asking.request("/api/follow")
            assert (await stream.message())["status"] == 200
            await server.shutdown()
            await asyncio.wait_for(stream.task, TIMEOUT)

        asking.run(scenario())


def test_a_store_that_moves_is_told_without_its_path(filled: Path) -> None:
    other = filled.with_name("other")
    with serving(filled) as server:
        assert server.get("stats")["events"] == 201
        filled.rename(other)
        deadline = time.monotonic() + TIMEOUT
        while "error" not in (answer := server.get("search")):  # it looks once a second
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer["error"]["code"] == server.get("facets")["error"]["code"] == "moved"
        assert str(filled) not in answer["error"]["message"]
        status, out, err = server.end()
        assert (status, out) == (130, b"")
        assert err.startswith(f"lmdbstore: the path {str(filled)!r}".encode())
        assert err.count(b"\n") == 1  # however often it is asked
    other.rename(filled)


def test_what_keeps_it_from_beginning_is_one_line(filled: Path, tmp_path: Path) -> None:
    def fails(*arguments: object) -> str:
        status, out, err = process("serve", *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("lmdbstore: ")
        assert err.count("\n") == 1
        return err

    assert "there is no store in" in fails("--db", tmp_path / "none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port: {port} of 127.0.0.1 is in use" in fails("--db", filled, "--port", port)
    assert "port" in fails("--db", filled, "--port", 65536)
    assert "host: 'x.invalid' is no address" in fails("--db", filled, "--host", "x.invalid")
    assert "host: '192.0.2.1' is no address" in fails("--db", filled, "--host", "192.0.2.1")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "data.mdb").write_bytes(b"x" * 10_000)
    assert "damaged" in fails("--db", tmp_path / "damaged")


def test_a_missing_extra_is_named(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("serve", "--db", filled)
    assert result.exit_code == 2
    assert result.stderr.startswith("lmdbstore: uvicorn is not installed")
    assert "pip install 'lmdbstore[web]'" in result.stderr
    with MemoryEventStore() as store, pytest.raises(ExtraMissing):
        serve(store)


def test_who_is_reached_by_others_is_warned(filled: Path) -> None:
    with serving(filled, "--host", "0.0.0.0", "--allow-host", "name.example") as server:
        assert server.link.startswith(f"http://name.example:{server.port}/?token=")
        server.host = "127.0.0.1"
        assert server.get("stats")["events"] == 201
        with server.asked("/api/stats", Host="name.example") as answer:
            assert answer.status == 200
        with server.asked("/api/stats", Host="other.example") as answer:
            assert answer.status == 421
        status, out, err = server.end()
        assert (status, out) == (130, b"")
        assert err.startswith(b"lmdbstore: warning: other machines reach this address")
        assert err.count(b"\n") == 1


def test_arguments_are_checked() -> None:
    store: Any = MemoryEventStore()
    for wrong in ({"port": -1}, {"port": 65536}, {"port": "80"}, {"port": True}):
        with pytest.raises(InvalidOption, match="port"):
            serve(store, **wrong)
    for host in ("x.invalid", "x" * 300, "x\0", "300.1.1.1"):
        with pytest.raises(InvalidOption, match="host"):
            serve(store, host, 0)
    wrong_names: list[Any] = ["a:80", "::1", "http://a", "", "a b", 5]
    for name in wrong_names:
        with pytest.raises(InvalidOption, match="without ports"):
            serve(store, port=0, names=[name])
    with pytest.raises(InvalidOption, match="names"):
        serve(store, port=0, names="a.example")
    wrong_store: Any = object()
    with pytest.raises(InvalidOption, match="EventStore"):
        serve(wrong_store)
    assert server_module._shown_host("::", "::", []) == "[::1]"
    assert server_module._shown_host("::1", "::1", []) == "[::1]"
    assert server_module._shown_host("localhost", "127.0.0.1", []) == "localhost"


# -- connections, with limits that a test can wait for --------------------------------------------

PROGRAM = """
import sys
from lmdbstore import LMDBEventStore
from lmdbstore.web import Limits, serve
store = LMDBEventStore(sys.argv[1], readonly=True, consistency="snapshot")
serve(store, port=0, limits=Limits(**eval(sys.argv[2])))
"""


@contextmanager
def limited(path: Path, **limits: float) -> Iterator[Server]:
    """Serve with some limits, in a program."""
    command = [sys.executable, "-c", PROGRAM, str(path), repr(limits)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as child:
        try:
            yield Server(child)
        finally:
            child.kill()


@pytest.fixture
def hasty(filled: Path) -> Iterator[Server]:
    """Yield a server that has little patience, and few places."""
    with limited(filled, head=0.3, send=0.3, connections=4) as server:
        yield server


def test_clients_that_are_slow_do_not_delay_the_end(filled: Path) -> None:
    with limited(filled, head=900, send=900) as server:
        clients = [server.raw(), server.raw(server.head("/api/export"), buffer=4096)]
        assert clients[1].recv(10)
        assert server.end(signal.SIGTERM) == (-signal.SIGTERM, b"", b"")
        for client in clients:
            client.close()


def test_a_connection_without_a_request_is_cut(hasty: Server) -> None:
    asked = hasty.head("/api/stats")
    for text in (b"", asked[:-2], b"GET / HTTP/1.1\r\nHost: x\r\nA: "):
        with hasty.raw(text) as client:
            assert client.recv(100) == b""
    with hasty.raw(asked) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        client.sendall(asked[:-2])
        while client.recv(10_000):  # after the answer it is cut, too
            pass


def test_a_stream_may_be_quiet_for_long(hasty: Server) -> None:
    with hasty.raw(hasty.head("/api/follow")) as client:
        time.sleep(1.0)  # longer than the patience of the server
        client.setblocking(False)
        assert client.recv(10_000).startswith(b"HTTP/1.1 200")
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_a_stream_that_was_asked_for_early_may_be_quiet_too(hasty: Server) -> None:
    """Its head comes with that of the request before it."""
    with hasty.raw(hasty.head("/api/stats") + hasty.head("/api/follow")) as client:
        time.sleep(1.0)  # longer than the patience of the server
        client.setblocking(False)
        while b"text/event-stream" not in (answers := client.recv(100_000)):
            assert answers, "it was cut"
        with pytest.raises(BlockingIOError):
            client.recv(1)


def test_a_client_that_takes_nothing_is_cut(hasty: Server) -> None:
    with hasty.raw(hasty.head("/api/export"), buffer=4096) as client:
        client.recv(10)
        time.sleep(1.0)  # longer than its patience, on any machine
        size = 0
        try:
            while some := client.recv(1 << 20):
                size += len(some)
        except ConnectionResetError:
            pass
        assert size < 200 * 50_000
    assert hasty.get("stats")["events"] == 201


def test_connections_that_are_too_many_are_cut(hasty: Server) -> None:
    streams = [hasty.raw(hasty.head("/api/follow")) for _ in range(4)]
    for client in streams:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    with hasty.raw() as client, suppress(ConnectionResetError):
        assert client.recv(100) == b""
    for client in streams:
        client.close()
    deadline = time.monotonic() + TIMEOUT
    while True:  # until it has seen that they have gone
        try:
            assert hasty.get("stats")["events"] == 201
            break
        except (OSError, EOFError):
            assert time.monotonic() < deadline
