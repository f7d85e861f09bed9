# Generated from tests/unasync/data/async/documentation.py by scripts/unasync.py. Edit that file, then run it.
"""Docstrings and comments: `Video` is written here as in dreamlake/_sync/video.py.

Users write `import dreamlake as dl`, then `dl.load_video`. We await comments, and async prose stays.

Example:
    import dreamlake as dl

    with dl.open("a.mp4") as video:
        frames = [frame for frame in video]

    def main(video: Video) -> None:
        video.close()
Not an example: do not await this.
"""

# Video, _Track and close() are renamed in comments, and so is dl.load_video; only_async is not.
# We await comments here too.

VIDEO = "AsyncVideo of adl.load_video, await it"


class Video:
    r"""One video.

    >>> video = dl.load_video("a.mp4")  # doctest: +SKIP
    >>> with video:
    ...     video.numpy()
    <Video of 3 frames, which await nothing>

    Use it so::

        for frame in video:

            frame.image

    or so, where await is prose again:

    ```python
    image = video.image
    ```

    After the fence await is prose.
    """

    frames: int
    """How many frames a Video has."""

    def numpy(self, timeout: float | None = None) -> bytes:
        """Decode é: Video.

        Examples:
            video.numpy()

        Returns:
            The frames; await them.
        """
        try:
            return b"AsyncVideo"
        except Exception:  # noqa: BLE001 (as dl.numpy does)
            return bytes(int(timeout or 0))

    def tensor(self, timeout: float) -> bytes:
        "Say it in Video's words."
        return b""

    def prose(self) -> str:
        """Return
        some ``await`` text::
            self.prose()
        await
        """
        """Video"""
        return """
        await the AsyncVideo
        """
