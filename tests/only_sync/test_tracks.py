"""What was added to a track and not flushed when its process ended, one way or another."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import dreamlake as dl

ADD = """
import os, signal, sys
import dreamlake as dl
dl.connect(data=sys.argv[1])
track = dl.text_track(prefix="/said", space="robotics@alice")
track.add("one", st=0, et=1)
track.add("two", st=1, et=2)
"""
KILLED = "os.kill(os.getpid(), signal.SIGKILL)\n"
# The lake has taken the version when the process ends, and nobody has heard of it.
IN_FLUSH = """
from dreamlake._sync.lake import Lake
create = Lake.create_asset
def created(*arguments):
    create(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
Lake.create_asset = created
track.flush()
"""


def run(script: str, lake: Path) -> subprocess.CompletedProcess[str]:
    package = str(Path(dl.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package}
    command = [sys.executable, "-c", script, str(lake)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_what_was_not_flushed_is_told_at_the_end(fresh_lake: Path, caplog: pytest.LogCaptureFixture) -> None:
    dl.close()
    done = run(ADD, fresh_lake)
    assert done.returncode == 0
    assert 'TextTrack("/said"): 2 entries were not flushed; they are kept in ' in done.stderr
    assert "Traceback" not in done.stderr
    with caplog.at_level(logging.WARNING, "dreamlake"):
        track = dl.text_track(prefix="/said", space="robotics@alice")
    assert "2 entries of an earlier process were never flushed; track.recover() takes them" in caplog.text
    assert track.count == 0  # a program that is run again adds them again itself
    assert track.recover() == 2
    track.flush()
    assert [entry["text"] for entry in track] == ["one", "two"]
    assert track.recover() == 0


@pytest.mark.parametrize(("end", "left"), [(KILLED, 2), (IN_FLUSH, 0)], ids=["before", "in the midst of it"])
def test_a_process_that_is_killed(fresh_lake: Path, end: str, left: int) -> None:
    dl.close()
    assert run(ADD + end, fresh_lake).returncode == -signal.SIGKILL
    track = dl.text_track(prefix="/said", space="robotics@alice")
    assert track.recover() == left  # nothing is lost, and nothing comes twice
    track.flush()
    assert [entry["text"] for entry in track] == ["one", "two"]


def test_a_track_that_is_flushed_leaves_nothing(fresh_lake: Path, caplog: pytest.LogCaptureFixture) -> None:
    track = dl.text_track(prefix="/said", space="robotics@alice")
    track.add("one", st=0, et=1)
    other = dl.text_track(prefix="/said", space="robotics@alice")
    assert other.recover() == 0  # its writer lives
    track.flush()
    assert not list((Path(os.environ["DREAMLAKE_HOME"]) / "tracks").rglob("*.jsonl"))
    del track
    assert caplog.text == ""
