# Generated from dreamlake/_async/__init__.py by scripts/unasync.py. Edit that file, then run it.
"""The SDK. ``dreamlake._sync`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._sync.api import close, download, load, load_video
from dreamlake._sync.asset import Asset
from dreamlake._sync.audio import Audio
from dreamlake._sync.catalog import delete, find, ls, move
from dreamlake._sync.client import Client
from dreamlake._sync.image import Image
from dreamlake._sync.searchresult import SearchResult
from dreamlake._sync.trackkinds import LabelTrack, TextTrack, label_track, text_track
from dreamlake._sync.upload import upload
from dreamlake._sync.uploadmany import upload_many
from dreamlake._sync.vectornames import vec_index, vec_indexes
from dreamlake._sync.vectors import VectorIndex
from dreamlake._sync.video import Video
from dreamlake._sync.videoarray import VideoArray

__all__ = [
    "Asset", "Audio", "Client", "Image", "LabelTrack", "SearchResult", "TextTrack",
    "VectorIndex", "Video", "VideoArray", "close", "delete", "download", "find", "label_track", "load",
    "load_video", "ls", "move", "text_track", "upload", "upload_many", "vec_index", "vec_indexes",
]  # fmt: skip
