"""Rows out of the lake: clips whose first frames rollouts start from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dreamlake.core.wireengine import JobSource
from dreamlake.errors import UsageError
from dreamlake.io.source import IterableSource, SourceRow

__all__ = ["frames_from_lake"]


def frames_from_lake(
    clips: Iterable[Any], actions: Sequence[Any], *, ids: Sequence[str] | None = None
) -> IterableSource:
    """Rows out of clips: each rollout starts from the first frame of its clip.

    Pixels are decoded when it is the row's turn.

    Args:
        clips: a VideoArray, or Videos; those of the async API are for the async client.
        actions: for each clip (T, A) numbers, such as one array (B, T, A).
        ids: what the rows are called; None for the id of the video and the number of the frame.

    Returns:
        The source, with as many rows as there are clips.

    Raises:
        UsageError: not as many actions, or ids, as clips.

    Example:
        >>> src = frames_from_lake(video.chunk(4.9), actions)
    """
    return _Clips(list(clips), actions, ids)


class _Clips(IterableSource):
    def __init__(self, clips: list[Any], actions: Sequence[Any], ids: Sequence[str] | None) -> None:
        if len(actions) != len(clips) or (ids is not None and len(ids) != len(clips)):
            given = f"{len(actions)} actions" + ("" if ids is None else f" and {len(ids)} ids")
            raise UsageError(f"there are {len(clips)} clips and {given}")
        self._clips = clips
        self._of_each = actions
        self._ids = ids
        self.rows_hint = len(clips)

    @property
    def identity(self) -> str:
        """Which videos the clips are of."""
        return "lake: " + ", ".join(sorted({str(clip.id or clip.uri) for clip in self._clips}))

    def describe(self) -> JobSource:
        """The source as a job of the engine is told of it.

        Raises:
            UsageError: the actions are in the memory of this process.
        """
        raise UsageError("the actions are in the memory of this process, and no job can reach them; use predict_many")

    def __iter__(self) -> Iterator[SourceRow]:
        for number, clip in enumerate(self._clips):
            st = float(clip.st)
            name = f"{clip.id or 'clip'}-{number:06d}" if self._ids is None else self._ids[number]
            metadata = {"source_video": clip.id or clip.uri, "source_st": st, "source_et": float(clip.et)}
            yield SourceRow(name, clip[0], self._of_each[number], metadata)
