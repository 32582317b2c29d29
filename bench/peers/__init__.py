"""The peers by name: how each is opened, and which packages it needs.

Rules: the module of a peer is imported only when the peer is opened. A peer whose packages are not
installed is left out, and the report says so. The tables show these names.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from .base import Peer

__all__ = ["OURS", "PEERS", "Kind", "Peer", "missing", "open_peer", "versions"]

OURS = "lmdbstore"


class Kind(NamedTuple):
    """How a peer is opened."""

    module: str
    name: str
    options: Mapping[str, Any] = {}
    packages: tuple[str, ...] = ()  # from the extra `bench`
    folder_of: str | None = None  # the peer whose data it reads; it writes none of its own
    stores: bool = True  # False: it has only the contents of events


ZSTD = () if sys.version_info >= (3, 14) else ("backports.zstd",)

PEERS = {
    OURS: Kind("ours", "Ours"),
    "lmdbstore, snapshot reads": Kind("ours", "Ours", {"consistency": "snapshot"}, (), OURS),
    "lmdbstore, zstd": Kind("ours", "Ours", {"compression": "zstd"}, ZSTD),
    "lmdbstore, not durable": Kind("ours", "Ours", {"durability": "none"}),
    "SQLite": Kind("sqlite", "SQLite"),
    "SQLite LIKE": Kind("sqlite", "SQLiteLike", {}, (), "SQLite"),
    "SQLite, not durable": Kind("sqlite", "SQLite", {"synchronous": "OFF"}),
    "DuckDB": Kind("duck", "DuckDB", {}, ("duckdb", "pyarrow")),
    "DuckDB, 1 thread": Kind("duck", "DuckDBOneThread", {}, ("duckdb", "pyarrow"), "DuckDB"),
    "RocksDB": Kind("rocks", "RocksDB", {}, ("rocksdict",)),
    "RocksDB, not durable": Kind("rocks", "RocksDB", {"sync": False}, ("rocksdict",)),
    "py-lmdb": Kind("bare", "BareLMDB"),
    "py-lmdb, not durable": Kind("bare", "BareLMDB", {"sync": False}),
    "grep": Kind("grep", "Grep", stores=False),
    "Theia files": Kind("theia", "TheiaNaive", {}, ("theia", "sqlalchemy")),
    "Theia RDBS": Kind("theia", "TheiaRDBS", {}, ("theia", "sqlalchemy")),
}


def missing(name: str) -> list[str]:
    """Return the packages of the peer that are not installed."""
    return [package for package in PEERS[name].packages if _version(package) is None]


def open_peer(name: str, folder: Path) -> Peer:
    """Open a peer in its folder, which must exist."""
    kind = PEERS[name]
    module = importlib.import_module(f".{kind.module}", __name__)
    peer: Peer = getattr(module, kind.name)(folder, **kind.options)
    return peer


def versions() -> dict[str, str]:
    """Return the versions of the measured packages, and of the packages they need."""
    packages = ["lmdbstore", "lmdb", "orjson", "google-re2", "xxhash"]
    packages += sorted({package for kind in PEERS.values() for package in kind.packages})
    return {package: _version(package) or "not installed" for package in packages}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
