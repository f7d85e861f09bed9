"""Where jobs may read and write: what a customer's own token opens, and what the engine was told to open to them.

A job runs on the engine's machine. Without these rules its folders, the buckets that its credentials open and its lake
would be those of everybody with a key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from dreamlake.core.wireengine import CreateJob, JobSink, JobSource
from dreamlake.errors import UsageError
from dreamlake.server.errors import Refused

__all__ = ["JobPlaces"]

LAKE = "lake"
_PAIRS = {"frame_glob": str, "actions_glob": str, "recursive": bool}
_OPTIONS: dict[tuple[type, str], dict[str, type]] = {
    (JobSource, "hf"): dict.fromkeys(("frame_field", "actions_field", "id_field", "split", "revision"), str),
    (JobSource, "s3"): _PAIRS,
    (JobSource, "dir"): _PAIRS,
    (JobSink, "hf"): {"private": bool},
    (JobSink, "s3"): {},
    (JobSink, "dir"): {},
    (JobSink, "lake"): {"prefix": str},
}
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class JobPlaces:
    """What jobs may use.

    Args:
        roots: folders, ``s3://bucket/prefix``, or ``lake``; without any, jobs go from dataset to dataset on the Hub.

    Raises:
        UsageError: a folder that is not there.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._lake = LAKE in roots
        self._buckets = [root.rstrip("/") for root in roots if root.startswith("s3://")]
        self._folders: list[Path] = []
        for root in roots:
            if root != LAKE and not root.startswith("s3://"):
                folder = Path(root).expanduser().resolve()
                if not folder.is_dir():
                    raise UsageError(f"{root}: there is no such folder for jobs")
                self._folders.append(folder)

    def checked(self, asked: CreateJob) -> CreateJob:
        """A job with its places made plain: folders without links and ``..``.

        Raises:
            Refused: 403, a place that jobs may not use.
            UsageError: no place at all, or options that it does not have.
        """
        source = msgspec.structs.replace(asked.source, location=self._place(asked.source))
        sink = msgspec.structs.replace(asked.sink, location=self._place(asked.sink))
        return msgspec.structs.replace(asked, source=source, sink=sink)

    def _place(self, told: JobSource | JobSink) -> str:
        what = "source" if isinstance(told, JobSource) else "sink"
        known = _OPTIONS.get((type(told), told.type))
        if known is None:
            raise UsageError(f"jobs have no {what} of the type {told.type}")
        for name, value in told.options.items():
            if name not in known or not isinstance(value, known[name]) or len(str(value)) > 1024:
                raise UsageError(f"a {what} of the type {told.type} takes no {name}={value!r}")
        match told.type:
            case "hf":
                return self._repository(told.location)
            case "s3":
                return self._in_bucket(told.location)
            case "dir":
                return self._in_folder(told.location)
            case _:
                return self._in_lake(told.location)

    def _repository(self, location: str) -> str:
        """A name on the Hub; ``datasets`` would take any other for a folder of this machine."""
        if not _REPOSITORY.fullmatch(location):
            raise UsageError(f"a dataset is owner/name, and not {location!r}")
        return location

    def _in_bucket(self, location: str) -> str:
        place = location.rstrip("/")
        if not place.startswith("s3://"):
            raise UsageError(f"a place in S3 is s3://bucket/prefix, and not {location!r}")
        if not any(place == root or place.startswith(f"{root}/") for root in self._buckets):
            raise _closed(location, "s3://bucket/prefix")
        return place

    def _in_folder(self, location: str) -> str:
        if "\0" in location:
            raise UsageError("a folder has no zero byte in its name")
        for root in self._folders:
            place = (root / location).resolve()
            if place.is_relative_to(root):
                return str(place)
        raise _closed(location, "FOLDER")

    def _in_lake(self, location: str) -> str:
        if not self._lake:
            raise _closed(location, LAKE)
        return location


def _closed(location: str, root: str) -> Refused:
    return Refused(403, f"jobs may not use {location}; the engine opens places to them with --jobs-root {root}")
