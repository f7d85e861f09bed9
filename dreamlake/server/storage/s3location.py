"""Where a lake in S3 is: ``s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from dreamlake.errors import ConfigError
from dreamlake.server.storage.base import StorageError, key_parts

__all__ = ["S3Location", "parse_location"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class S3Location:
    """A bucket, and where in it.

    Attributes:
        bucket: its name.
        prefix: that all keys begin with; empty, or it ends in a slash.
        endpoint: URL of the store; None for what AWS's configuration says.
        region: None for what AWS's configuration says.
        path_style: whether the bucket is said in the path of URLs; None for where an endpoint is configured.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None

    def __str__(self) -> str:
        said = {"endpoint": self.endpoint, "region": self.region}
        if self.path_style is not None:
            said["path_style"] = "true" if self.path_style else "false"
        query = urlencode({name: value for name, value in said.items() if value is not None}, safe=":/")
        return f"{self.short}?{query}" if query else self.short

    @property
    def short(self) -> str:
        """For messages."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_location(text: str) -> S3Location:
    """Read a location; the prefix is taken as it is, without percent-decoding.

    Raises:
        ConfigError: it cannot be meant.
    """
    path, _, query = text.removeprefix("s3://").partition("?")
    bucket, _, prefix = path.partition("/")
    if "@" in bucket:
        raise ConfigError("credentials are not said in the location of a lake: AWS's environment and files have them")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{bucket!r} cannot name a bucket: s3://bucket/prefix")
    prefix = prefix.strip("/")
    try:
        prefix = f"{'/'.join(key_parts(prefix))}/" if prefix else ""
    except StorageError:
        raise ConfigError(f"s3://{bucket}/{prefix}: that prefix cannot begin keys") from None
    said: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("endpoint", "region", "path_style") or name in said:
            raise ConfigError(
                f"s3://{bucket}: the parameters are endpoint, region and path_style, each once, not {name}"
            )
        said[name] = value
    endpoint, region, style = said.get("endpoint"), said.get("region"), said.get("path_style")
    if endpoint is not None:
        endpoint = _endpoint(endpoint)
    if region is not None and not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is not a region, such as us-east-1")
    if style is not None and style not in _FLAGS:
        raise ConfigError(f"path_style is true or false, not {style!r}")
    return S3Location(bucket, prefix, endpoint, region, None if style is None else _FLAGS[style])


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    else:
        if parts.username or parts.password:
            raise ConfigError("credentials are not said in the endpoint: AWS's environment and files have them")
        valid = valid and not parts.query and not parts.fragment
    if not valid:
        raise ConfigError(f"{text!r} is not the endpoint of a store, such as http://127.0.0.1:9000")
    return text.rstrip("/")
