"""Every error that Dreamlake raises on purpose, in one tree.

::

    DreamlakeError
    ├── UsageError (ValueError)           an argument that cannot mean anything
    │   ├── InvalidIdError                not a resource id, or of the wrong kind
    │   ├── InvalidKeyError               not an API key
    │   └── InvalidTargetError            not a space, episode, path or URI
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
    ├── IntegrityError                    bytes that do not match their hash
    └── DreamError                        the engine said no, or bulk inference stopped
        ├── AuthError                     401, 403: the key does not reach the engine
        ├── InsufficientCreditsError      402: the balance does not cover it
        ├── ModelNotFoundError (LookupError)   404: the engine has no such model, or job
        ├── ValidationError (ValueError)  400, 413, 422: the engine cannot take the input
        ├── RateLimitError                429: too many requests
        ├── EngineError                   5xx, or an answer that is no rollout
        ├── EngineUnreachableError (ConnectionError)   no answer from the engine
        ├── RowError                      a row of a source that cannot be sent
        ├── BrokenSourceError             a source that gives no more rows, though there are some
        ├── SinkError                     rollouts that cannot be stored
        ├── CostLimitError                going on would cost more than it may
        ├── TooManyFailuresError          most rows fail, so going on would be waste
        └── JobFailedError                a job of the engine that came to no end

Where a builtin names the same thing, the error is that builtin too, so ``except IndexError`` and
``except FileNotFoundError`` work as everywhere in Python.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessError",
    "AuthError",
    "BrokenSourceError",
    "ConfigError",
    "CostLimitError",
    "DreamError",
    "DreamlakeError",
    "EngineError",
    "EngineUnreachableError",
    "FileChangedError",
    "FrameIndexError",
    "InsufficientCreditsError",
    "IntegrityError",
    "InvalidIdError",
    "InvalidKeyError",
    "InvalidTargetError",
    "JobFailedError",
    "LakeError",
    "LakeUnreachableError",
    "MediaError",
    "MissingExtraError",
    "ModelNotFoundError",
    "NotFoundError",
    "ProcessingError",
    "RateLimitError",
    "RequestError",
    "RowError",
    "ServerError",
    "SinkError",
    "SourceError",
    "SourceNotFoundError",
    "SourceUnreachableError",
    "TooManyFailuresError",
    "UnsupportedTypeError",
    "UploadPausedError",
    "UsageError",
    "ValidationError",
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


class DreamError(DreamlakeError):
    """The engine said no, or bulk inference stopped.

    Attributes:
        status_code: the HTTP status of the engine's answer; None where there was none.
        request_id: what the engine calls the request; None where it said nothing.
        retry_after: seconds after which it may be tried again, as the engine says; None where it said nothing.
        result: where ``predict_many`` raised it: what had become of the rows until then.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.request_id = request_id
        self.retry_after = retry_after
        self.result: Any = None


class AuthError(DreamError):
    """The API key is missing, unknown, or does not reach this (401, 403)."""


class InsufficientCreditsError(DreamError):
    """The balance does not cover a rollout (402).

    Attributes:
        balance_mils: what there is, in mils: hundredths of a cent.
        requested_mils: what it takes, in mils.
    """

    balance_mils = 0
    requested_mils = 0


class ModelNotFoundError(DreamError, LookupError):
    """The engine has no such model, or no such job (404)."""


class ValidationError(DreamError, ValueError):
    """The engine cannot take the input (400, 413, 422)."""


class RateLimitError(DreamError):
    """Too many requests, and waiting as the engine asked did not help (429)."""


class EngineError(DreamError):
    """The engine failed (5xx), or sent what is no rollout."""


class EngineUnreachableError(DreamError, ConnectionError):
    """No answer from the engine."""


class RowError(DreamError):
    """A row of a source that cannot be sent."""


class BrokenSourceError(DreamError):
    """A source failed in a way that keeps it from giving the rows that it still has."""


class SinkError(DreamError):
    """Rollouts that cannot be stored where they should go."""


class CostLimitError(DreamError):
    """Going on would cost more than ``max_cost_usd``."""


class TooManyFailuresError(DreamError):
    """Most rows fail, so going on would be waste."""


class JobFailedError(DreamError):
    """A job of the engine failed or was cancelled."""
