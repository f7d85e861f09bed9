"""The async API: the same names as ``dreamlake``, to be awaited.

>>> import dreamlake.aio as adl
>>> video = await adl.load_video("v-BV1bW411n7fY9x01")
>>> (await video[10.0:20.0].numpy()).shape
(300, 1080, 1920, 3)
"""

from dreamlake._async import (
    AsyncAsset,
    AsyncAudio,
    AsyncClient,
    AsyncImage,
    AsyncLabelTrack,
    AsyncSearchResult,
    AsyncTextTrack,
    AsyncVectorIndex,
    AsyncVideo,
    AsyncVideoArray,
    close,
    delete,
    download,
    find,
    label_track,
    load,
    load_video,
    ls,
    move,
    text_track,
    upload,
    upload_many,
    vec_index,
    vec_indexes,
)
from dreamlake.config import connect
from dreamlake.core.bulk import BulkEvent, CostEstimate, FailedRow, PredictResult
from dreamlake.core.entries import Entry
from dreamlake.core.events import UploadEvent
from dreamlake.core.prefix import Prefix
from dreamlake.core.uploads import UploadReport, UploadResult
from dreamlake.errors import (
    AuthError,
    DreamError,
    DreamlakeError,
    InsufficientCreditsError,
    ModelNotFoundError,
    RateLimitError,
    ValidationError,
)
from dreamlake.media.rollout import Rollout

__all__ = [
    "AsyncAsset",
    "AsyncAudio",
    "AsyncClient",
    "AsyncImage",
    "AsyncLabelTrack",
    "AsyncSearchResult",
    "AsyncTextTrack",
    "AsyncVectorIndex",
    "AsyncVideo",
    "AsyncVideoArray",
    "AuthError",
    "BulkEvent",
    "CostEstimate",
    "DreamError",
    "DreamlakeError",
    "Entry",
    "FailedRow",
    "InsufficientCreditsError",
    "ModelNotFoundError",
    "PredictResult",
    "Prefix",
    "RateLimitError",
    "Rollout",
    "UploadEvent",
    "UploadReport",
    "UploadResult",
    "ValidationError",
    "close",
    "connect",
    "delete",
    "download",
    "find",
    "label_track",
    "load",
    "load_video",
    "ls",
    "move",
    "text_track",
    "upload",
    "upload_many",
    "vec_index",
    "vec_indexes",
]

for _definition in (
    AsyncAsset, AsyncAudio, AsyncClient, AsyncImage, AsyncLabelTrack, AsyncSearchResult, AsyncTextTrack,
    AsyncVectorIndex, AsyncVideo, AsyncVideoArray, close, delete, download, find, label_track, load, load_video, ls,
    move, text_track, upload, upload_many, vec_index, vec_indexes,
):  # fmt: skip
    _definition.__module__ = __name__
