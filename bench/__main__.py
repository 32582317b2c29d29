"""Run the benchmark.

    python -m bench [--events 1000000] [--repeat 5] [--only TEXT] [--small]
                    [--out bench/RESULTS.md] [--remake]

It needs `pip install '.[bench]'`. Theia pins packages that do not build on newer Pythons; install
it with `pip install --no-deps theia`. lnav is a package of the system: `apt-get install lnav`.
Peers that are not installed are left out, and the report says so.

The full run takes about 45 minutes and 15 GB of disk. It writes the report and, in the same folder,
`results.svg`, a chart, and `results.json`, the figures. `--remake` makes the report and the chart
again from the figures. `--small` takes a minute, and prints the report instead. `--only` runs the
rows whose name, such as "made: get", contains TEXT, and also prints the report; `--only import:`
runs those about importing files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .chart import svg
from .follow.rows import run_follow
from .imports.importers import left_out
from .imports.rows import run_imports
from .logs import run_logs
from .machine import about
from .measure import Figures
from .operations import GROUPS, Group
from .page import run_page
from .peers import PEERS, missing
from .processes import ALONE, TOGETHER, run_processes
from .processes import GROUP as PROCESSES
from .report import markdown
from .runner import LOADED, ON_DISK, Settings, run_group
from .scaling import run_scaling
from .servers.rows import run_servers
from .startup import GROUP as STARTUP
from .startup import NAME as FIRST_ANSWER
from .startup import run_startup

SMALL_EVENTS, SMALL_REPEAT = 20_000, 3
INTERRUPTED = 130  # 128 + the number of SIGINT, the convention of shells
GROWTH = 10  # the largest store has this many times the events


def main() -> None:
    """Read the command line, run the benchmark, and write or print the report."""
    options = _options()
    try:
        _run(options)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run(options: argparse.Namespace) -> None:
    out = Path(options.out)
    if options.remake:
        _write(out, **json.loads(out.with_name("results.json").read_text(encoding="utf-8")))
        return
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        settings = _settings(options, Path(folder))
        described = about(_command(options), settings.events, Path(folder))
        figures = list(_all(settings))
    if not figures:
        sys.exit(
            f"python -m bench: no row has {options.only!r} in its name; give one like 'made: get'"
        )
    absent = [f"{name} is left out: {', '.join(m)} not installed" for name in PEERS
              if (m := missing(name))]  # fmt: skip  # one thought
    absent += left_out()
    if options.small or options.only:
        print(markdown(figures, described, absent))
    else:
        _write(out, [list(row) for row in figures], described, absent)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Run the benchmark. It takes about 45 minutes, and 15 GB of disk.",
        epilog="results.svg and results.json are written to the folder of the report.",
    )
    add = parser.add_argument
    add(
        "--events", type=_number, default=1_000_000, help="events in a store (default: %(default)s)"
    )
    add("--repeat", type=_number, default=5, help="rounds of each row (default: %(default)s)")
    add(
        "--small",
        action="store_true",
        help=f"{SMALL_EVENTS:,} events; takes a minute; print the report",
    )
    add("--only", default="", metavar="TEXT",
        help="only rows whose name contains TEXT; print the report")  # fmt: skip
    add("--out", default="bench/RESULTS.md", help="the report (default: %(default)s)")
    add("--folder", help="folder for the stores (default: the usual temporary folder)")
    add("--remake", action="store_true", help="write the report again from results.json")
    options = parser.parse_args()
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse now what would fail only after the measurements."""
    out = Path(options.out)
    if not out.parent.is_dir():
        parser.error(
            f"--out: there is no folder {str(out.parent)!r}; create it, or give another one"
        )
    if options.folder and not Path(options.folder).is_dir():
        parser.error(
            f"--folder: there is no folder {options.folder!r}; create it, or give another one"
        )
    if options.remake and not out.with_name("results.json").is_file():
        parser.error(
            f"--remake: there is no results.json in the folder of {options.out!r}; run without it"
        )


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 1; give 1 or more")
    return number


def _settings(options: argparse.Namespace, folder: Path) -> Settings:
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.0f} s  {text}", file=sys.stderr, flush=True)

    events, repeat = options.events, options.repeat
    if options.small:
        return Settings(SMALL_EVENTS, 0, SMALL_REPEAT, options.only, folder, True, say)
    return Settings(events, GROWTH * events, repeat, options.only, folder, False, say)


def _all(settings: Settings) -> Iterator[Figures]:
    for group in GROUPS:
        if _needed(group, settings):
            yield from run_group(group, settings)
    yield from run_processes(settings)
    yield from run_startup(settings)
    yield from run_scaling(settings)
    yield from run_page(settings)
    yield from run_follow(settings)
    yield from run_logs(settings)
    yield from run_imports(settings)
    yield from run_servers(settings)


def _needed(group: Group, settings: Settings) -> bool:
    """Whether a row of the group is wanted, or a row that uses the events it loads."""
    names = {(group.name, name) for name in (LOADED, ON_DISK, *(row.name for row in group.rows))}
    if group.name == "made":
        names |= {(PROCESSES, name) for name in (*TOGETHER, *ALONE)} | {(STARTUP, FIRST_ANSWER)}
    return any(settings.wants(*name) for name in names)


def _command(options: argparse.Namespace) -> str:
    small = " --small" if options.small else ""
    only = f" --only {options.only!r}" if options.only else ""
    size = "" if small else f" --events {options.events} --repeat {options.repeat}"
    return f"python -m bench{size}{small}{only}"


def _write(out: Path, figures: list[list[Any]], about: dict[str, str], left_out: list[str]) -> None:
    rows = [Figures(*row) for row in figures]
    kept = {"figures": figures, "about": about, "left_out": left_out}
    out.with_name("results.json").write_text(json.dumps(kept) + "\n", encoding="utf-8")
    out.with_name("results.svg").write_text(svg(rows), encoding="utf-8")
    out.write_text(markdown(rows, about, left_out), encoding="utf-8")


if __name__ == "__main__":
    main()
