"""Traces of system calls: run a child under strace, and read its writes and flushes.

Two numbers give the time of a call: the lines of the trace where it begins and where it ends. If
two calls of two threads overlap, neither was first.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tools.held_writer import LONG

__all__ = ["Call", "needs_strace", "read_trace", "traced"]
# With a question mark, as not every processor has every call.
WRITES = "write,pwrite64,writev,pwritev,?pwritev2"
FLUSHES = "fsync,fdatasync,sync_file_range,msync"
FILES = "?open,openat,close,lseek,ftruncate,fallocate,?dup,?dup2,dup3"
FOLDERS = "?mkdir,mkdirat,?rename,renameat,renameat2,?link,linkat,?unlink,unlinkat,?rmdir"
TRACED = f"trace={WRITES},{FLUSHES},{FILES},{FOLDERS}"
FILTER = "--seccomp-bpf"
WHOLE = 1 << 20  # bytes of a string that strace prints; more than any single write here
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(?:<((?:\\x[0-9a-f]{2})*)>)?")
_UNFINISHED = re.compile(r"(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>")
_INSIDE = re.compile(r'\d+<((?:\\x[0-9a-f]{2})*)>, "((?:\\x[0-9a-f]{2})*)"')
_WAY = re.compile(r"/proc/(?:self|\d+)/fd/(\d+)(/.*)")
_NEVER = sys.maxsize


class Call(NamedTuple):
    """One system call of the trace."""

    name: str
    arguments: str
    result: int  # -1 if it failed, or never returned
    begun: int
    ended: int  # `_NEVER` if the process ended before

    @property
    def strings(self) -> list[bytes]:
        """The texts among the arguments: paths, or the data written."""
        return [_bytes(text) for text in _STRING.findall(self.arguments)]

    @property
    def descriptor(self) -> int:
        """The first descriptor among the arguments, or -1."""
        found = _DESCRIPTOR.match(self.arguments)
        return int(found[1]) if found else -1

    @property
    def file(self) -> str:
        """The path of that descriptor when the call was made."""
        found = _DESCRIPTOR.match(self.arguments)
        return os.fsdecode(_bytes(found[2])) if found else ""

    @property
    def last(self) -> str:
        """The last argument."""
        return self.arguments.rpartition(", ")[2]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@functools.cache
def _why_not(*options: str) -> str:
    """Say why strace cannot trace with these options; empty if it can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-I", "-S", "-c", "pass"]
        command = ["strace", "-f", *options, "-o", f"{folder}/trace", *program]
        tried = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else ""


def needs_strace() -> None:
    """Skip the test where strace is missing, or may not trace."""
    if why := _why_not():
        pytest.skip(why)


def traced(trace: Path, command: list[str], *options: str) -> list[str]:
    """Return the command that runs another under strace."""
    # With the filter only traced calls stop the command, not all. Old versions do not have it.
    filtered = () if _why_not(FILTER) else (FILTER,)
    how = ["-f", *filtered, "-y", "-xx", "-v", "-s", str(WHOLE), "-o", str(trace)]
    return ["strace", *how, *(options or ("-e", TRACED)), *command]


def read_trace(trace: Path) -> list[Call]:
    """Return the calls of a trace, in the order in which they began."""
    calls: list[Call] = []
    opened: dict[int, str] = {}  # the path of each descriptor
    begun: dict[str, tuple[int, str]] = {}  # by thread: where, and what is known of it
    with trace.open(encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines):
            first = number
            if found := _UNFINISHED.match(line):
                begun[found[1]] = number, found[2]
                continue
            if found := _RESUMED.match(line):
                first, head = begun.pop(found[1])
                line = f"{found[1]} {head}{found[3]}"  # noqa: PLW2901  the line as it would be
            if found := _LINE.match(line):
                result = -1 if found[4] == "?" else int(found[4])
                arguments = _with_paths(found[2], found[3], opened)
                calls.append(Call(found[2], arguments, result, first, number))
                if found[5]:
                    opened[result] = os.fsdecode(_bytes(found[5]))
    for number, text in begun.values():
        name, _, arguments = text.partition("(")
        calls.append(Call(name, _with_paths(name, arguments, opened), -1, number, _NEVER))
    return sorted(calls, key=lambda call: call.begun)


def _with_paths(name: str, arguments: str, opened: dict[int, str]) -> str:
    """Return the arguments of a call with each name as a path, also if it was given otherwise.

    A name may be relative to a descriptor, or lead to one through `/proc`.
    """
    if "write" in name:  # its text is no name
        return arguments

    def joined(found: re.Match[str]) -> str:
        folder, inside = (os.fsdecode(_bytes(text)) for text in found.groups())
        return f'"{_hex(os.path.join(folder, inside))}"' if inside else found[0]

    def led(found: re.Match[str]) -> str:
        path = os.fsdecode(_bytes(found[1]))
        if way := _WAY.fullmatch(path):
            path = opened.get(int(way[1]), path.removesuffix(way[2])) + way[2]
        return f'"{_hex(path)}"'

    return _STRING.sub(led, _INSIDE.sub(joined, arguments))


def _hex(path: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(path))
