"""Upload: from a local file to an asset of the lake, in the nine steps of seed 4.

What was sent is remembered in ``~/.dreamlake/uploads/{hash}.json`` after every part, so that the next run of the same
upload goes on where this one ended, however it ended.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

import msgspec

from dreamlake._async._runtime import Lock, map_unordered, offload, open_file
from dreamlake._async.lake import AsyncLake
from dreamlake._async.sources import AsyncLakeSource
from dreamlake._async.video import AsyncVideo
from dreamlake.config import current_lake, home
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import VIDEO, Kind, content_type, kind_of
from dreamlake.core.parts import CONCURRENCY, HASH_DIGITS, CompletedPart, Part, UploadState, part_size_for, plan_parts
from dreamlake.core.prefix import resolve_place
from dreamlake.core.targets import DEFAULT_SPACE, asset_name
from dreamlake.core.wire import InitUpload, RegisterAsset, SignParts
from dreamlake.errors import (
    AccessError,
    FileChangedError,
    LakeUnreachableError,
    MediaError,
    NotFoundError,
    ServerError,
    SourceError,
    SourceNotFoundError,
    UnsupportedTypeError,
    UploadPausedError,
)
from dreamlake.progress import Progress, upload_progress

__all__ = ["upload"]

HASH_BLOCK = 8 * 1024**2
Report = Callable[[UploadEvent], None]


async def upload(
    file: str | os.PathLike[str],
    *,
    space: str | None = None,
    prefix: str | None = None,
    path: str | None = None,
    episode: str | None = None,
    wait: bool = True,
    progress: Progress = None,
) -> AsyncVideo:
    """Upload a file, register it, and have it processed. Run again after any failure: it resumes.

    Args:
        file: the local file; its type follows from its extension.
        space: ``space@namespace``, or a space of your own namespace. Default: the space ``default``.
        prefix: the folder it goes to, below the Prefix in force unless it is absolute.
        path: a folder below that, or the full name if it ends in the file's extension.
        episode: ``namespace@space:episode``, or the name of an episode.
        wait: wait until the lake has processed it. Otherwise the video returned is loaded when it is first used.
        progress: None shows a bar where somebody can see it, True always, False never; or a function that is called
            with every UploadEvent.

    Returns:
        The video.

    Raises:
        SourceError: the file cannot be taken. Nothing was registered.
        UploadPausedError: the lake went away. What was sent is kept; the next run resumes.
        ProcessingError: the lake could not process the file.
        LakeError: the lake refused it.
        LakeUnreachableError: no lake answers.

    Example:
        >>> video = await adl.upload("./video.mp4", space="robotics@alice", prefix="/2026/04/run-042/camera/front")
    """
    source = Path(file)
    place = resolve_place(space=space, prefix=prefix, path=path, episode=episode)
    kind = await _check(source)
    lake = AsyncLake(current_lake())
    namespace = place.space.namespace or (await lake.me()).namespace
    project = place.space.space or DEFAULT_SPACE
    name = asset_name(place.folder, source.name)
    with upload_progress(progress, source.name) as report:
        local = await _LocalFile.read(source, report)
        await _Transfer(lake, kind, local, namespace, project, report).run()
        object_id = await _register(lake, kind, local, namespace, project, place.space.episode, name)
        video = AsyncLakeSource.of(lake, object_id)
        if wait:
            await video.ready(report)
    return await AsyncVideo(video).load() if wait else AsyncVideo(video)


async def _check(path: Path) -> Kind:
    """The kind of a file that exists and holds what its name says.

    Raises:
        SourceError: it does not.
    """
    try:
        stat = await offload(path.stat)
    except FileNotFoundError:
        raise SourceNotFoundError(f"{path}: there is no such file") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    if not S_ISREG(stat.st_mode):
        raise SourceError(f"{path}: is not a file")
    kind = kind_of(path.name)
    if kind is not VIDEO:
        raise UnsupportedTypeError(f"{path.name}: this version of Dreamlake takes videos, and this is {kind.phrase}")
    if not stat.st_size:
        raise MediaError(f"{path.name}: is empty")
    from dreamlake.media.scan import check_video

    await offload(partial(check_video, path))
    return kind


class _LocalFile:
    """The file to upload, as it was when it was hashed: from then on it must not change."""

    def __init__(self, path: Path, stat: os.stat_result, digest: str) -> None:
        self.path = path
        self.stat = stat
        self.size = stat.st_size
        self.sha256 = digest

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the SHA-256, which name the file in the staging pool."""
        return self.sha256[:HASH_DIGITS]

    @classmethod
    async def read(cls, path: Path, report: Report) -> _LocalFile:
        """Hash the file."""
        digest = sha256()
        stat = await offload(path.stat)
        done = 0
        report(UploadEvent("hash", 0, stat.st_size))
        async with open_file(path, "rb") as file:
            while block := await file.read(HASH_BLOCK):
                await offload(partial(digest.update, block))
                done += len(block)
                report(UploadEvent("hash", done, max(done, stat.st_size)))
        local = cls(path, stat, digest.hexdigest())
        await local.check()
        return local

    async def part(self, part: Part) -> bytes:
        """The bytes of one part."""
        async with open_file(self.path, "rb") as file:
            await file.seek(part.offset)
            data = await file.read(part.size)
        await self.check()
        if len(data) != part.size:
            raise FileChangedError(f"{self.path.name}: became shorter while it was uploaded; nothing was registered")
        return data

    async def check(self) -> None:
        """Raise FileChangedError if the file is not the one that was hashed."""
        try:
            same = _identity(await offload(self.path.stat)) == _identity(self.stat)
        except FileNotFoundError:
            same = False
        if not same:
            raise FileChangedError(f"{self.path.name}: changed while it was uploaded; nothing was registered")


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


class _Transfer:
    """Brings the bytes of one file into the staging pool."""

    def __init__(
        self, lake: AsyncLake, kind: Kind, local: _LocalFile, owner: str, project: str, report: Report
    ) -> None:
        self._lake = lake
        self._kind = kind
        self._local = local
        self._owner = owner
        self._project = project
        self._report = report
        self._part_size = part_size_for(local.size)
        self._journal = _Journal(home() / "uploads" / f"{local.hash}.json")

    async def run(self) -> None:
        """Send what the storage does not have yet."""
        try:
            await self._finish(await self._resume() or await self._begin())
        except NotFoundError:
            # Somebody else was sending the same file, and has completed or aborted the upload that we shared.
            await self._finish(await self._begin())
        self._say(self._local.size)

    async def _finish(self, state: UploadState | None) -> None:
        """Send the rest of an upload and complete it."""
        if state is None:
            return
        try:
            await self._send(state)
            await self._local.check()
            parts = sorted(state.completed_parts, key=lambda part: part.part_number)
            await self._lake.complete_upload(self._kind, state.upload_id, state.key, parts)
        except (LakeUnreachableError, ServerError) as error:
            name = self._local.path.name
            raise UploadPausedError(f"{name}: upload paused — re-run to resume ({error})") from error
        await self._journal.clear(state)

    async def _begin(self) -> UploadState | None:
        """Begin a new upload; None when the storage has the bytes already."""
        local = self._local
        started = await self._lake.init_upload(
            self._kind,
            InitUpload(
                owner=self._owner,
                project=self._project,
                hash=local.hash,
                content_type=content_type(self._kind, local.path.name),
                sha256=local.sha256,
                size=local.size,
                part_size=self._part_size,
            ),
        )
        if started.exists:
            return None
        state = UploadState(
            upload_id=started.upload_id,
            key=started.key,
            total_parts=len(plan_parts(local.size, self._part_size)),
            completed_parts=[],
            sha256=local.sha256,
            size=local.size,
            part_size=self._part_size,
            lake=str(self._lake.address),
            mtime_ns=local.stat.st_mtime_ns,
            inode=local.stat.st_ino,
        )
        await self._journal.write(state)
        return state

    async def _resume(self) -> UploadState | None:
        """The state of an earlier run, if it is about these bytes and the storage still knows it."""
        state = await self._journal.read()
        expected = (self._local.sha256, self._local.size, str(self._lake.address))
        if state is None or (state.sha256, state.size, state.lake) != expected:
            return None
        if not state.key.startswith(f"{self._owner}/{self._project}/"):
            return None
        try:
            there = await self._lake.parts_done(self._kind, state.upload_id, state.key)
        except NotFoundError:
            return None
        if there.expired:
            return None
        sizes = {part.number: part.size for part in plan_parts(self._local.size, state.part_size)}
        state.completed_parts = [
            CompletedPart(part.part_number, part.etag)
            for part in there.parts
            if sizes.get(part.part_number) == part.size
        ]
        return state

    async def _send(self, state: UploadState) -> None:
        """Send the parts that are missing, four at once."""
        done = {part.part_number for part in state.completed_parts}
        parts = plan_parts(self._local.size, state.part_size)
        sent = sum(part.size for part in parts if part.number in done)
        self._say(sent)
        missing = [part for part in parts if part.number not in done]
        async with aclosing(map_unordered(partial(self._send_part, state), missing, CONCURRENCY)) as finished:
            async for size in finished:
                sent += size
                self._say(sent)

    async def _send_part(self, state: UploadState, part: Part) -> int:
        data = await self._local.part(part)
        checksum = base64.b64encode((await offload(partial(sha256, data))).digest()).decode()
        body = SignParts(
            upload_id=state.upload_id,
            key=state.key,
            part_numbers=[part.number],
            checksums={str(part.number): checksum},
        )
        # The URL is signed only now, so that it cannot expire while earlier parts are sent.
        try:
            etag = await self._lake.put_part(await self._lake.sign_part(self._kind, body), data)
        except AccessError:
            etag = await self._lake.put_part(await self._lake.sign_part(self._kind, body), data)
        await self._journal.add(state, CompletedPart(part.number, etag))
        return part.size

    def _say(self, done: int) -> None:
        self._report(UploadEvent("upload", done, self._local.size))


class _Journal:
    """The state file of one upload; it is replaced whole, so that a crash leaves the old one or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    async def read(self) -> UploadState | None:
        """The state of an earlier run; a file that cannot be read is set aside."""
        try:
            return msgspec.json.decode(await offload(self._path.read_bytes), type=UploadState)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError:
            await offload(partial(self._path.replace, self._path.with_suffix(".corrupt")))
            return None

    async def write(self, state: UploadState) -> None:
        """Replace the state."""
        async with self._lock:
            await offload(partial(_replace, self._path, msgspec.json.encode(state)))

    async def add(self, state: UploadState, part: CompletedPart) -> None:
        """Note a part that the storage has acknowledged."""
        async with self._lock:
            state.completed_parts.append(part)
            await offload(partial(_replace, self._path, msgspec.json.encode(state)))

    async def clear(self, state: UploadState) -> None:
        """The upload is complete; another one of the same bytes may have its own state there by now."""
        there = await self.read()
        if there is not None and there.upload_id == state.upload_id:
            await offload(partial(self._path.unlink, missing_ok=True))


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


async def _register(
    lake: AsyncLake, kind: Kind, local: _LocalFile, namespace: str, project: str, episode: str | None, name: str
) -> str:
    """Steps 7 to 9: register in the storage service and in the catalog, and start the processing."""
    body = RegisterAsset(
        name=name, owner=namespace, project=project, staging_hash=local.hash, episode_id=episode, file_size=local.size
    )
    registered = await lake.register(kind, body)
    asset: dict[str, Any] = {"namespace": namespace, "space": project, "name": name, kind.bss_field: registered.id}
    if episode is not None:
        asset["episodeName"] = episode
    created = await lake.create_asset(kind, {**asset, "hash": local.hash, "size": local.size})
    if created.lambda_url is not None:
        await lake.trigger(created.lambda_url)
    return registered.id
