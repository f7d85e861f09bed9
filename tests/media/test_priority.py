"""What the tests encode leaves the process as it was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clips import CLIPS


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling policies")
def test_an_encoder_leaves_no_realtime_thread_behind(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    CLIPS["av1-gop-2"].make(tmp_path / "a.mp4")
    assert os.sched_getscheduler(0) == before
