"""Child processes that start fast and end reliably, for tests that kill them.

A nursery is a process that has imported the package and opened nothing: it forks a child for each
requested role, so a child starts in milliseconds. It reaps a child only on a request to wait
for it, so that a process id cannot be reused for another process. When its own input ends,
it kills the children that are left. `python -m tests.endurance.tools.nursery MODULE` serves the
functions of `MODULE` in its `ROLES`.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.tools.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LIMIT", "Nursery"]

LIMIT = 60.0  # seconds; ends a hang, decides nothing


class Nursery:
    """Starts, kills and awaits children, each with a role and arguments."""

    def __init__(self, module: str, errors: Path) -> None:
        """Start the process that forks; errors of children go to the file `errors`."""
        self._errors = errors
        self._living: set[int] = set()
        with errors.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=ROOT,
            )

    def begin(self, role: str, **arguments: Any) -> int:
        """Start a child; return its process id."""
        pid = int(self._ask({"role": role, "arguments": arguments}, LIMIT))
        self._living.add(pid)
        return pid

    def kill(self, *pids: int) -> None:
        """Kill children at once; they must be alive until then."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            code = self._wait(pid, LIMIT)
            assert code == -signal.SIGKILL, f"a child ended by itself ({code})\n{self.complaints()}"

    def succeeds(self, pid: int, limit: float = LIMIT) -> None:
        """Wait until a child has succeeded; fail if it failed or is stuck."""
        code = self._wait(pid, limit)
        assert code == 0, f"a child failed, or did not end ({code})\n{self.complaints()}"

    def code(self, pid: int) -> int:
        """Wait until a child has ended; return its exit code, or minus the signal's number."""
        return self._wait(pid, LIMIT)

    def run(self, role: str, **arguments: Any) -> None:
        """Start a child and wait until it has succeeded."""
        self.succeeds(self.begin(role, **arguments))

    def assert_alive(self, pid: int) -> None:
        """Fail with its error if a child that runs for ever has ended."""
        alive = self._ask({"alive": pid}, LIMIT) == "1\n"
        assert alive, f"a child ended by itself\n{self.complaints()}"

    def complaints(self) -> str:
        """Return the errors that children wrote before they ended."""
        return self._errors.read_text(encoding="utf-8", errors="replace")

    def _wait(self, pid: int, limit: float) -> int:
        try:
            code = int(self._ask({"wait": pid}, limit))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            code = int(self._answer(LIMIT))
        self._living.discard(pid)
        return code

    def _ask(self, request: dict[str, Any], limit: float) -> str:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer(limit)

    def _answer(self, limit: float) -> str:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], limit)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        assert line, f"the nursery ended\n{self.complaints()}"
        return line.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(LIMIT)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()


def _serve(roles: dict[str, Callable[..., None]]) -> None:
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            children.remove(request["wait"])
        elif "alive" in request:
            ended = os.waitid(os.P_PID, request["alive"], os.WEXITED | os.WNOHANG | os.WNOWAIT)
            answer = int(ended is None)
        else:
            answer = os.fork()
            if not answer:
                _live(roles[request["role"]], request["arguments"])
            children.add(answer)
        print(answer, flush=True)  # noqa: T201  its protocol
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _live(role: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Run the child; its output goes to the errors, as standard output is for answers."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        role(**arguments)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(importlib.import_module(sys.argv[1]).ROLES)
