# Generated from dreamlake/_async/_playlists.py by scripts/unasync.py. Edit that file, then run it.
"""The streams of an asset: playlists, and the chunks that they name, each proved to be what its name says."""

from __future__ import annotations

import logging
from collections import OrderedDict
from functools import partial
from hashlib import sha256
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from dreamlake._sync._runtime import Shared, offload
from dreamlake._sync.lake import Lake
from dreamlake.core.kinds import Kind
from dreamlake.core.playlist import Playlist, parse_playlist
from dreamlake.errors import AccessError, IntegrityError

__all__ = ["Segments"]

log = logging.getLogger("dreamlake")

KEPT_BYTES = 32 * 1024**2  # of the chunks that were read last


class Segments:
    """One stream of an asset.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        stream: the name of the stream, as the sidecar says it.
    """

    def __init__(self, lake: Lake, kind: Kind, object_id: str, stream: str) -> None:
        self._lake = lake
        self._kind = kind
        self._object_id = object_id
        self._stream = stream
        self._playlist: Playlist | None = None
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._shared: Shared[bytes] = Shared()

    def load(self) -> Playlist:
        """The playlist, which is fetched once."""
        if self._playlist is None:
            self._playlist = parse_playlist(self._lake.playlist(self._kind, self._object_id, self._stream))
        return self._playlist

    def chunk(self, number: int) -> bytes:
        """The bytes of a segment, fetched once by all who want them at once.

        Raises:
            IntegrityError: stored bytes are not what they were.
            NotFoundError: the stream is none of the asset's any more.
        """
        kept = self._kept.get(number)
        return kept if kept is not None else self._shared.call(number, partial(self._fetch, number))

    def _fetch(self, number: int) -> bytes:
        for last in (False, True):
            name, data = self._signed(number)
            if offload(partial(_matches, data, name)):
                break
            if last:
                raise IntegrityError(f"{self._kind.name} {self._object_id}: chunk {name} does not match its hash")
            log.warning("chunk %s arrived damaged; fetching it again", name)
        self._kept[number] = data
        while sum(map(len, list(self._kept.values()))) > KEPT_BYTES and len(self._kept) > 1:
            self._kept.pop(next(iter(self._kept)), None)
        return data

    def _signed(self, number: int) -> tuple[str, bytes]:
        """The name of a chunk and its bytes; its URL is signed again when it has expired."""
        fresh = self._playlist is None
        url = self.load().uris[number]
        try:
            data = self._lake.chunk(url)
        except AccessError:
            if fresh:
                raise
            self._playlist = None
            url = self.load().uris[number]
            data = self._lake.chunk(url)
        return PurePosixPath(urlsplit(url).path).stem, data


def _matches(data: bytes, name: str) -> bool:
    return sha256(data).hexdigest().startswith(name)
