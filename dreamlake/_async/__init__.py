"""The SDK. ``dreamlake._async`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._async.api import close, download, load, load_video
from dreamlake._async.asset import AsyncAsset
from dreamlake._async.audio import AsyncAudio
from dreamlake._async.catalog import delete, find, ls, move
from dreamlake._async.client import AsyncClient
from dreamlake._async.image import AsyncImage
from dreamlake._async.searchresult import AsyncSearchResult
from dreamlake._async.trackkinds import AsyncLabelTrack, AsyncTextTrack, label_track, text_track
from dreamlake._async.upload import upload
from dreamlake._async.uploadmany import upload_many
from dreamlake._async.vectornames import vec_index, vec_indexes
from dreamlake._async.vectors import AsyncVectorIndex
from dreamlake._async.video import AsyncVideo
from dreamlake._async.videoarray import AsyncVideoArray

__all__ = [
    "AsyncAsset", "AsyncAudio", "AsyncClient", "AsyncImage", "AsyncLabelTrack", "AsyncSearchResult", "AsyncTextTrack",
    "AsyncVectorIndex", "AsyncVideo", "AsyncVideoArray", "close", "delete", "download", "find", "label_track", "load",
    "load_video", "ls", "move", "text_track", "upload", "upload_many", "vec_index", "vec_indexes",
]  # fmt: skip
