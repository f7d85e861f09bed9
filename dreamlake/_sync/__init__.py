# Generated from dreamlake/_async/__init__.py by scripts/unasync.py. Edit that file, then run it.
"""The SDK. ``dreamlake._sync`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._sync.api import close, load, load_video
from dreamlake._sync.asset import Asset
from dreamlake._sync.catalog import delete, find, ls, move
from dreamlake._sync.client import Client
from dreamlake._sync.download import download
from dreamlake._sync.upload import upload
from dreamlake._sync.uploadmany import upload_many
from dreamlake._sync.video import Video
from dreamlake._sync.videoarray import VideoArray

__all__ = [
    "Asset", "Client", "Video", "VideoArray", "close", "delete", "download", "find", "load",
    "load_video", "ls", "move", "upload", "upload_many",
]  # fmt: skip
