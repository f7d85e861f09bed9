"""Parts that stop moving: they are given up after a time, and sent again."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

import dreamlake as dl
from dreamlake.errors import UploadPausedError
from tests.faults import Stall, in_seconds, slow_down

from ._lab import PART, PARTS, Lab, video_of

SIZE = 3 * PART


@pytest.mark.timeout(60)
@pytest.mark.parametrize("after", [None, 0, PART // 2])
def test_a_part_that_stops_moving_is_sent_again(lab: Lab, tmp_path: Path, after: int | None) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", f"stalled {after}")
    project = f"stalled-{after}".lower()
    lab.proxy.fault(Stall(600, after), "PUT", nth=2)
    dl.upload(path, space=f"{project}@alice", progress=False, timeout=1, **PARTS)
    assert lab.proxy.unused == []
    assert len(lab.proxy.parts()) == 4
    lab.check(path, "alice", project)


@pytest.mark.timeout(60)
def test_a_storage_that_never_answers_pauses_the_upload(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "silent")
    lab.proxy.fault(Stall(600), "PUT", forever=True)
    with pytest.raises(UploadPausedError, match="upload paused — re-run to resume"):
        dl.upload(path, space="silent@alice", progress=False, timeout=0.3, **PARTS)
    lab.proxy.calm()
    dl.upload(path, space="silent@alice", progress=False, timeout=10, **PARTS)
    lab.check(path, "alice", "silent")


def test_what_moves_slowly_is_not_given_up(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "slow")
    for nth, after in enumerate((0, 1000, PART // 2), 1):
        lab.proxy.fault(Stall(0.6, after), "PUT", nth=nth)
    dl.upload(path, space="slow@alice", progress=False, timeout=5, **PARTS)
    assert len(lab.proxy.parts()) == 3
    lab.check(path, "alice", "slow")


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_storage_that_asks_for_time_gets_it(lab: Lab, tmp_path: Path, form: str) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", f"asked {form}")
    date = in_seconds(2)
    asked = slow_down("1" if form == "seconds" else date)
    lab.proxy.fault(asked, "PUT")
    dl.upload(path, space=f"asked-{form}@alice", progress=False, **PARTS)
    refused = next(seen for seen in lab.proxy.log if seen.action == asked)
    again = next(seen for seen in lab.proxy.parts() if seen.part == refused.part and seen.acknowledged)
    if form == "seconds":
        assert again.at - refused.at >= 1
    else:
        assert again.at + time.time() - time.monotonic() >= parsedate_to_datetime(date).timestamp()
    lab.check(path, "alice", f"asked-{form}")
