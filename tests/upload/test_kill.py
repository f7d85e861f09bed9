"""Uploads that are killed at moments drawn by chance: the next run goes on, and sends little again.

``UPLOAD_KILLS=50 pytest tests/upload/test_kill.py`` kills more, and larger uploads.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dreamlake.core.parts import CONCURRENCY

from ._lab import Lab, video_of

KILLS = int(os.environ.get("UPLOAD_KILLS", "0"))
SIZE = 200_000_000 if KILLS else 64_000_000
STARTING = 0.8  # seconds, roughly, until a run sends its first byte


@dataclass
class Run:
    """One upload by the command, from its start to its end or its death."""

    lab: Lab
    path: Path
    project: str
    environment: dict[str, str]
    begun: float = field(default_factory=time.monotonic)
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "dreamlake.cli", "upload", str(self.path), "--space", f"{self.project}@alice"]
        self.process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> None:
        """Let it come to its end, which is a good one."""
        _, errors = self.process.communicate(timeout=100)
        assert self.process.returncode == 0, errors

    def kill_when(self, moment: Callable[[Run], bool]) -> bool:
        """Kill it at a moment; returns whether it was still alive."""
        while self.process.poll() is None:
            if moment(self):
                self.process.kill()
                break
            time.sleep(0.001)
        self.process.communicate(timeout=30)
        assert self.process.returncode in (0, -9)
        return self.process.returncode != 0


def a_moment(chance: random.Random, lab: Lab) -> Callable[[Run], bool]:
    """While it starts and reads the file; while it sends; or when it has sent all and registers."""
    phase = chance.random()
    if phase < 0.15:
        seconds = chance.random() * STARTING
        return lambda run: time.monotonic() - run.begun > seconds
    if phase < 0.85:
        before = sum(seen.body for seen in lab.proxy.parts())
        target = before + chance.random() * (SIZE - sum(lab.proxy.acknowledged().values()))
        return lambda _: sum(seen.body for seen in lab.proxy.parts()) >= target
    requests = chance.randint(1, 5)
    return lambda _: len(lab.proxy.log) - _position(lab) >= requests


def _position(lab: Lab) -> int:
    """How many requests came before the one that joins the parts; all while none does."""
    numbers = [at for at, seen in enumerate(lab.proxy.log) if seen.target.endswith("/complete")]
    return numbers[0] if numbers else len(lab.proxy.log)


@pytest.mark.timeout(1800 if KILLS else 120)
def test_whatever_kills_it_the_next_run_goes_on(lab: Lab, tmp_path: Path) -> None:
    chance = random.Random(20)
    environment = {**os.environ, "DREAMLAKE_URL": lab.proxy.url, "DREAMLAKE_HOME": str(tmp_path / "home")}
    kills = files = 0
    while kills < (KILLS or 5):
        files += 1
        project = f"kill-{files}"
        path = video_of(SIZE, tmp_path / "run.mp4", project)
        lab.proxy.reset()
        alive = True
        while alive:
            known = {part for _, part in lab.proxy.acknowledged()}
            begun = [seen.part[1] for seen in lab.proxy.parts() if seen.part]
            run = Run(lab, path, project, environment)
            if kills < (KILLS or 5) and (not begun or chance.random() < 0.8):
                alive = run.kill_when(a_moment(chance, lab))
                kills += alive
            else:
                run.end()
                alive = False
            sent = [seen.part[1] for seen in lab.proxy.parts() if seen.part][len(begun) :]
            assert len(sent) == len(set(sent))
            assert not known & set(sent), "parts that the storage had were sent again"
            assert len(set(begun) & set(sent)) <= CONCURRENCY
        lab.check(path, "alice", project)
        assert sum(lab.proxy.acknowledged().values()) == SIZE
        shutil.rmtree(lab.data / "objects/alice" / project)  # many of them fill a disk
