"""`open_store`: any store by its address. A program that outgrows one machine changes one line.

    lmdb:FOLDER                                      a folder of this machine: `LMDBEventStore`
    postgresql://user@host:port/database             a server of PostgreSQL: `SQLEventStore`
    postgresql://host/database?schema=name           the same, in another schema than `lmdbstore`

`postgres://` is the same as `postgresql://`. What PostgreSQL's own programs take in such an address
may be in it: several hosts, and parameters such as `sslmode=verify-full`.

Rules: an address that may hold a password is never quoted. `sql.uri` reads it before libpq does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from lmdbstore.contract.tables.libraries import library
from lmdbstore.errors import InvalidOption, shown
from lmdbstore.sql.uri import decoded, server_in
from lmdbstore.store import LMDBEventStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn, Unpack

    from lmdbstore.contract.api import EventStore
    from lmdbstore.sql.store import SQLEventStore
    from lmdbstore.store import Compression, Consistency, Durability

__all__ = [
    "Server",
    "StoreOptions",
    "is_address",
    "open_server",
    "open_store",
    "parsed",
    "sql_event_store",
]

FOLDER = "lmdb:"
# Parameters that say which store it is.
TELLING = {"host", "hostaddr", "port", "dbname", "user", "service", "schema"}
GIVE = "give 'lmdb:FOLDER', or 'postgresql://user@host/database'"
ENCODE = (
    "it is no address of PostgreSQL (it is not shown, since it may hold a password); give "
    "'postgresql://user@host:port/database', and in percent encoding what is special in a name or "
    "a password, such as %40 for @ and %2F for /"
)

_scheme = re.compile(r"[a-z][a-z0-9+.-]*(?=:)", re.IGNORECASE)
# What a folder is not called, unless it is an address.
_addressed = re.compile(r"(?:lmdb|postgres|postgresql):|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Server(NamedTuple):
    """What the address of a store on PostgreSQL says."""

    conninfo: str
    """The address for libpq, which may hold a password."""
    schema: str | None
    shown: str
    """The address for people, without a password."""

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<{self.shown}>"


class _FolderOptions(TypedDict, total=False):
    durability: Durability
    map_size: int | None
    max_readers: int | None
    compression: Compression | None
    mode: int


class _ServerOptions(TypedDict, total=False):
    schema: str
    pool_size: int
    statement_timeout: float | None


class StoreOptions(_FolderOptions, _ServerOptions):
    """The options of `open_store` that one kind of store has: see the class of that kind."""


def open_store(
    address: str,
    /,
    *,
    create: bool = True,
    readonly: bool = False,
    consistency: Consistency = "strict",
    timeout: float | None = None,
    **options: Unpack[StoreOptions],
) -> EventStore:
    """Open the store at an address: an `LMDBEventStore`, or an `SQLEventStore`.

    Args:
        address: `lmdb:FOLDER`, such as `lmdb:events` or `lmdb:/var/lib/events`; or
            `postgresql://user@host:port/database`, with `?schema=name` for a store in another
            schema. A password is best in a password file (`~/.pgpass`) or the variable PGPASSWORD.
        create: Make a store if there is none.
        readonly: Open without the right to write; the store must exist.
        consistency: `"strict"` or `"snapshot"`; see the classes.
        timeout: Seconds that this and every call may wait for others; None: for ever.
        **options: Other options of the class: of `LMDBEventStore` with `lmdb:`, and of
            `SQLEventStore` with `postgresql://`.

    Raises:
        InvalidOption: the address is none of these, or an option has an invalid value or is one of
            the other kind of store.
        ExtraMissing: the extra `postgres` is not installed.
        OpenBusy, StoreInUse, StoreOpenError: as the class does.
    """
    for name in options.keys() - StoreOptions.__annotations__.keys():
        raise TypeError(f"open_store() got an unexpected keyword argument {name!r}")
    found = parsed(address)
    named: dict[str, Any] = {
        "create": create,
        "readonly": readonly,
        "consistency": consistency,
        "timeout": timeout,
        **options,
    }
    if isinstance(found, str):
        _check_kind("in a folder", options, _ServerOptions.__annotations__)
        return LMDBEventStore(found, **named)
    _check_kind("on PostgreSQL", options, _FolderOptions.__annotations__)
    return open_server(found, **named)


def open_server(server: Server, **options: Any) -> SQLEventStore:
    """Open the store on a server; raises as `open_store` does."""
    if server.schema is not None:
        if "schema" in options:
            raise InvalidOption("schema: it is in the address, and given too; give it once")
        options["schema"] = server.schema
    return sql_event_store()(server.conninfo, **options)


def _check_kind(kind: str, options: Mapping[str, object], others: Mapping[str, object]) -> None:
    for name, value in options.items():
        if name in others:
            raise InvalidOption(
                f"{name}: {shown(value)} cannot be used; a store {kind} has no such option: leave "
                "it out"
            )


def sql_event_store() -> type[SQLEventStore]:
    """Return the class of stores on PostgreSQL; raises ExtraMissing."""
    for name in ("psycopg", "psycopg_pool"):
        library(name, "postgres")
    from .sql.store import SQLEventStore

    return SQLEventStore


def is_address(text: str) -> bool:
    """Whether a text is meant to be an address, and not the path of a folder."""
    return _addressed.match(text) is not None


def parsed(address: object) -> str | Server:
    """Return the folder that an address names, or the server; raises InvalidOption."""
    if not isinstance(address, str):
        _refuse(f"it is no text, but of the type {type(address).__name__}; {GIVE}")
    text = str.__str__(address)
    if text.startswith(FOLDER):
        return _folder(text)
    if text.startswith(("postgresql:", "postgres:")):
        return _parsed_server(text)
    return _refuse(f"{_unsuspicious(text)} is no address of a store; {GIVE}")


def _folder(text: str) -> str:
    folder = text.removeprefix(FOLDER)
    if not folder or folder.startswith("//"):
        _refuse(f"{shown(text)} names no folder; give 'lmdb:FOLDER', such as lmdb:/var/lib/events")
    return folder


def _parsed_server(text: str) -> Server:
    found = server_in(text)
    if found is None:
        return _refuse(ENCODE)
    query = found["query"] or ""
    pairs = [pair for pair in query.split("&") if pair]
    schemas = [pair for pair in pairs if pair.startswith("schema=")]
    if len(schemas) > 1:
        _refuse("the parameter 'schema' is in it more than once; give it once")
    user = "" if found["user"] is None else f"{found['user']}@"
    database = f"/{found['database']}" if found["database"] else ""
    told = "&".join(pair for pair in pairs if pair.partition("=")[0] in TELLING and "@" not in pair)
    named = f"?{told}" if told else ""
    public = f"{found['scheme']}://{user}{found['hosts']}{database}{named}"
    others = "&".join(pair for pair in pairs if pair not in schemas)
    front = text[: found.start("query") - 1] if found["query"] is not None else text.rstrip("?")
    conninfo = f"{front}?{others}" if others else front
    schema = decoded(schemas[0].partition("=")[2]) if schemas else None
    return Server(conninfo, schema, public)


def _unsuspicious(text: str) -> str:
    """Return an address for a message: as a whole only if no password can be in it."""
    if not any(mark in text for mark in "@=?"):
        return shown(text)
    found = _scheme.match(text)
    return f"what begins with {shown(found[0] + ':')}" if found else "what was given"


def _refuse(reason: str) -> NoReturn:
    raise InvalidOption(f"address: {reason}")
