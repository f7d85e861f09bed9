"""Addresses of objects in S3, signed with the credentials that AWS's own tools would use."""

from __future__ import annotations

import os
import threading
from typing import Any

from dreamlake.errors import ConfigError, InvalidTargetError, MissingExtraError

__all__ = ["client", "has_credentials", "sign"]

POOL = 64  # connections; bulk inference has a thread for each row that is under way
EXPIRES = 3600  # seconds; every request is signed anew


def sign(location: str, region: str | None) -> str:
    """The https URL at which an object can be fetched for a while.

    Endpoint, region, profile and credentials come from the environment and AWS's files; without credentials the URL
    is not signed, which is enough for public objects.

    Args:
        location: ``s3://bucket/key``; the key is taken as it is, without percent-decoding.
        region: of the bucket, where another one than the configured is known to be right.

    Raises:
        InvalidTargetError: no bucket and key.
        MissingExtraError: botocore is not installed.
        ConfigError: AWS is configured in a way that cannot be meant.
    """
    bucket, _, key = location.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise InvalidTargetError(f"{location!r} names no object: s3://bucket/key")
    client = _client(region)
    from botocore.exceptions import BotoCoreError, ParamValidationError

    try:
        url: str = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key}, EXPIRES)
    except ParamValidationError as error:
        raise InvalidTargetError(f"{location!r}: {bucket!r} cannot name a bucket") from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"{location}: {error}") from error
    return url


def has_credentials() -> bool:
    """Whether URLs are signed."""
    return bool(_client(None).meta.config.signature_version == "s3v4")


def client(purpose: str) -> Any:
    """A client of S3 as AWS's own tools would configure it; any number of threads may use it at once.

    Args:
        purpose: what it is wanted for, for the message of a missing extra.

    Raises:
        MissingExtraError: botocore is not installed.
        ConfigError: AWS is configured in a way that cannot be meant.
    """
    try:
        return _client(None)
    except MissingExtraError as error:
        raise MissingExtraError("s3", purpose) from error


def _client(region: str | None) -> Any:
    try:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as error:
        raise MissingExtraError("s3", "s3://") from error
    # The environment may be changed within a process, as notebooks do.
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _lock:
        client = _clients.get((region, settings))
        if client is None:
            try:
                session = Session()
                version = UNSIGNED if session.get_credentials() is None else "s3v4"
                config = Config(signature_version=version, max_pool_connections=POOL)
                client = session.create_client("s3", region_name=region, config=config)
            except (BotoCoreError, ValueError) as error:
                raise ConfigError(f"s3:// cannot be used: {error}") from error
            _clients[region, settings] = client
    return client


def _start_anew() -> None:
    """A forked process must not wait for a lock that another thread of its parent held."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


_lock = threading.Lock()
_clients: dict[tuple[str | None, tuple[tuple[str, str], ...]], Any] = {}
os.register_at_fork(after_in_child=_start_anew)
