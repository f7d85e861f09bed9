"""What tests and examples look like."""

from unittest.mock import AsyncMock

import dreamlake.aio as adl


async def load(name: str) -> adl.AsyncVideo:
    return await adl.load_video(name)


async def test_async_video_awaits(video: adl.AsyncVideo) -> None:
    fetch = AsyncMock(return_value=b"")
    setattr(video, "aclose", fetch)  # noqa: B010
    async with video:
        assert isinstance(video, adl.AsyncVideo)
    assert "AsyncVideo" in adl.__all__
    assert await load("_async/video.mp4") is not await load("_async")
