"""The addresses of servers of PostgreSQL, read before libpq reads them.

Rules: libpq quotes what it cannot read, such as a password with an `@` in it: it ends a password at
the first `@`, and before a `/` at that, and takes the rest for a host, a port or a database. So an
address is read here first, as libpq reads it, and what it would refuse, or take apart in another
way than was meant, does not reach it.
"""

from __future__ import annotations

import re

__all__ = ["decoded", "server_in"]

_HOST = r"(?: \[[^\]\[/?@]+\] | [^\]\[:/?@,]*) (?: : [0-9]*)?"
_server = re.compile(
    rf"""
    (?P<scheme> postgres(?:ql)?) ://
    (?: (?P<user> [^:@/?]*) (?: : [^@/]*)? @ | (?! [^/]* @) )   # an @ before a / ends a password
    (?P<hosts> {_HOST} (?: , {_HOST})*)
    (?: / (?P<database> [^?@]*))?
    (?: \? (?P<query> [a-z_]+=[^=&]* (?: & [a-z_]+=[^=&]*)*)?)?
    """,
    re.VERBOSE,
).fullmatch
_spoilt = re.compile(r"[\s\0\ud800-\udfff]|%(?![0-9a-f]{2})|%00", re.IGNORECASE).search


def server_in(text: str) -> re.Match[str] | None:
    """Return the parts of an address; None if it is none that libpq takes as it is meant."""
    return None if _spoilt(text) or decoded(text) is None else _server(text)


def decoded(text: str) -> str | None:
    """Return a text without its percent encoding; None if that is no text."""
    from urllib.parse import unquote  # it takes time, and few addresses need it

    try:
        return unquote(text, errors="strict") if "%" in text else text
    except UnicodeDecodeError:
        return None
