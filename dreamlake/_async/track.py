"""Tracks: what was said and seen, when, to read and to add to (seed 1, "TextTrack"; seed 3)."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import numpy as np

from dreamlake._async._runtime import Lock, demand, offload
from dreamlake._async.asset import AsyncAsset
from dreamlake._async.lake import AsyncLake
from dreamlake._async.trackbuffer import TrackBuffer
from dreamlake._async.trackreading import AsyncTrackReader, Entry
from dreamlake._async.trackwriting import AsyncAppend
from dreamlake._async.video import AsyncVideo
from dreamlake.core.cues import srt_text, vtt_text
from dreamlake.core.kinds import Kind
from dreamlake.core.prefix import Place
from dreamlake.core.trackentry import make_entry
from dreamlake.core.windows import overlaps
from dreamlake.errors import MissingExtraError, UsageError
from dreamlake.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["AsyncTrack"]


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
