"""PostgreSQL servers for tests: made from nothing in a temporary folder, and stopped afterwards.

Rules: a server listens on a socket in its folder alone, so that no port is taken; only where a test
needs it, on a port of 127.0.0.1 too. It refuses to run as root, so root runs it as the user
`postgres`, or else as `nobody`. POSTGRESQL_BIN may be the folder of another version's programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

FAST = {  # for servers that are thrown away
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "max_prepared_transactions": "20",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}
FIXED = {"listen_addresses": "", "unix_socket_permissions": "0777"}
HANG = 60  # seconds; only a hang takes this long
HOST = "127.0.0.1"
# Who comes through the socket needs no password; who comes through the port does.
RULES = """
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs, or of those that are to be used."""
    if given := os.environ.get("POSTGRESQL_BIN"):
        return Path(given)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).resolve().parent


def needed() -> Path:
    """Return that folder, or skip the test."""
    pytest.importorskip("psycopg", reason="pip install '.[postgres]'")
    found = programs()
    if found is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql")
    return found


def _user() -> dict[str, Any]:
    """Return as whom a server is run, for `subprocess`."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return {}


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate for 127.0.0.1 which is its own root, and its key, or skip the test."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl, which makes certificates: apt-get install openssl")
    made = folder / f"{name}.crt"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", f"/O={name}/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"]
    files = ["-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    subprocess.run(["openssl", "req", *kind, *named, *files], check=True, capture_output=True)
    made.with_suffix(".key").chmod(0o600)
    return made


class Server:
    """One server, with its folder."""

    def __init__(self, base: Path, name: str, settings: dict[str, str] | None = None) -> None:
        self.folder = base / name
        self.settings = FAST | (settings or {})
        self.port = 0  # none, except the one in the name of its socket
        self._programs = needed()
        self._pid = 0

    @property
    def address(self) -> str:
        """The address of its database `postgres`."""
        return self.address_of("postgres")

    def address_of(self, database: str, user: str = "postgres") -> str:
        """Return the address of a database."""
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql:///{database}?host={self.folder}&user={user}{port}"

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self.folder / "data"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            capture_output=True,
            check=False,
            **_user(),
        )
        assert done.returncode == 0, done.stderr.decode()

    def make(self, template: Server | None = None) -> Server:
        """Make the data, or copy that of a server that does not run."""
        self.make_folder()
        if template is None:
            options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]
            self.run("initdb", *options, "--locale=C", "-D", str(self.data))
        else:
            shutil.copytree(template.data, self.data)
            _give(self.data)
        return self

    def make_folder(self) -> None:
        """Make the folder, for the server's user."""
        self.folder.mkdir(mode=0o755)
        _give(self.folder)

    def listen(self, *, tls: bool) -> Server:
        """Start it on a free port of 127.0.0.1, where it asks for passwords."""
        (self.data / "pg_hba.conf").write_text(RULES)
        if tls:
            made = certificate(self.folder, "server")
            key = made.with_suffix(".key")
            self.settings |= {"ssl": "on", "ssl_cert_file": str(made), "ssl_key_file": str(key)}
        _give(self.folder)
        end = time.monotonic() + HANG
        while True:
            self.port = _free_port()
            self.settings |= {"listen_addresses": HOST, "port": str(self.port)}
            try:
                self.run(*self._command())
            except AssertionError:  # another program may have taken the port
                if time.monotonic() > end:
                    raise
            else:
                break
        return self._started()

    def start(self) -> Server:
        """Start it, and wait until it answers. It is no child of this process."""
        end = time.monotonic() + HANG
        while True:
            try:
                self.run(*self._command())
            except AssertionError:  # a process of one that was killed may not have ended yet
                if time.monotonic() > end:
                    raise
                (self.data / "postmaster.pid").unlink(missing_ok=True)
            else:
                break
        return self._started()

    def _command(self) -> list[str]:
        settings = FIXED | self.settings | {"unix_socket_directories": str(self.folder)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = str(self.folder / "log")
        return ["pg_ctl", "-D", str(self.data), "-o", options, "-l", log, "-w", "-s", "start"]

    def _started(self) -> Server:
        self._pid = int((self.data / "postmaster.pid").read_text().split()[0])
        return self

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it at once (SIGQUIT), or kill it with all of its processes (SIGKILL)."""
        pid, self._pid = self._pid, 0
        if not pid:
            return
        children = _children(pid)
        for each in [pid, *(children if how == signal.SIGKILL else [])]:
            with suppress(ProcessLookupError):
                os.kill(each, how)
        end = time.monotonic() + HANG
        while any(map(_runs, [pid, *children])):
            assert time.monotonic() < end, "the server does not end"
            time.sleep(0.005)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @property
    def runs(self) -> bool:
        """Whether it was started, and not stopped."""
        return bool(self._pid)

    def processes(self) -> set[int]:
        """Return its processes, of which each connection has one."""
        return {self._pid, *_children(self._pid)}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += list(map(int, task.read_text().split()))
    return found


def _give(path: Path) -> None:
    """Give a file, or a folder with all in it, to the server's user."""
    user = _user()
    if user:
        for folder, _, files in os.walk(path):
            os.chown(folder, user["user"], user["group"])
            for name in files:
                os.chown(os.path.join(folder, name), user["user"], user["group"])


class Servers:
    """The servers of one test process, made when they are asked for."""

    def __init__(self) -> None:
        # Not pytest's own folder: its parents are for their owner alone, and the path is long.
        self.base = Path(tempfile.mkdtemp(prefix="lmdbstore-pg-"))
        self.base.chmod(0o755)
        self._template: Server | None = None
        self._servers: dict[str, Server] = {}

    def get(self, name: str, settings: dict[str, str] | None = None) -> Server:
        """Return the server of this name, which runs."""
        found = self._made(name, settings)
        if not found.runs:
            found.start()
        return found

    def listening(self, name: str, *, tls: bool) -> Server:
        """Return the server of this name, which runs and listens on a port too."""
        found = self._made(name, {"log_connections": "on"})
        if not found.runs:
            found.listen(tls=tls)
        return found

    def _made(self, name: str, settings: dict[str, str] | None) -> Server:
        found = self._servers.get(name)
        if found is None:
            if self._template is None:
                self._template = Server(self.base, "template").make()
            found = Server(self.base, name, settings).make(self._template)
            self._servers[name] = found
        return found

    def shards(self) -> tuple[Server, Sequence[Server]]:
        """Return a coordinator and three shards."""
        return self.get("coordinator"), [self.get(f"shard{n}") for n in range(3)]

    def stop(self) -> None:
        """Stop all, and remove their folders."""
        for server in self._servers.values():
            server.stop(signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)
