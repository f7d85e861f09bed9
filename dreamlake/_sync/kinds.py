# Generated from dreamlake/_async/kinds.py by scripts/unasync.py. Edit that file, then run it.
"""An asset as its users see it, whatever its kind."""

from __future__ import annotations

from dreamlake._sync.audio import Audio
from dreamlake._sync.image import Image
from dreamlake._sync.lake import Lake
from dreamlake._sync.sound import LakeSound
from dreamlake._sync.sources import LakeSource
from dreamlake._sync.track import Track
from dreamlake._sync.trackkinds import track_of
from dreamlake._sync.video import Video
from dreamlake.core.kinds import AUDIO, IMAGE, VIDEO, Kind

__all__ = ["asset_of"]


def asset_of(lake: Lake, kind: Kind, object_id: str, filename: str | None = None) -> Video | Audio | Image | Track:
    """The asset with an id, not loaded yet.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        filename: what it is called where it was found; None for the name that it was uploaded under.
    """
    if kind is VIDEO:
        return Video(LakeSource.of(lake, object_id))
    if kind is AUDIO:
        return Audio(LakeSound.of(lake, AUDIO, object_id))
    if kind is IMAGE:
        return Image(lake, object_id, filename)
    return track_of(lake, kind, object_id, filename)
