"""Sources and sinks by their descriptions: the other way round from ``describe``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamlake.core.wireengine import JobSink, JobSource
from dreamlake.errors import UsageError
from dreamlake.io.hf import frames_from_hf
from dreamlake.io.pairs import frames_from_dir, frames_from_s3
from dreamlake.io.sink import RolloutSink
from dreamlake.io.source import IterableSource

__all__ = ["described_sink", "described_source"]


def described_source(told: JobSource) -> IterableSource:
    """The source that a job was told of.

    Raises:
        UsageError: there is none of that type.
        DreamlakeError: it cannot be opened.
    """
    source = _opened(told)
    if told.rows_hint is not None:
        source.rows_hint = told.rows_hint
    return source


def described_sink(told: JobSink) -> RolloutSink:
    """The sink that a job was told of.

    Raises:
        UsageError: there is none of that type.
    """
    options: Mapping[str, Any] = told.options
    match told.type:
        case "hf":
            return RolloutSink.hf(told.location, token=told.token, private=bool(options.get("private", False)))
        case "s3":
            return RolloutSink.s3(told.location)
        case "dir":
            return RolloutSink.dir(told.location)
        case "lake":
            return RolloutSink.lake(told.location, options.get("prefix"))
    raise UsageError(f"there is no sink of the type {told.type}")


def _opened(told: JobSource) -> IterableSource:
    options: Mapping[str, Any] = told.options
    match told.type:
        case "hf":
            return frames_from_hf(told.location, token=told.token, **options)
        case "s3":
            return frames_from_s3(told.location, **options)
        case "dir":
            return frames_from_dir(told.location, **options)
    raise UsageError(f"there is no source of the type {told.type} for jobs")
