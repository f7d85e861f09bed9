"""The example model, as its script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples/world_model.py"


def test_the_example_checks_itself(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, "DREAMLAKE_HOME": str(tmp_path), "PYTHONPATH": str(EXAMPLE.parents[1])},
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "21 frames for $0.0021, as computed by hand\n"
