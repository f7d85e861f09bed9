"""What an upload or a download tells about itself while it runs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Stage", "UploadEvent"]

Stage = Literal["hash", "upload", "process", "download", "failed"]


class UploadEvent(Struct, frozen=True):
    """How far one stage of an upload is, or a download.

    Attributes:
        stage: reading and hashing the file, sending its parts, being processed by the lake; coming back from it; or, of
            several files, that this one failed.
        done: bytes; for processing a share from 0 to 1.
        total: bytes; for processing 1.
        file: which of several files it is about: its path; None when there is one.
    """

    stage: Stage
    done: float
    total: float
    file: str | None = None
