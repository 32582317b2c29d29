"""The description of the machine and the software, for the report."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .imports.importers import versions as importers
from .peers import versions

__all__ = ["about"]


def about(command: str, events: int, folder: Path) -> dict[str, str]:
    """Describe the run, the machine and the versions, without names of hosts, users or folders."""
    return {
        "command": f"`{command}`",
        "events": f"{events:,}; fewer of the log and beside Theia's stores",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _commit(),
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": _output("df", "--output=fstype", str(folder)).split()[-1],
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        **versions(),
        **importers(),
    }


def _commit() -> str:
    where = str(Path(__file__).parent)
    changed = _output("git", "-C", where, "status", "--porcelain", "--untracked-files=no")
    return _output("git", "-C", where, "rev-parse", "--short", "HEAD") + (
        ", with changes" if changed else ""
    )


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _output(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()
