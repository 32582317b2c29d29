"""Who may ask."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import pytest

from lmdbstore import MemoryEventStore
from lmdbstore.web.guard import HEADERS
from tests.tools.asking import TOKEN, Asking

if TYPE_CHECKING:
    from collections.abc import Iterator

COOKIE = f"lmdbstore_8474={TOKEN}"
ADDRESSES = [
    "/",
    "/page/index.html",
    "/page/../app.py",
    "/nothing",
    "/api/search",
    "/api/histogram",
    "/api/facets",
    "/api/stats",
    "/api/event/x",
    "/api/follow",
    "/api/export",
    "/api/nothing",
]


@pytest.fixture
def guarded() -> Iterator[Asking]:
    made = Asking(MemoryEventStore(), names=["host.example", "[2001:DB8:0::7]"])
    yield made
    made.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_is_answered_without_the_token(guarded: Asking, address: str) -> None:
    wrong: list[dict[str, str]] = [
        {},
        {"Cookie": ""},
        {"Cookie": "lmdbstore_8474="},
        {"Cookie": f"lmdbstore_8474={TOKEN}x"},
        {"Cookie": f"lmdbstore_8474={TOKEN[:-1]}"},
        {"Cookie": f"lmdbstore_8475={TOKEN}"},
        {"Cookie": f"lmdbstore_8474=\xff{TOKEN}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
    ]
    for headers in wrong:
        answer = guarded.ask(address, token=None, headers=headers)
        assert (answer.status, answer.error["code"]) == (403, "forbidden")
        assert TOKEN.encode() not in answer.body
    for query in ("?token=", "?token=x", f"?Token={TOKEN}"):
        assert guarded.ask(address + query, token=None).status == 403


def test_the_first_link_becomes_a_cookie(guarded: Asking) -> None:
    answer = guarded.ask(f"/?match=a%26b&token={TOKEN}&flag=%F0%9F%98%80", token=None)
    assert answer.status == 303
    assert answer.headers["location"] == "/?match=a%26b&flag=%F0%9F%98%80"
    assert answer.headers["set-cookie"] == f"{COOKIE}; HttpOnly; SameSite=Lax; Path=/"
    assert answer.headers["cache-control"] == "no-store"
    assert guarded.ask(f"/?token={TOKEN}", token=None).headers["location"] == "/"
    assert guarded.ask("/api/stats", token=None, headers={"Cookie": f"a=b; {COOKIE}"}).json
    assert guarded.ask(f"/api/stats?token={TOKEN}", token=None).status == 403


@pytest.mark.parametrize(
    "other",
    [
        'prefs={"a": 1}',
        'open="',
        "two words=a b c",
        "alone",
        "[a]=1",
        "=",
        "",
        "\xe9=\xff",
        "a=b,c",
    ],
)
def test_cookies_of_other_servers_of_the_machine_do_not_matter(guarded: Asking, other: str) -> None:
    """A browser sends them to all ports, whatever their form."""
    for cookies in (f"{other}; {COOKIE}", f"{COOKIE}; {other}", f"a=b;{COOKIE};{other}"):
        headers = {"Cookie": cookies}
        assert guarded.ask("/api/stats", token=None, headers=headers).status == 200
        headers = {"Cookie": f"lmdbstore_8474=old; {cookies}"}  # of another path
        assert guarded.ask("/api/stats", token=None, headers=headers).status == 200
    headers = {"Cookie": f"{other}; x{COOKIE}; a={COOKIE}"}
    assert guarded.ask("/api/stats", token=None, headers=headers).status == 403


def test_the_token_is_compared_in_constant_time(
    guarded: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def noted(given: bytes, token: bytes) -> bool:
        compared.append(given)
        return compare(given, token)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    guarded.ask("/?token=one", token="two", headers={"Cookie": "lmdbstore_8474=three"})
    assert compared == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:8474",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1/",
        "localhost.",
        "127.0.0.2",
        "[::2]",
        "[::1",
        "localhost:",
        "localhost:80a",
        "0.0.0.0",
    ],
)
def test_other_names_of_the_machine_are_refused(guarded: Asking, host: str | None) -> None:
    """A page of another site may let its name lead here (DNS rebinding)."""
    for address in ADDRESSES:
        answer = guarded.ask(address, host=host)
        assert (answer.status, answer.error["field"]) == (421, "Host")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "LOCALHOST:8474",
        "[::1]:8474",
        "localhost:9",
        "Host.example:80",
        "192.0.2.7",
        "[2001:db8::7]:8474",
    ],
)
def test_names_of_the_server_are_not(guarded: Asking, host: str) -> None:
    assert guarded.ask("/api/stats", host=host).status == 200
    assert guarded.ask("/api/stats", host=host, headers={"Origin": f"http://{host}"}).json


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://localhost:8474"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_origins_are_refused(guarded: Asking, headers: dict[str, str]) -> None:
    answer = guarded.ask("/api/search", headers=headers)
    assert (answer.status, answer.error["code"]) == (403, "forbidden")


def test_a_link_of_another_site_may_lead_to_the_page(guarded: Asking) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Cookie": COOKIE}
    assert guarded.ask("/", token=None, headers=headers).status in {200, 404}
    assert guarded.ask("/api/stats", headers={"Sec-Fetch-Site": "same-origin"}).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
def test_only_reading_is_possible(guarded: Asking, method: str) -> None:
    for address in ADDRESSES:
        answer = guarded.ask(address, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_every_answer_is_guarded_in_the_browser(guarded: Asking) -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy
    for address in [*ADDRESSES, f"/?token={TOKEN}"]:
        if address == "/api/follow":
            continue  # it does not end
        for request in ({}, {"token": None}, {"host": "evil"}, {"method": "POST"}):
            answer = guarded.ask(address, **request)
            for name, value in HEADERS.items():
                assert answer.headers[name.lower()] == value
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "cache-control" in answer.headers


def test_head_has_the_headers_alone(guarded: Asking) -> None:
    for address in ADDRESSES:
        answer = guarded.ask(address, method="HEAD")
        assert answer.body == b""
        if address != "/api/follow":
            assert answer.status == guarded.ask(address).status
