"""A rollout: what the engine predicts for a frame and a sequence of actions, as the mp4 that it sent."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.boxes import count_samples
from dreamlake.errors import MediaError

__all__ = ["Rollout", "decode_mp4", "write_whole"]


@dataclass(frozen=True, eq=False)
class Rollout:
    """A predicted video.

    Attributes:
        video: the mp4, as bytes.
        spec: the model that made it.
        request_id: what the engine calls the request; empty where it said nothing.
        charge_usd: what it cost, as the engine estimates it; None where it said nothing.
        wall_ms: milliseconds that the engine took; None where it said nothing.
        customer_id: whom it was billed to; empty where the engine said nothing.

    Example:
        >>> rollout = client.predict(frame, actions, model="dreamdojo-2b-gr1")
        >>> rollout.frames.shape
        (49, 480, 640, 3)
    """

    video: bytes = field(repr=False)
    spec: str | None = None
    request_id: str = ""
    charge_usd: float | None = None
    wall_ms: float | None = None
    customer_id: str = ""

    @cached_property
    def frames(self) -> NDArray[np.uint8]:
        """(T+1, H, W, 3) uint8 RGB; the first is the frame that the rollout starts from.

        Raises:
            MediaError: the mp4 cannot be decoded.
        """
        return decode_mp4(self.video)

    @cached_property
    def num_frames(self) -> int:
        """T+1, without decoding any."""
        return count_samples(self.video) or len(self.frames)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the mp4 to a file, whole or not at all.

        Args:
            path: of the file; its folder is made where there is none.

        Returns:
            The path.
        """
        target = Path(path).expanduser()
        write_whole(target, self.video)
        return target

    def _repr_html_(self) -> str:
        """The video itself, for notebooks."""
        from base64 import b64encode

        data = b64encode(self.video).decode()
        return f'<video controls loop muted src="data:video/mp4;base64,{data}"></video>'


def decode_mp4(data: bytes) -> NDArray[np.uint8]:
    """All pictures of an mp4.

    Args:
        data: the whole file.

    Returns:
        (N, H, W, 3) uint8 RGB.

    Raises:
        MediaError: it cannot be decoded.
    """
    import av
    from av.video.reformatter import VideoReformatter

    from dreamlake.media.container import media_errors

    with media_errors("a rollout"), av.open(io.BytesIO(data), "r", format="mp4") as container:
        if not container.streams.video:
            raise MediaError("a rollout holds no video")
        reformatter = VideoReformatter()
        pictures: list[NDArray[Any]] = [
            reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray() for frame in container.decode(video=0)
        ]
    if not pictures:
        raise MediaError("a rollout holds no pictures")
    return np.stack(pictures)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that there is all of it or none: beside its place first.

    Args:
        path: of the file; its folder is made where there is none.
        data: its content.
    """
    # Two threads never write the same file at once, and a process that died has left its own.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        try:
            temporary.write_bytes(data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
