# Generated from dreamlake/_async/searchresult.py by scripts/unasync.py. Edit that file, then run it.
"""What a search in a vector index has found."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamlake._sync.lake import Lake
from dreamlake._sync.sources import FileSource, LakeSource, Source
from dreamlake._sync.video import Video
from dreamlake.config import lake_at
from dreamlake.core.selection import Selection
from dreamlake.core.targets import AssetUri, parse_source
from dreamlake.core.wirevectors import Hit

__all__ = ["SearchResult"]


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
