"""What an upload tells about itself while it runs."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Stage", "UploadEvent"]

Stage = Literal["hash", "upload", "process"]


class UploadEvent(Struct, frozen=True):
    """How far one stage of an upload is.

    Attributes:
        stage: reading and hashing the file, sending its parts, or being processed by the lake.
        done: bytes; for processing a share from 0 to 1.
        total: bytes; for processing 1.
        file: which of several files it is about: its path; None when there is one.
    """

    stage: Stage
    done: float
    total: float
    file: str | None = None
