"""Who may ask: the token of the first link, the cookie that it becomes, `Host` and `Origin`.

Rules: every request needs the token, in the cookie or in the header `Authorization`. A request
whose `Host` is not a name of the server is refused: so a page of another site, whose name leads to
this machine, gets nothing (DNS rebinding). So is one that a page of another origin sends. What is
compared with the token takes the same time for every text.
"""

from __future__ import annotations

import hmac
import re
import secrets
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from lmdbstore.errors import InvalidOption, shown

from .refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.datastructures import Headers

__all__ = ["HEADERS", "Guard", "checked_names"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_host = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?", re.ASCII).fullmatch
_is_name = re.compile(r"[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]", re.ASCII).fullmatch
SAME = frozenset({"same-origin", "none"})  # of `Sec-Fetch-Site`: not sent by another origin

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def checked_names(names: Iterable[str]) -> list[str]:
    """Return the names by which browsers may ask; raises InvalidOption."""
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        if isinstance(names, str) or not isinstance(name, str) or not _is_name(name):
            raise InvalidOption(
                f"names: {shown(name)} cannot be used; pass a list of names of this machine "
                "without ports, such as name.example, 192.0.2.7 or [2001:db8::7]"
            )
    return listed


class Guard:
    """The token, and the names of the server."""

    def __init__(self, port: int, names: Iterable[str] = (), token: str | None = None) -> None:
        """Allow the loopback names, and others; make a token unless one is given."""
        self._names = LOOPBACK | set(map(_plain, names))
        self._token = secrets.token_urlsafe(32) if token is None else token
        self.cookie = f"lmdbstore_{port}"  # other servers of the machine have their own

    @property
    def link(self) -> str:
        """Return the path of the first link."""
        return f"/?{urlencode({'token': self._token})}"

    def check_origin(self, headers: Headers, at: str, *, api: bool) -> None:
        """Check from where a request comes, at an address of the machine; raises Refusal."""
        host = headers.get("host", "").lower()
        name = _host(host)
        # No other site has the address as its name.
        if name is None or _plain(name[1]) not in {*self._names, at}:
            raise Refusal(
                421,
                "forbidden",
                f"Host: the server does not have the name {host[:100]!r}; allow it with "
                "--allow-host NAME",
                field="Host",
            )
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host:
            raise Refusal(403, "forbidden", "Origin: another site asks", field="Origin")
        if api and headers.get("sec-fetch-site", "none") not in SAME:
            raise Refusal(403, "forbidden", "Sec-Fetch-Site: another site asks", field="Origin")

    def check_token(self, headers: Headers) -> None:
        """Check that a request has the token; raises Refusal."""
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return
        if any(map(self._is_token, self._cookies(headers))):
            return
        raise Refusal(
            403,
            "forbidden",
            "open the address that 'lmdbstore serve' has printed; each start makes a new one",
        )

    def first_link(self, query: bytes) -> tuple[str, str] | None:
        """Return where a first link leads, and the cookie; None: it is no first link."""
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in pairs if name == "token"]
        if not any(map(self._is_token, tokens)):
            return None
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        cookie = f"{self.cookie}={self._token}; HttpOnly; SameSite=Lax; Path=/"
        return f"/?{rest}" if rest else "/", cookie

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    def _cookies(self, headers: Headers) -> list[str]:
        """Return the values of the cookie.

        All servers of a machine share its cookies, whatever their ports. So those of others come
        too, and they may be of any form: a strict parser would refuse this one with them.
        """
        pairs = [pair.partition("=") for pair in ";".join(headers.getlist("cookie")).split(";")]
        return [value.strip() for name, _, value in pairs if name.strip() == self.cookie]


def _plain(name: str) -> str:
    """Return a name as it is compared: an address of IPv6 can be written in many ways."""
    name = name.lower().strip("[]")
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
