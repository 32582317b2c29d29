"""File systems for one child process: small ones, and read-only ones."""

from __future__ import annotations

import functools
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tools.held_writer import LONG

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["in_namespace", "mounted", "needs_mounts", "needs_overlay"]


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


@functools.cache
def _why_no_overlay() -> str:
    folders = "mkdir /tmp/l /tmp/u /tmp/w /tmp/m"
    layers = "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w"
    line = f"mount -t tmpfs none /tmp; {folders}; mount -t overlay none -o {layers} /tmp/m"
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-ec", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )
    return f"overlayfs cannot be mounted: {tried.stderr.strip()}" if tried.returncode else ""


def needs_overlay() -> None:
    """Skip the test where a child may not mount an overlay."""
    needs_mounts()
    if why := _why_no_overlay():
        pytest.skip(why)


def in_namespace(code: str, *arguments: str) -> list[str]:
    """Return the command that runs Python code where no other process sees its mounts."""
    return ["unshare", "-m", sys.executable, "-c", code, *arguments]


def mounted(folder: Path, *commands: list[str] | str, size: int) -> list[str]:
    """Return the command that runs others, one by one, with an empty disk at `folder`.

    The disk has `size` bytes in memory; no other process sees it, and it ends with them. A text is
    a command for the shell.
    """
    lines = [f"mount -t tmpfs -o size={size} none {shlex.quote(str(folder))}"]
    lines += [line if isinstance(line, str) else shlex.join(line) for line in commands]
    return ["unshare", "-m", "sh", "-ec", "\n".join(lines)]
