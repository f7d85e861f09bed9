# Generated from dreamlake/_async/searchresult.py by scripts/unasync.py. Edit that file, then run it.
"""What a search in a vector index has found, and clips as rows of one name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamlake._sync.lake import Lake
from dreamlake._sync.sources import FileSource, LakeSource, Source
from dreamlake._sync.video import Video
from dreamlake.config import lake_at
from dreamlake.core.selection import Selection
from dreamlake.core.targets import AssetUri, parse_source
from dreamlake.core.vectors import MAX_FRAMES, NOWHERE, SourceColumns, check_extra
from dreamlake.core.wirevectors import Hit, Where
from dreamlake.errors import UsageError

__all__ = ["SearchResult", "columns_of", "condition_of"]


class SearchResult:
    """A row of a vector index that was found.

    Attributes:
        id: of the row.
        score: the cosine to a vector, BM25 of a text, or that of the fused ranking of both; more is better.
        caption: empty where there is none.
        video_id: the resource id of the video, or the URI of a file outside of the lake; None without a source.
        st: seconds of the video at which the clip begins.
        et: seconds of the video at which it ends.
        fs: its first frame.
        fe: its last frame.
        extra: what else was added with it.
        matched_by: which legs of the search found it: ``vector``, ``text``, or both.
    """

    __slots__ = (
        "_frames", "_lake", "caption", "et", "extra", "fe", "fs", "id", "matched_by", "score", "st", "video_id",
    )  # fmt: skip

    def __init__(self, lake: Lake, hit: Hit) -> None:
        self.id = hit.id
        self.score = hit.score
        self.caption = hit.caption
        self.video_id = hit.video_id
        self.st = hit.st
        self.et = hit.et
        self.fs = hit.fs
        self.fe = hit.fe
        self.extra: dict[str, Any] = hit.extra
        self.matched_by: tuple[str, ...] = tuple(hit.matched_by)
        self._frames = hit.frames
        self._lake = lake

    @property
    def video(self) -> Video | None:
        """The clip, which nothing was fetched of yet; None for a row without a source."""
        if self.video_id is None or self.st is None or self.et is None or self.fs is None or self.fe is None:
            return None
        frames = range(self.fs, self.fe + 1) if self._frames is None else np.array(self._frames, np.int64)
        return Video(self._source(self.video_id), Selection(frames, self.st, self.et))

    def _source(self, video_id: str) -> Source:
        target = parse_source(video_id)
        if isinstance(target, AssetUri):
            lake = self._lake if target.host is None else Lake(lake_at(target.host))
            return LakeSource.of(lake, target.object_id)
        shared: Source = Source.find(FileSource(target.location).key)
        return shared

    def __repr__(self) -> str:
        where = "" if self.video_id is None else f", {self.video_id} {self.st:g}-{self.et:g} s"
        return f"<{self.score:.4f} {self.caption!r}{where}, by {' and '.join(self.matched_by)}>"


def columns_of(source: Video | None, lake: Lake) -> SourceColumns:
    """Where a vector comes from: the clip's video, its seconds and its frames.

    Args:
        source: the clip that it was made of.
        lake: of the index.

    Raises:
        UsageError: not a clip, or one without frames.
    """
    if source is None:
        return NOWHERE
    if not isinstance(source, Video):
        raise UsageError(f"source is the clip that the vector was made of, not a {type(source).__name__}")
    source.load()
    frames = source._selected().frames
    if not len(frames):
        raise UsageError(f"{source!r} has no frame, and is the source of nothing")
    first, last = int(min(frames)), int(max(frames))
    listed = None
    if not isinstance(frames, range) or frames.step != 1:
        if len(frames) > MAX_FRAMES:
            raise UsageError(f"a source names up to {MAX_FRAMES} single frames, not {len(frames)}: take a slice")
        listed = tuple(int(number) for number in frames)
    own = source.id is not None and source.uri.startswith(f"bss://{lake.address.host}/")
    return SourceColumns(source.id if own else source.uri, source.st, source.et, first, last, listed)


def condition_of(where: Mapping[str, Any] | None) -> Where | None:
    """A condition as the wire has it."""
    if where is None:
        return None
    if not isinstance(where, Mapping):
        raise UsageError(f"where is a dict such as {{'camera': 'front'}}, not a {type(where).__name__}")
    rest = dict(where)
    if "video" in rest and "videoId" in rest:
        raise UsageError("where says video and videoId, which are the same")
    video = rest.pop("video", rest.pop("videoId", None))
    times = [rest.pop(name, None) for name in ("st", "et")]
    for time in times:
        if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
            raise UsageError(f"st and et are seconds, not {time!r}")
    values = {name: [*value] if isinstance(value, list | tuple | set) else [value] for name, value in rest.items()}
    extra = {name: [check_extra({name: one})[name] for one in found] for name, found in values.items()}
    return Where(None if video is None else _video_ids(video), times[0], times[1], extra)


def _video_ids(video: Any) -> list[str]:
    found = []
    for one in [video] if isinstance(video, str | Video) else video:
        if isinstance(one, Video):
            found += [text for text in (one.id, one.uri) if text is not None]
        elif isinstance(one, str):
            found.append(one)
        else:
            raise UsageError(
                f"where={{'video': …}} takes a Video, an id, or a list of them, not a {type(one).__name__}"
            )
    return found
