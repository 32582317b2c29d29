"""Every recipe runs in an empty folder, and prints what it should; the README links it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LONG = 120  # seconds; ends a hang, decides nothing

PRINTED = {
    "asking.py": [
        "trouble: 2025-06-24T12:01:00+00:00 disk is 90 % full",
        "trouble: 2025-06-24T12:02:00+00:00 disk is full",
        'failed for x: {"status": 404, "user": {"id": "x"}}',
        'failed for x: {"status": 503, "user": {"id": "x"}}',
        "around it: disk is 90 % full",
        "around it: disk is full",
        "around it: backup ends",
        "created: 1",
        "deleted: 2",
        "would be purged: 2",
    ],
    "counting.py": [
        "2025-10-25T00:00:00+02:00 24",
        "2025-10-26T00:00:00+02:00 25",
        "2025-10-27T00:00:00+01:00 24",
        "errors in each 12 hours: [1, 1, 2, 1, 2, 1, 2]",
        "flags: {'info': 63, 'error': 10} and 1 more",
        "sources of errors: {'host0': 4, 'host1': 3, 'host2': 3}",
    ],
    "follow.py": [*(f"reading {n}" for n in range(6)), "arrived since: 0"],
    "log_with_logging.py": [
        "level:info x order 7 came",
        "level:error x order 7 failed",
        "errors: 1",
    ],
    "log_with_loguru.py": [
        "['level:info', 'shop'] order 7 came {'customer': 'x'}",
        "['level:error', 'shop'] order 7 failed {}",
        "['level:success', 'shop'] order 8 left {}",
        "errors: 1",
    ],
    "log_with_opentelemetry.py": [
        "order 7 came {'customer': 'x', 'items': 3} {'service.name': 'shop'}",
    ],
    "log_with_structlog.py": [
        "['level:info'] {'message': 'order came', 'customer': 'x', 'items': 3}",
        "['level:warning'] {'message': 'order is late', 'customer': 'x', 'days': 2}",
    ],
    "serve.py": [
        "slow: request 0 request 40 request 80",
        "saved: 100",
        "given up, and the error knows what happened: True",
    ],
    "ship.py": [
        "behind: 40",
        "purged: 20 held: 80",
        "behind: 0",
        "purged: 80 held: 0",
        "shipped: 50 twice: 3",
    ],
    "move.py": [
        *("500", "copied: 500 of 500", "again: 0", "alarms: 334"),
        *(f"events.{kind} True" for kind in ("csv", "jsonl", "parquet")),
    ],
}
NEEDS = {
    "log_with_loguru.py": "loguru",
    "log_with_opentelemetry.py": "opentelemetry.sdk",
    "log_with_structlog.py": "structlog",
    "move.py": "pyarrow",
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_recipe_runs(name: str, tmp_path: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    ran = subprocess.run(
        [sys.executable, str(HERE / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == PRINTED[name]


@pytest.mark.surroundings
def test_the_readme_links_every_recipe() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    recipes = {path.name for path in HERE.glob("*.py")} - {"__init__.py", Path(__file__).name}
    assert recipes == set(PRINTED)
    for name in recipes:
        assert f"(tests/recipes/{name})" in readme, name
