"""The SDK. ``dreamlake._async`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._async.api import close, load, load_video
from dreamlake._async.asset import AsyncAsset
from dreamlake._async.catalog import delete, find, ls, move
from dreamlake._async.client import AsyncClient
from dreamlake._async.download import download
from dreamlake._async.upload import upload
from dreamlake._async.uploadmany import upload_many
from dreamlake._async.video import AsyncVideo
from dreamlake._async.videoarray import AsyncVideoArray

__all__ = [
    "AsyncAsset", "AsyncClient", "AsyncVideo", "AsyncVideoArray", "close", "delete", "download", "find", "load",
    "load_video", "ls", "move", "upload", "upload_many",
]  # fmt: skip
