"""TLS and passwords: where they come from, what is refused, and that no password is told."""

from __future__ import annotations

import logging
import os
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

from lmdbstore import (
    Event,
    EventReadException,
    EventWriteException,
    InvalidOption,
    SQLEventStore,
    StoreOpenError,
    open_store,
)
from lmdbstore.sql.server import shards
from lmdbstore.sql.server.shards import create_sharded
from tests.sql.servers import HOST, certificate
from tests.tools.children import until
from tests.tools.commands import ENVIRONMENT, LINES, LOG, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sql.servers import Server, Servers

ROLE = "someone"
# Each place of a password has other characters that are special.
SECRET = r"dont-tell:any@one\ever"
WRONG = r"dont-tell:this@one\ever"
PARTS = ("dont-tell", "any@one", "this@one", "any%40one", "this%40one", "ever")

OPENERS = pytest.mark.parametrize("opened", [SQLEventStore, open_store])


def prepared(server: Server) -> Server:
    """Give a server the role that logs in."""
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRET}'")
        connection.execute(f"GRANT CREATE ON DATABASE postgres TO {ROLE}")
    return server


@pytest.fixture(scope="module")
def with_tls(servers: Servers) -> Server:
    return prepared(servers.listening("tls", tls=True))


@pytest.fixture(scope="module")
def without_tls(servers: Servers) -> Server:
    return prepared(servers.listening("plain", tls=False))


@pytest.fixture(autouse=True)
def nothing_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what libpq would read besides."""
    for name in os.environ:
        if name.startswith("PG"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[BaseException], None]]:
    """Yield a check of an exception; what is logged is checked at the end of each test."""
    for name in ("", "psycopg", "psycopg.pool"):
        caplog.set_level(logging.DEBUG, name or None)

    def check(error: BaseException) -> None:
        """See that no password is in an error, nor in what psycopg attaches to errors."""
        shown = "".join(traceback.format_exception(error))
        each: BaseException | None = error
        while each is not None:
            shown += f"{each!r} {each} {each.args!r} {vars(each)!r}"
            each = each.__cause__ or each.__context__
        assert not [part for part in PARTS if part in shown]

    yield check
    records = caplog.get_records("call")
    logged = "".join(f"{record.getMessage()} {vars(record)!r}" for record in records)
    assert not [part for part in PARTS if part in logged]


def tls(server: Server, root: Path, mode: str = "verify-full") -> str:
    """Return an address with TLS and the password."""
    login = f"{ROLE}:{quote(SECRET, safe='')}@{HOST}:{server.port}"
    return f"postgresql://{login}/postgres?sslmode={mode}&sslrootcert={root}"


# -- TLS ------------------------------------------------------------------------------------------


@OPENERS
def test_a_certificate_is_verified(with_tls: Server, schema: str, opened: Any) -> None:
    address = tls(with_tls, with_tls.folder / "server.crt")
    with opened(address, schema=schema) as store:
        store.save(Event("a"))
        with (
            store.snapshot() as view,
            psycopg.connect(with_tls.address) as connection,
        ):
            assert len(view) == 1
            encrypted = connection.execute(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = %s",
                [ROLE],
            ).fetchall()
        assert encrypted
        assert set(encrypted) == {(True,)}


@OPENERS
@pytest.mark.parametrize("wrong", ["root", "name", "no root"])
def test_another_certificate_is_refused_before_anything_is_sent(
    with_tls: Server,
    schema: str,
    tmp_path: Path,
    told: Callable[[BaseException], None],
    *,
    opened: Any,
    wrong: str,
) -> None:
    """The server sees a connection that ends before it knows who it is."""
    root = with_tls.folder / "server.crt"
    if wrong == "root":
        root = certificate(tmp_path, "other")
    elif wrong == "no root":
        root = tmp_path / "nowhere.crt"
    address = tls(with_tls, root)
    if wrong == "name":
        address = address.replace(f"@{HOST}", "@logs.example") + f"&hostaddr={HOST}"
    log = with_tls.folder / "log"
    before, processes = log.stat().st_size, with_tls.processes()
    with pytest.raises(StoreOpenError, match=r"cannot be reached.*certificate") as info:
        opened(address, schema=schema)
    told(info.value)

    def said() -> str:
        return log.read_bytes()[before:].decode()

    until(lambda: "connection received" in said(), "the server sees no connection")
    until(lambda: with_tls.processes() <= processes, "the connection does not end")
    assert "auth" not in said()
    assert ROLE not in said()


@OPENERS
@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_is_refused(
    without_tls: Server,
    schema: str,
    told: Callable[[BaseException], None],
    *,
    opened: Any,
    mode: str,
) -> None:
    address = tls(without_tls, without_tls.folder / "server.crt", mode)
    log = without_tls.folder / "log"
    before = log.stat().st_size
    with pytest.raises(StoreOpenError, match=r"cannot be reached.*SSL") as info:
        opened(address, schema=schema)
    told(info.value)
    assert ROLE not in log.read_bytes()[before:].decode()


# -- passwords ------------------------------------------------------------------------------------


class Places:
    """Where libpq looks for a password."""

    def __init__(self, server: Server, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.server = server
        self._port = server.port
        self._folder = folder
        self._patch = patch

    def address(self, login: str = ROLE, more: str = "") -> str:
        return f"postgresql://{login}@{HOST}:{self._port}/postgres{more}"

    def in_the_address(self, password: str) -> str:
        return self.address(f"{ROLE}:{quote(password, safe='')}")

    def in_a_parameter(self, password: str) -> str:
        return self.address(more=f"?password={quote(password, safe='')}")

    def in_the_environment(self, password: str) -> str:
        self._patch.setenv("PGPASSWORD", password)
        return self.address()

    def in_the_password_file_of_the_address(self, password: str) -> str:
        return self.address(more=f"?passfile={self._password_file(password)}")

    def in_the_password_file_of_the_environment(self, password: str) -> str:
        self._patch.setenv("PGPASSFILE", str(self._password_file(password)))
        return self.address()

    def in_the_password_file_of_the_user(self, password: str) -> str:
        self._password_file(password).rename(self._folder / ".pgpass")
        return self.address()

    def in_the_service_file(self, password: str) -> str:
        """All that the address does not say comes from there."""
        self._service_file(f"password={password}")
        return "postgresql:///?service=logs"

    def in_the_service_file_and_a_password_file(self, password: str) -> str:
        self._service_file(f"passfile={self._password_file(password)}")
        return "postgresql:///?service=logs"

    def _password_file(self, password: str) -> Path:
        file = self._folder / "passwords"
        escaped = password.replace("\\", r"\\").replace(":", r"\:")
        file.write_text(f"elsewhere:*:*:*:x\n{HOST}:{self._port}:*:{ROLE}:{escaped}\n")
        file.chmod(0o600)
        return file

    def _service_file(self, line: str) -> None:
        file = self._folder / "services"
        file.write_text(
            f"[other]\nhost=nowhere\n[logs]\nhost={HOST}\nport={self._port}\nuser={ROLE}\n"
            f"dbname=postgres\n{line}\n"
        )
        self._patch.setenv("PGSERVICEFILE", str(file))


PLACES = pytest.mark.parametrize("place", [name for name in vars(Places) if name[:3] == "in_"])


@pytest.fixture
def places(without_tls: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(without_tls, tmp_path, monkeypatch)


@OPENERS
@PLACES
def test_a_password_is_found(places: Places, schema: str, opened: Any, place: str) -> None:
    address = getattr(places, place)(SECRET)
    with opened(address, schema=schema) as store:
        store.save(Event("a"))
        with store.snapshot() as view:
            assert len(view) == 1
        assert not [part for part in PARTS if part in repr(store)]


@OPENERS
@PLACES
def test_a_wrong_password_is_refused_and_not_told(
    places: Places, schema: str, told: Callable[[BaseException], None], opened: Any, place: str
) -> None:
    address = getattr(places, place)(WRONG)
    with pytest.raises(StoreOpenError, match="password authentication failed") as info:
        opened(address, schema=schema)
    told(info.value)


def test_no_password_is_refused(
    places: Places, schema: str, told: Callable[[BaseException], None]
) -> None:
    with pytest.raises(StoreOpenError, match="no password supplied") as info:
        open_store(places.address(), schema=schema)
    told(info.value)


def test_a_service_that_is_not_there_is_named(
    places: Places, schema: str, told: Callable[[BaseException], None]
) -> None:
    places.in_the_service_file(SECRET)
    with pytest.raises(StoreOpenError, match=r'service "none" not found') as info:
        open_store("postgresql:///?service=none", schema=schema)
    told(info.value)


def refusal(store: SQLEventStore) -> str:
    """Return why a store cannot be read."""
    with pytest.raises(EventReadException, match="cannot be reached") as info:
        store.get("a")
    return str(info.value)


def test_a_password_that_changes_while_a_store_is_open_is_not_told(
    places: Places,
    without_tls: Server,
    schema: str,
    told: Callable[[BaseException], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The pool tries in the background, and logs why it fails."""
    with (
        SQLEventStore(places.in_the_address(SECRET), schema=schema, timeout=1) as store,
        psycopg.connect(without_tls.address, autocommit=True) as connection,
    ):
        store.save(Event("a"))
        connection.execute(f"ALTER ROLE {ROLE} PASSWORD 'another'")
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [ROLE]
            )
            until(lambda: "password authentication failed" in refusal(store), "the reason is told")
            with pytest.raises(EventReadException, match="cannot be reached") as read:
                store.get("a")
            with pytest.raises(EventWriteException, match="nothing was written") as write:
                store.save(Event("b"))
        finally:
            connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{SECRET}'")
        told(read.value)
        told(write.value)
        logged = {record.name for record in caplog.get_records("call")}
        assert {"psycopg", "psycopg.pool"} <= logged
        assert "password authentication failed" in caplog.text
        until(lambda: can_be_read(store), "the store is not read again")


def can_be_read(store: SQLEventStore) -> bool:
    try:
        return len(store) == 1
    except EventReadException:
        return False


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://someone:dont-tell/ever@127.0.0.1:1/db",
        "postgresql://someone:dont-tell@ever@127.0.0.1:1/db",
        "postgresql://someone:dont-tell/db",
        "postgresql://someone:dont-tell",
        "postgresql://someone:dont-tell?ever@127.0.0.1:1/db@x",
        "postgresql://127.0.0.1:1,someone:dont-tell/db",
        "postgresql://127.0.0.1:1/dont-tell@ever",
        "postgresql://127.0.0.1?password=dont-tell@ever",
    ],
)
@OPENERS
def test_an_address_that_libpq_takes_apart_in_another_way_is_refused_and_not_told(
    opened: Any, address: str, told: Callable[[BaseException], None]
) -> None:
    """A part of a password would be the port, the host or the database, and messages name these."""
    with pytest.raises(InvalidOption, match="address") as info:
        opened(address)
    told(info.value)


# -- shards and commands --------------------------------------------------------------------------


def test_the_password_of_a_shard_is_not_in_the_log_of_the_coordinator(
    places: Places,
    servers: Servers,
    schema: str,
    told: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is in a statement, which a server may log: all, those that fail, and slow ones."""
    settings = {"log_statement": "all", "log_min_duration_statement": "0"}
    coordinator = servers.get("logging", settings)
    try:
        shard = places.in_the_address(SECRET)
        create_sharded(coordinator.address, [shard], schema=schema)
        with open_store(coordinator.address, schema=schema) as store:
            store.save(Event("a"))
            assert len(store) == 1
        monkeypatch.setattr(shards, "LOGIN", (*shards.LOGIN, "host"))  # a mapping has no host
        with pytest.raises(StoreOpenError, match=r"could not be made.*host") as info:
            create_sharded(coordinator.address, [shard], schema=f"{schema} b")
        told(info.value)
    finally:
        coordinator.stop()
    log = (coordinator.folder / "log").read_text()
    assert "SELECT" in log
    assert not [part for part in PARTS if part in log]


def test_a_role_that_is_no_superuser_makes_a_store_on_shards(
    places: Places, single_server: Server, schema: str
) -> None:
    """It may not change what the server logs."""
    with psycopg.connect(single_server.address, autocommit=True) as connection:
        connection.execute("CREATE ROLE maker LOGIN")
        connection.execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw")
        connection.execute("GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO maker")
        connection.execute("GRANT CREATE ON DATABASE postgres TO maker")
    address = single_server.address_of("postgres", "maker")
    create_sharded(address, [places.in_the_address(SECRET)], schema=schema)
    with open_store(address, schema=schema) as store:
        store.save(Event("a"))
        assert len(store) == 1


def test_a_command_takes_a_service(places: Places, schema: str, tmp_path: Path) -> None:
    address = f"{places.in_the_service_file(SECRET)}&schema={quote(schema)}"
    environment = ENVIRONMENT | {"PGSERVICEFILE": str(tmp_path / "services")}
    status, out, err = process("import", "--db", address, LOG, env=environment)
    assert (status, err) == (0, "")
    status, out, err = process("search", "--db", address, "--count", env=environment)
    assert (status, out, err) == (0, f"{LINES}\n", "")
    places.in_the_service_file(WRONG)
    status, out, err = process("search", "--db", address, "--count", env=environment)
    assert (status, out) == (2, "")
    assert "password authentication failed" in err
    assert not [part for part in PARTS if part in err]
