"""Text tracks and label tracks: what was said and seen, when (seed 1, "TextTrack"; seed 3)."""

from __future__ import annotations

import logging
import math
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import msgspec
import numpy as np

from dreamlake._async._runtime import Lock, demand, offload
from dreamlake._async.asset import AsyncAsset, is_lake_path, locate
from dreamlake._async.lake import AsyncLake
from dreamlake._async.trackbuffer import TrackBuffer
from dreamlake._async.trackreading import AsyncTrackReader, Entry
from dreamlake._async.trackwriting import AsyncAppend
from dreamlake._async.video import AsyncVideo
from dreamlake.config import current_lake
from dreamlake.core.cues import srt_text, vtt_text
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, Kind
from dreamlake.core.prefix import Place, in_prefix, resolve_asset, resolve_place
from dreamlake.core.targets import DEFAULT_SPACE, Space, check_name, is_target
from dreamlake.core.trackentry import make_entry
from dreamlake.core.windows import overlaps
from dreamlake.errors import MissingExtraError, UsageError
from dreamlake.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T", bound="AsyncTrack")

__all__ = ["AsyncLabelTrack", "AsyncTextTrack", "AsyncTrack", "label_track", "load_track", "text_track", "track_of"]

log = logging.getLogger("dreamlake")


class _State:
    """What a track and its slices share: what the lake has of it, and what it has not yet."""

    def __init__(self, place: Place | None) -> None:
        self.place = place  # None for a track that is known by its id alone
        self.name = "" if place is None else place.folder
        self.space = "" if place is None else f"{place.space.space}@{place.space.namespace}"
        self.reader: AsyncTrackReader | None = None
        self.buffer: TrackBuffer | None = None
        self.append: AsyncAppend | None = None
        self.lock = Lock()


class AsyncTrack(AsyncAsset):
    """A track of entries in time, or a part of one. What is read of it is fetched when it is asked for, and no more.

    ``track[10.0:20.0]`` is the part between two times: what holds between them, though it may have begun before or end
    after. Entries are dictionaries: ``ts`` and ``dt`` in seconds, ``fs`` and ``fe`` as frames, and their other fields.
    They come in the order of their beginnings, those added here and not yet flushed among them.
    """

    KIND: ClassVar[Kind]

    __slots__ = ("__weakref__", "_start", "_state", "_stop")

    def __init__(
        self,
        lake: AsyncLake,
        object_id: str | None,
        place: Place | None = None,
        *,
        filename: str | None = None,
    ) -> None:
        super().__init__(lake, self.KIND, object_id or "", filename)
        self._state = _State(place)
        self._start, self._stop = -math.inf, math.inf

    # -- what is known without I/O -----------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:  # type: ignore[override]  # (a track that was never flushed has none)
        """The resource id, such as ``tt-Kx9mP2qR4tWn8vZy``; None before the first flush."""
        return super().id if self.object_id else None

    @property
    def prefix(self) -> str:
        """Its path in the space, such as ``/2026/04/run-042/captions/llava``."""
        self._known()
        return self._state.name

    @property
    def space(self) -> str:
        """The space it is in, as ``space@namespace``."""
        self._known()
        return self._state.space

    @property
    def count(self) -> int:
        """How many entries there are, those included that are not flushed yet."""
        if self._is_part:
            counted: list[int] = []

            async def count() -> None:
                counted.append(len(await self.to_list()))

            demand(count, "how many entries a part has is not known: `len(await part.to_list())`")
            return counted[0]
        reader = self._known()
        stored = 0 if reader is None else reader.meta.entry_count or 0
        return stored + len(self._pending())

    @property
    def st(self) -> float:
        """Seconds at which a part begins; of a whole track its first entry. 0.0 where there is none."""
        return self._start if math.isfinite(self._start) else self._extent()[0]

    @property
    def et(self) -> float:
        """Seconds at which a part ends; of a whole track its last entry."""
        return self._stop if math.isfinite(self._stop) else self._extent()[1]

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return True  # also where it has no entries, or where nobody knows yet

    def __getitem__(self, key: slice) -> Self:
        """The part between two times.

        Args:
            key: seconds, as floats; as of a clip, relative to the part in hand.

        Raises:
            UsageError: not two times.

        Example:
            >>> async for entry in track[10.0:20.0]:
            ...     print(entry["label"])
        """
        if not isinstance(key, slice) or key.step is not None:
            raise UsageError(f"a track is cut by seconds, as track[10.0:20.0], not by {key!r}; a moment is track.at(t)")
        base = self._start if math.isfinite(self._start) else 0.0
        start = self._start if key.start is None else base + _seconds(key.start)
        stop = self._stop if key.stop is None else base + _seconds(key.stop)
        return self._between(start, stop)

    def at(self, when: float | AsyncVideo) -> Self:
        """What holds at a moment, or during a clip.

        Args:
            when: seconds of the recording, or a clip of it.
        """
        if isinstance(when, AsyncVideo):
            return self._between(when.st, when.et)
        if isinstance(when, bool) or not isinstance(when, int | float | np.number) or not math.isfinite(when):
            raise UsageError(f"{when!r} is neither a number of seconds nor a clip")
        return self._between(float(when), math.nextafter(float(when), math.inf))

    def __repr__(self) -> str:
        name, state = type(self).__name__, self._state
        if self.object_id and state.reader is None:
            return f'{name}("{super().id}", not loaded)'
        if self._is_part:
            times = [f"{key}={value!r}" for key, value in (("st", self._start), ("et", self._stop))]
            return f'{name}("{state.name}", space="{state.space}", {", ".join(times)})'
        return f'{name}("{state.name}", space="{state.space}", count={self.count})'

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncTrack) or (self._start, self._stop) != (other._start, other._stop):
            return False
        return self._state is other._state or bool(self.object_id and self.uri == other.uri)

    def __hash__(self) -> int:
        return hash((self.object_id, self._start, self._stop))

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.object_id or self._pending():
            raise UsageError(f"{self!r} has entries that are not flushed: flush it before it goes to another process")
        return _restore, (type(self), self.uri, self._state.place, self._start, self._stop)

    # -- entries -----------------------------------------------------------------------------------------------------

    async def load(self) -> Self:
        """Learn anew what the lake has of the track, which others may have flushed to as well."""
        if self.object_id:
            reader = await AsyncTrackReader.open(self.lake, self.KIND, self.object_id)
            self.object_id = reader.meta.id
            self._state.reader = reader
            if self._state.place is None:
                self._state.name = reader.meta.name
                self._state.space = f"{reader.meta.project}@{reader.meta.owner}"
        return self

    async def __aiter__(self) -> AsyncIterator[Entry]:
        """The entries, fetched as they are wanted."""
        if self.object_id and self._state.reader is None:
            await self.load()
        reader = self._state.reader
        pending = [msgspec.json.decode(line, type=dict[str, Any]) for line in self._pending()]
        mine = [entry for entry in pending if overlaps(entry["ts"], entry["ts"] + entry["dt"], self._start, self._stop)]
        mine.sort(key=lambda entry: float(entry["ts"]), reverse=True)
        if reader is not None:
            async with aclosing(reader.entries(self._start, self._stop)) as stored:
                async for entry in stored:
                    while mine and mine[-1]["ts"] < entry["ts"]:
                        yield mine.pop()
                    yield entry
        while mine:
            yield mine.pop()

    async def to_list(self) -> list[Entry]:
        """The entries as dictionaries."""
        return [entry async for entry in self]

    async def to_pandas(self) -> pd.DataFrame:
        """The entries as a DataFrame, a column for each field.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("tables", "a DataFrame") from error
        entries = await self.to_list()
        return pd.DataFrame(entries, columns=_names(entries))

    async def to_arrow(self) -> pa.Table:
        """The entries as a table of Arrow, a column for each field.

        Raises:
            MissingExtraError: pyarrow is not installed.
            UsageError: a field whose values are of types that no column can hold together.
        """
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingExtraError("tables", "a table of Arrow") from error
        entries = await self.to_list()
        try:
            return pa.table({name: [entry.get(name) for entry in entries] for name in _names(entries)})
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UsageError(f"{self.prefix}: cannot be a table: {error}") from error

    async def to_vtt(self) -> str:
        """The entries as a WebVTT file."""
        entries = await self.to_list()
        reader = self._state.reader
        if reader is None:
            return vtt_text(entries, [], "jsonl")
        return vtt_text(entries, await reader.head(), reader.format)

    async def to_srt(self) -> str:
        """The entries as a SubRip file."""
        entries = await self.to_list()
        return srt_text(entries, "jsonl" if self._state.reader is None else self._state.reader.format)

    async def download(self, to: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> Path:
        """Fetch the file of the track, as the lake has it.

        Args:
            to: as of ``download``.
            progress: as of ``upload``.
        """
        self._check_flushed("to download")
        return await super().download(to, progress=progress)

    # -- writing -----------------------------------------------------------------------------------------------------

    async def flush(self, *, wait: bool = True) -> None:
        """Bring the new entries into the lake: with those that are there they are the next version of the track.

        Others may flush to the same track at the same time. When it fails the entries stay as they are, to be flushed
        again; nothing is added twice.

        Args:
            wait: until the lake has processed them, and they can be read.

        Raises:
            UsageError: a track whose file is no JSONL.
            UploadPausedError: the lake went away.
            LakeError: the lake refused it.
            LakeUnreachableError: no lake answers.
        """
        state = self._state
        async with state.lock:
            lines = list(self._pending())
            if lines:
                buffer, append = self._buffer(), self._append()
                self.object_id = await append.run(lines, partial(buffer.note))
                append.sent.clear()
                await offload(partial(buffer.drop, len(lines)))
                state.reader = None
            if wait and (state.reader is None or lines):
                await self.load()

    async def recover(self) -> int:
        """Buffer the entries that earlier processes have added and not flushed, such as one that was killed.

        Returns:
            How many there were. Flush them, or they are left again.
        """
        buffer, append, count = self._buffer(), self._append(), 0
        for left in await offload(buffer.leftovers):
            known = 0
            if left.sent and (base := await append.newest()) is not None:
                with TemporaryDirectory(prefix="dreamlake-") as folder:
                    append.sent[:] = left.sent
                    known = await append.contains(Path(folder) / "track.jsonl", base)
                    append.sent.clear()
            for line in left.lines[known:]:
                buffer.add(line)
                count += 1
            await offload(partial(buffer.forget, left.path))
        return count

    def _add(self, fields: dict[str, Any], source: AsyncVideo | None, times: dict[str, Any]) -> None:
        if self._is_part:
            raise UsageError("entries are added to the whole track, and not to a part of it")
        if source is not None:
            if any(value is not None for value in times.values()):
                raise UsageError("the times are those of the source: say either source= or st= and et=")
            if not isinstance(source, AsyncVideo):
                raise UsageError(f"the source of an entry is a clip of a video, and not {source!r}")
            times = source._span()
        self._buffer().add(make_entry(fields, **times))

    # -- how ---------------------------------------------------------------------------------------------------------

    @property
    def _is_part(self) -> bool:
        return self._start != -math.inf or self._stop != math.inf

    def _between(self, start: float, stop: float) -> Self:
        part = type(self).__new__(type(self))
        AsyncAsset.__init__(part, self.lake, self.KIND, self.object_id, self.filename)
        part._state = self._state
        part._start, part._stop = max(start, self._start), min(stop, self._stop)
        return part

    def _known(self) -> AsyncTrackReader | None:
        if self.object_id and self._state.reader is None:
            demand(self.load, "this track is not loaded yet: `await track.load()` first")
        return self._state.reader

    def _extent(self) -> tuple[float, float]:
        reader = self._known()
        if reader is None or reader.meta.start_time is None or reader.meta.end_time is None:
            return 0.0, 0.0
        return reader.meta.start_time, reader.meta.end_time

    def _pending(self) -> list[bytes]:
        buffer = self._state.buffer
        return [] if buffer is None else buffer.lines

    def _buffer(self) -> TrackBuffer:
        state = self._state
        if state.buffer is None:
            place = state.place
            where = self.object_id if place is None else f"{place.space} {place.folder}"
            title = f'{type(self).__name__}("{state.name or self.id}")'
            state.buffer = TrackBuffer(f"{self.lake.address} {self.KIND.name} {where}", title)
            weakref.finalize(state, state.buffer.warn)
        return state.buffer

    def _append(self) -> AsyncAppend:
        state = self._state
        if state.append is None:
            name = self.prefix
            state.append = AsyncAppend(self.lake, self.KIND, state.place, name, self.object_id or None)
        return state.append

    def _check_flushed(self, what: str) -> None:
        if not self.object_id:
            raise UsageError(f"{self!r} was never flushed: there is nothing {what}")


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
    namespace = place.space.namespace or (await lake.me()).namespace
    space = Space(namespace, place.space.space or DEFAULT_SPACE, place.space.episode)
    track = kind(lake, None, Place(space, check_name(place.folder)))
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
    track = track_of(asset.lake, asset.kind_info, asset.object_id, asset.filename)
    if is_target(source) or (in_prefix() and is_lake_path(source)):
        place = resolve_asset(source)
        namespace = place.space.namespace or (await asset.lake.me()).namespace
        space = Space(namespace, place.space.space or DEFAULT_SPACE, place.space.episode)
        track._state = _State(Place(space, place.folder))
    return await track.load()


def track_of(lake: AsyncLake, kind: Kind, object_id: str, filename: str | None = None) -> AsyncTrack:
    """The track with an id, not loaded yet."""
    made = AsyncTextTrack if kind == TEXT_TRACK else AsyncLabelTrack
    return made(lake, object_id, filename=filename)


def _restore(kind: type[AsyncTrack], uri: str, place: Place | None, start: float, stop: float) -> AsyncTrack:
    from dreamlake.config import lake_at
    from dreamlake.core.targets import AssetUri, parse_source

    target = parse_source(uri)
    assert isinstance(target, AssetUri)
    track = kind(AsyncLake(lake_at(target.host or "")), target.object_id, place)
    return track._between(start, stop)


def _names(entries: list[Entry]) -> list[str]:
    """All fields of some entries, in the order in which they come up."""
    return list(dict.fromkeys(name for entry in entries for name in entry))


def _seconds(value: Any) -> float:
    if not isinstance(value, float | np.floating) or math.isnan(value):
        raise UsageError(f"a track is cut by seconds, as track[10.0:20.0], and {value!r} is no float")
    return float(value)
