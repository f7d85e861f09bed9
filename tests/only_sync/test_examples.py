"""The examples and the README's code run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import real_clip

ROOT = Path(__file__).parents[2]
CLIPS = [real_clip("carphone_pristine.mp4"), real_clip("bikes.mp4")]


def run(path: Path, home: Path, *arguments: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        env={**os.environ, "DREAMLAKE_HOME": str(home)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_first_frames(tmp_path: Path) -> None:
    out = run(ROOT / "examples" / "first_frames.py", tmp_path, CLIPS[1])
    assert "numpy (62, 272, 640, 3)" in out


def test_async_service(tmp_path: Path) -> None:
    out = run(ROOT / "examples" / "async_service.py", tmp_path, *CLIPS)
    assert "120 frames" in out
    assert "250 frames" in out


@pytest.mark.parametrize("block", [0, 1, 2])
def test_the_readme(tmp_path: Path, block: int) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(code) == 3
    clip = str(CLIPS[0])
    script = code[block].replace("./run01.mp4", clip).replace("./video.mp4", clip).replace("10.0:20.0", "1.0:2.0")
    script = script.replace("): ...", "): break")
    if block == 1:  # what is awaited needs a loop, and an id that this lake knows
        script = script.replace('"v-BV1bW411n7fY9x01"', "ID")
        lines = "".join(f"    {line}\n" for line in script.splitlines())
        setup = f"import asyncio\nimport dreamlake as dl\nID = dl.upload({clip!r}).id\n"
        script = f"{setup}async def main():\n{lines}asyncio.run(main())\n"
    elif block == 2:
        script = f"import dreamlake as dl\n{script}"
    path = tmp_path / "readme.py"
    path.write_text(script)
    run(path, tmp_path / "home")
