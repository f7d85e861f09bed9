"""Docstrings and comments: `AsyncVideo` is written here as in dreamlake/_async/video.py.

Users write `import dreamlake.aio as adl`, then `adl.load_video`. We await comments, and async prose stays.

Example:
    import dreamlake.aio as adl

    async with adl.open("a.mp4") as video:
        frames = [frame async for frame in video]

    async def main(video: AsyncVideo) -> None:
        await video.aclose()
Not an example: do not await this.
"""

# AsyncVideo, _AsyncTrack and aclose() are renamed in comments, and so is adl.load_video; only_async is not.
# We await comments here too.

VIDEO = "AsyncVideo of adl.load_video, await it"


class AsyncVideo:
    r"""One video.

    >>> video = await adl.load_video("a.mp4")  # doctest: +SKIP
    >>> async with video:
    ...     await video.numpy()
    <AsyncVideo of 3 frames, which await nothing>

    Use it so::

        async for frame in video:

            await frame.image

    or so, where await is prose again:

    ```python
    image = await video.image
    ```

    After the fence await is prose.
    """

    frames: int
    """How many frames an AsyncVideo has."""

    async def numpy(self, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Decode é: AsyncVideo.

        Examples:
            await video.numpy()

        Returns:
            The frames; await them.
        """
        try:
            return b"AsyncVideo"
        except Exception:  # noqa: BLE001 (as adl.numpy does)
            return bytes(int(timeout or 0))

    async def tensor(self, timeout: float) -> bytes:  # noqa: ASYNC109 (AsyncVideo has its reasons)
        "Say it in AsyncVideo's words."
        return b""

    async def prose(self) -> str:
        """Return
        some ``await`` text::
            await self.prose()
        await
        """
        """AsyncVideo"""
        return """
        await the AsyncVideo
        """
