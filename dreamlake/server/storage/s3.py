"""A storage in a bucket of an S3 store.

::

    {prefix}{key}                       the objects; what we write says its SHA-256 in x-amz-meta-sha256
    {prefix}.probe/{…}                  for a moment, to see what the store checks

Clients read and write the bytes at the store itself, with URLs that the lake signs.
"""

from __future__ import annotations

from dreamlake.server.storage.s3uploads import S3Uploads

__all__ = ["S3Storage"]


class S3Storage(S3Uploads):
    """Objects in S3; any number of processes and machines may use it at once.

    Args:
        location: ``s3://bucket/prefix?endpoint=…&region=…&path_style=…``, every parameter optional.
        scratch: a folder of this machine for temporary files.

    Raises:
        ConfigError: a location that cannot be meant.
    """
