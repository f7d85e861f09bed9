"""Dreamlake: a video data lake. Load, slice and upload recordings; get exact frames as PIL, numpy or torch.

    >>> import dreamlake as dl
    >>> video = dl.load_video("v-BV1bW411n7fY9x01")
    >>> video[10.0:20.0].numpy().shape
    (300, 1080, 1920, 3)

This is the blocking API; ``import dreamlake.aio as adl`` has the same names to be awaited.
"""

from dreamlake._sync import (
    Asset,
    Client,
    Video,
    VideoArray,
    close,
    delete,
    download,
    find,
    load,
    load_video,
    ls,
    move,
    upload,
    upload_many,
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

__version__ = "0.1.0"

__all__ = [
    "Asset",
    "AuthError",
    "BulkEvent",
    "Client",
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
    "Video",
    "VideoArray",
    "close",
    "connect",
    "delete",
    "download",
    "find",
    "load",
    "load_video",
    "ls",
    "move",
    "upload",
    "upload_many",
]

for _name in __all__:  # tracebacks and help() show where users find a thing, not where it is written
    globals()[_name].__module__ = __name__
