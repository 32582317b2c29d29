"""The command `lmdbstore`, also started as `python -m lmdbstore`.

Rules: this module imports nothing outside the standard library until it is run, so that a missing
extra is reported in one line.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ["main"]

BAD_ARGUMENTS = 2  # the exit status for everything that kept the command from its work
INTERRUPTED = 130  # 128 plus the number of SIGINT, as in shells
EXTRA = ("click", "rich")


def main() -> None:
    """Run the command line with the arguments of this process, and exit."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        print(  # noqa: T201  click may be missing
            f"lmdbstore: the command needs {' and '.join(missing)}: pip install 'lmdbstore[cli]'",
            file=sys.stderr,
        )
        sys.exit(BAD_ARGUMENTS)
    try:
        from .cli.main import cli

        cli.main(prog_name="lmdbstore")
    except KeyboardInterrupt:  # while it was still starting
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
