"""What `lmdbstore` prints without a command."""

from __future__ import annotations

from pathlib import Path

from lmdbstore.cli.opening import stores_in
from lmdbstore.errors import shown

__all__ = ["first_steps"]

NEW = """Store a log in the new folder 'events', and search it:

  lmdbstore import --db events /var/log/syslog
  lmdbstore search --db events 'error|failed' --since 1h"""

SEVERAL = """There are several stores here: {names}. Name one of them:

  lmdbstore stats  --db {first}
  lmdbstore search --db {first} 'error|failed' --since 1h"""

ONE = """The store {names} is here. See what it holds, and search it:

  lmdbstore stats
  lmdbstore search 'error|failed' --since 1h"""

MORE = """'lmdbstore --help' lists all commands, and 'lmdbstore COMMAND --help' explains one."""


def first_steps() -> str:
    """Return the commands to begin with, by the stores that are in the current folder."""
    names = [shown(str(one)) for one in stores_in(Path())]
    text = NEW if not names else ONE if len(names) == 1 else SEVERAL
    return f"{text.format(names=', '.join(names), first=names[0] if names else '')}\n\n{MORE}"
