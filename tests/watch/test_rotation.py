"""Which name a rotated file had, by its name."""

from __future__ import annotations

import pytest

from lmdbstore.watch.rotation import bases, is_numbered


@pytest.mark.parametrize(
    "name",
    [
        "app.log.1",
        "app.log.12.gz",
        "app.log-20240305",
        "app.log-20240305.gz",
        "app.log.2024-03-05.zst",
        "app.log.2024-03-05_10",
        "app.log.old",
        "app.log~",
        "app.log.gz",
        "app-2024-03-05.log",
        "app-2024-03-05T10-11-12.345.log",
        "app_20240305.log.xz",
        "app.1.log",
        "app.2.log.bz2",
    ],
)
def test_a_rotated_file_is_known_by_its_name(name: str) -> None:
    assert "app.log" in bases(name)


@pytest.mark.parametrize(
    "name", ["app.log", "app.logs", "xapp.log.1", "app-errors.log", "app2024.log", ".app.log.1"]
)
def test_other_files_are_not_taken_for_rotated_ones(name: str) -> None:
    assert "app.log" not in bases(name)


def test_a_name_may_fit_several_files() -> None:
    assert bases("web-1-2024-03-05.log") >= {"web.log", "web-1.log"}
    assert bases("syslog.1") == {"syslog"}
    assert bases("...") == set()


@pytest.mark.parametrize(
    ("name", "numbered"),
    [
        ("app.log.1", True),
        ("app.log.12.gz", True),
        ("app.log-20240305", True),
        ("app-2024-03-05.log", True),
        ("app.2.log.bz2", True),
        ("app.log.2024-03-05_10.zst", True),
        ("app.log.old", False),
        ("app.log~", False),
        ("app.log.gz", False),
        ("app.log.errors", False),
        ("app-errors.log", False),
        ("app.log.1b", False),
        ("app.log", False),
    ],
)
def test_a_numbered_name_has_no_more_than_a_number(name: str, *, numbered: bool) -> None:
    assert is_numbered(name, "app.log") == numbered
