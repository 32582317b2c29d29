"""File systems for one child process: small ones, and read-only ones."""

from __future__ import annotations

import functools
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.tools.held_writer import LONG

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["mounted", "needs_mounts"]


@functools.cache
def _why_not() -> str:
    for tool in ("unshare", "mount"):
        if not shutil.which(tool):
            return f"{tool} is not installed"
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /tmp"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG)
    return f"mounting needs root: {tried.stderr.strip()}" if tried.returncode else ""


def needs_mounts() -> None:
    """Skip the test where a child may not mount."""
    if why := _why_not():
        pytest.skip(why)


def mounted(folder: Path, *commands: list[str] | str, size: int) -> list[str]:
    """Return the command that runs others, one by one, with an empty disk at `folder`.

    The disk has `size` bytes in memory; no other process sees it, and it ends with them. A text is
    a command for the shell.
    """
    lines = [f"mount -t tmpfs -o size={size} none {shlex.quote(str(folder))}"]
    lines += [line if isinstance(line, str) else shlex.join(line) for line in commands]
    return ["unshare", "-m", "sh", "-ec", "\n".join(lines)]
