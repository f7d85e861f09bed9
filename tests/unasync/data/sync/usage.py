# Generated from tests/unasync/data/async/usage.py by scripts/unasync.py. Edit that file, then run it.
"""What tests and examples look like."""

from unittest.mock import MagicMock

import dreamlake as dl


def load(name: str) -> dl.Video:
    return dl.load_video(name)


def test_async_video_awaits(video: dl.Video) -> None:
    fetch = MagicMock(return_value=b"")
    setattr(video, "close", fetch)  # noqa: B010
    with video:
        assert isinstance(video, dl.Video)
    assert "Video" in dl.__all__
    assert load("_async/video.mp4") is not load("_sync")
