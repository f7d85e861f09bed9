"""The examples run, and do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_clips_of_real_footage_are_found_by_words(tmp_path: Path) -> None:
    environment = {**os.environ, "DREAMLAKE_HOME": str(tmp_path)}
    command = [sys.executable, str(EXAMPLES / "find_clips.py")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=110, env=environment).stdout
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.endswith(":"):
            text = line.removesuffix(":")
        elif line.startswith("  "):
            found.setdefault(text, []).append(line)
    wanted = {"mountain bike": "bikes", "hare": "bigbuckbunny", "seat belt": "carphone_pristine"}
    assert found.keys() == wanted.keys()
    for text, clip in wanted.items():
        assert len(found[text]) == 3
        assert all(f"a second of {clip}," in line for line in found[text]), said
