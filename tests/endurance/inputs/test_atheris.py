"""Code that reads untrusted input, under a fuzzer that is guided by coverage."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tools.children import ROOT

if TYPE_CHECKING:
    from tests.tools.rounds import Rounds

RUNS = 5000  # of the target, in a round
HANGING = 600  # seconds; ends a hang, decides nothing
ONE = 60  # seconds for one input; ends a hang

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="pip install atheris"
)


@needs_atheris
@pytest.mark.parametrize("target", ["parse", "compile", "logtime", "decode"])
@pytest.mark.endurance("patterns, times and records, guided by coverage", rounds=1)
def test_any_input_raises_only_our_exceptions(target: str, tmp_path: Path, rounds: Rounds) -> None:
    """The next round starts with the inputs that this round has found."""
    from tests.endurance.tools.guided import SEEDS

    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, text in enumerate(SEEDS[target]):
        (corpus / str(number)).write_bytes(text)
    for _ in rounds:
        found = subprocess.run(
            [
                *(sys.executable, "-m", "tests.endurance.tools.guided", target, str(corpus)),
                *(f"-runs={RUNS}", f"-seed={rounds.random.randrange(1, 1 << 31)}"),
                *(f"-timeout={ONE}", "-max_len=300", f"-artifact_prefix={tmp_path}/"),
            ],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=HANGING,
            check=False,
        )
        assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
        rounds.add(f"runs of {target}", RUNS)
    rounds.add(f"inputs that reached new code of {target}", len(list(corpus.iterdir())))
