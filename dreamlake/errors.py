"""Every error that Dreamlake raises on purpose, in one tree.

::

    DreamlakeError
    ├── UsageError (ValueError)           an argument that cannot mean anything
    │   ├── InvalidIdError                not a resource id, or of the wrong kind
    │   ├── InvalidKeyError               not an API key
    │   ├── InvalidTargetError            not a space, episode, path or URI
    │   └── InvalidVectorError            not a vector, or none that this index takes
    ├── ConfigError                       the lake in use cannot be opened, or is not said rightly
    ├── FrameIndexError (IndexError)      a frame or a time outside of the clip
    ├── MissingExtraError (ImportError)   an optional part is not installed
    ├── SourceError                       a file that cannot be taken
    │   ├── SourceNotFoundError (FileNotFoundError)
    │   ├── UnsupportedTypeError          a type that Dreamlake does not know
    │   ├── SourceUnreachableError (ConnectionError)   an s3:// or https:// file whose host does not give it
    │   ├── MediaError                    content that cannot be read as its type
    │   └── FileChangedError              the file changed while it was read
    ├── LakeError                         the lake answered, and said no
    │   ├── RequestError                  400, 409, 413, 422: the request was wrong
    │   ├── AccessError                   401, 403: the key does not reach this
    │   ├── NotFoundError (LookupError)   404: there is no such thing
    │   └── ServerError                   5xx: the lake failed
    ├── LakeUnreachableError (ConnectionError)   no answer at all
    ├── UploadPausedError                 sent in part; the next run resumes
    ├── ProcessingError                   uploaded, but the lake could not process it
    └── IntegrityError                    bytes that do not match their hash

Where a builtin names the same thing, the error is that builtin too, so ``except IndexError`` and
``except FileNotFoundError`` work as everywhere in Python.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessError",
    "ConfigError",
    "DreamlakeError",
    "FileChangedError",
    "FrameIndexError",
    "IntegrityError",
    "InvalidIdError",
    "InvalidKeyError",
    "InvalidTargetError",
    "InvalidVectorError",
    "LakeError",
    "LakeUnreachableError",
    "MediaError",
    "MissingExtraError",
    "NotFoundError",
    "ProcessingError",
    "RequestError",
    "ServerError",
    "SourceError",
    "SourceNotFoundError",
    "SourceUnreachableError",
    "UnsupportedTypeError",
    "UploadPausedError",
    "UsageError",
]


class DreamlakeError(Exception):
    """The root: catch it to catch everything that Dreamlake raises on purpose."""


class UsageError(DreamlakeError, ValueError):
    """An argument that cannot mean anything."""


class InvalidIdError(UsageError):
    """Text that is not a resource id or an ObjectId, or an id of the wrong kind."""


class InvalidKeyError(UsageError):
    """Text that is not an API key."""


class InvalidTargetError(UsageError):
    """Text that is not a space, an episode, a path or a URI."""


class InvalidVectorError(UsageError):
    """Something that is no vector, or none that this index takes."""


class ConfigError(DreamlakeError):
    """The lake that is configured cannot be opened, or the configuration says nothing that can be meant."""


class FrameIndexError(DreamlakeError, IndexError):
    """A frame number or a time outside of the clip."""


class MissingExtraError(DreamlakeError, ImportError):
    """An optional part of Dreamlake is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'dreamlake[{extra}]'")
        self._arguments = (extra, purpose)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments


class SourceError(DreamlakeError):
    """A file that cannot be taken."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is no file at that path or URL."""


class SourceUnreachableError(SourceError, ConnectionError):
    """The host of an ``s3://`` or ``https://`` file does not answer, or fails."""


class UnsupportedTypeError(SourceError):
    """A file type that Dreamlake does not know."""


class MediaError(SourceError):
    """Content that cannot be read as the type its name promises."""


class FileChangedError(SourceError):
    """The file changed while it was being read, so nothing of it was used."""


class LakeError(DreamlakeError):
    """The lake answered, and said no.

    Attributes:
        status: the HTTP status of the answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.status)


class RequestError(LakeError):
    """The lake found the request itself wrong (400, 409, 413, 422)."""


class AccessError(LakeError):
    """The API key, or what a remote file is fetched with, is missing, unknown or does not reach this (401, 403)."""


class NotFoundError(LakeError, LookupError):
    """The lake has no such thing, or not for this key (404)."""


class ServerError(LakeError):
    """The lake failed while answering (5xx)."""


class LakeUnreachableError(DreamlakeError, ConnectionError):
    """No answer from the lake at all."""


class UploadPausedError(DreamlakeError):
    """An upload stopped part-way; what was sent is kept and the next run resumes."""


class ProcessingError(DreamlakeError):
    """The file was uploaded, but the lake could not process it."""


class IntegrityError(DreamlakeError):
    """Bytes that do not match the hash they are stored under."""
