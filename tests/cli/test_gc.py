"""``dreamlake gc``, run as its users run it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.clips import real_clip

NAMES = ("uploads", "staged", "chunks", "leftovers", "temporary")


def gc(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dreamlake.cli", "gc", *arguments],
        env={**os.environ, "DREAMLAKE_HOME": str(home), "COLUMNS": "100"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_what_is_freed(tmp_path: Path) -> None:
    chunk = tmp_path / "lake" / "objects" / "chunks" / "0123456789abcdef.ts"
    chunk.parent.mkdir(parents=True)
    chunk.write_bytes(bytes(1_500_000))
    assert gc(tmp_path).stdout.splitlines()[-1] == "0 bytes freed"  # it is young
    os.utime(chunk, (0, 0))
    dry = gc(tmp_path, "--dry-run")
    assert dry.stdout.splitlines()[-1] == "1.5 MB would be freed"
    report = json.loads(gc(tmp_path, "--dry-run", "--json").stdout)
    assert chunk.exists()
    assert report == {
        **{name: {"count": 0, "size": 0} for name in NAMES},
        "chunks": {"count": 1, "size": 1_500_000},
        "dryRun": True,
        "problems": [],
    }
    done = gc(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    [row] = [line for line in done.stdout.splitlines() if "segments" in line]
    assert row.split()[-3:] == ["1", "1.5", "MB"]
    assert done.stdout.splitlines()[-1] == "1.5 MB freed"
    assert not chunk.exists()


def test_what_holds_it_up_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dreamlake.cli", "upload", str(real_clip("carphone_pristine.mp4"))]
    environment = {**os.environ, "DREAMLAKE_HOME": str(tmp_path)}
    subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    [playlist] = (tmp_path / "lake" / "objects").rglob("*.m3u8")
    playlist.unlink()
    done = gc(tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("dreamlake: no chunks were collected: what a video ")
    with sqlite3.connect(tmp_path / "lake" / "lake.db") as database:
        [(identity,)] = database.execute("SELECT id FROM bss_assets")
    assert identity in done.stderr
