"""Rollouts in S3, below a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamlake.core.wireengine import JobSink
from dreamlake.errors import SinkError
from dreamlake.io.pairs import s3_place
from dreamlake.io.sink import METADATA, VIDEOS, RolloutSink
from dreamlake.media.s3 import client

__all__ = ["S3Sink"]


class S3Sink(RolloutSink):
    """``videos/<row_id>.mp4`` and ``metadata.parquet`` below a prefix. An object is there whole or not at all.

    Args:
        uri: ``s3://bucket/prefix``.
    """

    def __init__(self, uri: str) -> None:
        self._bucket, self._prefix = s3_place(uri)
        self._there: frozenset[str] = frozenset()
        client("RolloutSink.s3")

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def describe(self) -> JobSink:
        """The place, which the engine needs credentials of its own for."""
        return JobSink(type="s3", location=self.uri)

    def open(self, folder: Path, *, resumed: bool) -> None:
        """Refuse a prefix with the metadata of others, and list what an earlier call has written."""
        del folder
        if resumed:
            self._there = frozenset(self._names(f"{VIDEOS}/"))
        elif METADATA in self._names(METADATA):
            raise SinkError(f"{self.uri} has a {METADATA} already, which no journal knows of; write to another place")

    def has(self, row_id: str) -> bool:
        """Whether the object was there when the run began."""
        return f"{VIDEOS}/{row_id}.mp4" in self._there

    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Put an object."""
        del record
        key = f"{self._prefix}{VIDEOS}/{row_id}.mp4"
        self._client().put_object(Bucket=self._bucket, Key=key, Body=video, ContentType="video/mp4")

    def write_metadata(self, name: str, path: Path) -> None:
        """Put an object."""
        with path.open("rb") as file:
            self._client().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=file)

    def finalize(self, shards: list[str]) -> str:
        """Delete what is superfluous."""
        for name in shards:
            self._client().delete_object(Bucket=self._bucket, Key=self._prefix + name)
        return self.uri

    def _names(self, below: str) -> list[str]:
        """What there is below the prefix."""
        pages = self._client().get_paginator("list_objects_v2")
        return [
            item["Key"].removeprefix(self._prefix)
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + below)
            for item in page.get("Contents", ())
        ]

    def _client(self) -> Any:
        return client("RolloutSink.s3")
