"""Reading tracks: of what the lake has of one, the windows that a question needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import Any

import msgspec

from dreamlake._async._playlists import AsyncSegments
from dreamlake._async._runtime import Stream, gather, map_ordered, offload
from dreamlake._async.asset import ready
from dreamlake._async.lake import AsyncLake
from dreamlake.core.cues import chunk_head, parse_chunk
from dreamlake.core.kinds import Kind
from dreamlake.core.tracks import TrackFormat
from dreamlake.core.windows import chunks_between, counts
from dreamlake.core.wireassets import TrackMeta
from dreamlake.errors import MediaError

__all__ = ["AsyncTrackReader", "Entry"]

Entry = dict[str, Any]

AHEAD = 4  # windows that are fetched before they are wanted

_objects = msgspec.json.Decoder(dict[str, Any])


class AsyncTrackReader:
    """One version of a track of a lake.

    Args:
        lake: that has it.
        kind: a label track or a text track.
        meta: its sidecar, processed.
    """

    def __init__(self, lake: AsyncLake, kind: Kind, meta: TrackMeta) -> None:
        self.meta = meta
        self._streams = [AsyncSegments(lake, kind, meta.id, stream) for stream in meta.streams]

    @classmethod
    async def open(cls, lake: AsyncLake, kind: Kind, object_id: str) -> AsyncTrackReader:
        """Get what there is to know of a track, once the lake has processed it; no entries yet.

        Raises:
            ProcessingError: the lake could not process it.
        """
        reader = cls(lake, kind, await ready(lake, kind, object_id, progress=False))
        await gather(*(stream.load for stream in reader._streams))
        return reader

    @property
    def format(self) -> TrackFormat:
        """Of the file that was uploaded."""
        return self.meta.format or "jsonl"

    async def entries(self, start: float, stop: float) -> Stream[Entry]:
        """The entries between two times, in the order of their beginnings; windows are fetched ahead.

        Args:
            start: seconds; entries that hold until later are between them.
            stop: seconds; entries that begin before are.
        """
        async with AsyncExitStack() as stack:
            streams = [
                await stack.enter_async_context(aclosing(self._of_stream(stream, start, stop)))
                for stream in self._streams
            ]
            # Long entries have streams of their own: the one that begins first is next.
            heads = [(await anext(stream, None), stream) for stream in streams]
            heads = [head for head in heads if head[0] is not None]
            while heads:
                at = min(range(len(heads)), key=lambda number: _begin(heads[number][0]))
                entry, stream = heads[at]
                assert entry is not None
                yield entry
                following = await anext(stream, None)
                if following is None:
                    del heads[at]
                else:
                    heads[at] = following, stream

    async def head(self) -> Sequence[str]:
        """What a WebVTT file says before its first cue."""
        if self.format != "vtt" or not self._streams:
            return []
        return await offload(partial(chunk_head, await self._streams[0].chunk(0), self.meta.name))

    async def _of_stream(self, stream: AsyncSegments, start: float, stop: float) -> Stream[Entry]:
        playlist = await stream.load()
        length = playlist.window
        if length is None:
            raise MediaError(f"{self.meta.name}: its playlist does not say how long its windows are")

        async def read(item: tuple[int, int]) -> tuple[int, list[Entry]]:
            data = await stream.chunk(item[0])
            return item[1], await offload(partial(self._parsed, data))

        async with aclosing(map_ordered(read, chunks_between(playlist, start, stop), AHEAD)) as windows:
            async for window, entries in windows:
                for entry in entries:
                    if counts(entry["ts"], entry["ts"] + entry["dt"], window, length, start, stop):
                        yield entry

    def _parsed(self, data: bytes) -> list[Entry]:
        form = self.format
        if form == "vtt" or form == "srt":
            return parse_chunk(data, self.meta.name, form)
        return _objects.decode_lines(data)


def _begin(entry: Entry | None) -> float:
    return math.inf if entry is None else entry["ts"]
