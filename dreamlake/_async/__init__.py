"""The SDK. ``dreamlake._async`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._async.api import close, load, load_video
from dreamlake._async.upload import upload
from dreamlake._async.video import AsyncVideo
from dreamlake._async.videoarray import AsyncVideoArray

__all__ = ["AsyncVideo", "AsyncVideoArray", "close", "load", "load_video", "upload"]
