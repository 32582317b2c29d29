"""`open_store`: which store an address opens, and that no password in one is ever shown."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

import lmdbstore
from lmdbstore import (
    Event,
    ExtraMissing,
    InvalidOption,
    LMDBEventStore,
    MemoryEventStore,
    ReadOnlyStore,
    SQLEventStore,
    StoreOpenError,
    address,
    open_store,
)
from lmdbstore.address import TELLING, Server, StoreOptions, is_address, parsed
from tests.tools.children import ROOT
from tests.tools.properties import examples

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t"


class Remote(MemoryEventStore):
    """What stands for a store on a server; `opened` are the addresses and options."""

    opened: list[tuple[str, dict[str, Any]]]

    def __init__(self, conninfo: str, **options: Any) -> None:
        super().__init__()
        self.opened.append((conninfo, options))


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Put `Remote` in the place of the class; return its list."""
    monkeypatch.setattr(Remote, "opened", [], raising=False)
    monkeypatch.setattr(address, "sql_event_store", lambda: Remote)
    return Remote.opened


# -- a folder -------------------------------------------------------------------------------------


def test_a_folder_is_opened_as_an_lmdb_store(path: Path) -> None:
    with open_store(f"lmdb:{path}", durability="none", mode=0o640) as store:
        assert type(store) is LMDBEventStore
        store.save(Event("a"))
    assert (path / "data.mdb").stat().st_mode & 0o777 == 0o640
    with LMDBEventStore(path) as store:
        assert store.get("a").id == "a"


def test_a_folder_may_be_relative(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    open_store(f"lmdb:{path.name}").close()
    assert (path / "data.mdb").exists()


def test_the_options_of_both_kinds_reach_a_folder(path: Path) -> None:
    with pytest.raises(StoreOpenError):
        open_store(f"lmdb:{path}", create=False)
    open_store(f"lmdb:{path}").close()
    with (
        open_store(f"lmdb:{path}", readonly=True, consistency="snapshot", timeout=7) as store,
        pytest.raises(ReadOnlyStore),
    ):
        store.save(Event("a"))
    for wrong in ({"consistency": "none"}, {"timeout": -1}, {"readonly": 1.5}, {"map_size": 7}):
        named: Any = wrong
        with pytest.raises(InvalidOption, match=rf"^{next(iter(wrong))}"):
            open_store(f"lmdb:{path}", **named)


# -- a server -------------------------------------------------------------------------------------

PUBLIC = {"create": True, "readonly": False, "consistency": "strict", "timeout": None}


@pytest.mark.parametrize(
    ("given", "conninfo", "schema"),
    [
        ("postgresql://", "postgresql://", None),
        ("postgresql://h/db", "postgresql://h/db", None),
        ("postgres://u@h:5/db?sslmode=disable", "postgres://u@h:5/db?sslmode=disable", None),
        ("postgresql://h/db?schema=a%20b", "postgresql://h/db", "a b"),
        ("postgresql://h/db?user=u&schema=x&port=7", "postgresql://h/db?user=u&port=7", "x"),
        ("postgresql://u:p?schema=x@h/db?schema=y", "postgresql://u:p?schema=x@h/db", "y"),
        ("postgresql://a:1,[::1]:2/db?", "postgresql://a:1,[::1]:2/db", None),
    ],
)
def test_a_server_is_opened_as_an_sql_store(
    remote: list[Any], given: str, conninfo: str, schema: str | None
) -> None:
    """The schema is not for libpq; all else is."""
    with open_store(given) as store:
        assert isinstance(store, Remote)
    expected = PUBLIC if schema is None else {**PUBLIC, "schema": schema}
    assert remote == [(conninfo, expected)]


def test_options_reach_the_server(remote: list[Any]) -> None:
    named: dict[str, Any] = {
        "create": False,
        "readonly": True,
        "consistency": "snapshot",
        "timeout": 5,
        "schema": "s",
        "pool_size": 3,
        "statement_timeout": 9,
    }
    open_store("postgresql://h/db", **named).close()
    assert remote == [("postgresql://h/db", named)]


def test_a_schema_is_given_once(remote: list[Any]) -> None:
    for where, options in (("?schema=a&schema=a", {}), ("?schema=a", {"schema": "a"})):
        named: Any = options
        with pytest.raises(InvalidOption, match=r"schema.*give it once"):
            open_store(f"postgresql://h/db{where}", **named)
    assert remote == []


def test_a_server_that_does_not_answer_is_an_error_without_the_password() -> None:
    """By the real class."""
    with pytest.raises(StoreOpenError, match="cannot be reached") as caught:
        open_store(f"postgresql://u:{SECRET}@127.0.0.1:1/db?connect_timeout=2")
    assert SECRET not in str(caught.value)


# -- options --------------------------------------------------------------------------------------


def test_the_options_are_those_of_the_classes() -> None:
    public = set(inspect.signature(open_store).parameters) - {"address", "options"}
    folder = set(inspect.signature(LMDBEventStore).parameters) - {"path"}
    server = set(inspect.signature(SQLEventStore).parameters) - {"address"}
    assert public == folder & server
    assert set(StoreOptions.__annotations__) == folder ^ server


@pytest.mark.usefixtures("remote")
def test_an_option_of_the_other_kind_is_named(path: Path) -> None:
    for place, options in (
        (f"lmdb:{path}", {"schema": "s", "pool_size": 3, "statement_timeout": None}),
        ("postgresql://h/db", {"map_size": 1 << 30, "durability": "full", "mode": 0o600}),
    ):
        for name, value in options.items():
            named: Any = {name: value}
            with pytest.raises(InvalidOption, match=rf"^{name}: .* no such option: leave it out"):
                open_store(place, **named)
    assert not path.exists()


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize("place", ["lmdb:x", "postgresql://h/db", "nothing"])
def test_an_unknown_option_is_a_type_error(place: str) -> None:
    call: Any = open_store
    with pytest.raises(TypeError, match=r"open_store\(\) got an unexpected keyword argument 'siz"):
        call(place, size=7)
    with pytest.raises(TypeError):
        call(address=place)


# -- what is no address ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["", "events", "/var/lib/events", "sqlite:events.db", "lmdb", "lmdb:", "lmdb://events"]
)
def test_what_is_no_address_is_shown_with_the_remedy(wrong: str) -> None:
    with pytest.raises(InvalidOption, match=r"^address: .*; give 'lmdb:FOLDER'") as caught:
        open_store(wrong)
    assert repr(wrong) in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 7, b"lmdb:events", ["lmdb:events"]])
def test_an_address_is_a_text(wrong: Any) -> None:
    with pytest.raises(InvalidOption, match=f"^address: .* type {type(wrong).__name__}; give"):
        open_store(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        f"u:{SECRET}@h/db",
        f"mysql://u:{SECRET}@h/db",
        f"Postgresql://u:{SECRET}@h/db",
        f"redis://h?password={SECRET}",
        f"host=h password={SECRET}",
        f"postgresql:u:{SECRET}@h",
        f"postgresql://u:{SECRET}",
        f"postgresql://u:{SECRET}/a@h/db",
        f"postgresql://u:a@{SECRET}@h/db",
        f"postgresql://u:%{SECRET}@h/db",
        f"postgresql://u:%ff{SECRET}@h/db",
        f"postgresql://u:%00{SECRET}@h/db",
        f"postgresql://u: {SECRET}@h/db",
        f"postgresql://u:{SECRET}\udcff@h/db",
        f"postgresql://u:{SECRET}@h/db\0",
        f"postgresql://u:{SECRET}@h/db\n",
        f"postgresql://u:{SECRET}@h:port/db",
        f"postgresql://u:{SECRET}@[]/db",
        f"postgresql://u:{SECRET}@[::1]x/db",
        f"postgresql://h/db?{SECRET}",
        f"postgresql://h/db?password=a={SECRET}",
        f"postgresql://u:{SECRET}@h/db?schema=a&schema=b",
        f"postgresql://u:{SECRET}@h/db?schema=%ff",
    ],
)
def test_an_address_that_may_hold_a_password_is_not_shown(wrong: str) -> None:
    with pytest.raises(InvalidOption, match=r"^address: .*; give ") as caught:
        open_store(wrong)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


PARTS = ["u", "h", "5", ":", "@", "/", "?", "&", "=", ",", "[", "]", "::1", "%41", "%", "#", " "]
PARTS += ["user=", "password=", "schema=", "port=", SECRET]
PAIRS = [f"password={SECRET}", "schema=a%20b", "user=u", "port=5", "host=/tmp", "sslmode=disable"]


def some(most: int, *parts: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts or PARTS), max_size=most).map("".join)


def addresses() -> st.SearchStrategy[str]:
    """Give what comes after the scheme: parts in any order, and some in theirs."""
    login = st.tuples(some(2, "u", "%41", "?"), some(4), st.just("@")).map(
        lambda three: f"{three[0]}:{three[1]}{three[2]}"
    )
    hosts = some(3, "h", "5", ":5", ",", "[::1]")
    query = st.lists(st.sampled_from(PAIRS), max_size=3).map("&".join)
    rest = st.tuples(st.just("") | login, hosts, some(2, "/", "h", "@"), st.just("?"), query)
    return some(12) | rest.map("".join)


def outcome(text: str) -> tuple[Server | None, str]:
    """Return the server of an address, or why it is refused."""
    try:
        found = parsed(text)
    except InvalidOption as error:
        return None, str(error)
    assert isinstance(found, Server)
    return found, ""


@examples(400)
@given(addresses())
@example(f"u:{SECRET}@h/h")
@example(f"u@h/h?password={SECRET}&schema=u")
@example(f"h?user={SECRET}@h")
@example("h/h?user=u@h")
@example(f"u:{SECRET}@h@h/h")
@example(f"u:5/{SECRET}@h/h")
def test_an_address_means_what_libpq_takes_it_for(rest: str) -> None:
    """What is refused is not shown; what is not, libpq takes, and no password of it is shown."""
    text = f"postgresql://{rest}"
    found, said = outcome(text)
    assert SECRET not in said
    if found is None:
        return
    try:
        meant = conninfo_to_dict(found.conninfo)
    except psycopg.ProgrammingError as error:  # libpq alone knows the names of parameters
        assert "invalid URI query parameter" in repr(error)  # noqa: PT017
        return
    if found.schema is None:
        assert meant == conninfo_to_dict(text)
    password = str(meant.get("password", ""))
    for shown in (str(found), repr(found), f"{found}"):
        assert SECRET not in password or SECRET not in shown or rest.count(SECRET) > 1
    again = parsed(found.shown)  # what is shown is an address of the same store
    assert isinstance(again, Server)
    assert again.schema == found.schema
    told = conninfo_to_dict(again.conninfo)
    assert told == {
        name: value for name, value in meant.items() if name in TELLING and "@" not in str(value)
    }


def test_what_is_shown_of_an_address_has_no_password() -> None:
    found = parsed(f"postgresql://u:{SECRET}@h:5/db?schema=s&password={SECRET}&sslmode=disable")
    assert str(found) == "postgresql://u@h:5/db?schema=s"
    assert SECRET not in repr(found)
    found = parsed(f"postgresql:///db?host=/tmp&sslpassword={SECRET}&user=u&port=7&service=a@b")
    assert str(found) == "postgresql:///db?host=/tmp&user=u&port=7"


@pytest.mark.parametrize("text", ["events", "a:b", "./lmdb:events", "lmdb", "postgresql", ""])
def test_a_folder_is_not_taken_for_an_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize("text", ["lmdb:events", "postgres:x", "POSTGRESQL://h", "mysql://h/db"])
def test_what_looks_like_an_address_is_taken_for_one(text: str) -> None:
    assert is_address(text)


# -- the extra ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["psycopg", "psycopg_pool"])
def test_without_the_extra_its_name_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(vars(lmdbstore), "SQLEventStore", raising=False)
    for call in (lambda: open_store("postgresql://h/db"), lambda: lmdbstore.SQLEventStore):
        with pytest.raises(ExtraMissing, match=rf"^{name} is not .*'lmdbstore\[postgres\]'"):
            call()


WITHOUT = """
import sys
sys.modules["psycopg"] = None
import lmdbstore, inspect, pydoc
from lmdbstore import *
assert open_store is lmdbstore.open_store
inspect.getmembers(lmdbstore), pydoc.render_doc(lmdbstore)
"""


@pytest.mark.surroundings
def test_the_package_can_be_used_and_read_without_the_extra() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", WITHOUT], env=environment, check=True, timeout=60)


def test_the_class_is_a_name_of_the_package() -> None:
    from lmdbstore.sql.store import SQLEventStore as Same

    assert SQLEventStore is Same
    assert psycopg.__name__ in sys.modules
