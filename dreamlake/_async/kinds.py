"""An asset as its users see it, whatever its kind."""

from __future__ import annotations

from dreamlake._async.audio import AsyncAudio
from dreamlake._async.image import AsyncImage
from dreamlake._async.lake import AsyncLake
from dreamlake._async.sound import AsyncLakeSound
from dreamlake._async.sources import AsyncLakeSource
from dreamlake._async.track import AsyncTrack
from dreamlake._async.trackkinds import track_of
from dreamlake._async.video import AsyncVideo
from dreamlake.core.kinds import AUDIO, IMAGE, VIDEO, Kind

__all__ = ["asset_of"]


def asset_of(
    lake: AsyncLake, kind: Kind, object_id: str, filename: str | None = None
) -> AsyncVideo | AsyncAudio | AsyncImage | AsyncTrack:
    """The asset with an id, not loaded yet.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        filename: what it is called where it was found; None for the name that it was uploaded under.
    """
    if kind is VIDEO:
        return AsyncVideo(AsyncLakeSource.of(lake, object_id))
    if kind is AUDIO:
        return AsyncAudio(AsyncLakeSound.of(lake, AUDIO, object_id))
    if kind is IMAGE:
        return AsyncImage(lake, object_id, filename)
    return track_of(lake, kind, object_id, filename)
