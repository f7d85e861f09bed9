"""Text tracks and label tracks: each of the two kinds, made or found at a path, and loaded by its id."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from dreamlake._async._runtime import offload
from dreamlake._async.asset import is_lake_path, locate
from dreamlake._async.lake import AsyncLake
from dreamlake._async.track import AsyncTrack
from dreamlake._async.video import AsyncVideo
from dreamlake.config import current_lake
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, Kind
from dreamlake.core.prefix import Place, in_prefix, resolve_asset, resolve_place
from dreamlake.core.targets import Space, check_name, is_target
from dreamlake.errors import UsageError

T = TypeVar("T", bound=AsyncTrack)

__all__ = ["AsyncLabelTrack", "AsyncTextTrack", "label_track", "load_track", "text_track", "track_of"]

log = logging.getLogger("dreamlake")


class AsyncTextTrack(AsyncTrack):
    """Captions, transcripts, descriptions: texts in time. ``text_track`` makes one, and ``load`` finds it again."""

    KIND = TEXT_TRACK

    __slots__ = ()

    def add(
        self,
        text: str,
        *,
        source: AsyncVideo | None = None,
        st: float | None = None,
        et: float | None = None,
        sf: int | None = None,
        ef: int | None = None,
    ) -> None:
        """Add a text. It is buffered until ``flush``.

        Args:
            text: what is said.
            source: the clip it is said of, from which times and frames follow.
            st: else when it begins, seconds.
            et: when it ends.
            sf: its first frame.
            ef: its last frame.

        Raises:
            UsageError: no text, or no times.

        Example:
            >>> track.add("A robot arm reaches for a cup", source=video[10.0:20.0])
            >>> track.add("Gripper closes", st=20.0, et=22.0, sf=600, ef=660)
        """
        if not isinstance(text, str):
            raise UsageError(f"a text is wanted, and not {text!r}")
        self._add({"text": text}, source, {"st": st, "et": et, "sf": sf, "ef": ef})


class AsyncLabelTrack(AsyncTrack):
    """Detections, annotations, states: labels in time, with any fields."""

    KIND = LABEL_TRACK

    __slots__ = ()

    def add(
        self,
        *,
        source: AsyncVideo | None = None,
        st: float | None = None,
        et: float | None = None,
        sf: int | None = None,
        ef: int | None = None,
        **fields: Any,
    ) -> None:
        """Add a label. It is buffered until ``flush``.

        Args:
            source: the clip it is on, from which times and frames follow.
            st: else when it begins, seconds.
            et: when it ends.
            sf: its first frame.
            ef: its last frame.
            fields: what there is to say: numbers, texts, lists, dictionaries, arrays.

        Raises:
            UsageError: no times, or a field that JSON cannot say.

        Example:
            >>> track.add(source=video[10.0:20.0], label="cup", bbox=[100, 50, 200, 150])
        """
        self._add(fields, source, {"st": st, "et": et, "sf": sf, "ef": ef})


async def text_track(
    prefix: str | None = None, *, path: str | None = None, space: str | None = None, episode: str | None = None
) -> AsyncTextTrack:
    """The text track at a path, to read and to add to; one that is not there yet is made by its first flush.

    Args:
        prefix: its path, below the Prefix in force unless it is absolute.
        path: the rest of its path, below that.
        space: ``space@namespace``, or a space of your own namespace.
        episode: ``namespace@space:episode``, or the name of an episode.

    Raises:
        UsageError: no path, or one at which there is something else.
        LakeUnreachableError: no lake answers.

    Example:
        >>> track = await adl.text_track(prefix="/2026/04/run-042/captions/llava", space="robotics@alice")
        >>> track.add("A robot arm reaches for a cup", source=video[10.0:20.0])
        >>> await track.flush()
    """
    return await _at(AsyncTextTrack, resolve_place(space=space, prefix=prefix, path=path, episode=episode))


async def label_track(
    prefix: str | None = None, *, path: str | None = None, space: str | None = None, episode: str | None = None
) -> AsyncLabelTrack:
    """The label track at a path, as ``text_track``.

    Args:
        prefix: as of ``text_track``.
        path: as of ``text_track``.
        space: as of ``text_track``.
        episode: as of ``text_track``.

    Example:
        >>> track = await adl.label_track(prefix="/2026/04/run-042/detections")
        >>> track.add(source=clip, label="cup", confidence=0.9, bbox=[100, 50, 200, 150])
        >>> await track.flush()
    """
    return await _at(AsyncLabelTrack, resolve_place(space=space, prefix=prefix, path=path, episode=episode))


async def _at(kind: type[T], place: Place) -> T:
    if place.folder == "/":
        raise UsageError("a track needs a path: say prefix= or path=")
    lake = AsyncLake(current_lake())
    track = kind(lake, None, await _whole(lake, Place(place.space, check_name(place.folder))))
    base = await track._append().newest()
    if base is not None:
        track.object_id = base.object_id
        await track.load()
    left = await offload(track._buffer().leftovers)
    if count := sum(len(one.lines) for one in left):
        log.warning("%r: %d entries of an earlier process were never flushed; track.recover() takes them", track, count)
    return track


async def load_track(source: str) -> AsyncTrack:
    """Load the track that a resource id, a URI or a path names.

    Args:
        source: as of ``locate``.

    Raises:
        NotFoundError: there is no such track.
        ProcessingError: the lake could not process it.
    """
    asset = await locate(source)
    named = is_target(source) or (in_prefix() and is_lake_path(source))
    place = await _whole(asset.lake, resolve_asset(source)) if named else None
    return await track_of(asset.lake, asset.kind_info, asset.object_id, asset.filename, place).load()


def track_of(
    lake: AsyncLake, kind: Kind, object_id: str, filename: str | None = None, place: Place | None = None
) -> AsyncTrack:
    """The track with an id, not loaded yet.

    Args:
        lake: that has it.
        kind: of the track.
        object_id: its ObjectId.
        filename: what it is called where it was found.
        place: where that was, the space complete; None for a track that is known by its id alone.
    """
    made = AsyncTextTrack if kind == TEXT_TRACK else AsyncLabelTrack
    return made(lake, object_id, place, filename=filename)


async def _whole(lake: AsyncLake, place: Place) -> Place:
    return Place(Space(*await lake.whole(place.space), place.space.episode), place.folder)
