"""Download: the original bytes of an asset, as they were uploaded."""

from __future__ import annotations

import fcntl
import os
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dreamlake._async._runtime import offload, open_file
from dreamlake._async.lake import AsyncLake
from dreamlake._async.localfile import Report
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import Kind
from dreamlake.errors import DreamlakeError, IntegrityError, SourceError, UsageError
from dreamlake.progress import Progress, upload_progress

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

__all__ = ["download_original"]

BLOCK = 4 * 1024**2


@dataclass(frozen=True)
class _Original:
    """What is fetched."""

    lake: AsyncLake
    kind: Kind
    object_id: str
    filename: str
    sha256: str
    size: int


async def download_original(
    lake: AsyncLake,
    kind: Kind,
    object_id: str,
    filename: str | None,
    to: str | os.PathLike[str] | None,
    progress: Progress,
) -> Path:
    """Fetch the original bytes of an asset into a file. Run again after any failure: it goes on where it ended.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        filename: what it is called where it was found; None for the name that it was uploaded under.
        to: as of ``download``.
        progress: as of ``upload``.
    """
    meta = await lake.asset(kind, object_id)
    name = filename or meta.name.rsplit("/", 1)[-1]
    return await _fetch(_Original(lake, kind, meta.id, name, meta.sha256, meta.size), to, progress)


async def _fetch(original: _Original, to: str | os.PathLike[str] | None, progress: Progress) -> Path:
    target = _target(to, original.filename)
    with upload_progress(progress, target.name) as report:
        try:
            await offload(partial(target.parent.mkdir, parents=True, exist_ok=True))
            if not await offload(partial(_is_complete, target, original)):
                part = target.with_name(f".{target.name[:60]}.{original.sha256[:16]}.part")
                lock = await offload(partial(_lock, part))
                try:
                    await _fetch_into(part, original, report)
                    await offload(partial(part.replace, target))
                finally:
                    await offload(lock.close)
        except OSError as error:
            if isinstance(error, DreamlakeError):
                raise
            raise SourceError(f"{target}: cannot be written ({error.strerror or error})") from error
        report(UploadEvent("download", original.size, original.size))
    return target


async def _fetch_into(part: Path, original: _Original, report: Report) -> None:
    """Fetch what is missing of a file, and prove that it is what was uploaded."""
    for last in (False, True):
        digest, have = await offload(partial(_hashed, part, original.size))
        report(UploadEvent("download", have, original.size))
        pieces = original.lake.read(original.kind, original.object_id, have, original.size)
        async with open_file(part, "ab") as file, aclosing(pieces) as coming:
            async for piece in coming:
                await file.write(piece)
                digest.update(piece)
                have += len(piece)
                report(UploadEvent("download", have, original.size))
        if digest.hexdigest() == original.sha256:
            return
        await offload(partial(os.truncate, part, 0))
        if last:
            raise IntegrityError(f"{original.filename}: what came does not match its hash")


def _target(to: str | os.PathLike[str] | None, filename: str) -> Path:
    target = Path(to or ".").expanduser()
    if target.is_dir() or os.fspath(to or ".").endswith(os.sep):
        target = target / filename
    return target


def _is_complete(target: Path, original: _Original) -> bool:
    """Whether the file is there already."""
    if not target.is_file() or target.stat().st_size != original.size:
        return False
    return _hashed(target, original.size)[0].hexdigest() == original.sha256


def _lock(part: Path) -> BinaryIO:
    """Open a file for this process alone.

    Raises:
        UsageError: another one is writing it.
    """
    file = part.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"{part}: another process is downloading the same file") from None
    return file


def _hashed(path: Path, size: int) -> tuple[Digest, int]:
    """The digest of what is there of a file of so many bytes, and how much that is."""
    digest, have = sha256(), 0
    if path.stat().st_size > size:
        os.truncate(path, 0)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            have += len(block)
    return digest, have
