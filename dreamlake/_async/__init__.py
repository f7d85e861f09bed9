"""The SDK. ``dreamlake._async`` is the source, ``dreamlake._sync`` is generated from it."""

from dreamlake._async.api import close, load, load_video
from dreamlake._async.upload import upload
from dreamlake._async.video import AsyncVideo

__all__ = ["AsyncVideo", "close", "load", "load_video", "upload"]
