# Generated from dreamlake/_async/vectorinput.py by scripts/unasync.py. Edit that file, then run it.
"""What is given to a vector index: rows, queries and conditions, looked at before anything of them is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dreamlake._sync._runtime import offload
from dreamlake._sync.lake import Lake
from dreamlake._sync.video import Video
from dreamlake.core.arrowrows import Rows
from dreamlake.core.encoders import Encoder
from dreamlake.core.vectors import (
    MAX_FRAMES,
    NOWHERE,
    SourceColumns,
    Vectors,
    as_vector,
    canonical,
    check_captions,
    check_extra,
    check_row_id,
)
from dreamlake.core.wirevectors import Where
from dreamlake.errors import UsageError

__all__ = ["asked", "columns_of", "condition_of", "rows_of"]


def rows_of(
    lake: Lake,
    vectors: Vectors,
    captions: Sequence[str | None] | None,
    sources: Sequence[Video | None] | None,
    ids: Sequence[str] | None,
    extras: Sequence[Mapping[str, Any]] | None,
    extra: Mapping[str, Any],
) -> Rows:
    """Rows as ``add_many`` takes them.

    Args:
        lake: of the index.
        vectors: (N, D)
        captions: N of them, or None.
        sources: N clips, or None.
        ids: N of them, or None.
        extras: what else is known of each, or None.
        extra: what else is known of all.

    Raises:
        UsageError: there are more or fewer of these, or one of them cannot be.
    """
    columns = {"captions": captions, "sources": sources, "ids": ids, "extras": extras}
    for name, column in columns.items():
        if column is not None and len(column) != len(vectors):
            raise UsageError(f"there are {len(vectors)} vectors and {len(column)} {name}")
    texts = [""] * len(vectors) if captions is None else check_captions(captions)
    common = check_extra(extra)
    said = [canonical(common)] * len(vectors)
    if extras is not None:
        said = [canonical({**common, **check_extra(one)}) for one in extras]
    given = None if ids is None else [check_row_id(one) for one in ids]
    clips = [NOWHERE] * len(vectors)
    if sources is not None:
        clips = [columns_of(clip, lake) for clip in sources]
    return Rows(vectors, texts, clips, said, given)


def asked(query: Any, encoder: Encoder | None, dim: int | None, name: str) -> tuple[Vectors | None, str | None]:
    """The vector and the text that a query means.

    Args:
        query: a text, a vector, an image or a video.
        encoder: of the index.
        dim: of its vectors, as far as it is known.
        name: of the index, for messages.
    """
    if isinstance(query, str):
        if not query.strip():
            raise UsageError("an empty text finds nothing")
        if encoder is None or not hasattr(encoder, "encode_text"):
            return None, query
        return as_vector(offload(partial(encoder.encode_text, query)), dim), query
    from PIL.Image import Image

    if not isinstance(query, Video | Image):
        return as_vector(query, dim), None
    if encoder is None or not hasattr(encoder, "encode_image"):
        what = "a video" if isinstance(query, Video) else "an image"
        raise UsageError(f"{what} is searched for through an encoder: vec_index({name!r}, encoder=…)")
    image = query.thumbnail if isinstance(query, Video) else query
    return as_vector(offload(partial(encoder.encode_image, image)), dim), None


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
