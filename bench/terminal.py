"""The picture of the command in the README: what real commands print on a terminal, as SVG.

    python -m bench.terminal [--columns 100] [--out bench/terminal.svg]

Rules: nothing in the picture is written by hand. The commands run one after the other, in an empty
folder and on a terminal of their own, with a copy of the log that comes with the tests and a log
that is made here.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

OUT = Path(__file__).with_name("terminal.svg")
LOG = Path(__file__).parent.parent / "tests" / "data" / "dpkg.log"
SET = "export "
COMMANDS = (
    "lmdbstore import --db events --source dpkg dpkg.log",
    f"{SET}LMDBSTORE_DB=events",
    "lmdbstore import --source web web.jsonl",
    "lmdbstore search -i 'status installed python|timeout' --since 2026-10-16 --limit 4",
    r"lmdbstore search --where 'status>=500' --count-by 'path=(\S+)'",
    "lmdbstore search --flag level:eror",
    "lmdbstore histogram --source web --by 2h",
)
PROMPT = "\x1b[1;32m$\x1b[0m "
START = 1792105200.0  # 2026-10-16 00:00 UTC, in seconds


def main() -> None:
    """Run the commands, and write the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(LOG, folder)
        Path(folder, "web.jsonl").write_text("".join(map(_request, range(400))), encoding="utf-8")
        shown = "".join(
            f"{PROMPT}{command}\n{_printed(command, Path(folder), options.columns)}\n"
            for command in COMMANDS
        )
    console = Console(record=True, width=options.columns, file=io.StringIO())
    console.print(Text.from_ansi(shown.replace("\r\n", "\n").rstrip()))
    options.out.write_text(console.export_svg(title="lmdbstore"), encoding="utf-8")


def _request(number: int) -> str:
    failed = number % 37 == 0
    fields = {
        "status": 504 if failed else 200,
        "level": "error" if failed else "info",
        "message": f"GET path=/{'report' if number % 2 else 'login'} "
        + ("timeout of the backend" if failed else "answered"),
        "time": START + 30 * number**1.3,
    }
    return json.dumps(fields) + "\n"


def _printed(command: str, folder: Path, columns: int) -> str:
    """Return what a command prints on a terminal."""
    if command.startswith(SET):
        name, _, value = command.removeprefix(SET).partition("=")
        os.environ[name] = value
        return ""
    words = [sys.executable, "-m", *shlex.split(command)]
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        os.environ.update(
            PYTHONPATH=str(Path(__file__).parent.parent),
            COLUMNS=str(columns),
            TERM="xterm",
            TZ="UTC",
        )
        os.environ.pop("NO_COLOR", None)
        os.execv(words[0], words)
    printed = b""
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        if not some:
            break
        printed += some
    os.close(terminal)
    os.waitpid(child, 0)
    return printed.decode()


if __name__ == "__main__":
    main()
