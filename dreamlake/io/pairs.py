"""Sources of pairs of files: a picture, and beside it actions of the same name in a ``.npy`` file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any

from dreamlake.core.wireengine import JobSource
from dreamlake.errors import InvalidTargetError, RowError, SourceNotFoundError, UsageError
from dreamlake.io.source import IterableSource, SourceRow

__all__ = ["frames_from_dir", "frames_from_s3", "s3_place"]

FRAMES = ("*.png", "*.jpg", "*.jpeg")
ACTIONS = "*.npy"


def frames_from_dir(
    path: str | PathLike[str],
    *,
    frame_glob: str | None = None,
    actions_glob: str = ACTIONS,
    recursive: bool = False,
) -> IterableSource:
    """Rows out of a folder: ``run-1.png`` with ``run-1.npy``, in the order of their names.

    A picture without actions is a row that fails; nothing is read before its turn.

    Args:
        path: of the folder.
        frame_glob: pattern of the pictures; None for PNG and JPEG.
        actions_glob: pattern of the actions, such as ``*.npy`` or ``*_actions.npy``: what stands for the star is the
            name of the row.
        recursive: whether folders below are searched; rows are then called by their paths.

    Returns:
        The source; its ``rows_hint`` is how many pictures there are now.

    Raises:
        SourceNotFoundError: there is no such folder.
        UsageError: a pattern without exactly one star in it.

    Example:
        >>> src = frames_from_dir("./episodes")
    """
    return _Folder(Path(path).expanduser().absolute(), _patterns(frame_glob), _affixes(actions_glob), recursive)


def frames_from_s3(
    uri: str, *, frame_glob: str | None = None, actions_glob: str = ACTIONS, recursive: bool = False
) -> IterableSource:
    """Rows out of S3: ``run-1.png`` with ``run-1.npy`` below a prefix, in the order of their keys.

    Endpoint, region and credentials are those that AWS's own tools would use. Both objects of a row are fetched when it
    is its turn.

    Args:
        uri: ``s3://bucket/prefix``.
        frame_glob: as of ``frames_from_dir``.
        actions_glob: as of ``frames_from_dir``.
        recursive: as of ``frames_from_dir``.

    Returns:
        The source; nothing is asked of the store yet, so its ``rows_hint`` is None until you set it.

    Raises:
        InvalidTargetError: not such a URI.
        MissingExtraError: without the extra ``s3``.

    Example:
        >>> src = frames_from_s3("s3://bucket/episodes")
    """
    from dreamlake.media.s3 import client

    client("frames_from_s3")
    return _Bucket(uri, *s3_place(uri), _patterns(frame_glob), _affixes(actions_glob), recursive)


def s3_place(uri: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket/prefix``; the prefix ends in a slash unless it is empty.

    Raises:
        InvalidTargetError: not such a URI.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise InvalidTargetError(f"{uri!r} is no place in S3: s3://bucket/prefix")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


class _Pairs(IterableSource):
    """What both have in common: names are paired, and only names.

    Args:
        location: for people and for jobs.
        frames: patterns of pictures.
        actions: what stands before and after the name in the file of its actions.
        recursive: whether names have slashes in them.
    """

    _kind: Any = "dir"

    def __init__(self, location: str, frames: tuple[str, ...], actions: tuple[str, str], recursive: bool) -> None:
        self._location = location
        self._frames = frames
        self._actions = actions
        self._recursive = recursive

    @property
    def identity(self) -> str:
        """Where the rows are; rows that are added later belong to it too."""
        return f"{self._location} ({', '.join(self._frames)}; {'*'.join(self._actions)})"

    def describe(self) -> JobSource:
        """The source as a job of the engine is told of it."""
        options: dict[str, Any] = {"actions_glob": "*".join(self._actions), "recursive": self._recursive}
        if self._frames != FRAMES:
            options["frame_glob"] = self._frames[0]
        return JobSource(type=self._kind, location=self._location, options=options, rows_hint=self.rows_hint)

    def _pictures(self, names: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        """Of the names of files, those of pictures: the row, the picture, and its actions."""
        for name in names:
            path = PurePosixPath(name)
            if any(fnmatchcase(path.name, pattern) for pattern in self._frames):
                before, after = self._actions
                yield str(path.with_suffix("")), name, str(path.with_name(f"{before}{path.stem}{after}"))


class _Folder(_Pairs):
    def __init__(self, root: Path, frames: tuple[str, ...], actions: tuple[str, str], recursive: bool) -> None:
        super().__init__(str(root), frames, actions, recursive)
        if not root.is_dir():
            raise SourceNotFoundError(f"{root}: there is no such folder")
        self._root = root
        self.rows_hint = sum(1 for _ in self._pictures(self._names()))

    def __iter__(self) -> Iterator[SourceRow]:
        for row_id, picture, actions in self._pictures(sorted(self._names())):
            metadata = {"source_path": str(self._root / picture)}
            yield SourceRow(row_id, self._root / picture, self._root / actions, metadata)

    def _names(self) -> Iterator[str]:
        paths = self._root.rglob("*") if self._recursive else self._root.iterdir()
        return (path.relative_to(self._root).as_posix() for path in paths)


class _Bucket(_Pairs):
    _kind = "s3"

    def __init__(
        self, uri: str, bucket: str, prefix: str, frames: tuple[str, ...], actions: tuple[str, str], recursive: bool
    ) -> None:
        super().__init__(uri.rstrip("/"), frames, actions, recursive)
        self._bucket = bucket
        self._prefix = prefix

    def __iter__(self) -> Iterator[SourceRow]:
        for row_id, picture, actions in self._pictures(self._names()):
            metadata = {"source_path": f"s3://{self._bucket}/{self._prefix}{picture}"}
            yield SourceRow(row_id, partial(self._read, picture), partial(self._read, actions), metadata)

    def _names(self) -> Iterator[str]:
        """Keys below the prefix, a page at a time and in their order."""
        from dreamlake.media.s3 import client

        pages = client("frames_from_s3").get_paginator("list_objects_v2")
        delimiter = {} if self._recursive else {"Delimiter": "/"}
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix, **delimiter):
            for item in page.get("Contents", ()):
                yield item["Key"].removeprefix(self._prefix)

    def _read(self, name: str) -> bytes:
        from dreamlake.media.s3 import client

        store = client("frames_from_s3")
        try:
            body: bytes = store.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        except store.exceptions.NoSuchKey:
            raise RowError(f"there is no s3://{self._bucket}/{self._prefix}{name}") from None
        return body


def _patterns(frame_glob: str | None) -> tuple[str, ...]:
    return FRAMES if frame_glob is None else (frame_glob,)


def _affixes(pattern: str) -> tuple[str, str]:
    before, star, after = pattern.partition("*")
    if not star or "*" in after or "/" in pattern:
        raise UsageError(
            f"actions_glob is a name with one star for that of the row, such as *.npy, and not {pattern!r}"
        )
    return before, after
