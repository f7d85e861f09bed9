"""Upload: from a local file to an asset of the lake, in the nine steps of seed 4."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dreamlake._async._runtime import Slots, gather, offload
from dreamlake._async.asset import ready
from dreamlake._async.audio import AsyncAudio
from dreamlake._async.image import AsyncImage
from dreamlake._async.lake import AsyncLake
from dreamlake._async.localfile import AsyncLocalFile, Report, changed, check_file, identity
from dreamlake._async.manifest import AsyncManifest, Entry
from dreamlake._async.sound import AsyncLakeSound
from dreamlake._async.sources import AsyncLakeSource
from dreamlake._async.track import AsyncTrack, track_of
from dreamlake._async.transfer import AsyncTransfer
from dreamlake._async.video import AsyncVideo
from dreamlake.config import current_lake
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind, kind_named, kind_of
from dreamlake.core.parts import CONCURRENCY, PART_SIZE, PUT_SECONDS
from dreamlake.core.prefix import Place, resolve_place
from dreamlake.core.targets import DEFAULT_SPACE, asset_name
from dreamlake.core.uploads import UploadOptions
from dreamlake.core.wireuploads import RegisterAsset
from dreamlake.errors import DreamlakeError, SourceError
from dreamlake.progress import Progress, upload_progress

__all__ = ["AsyncUploader", "Sent", "upload"]


async def upload(
    file: str | os.PathLike[str],
    *,
    space: str | None = None,
    prefix: str | None = None,
    path: str | None = None,
    episode: str | None = None,
    kind: str | None = None,
    wait: bool = True,
    concurrency: int = CONCURRENCY,
    part_size: int | None = None,
    timeout: float = PUT_SECONDS,  # noqa: ASYNC109 (of each part, and not of the call)
    skip_bad_lines: bool = False,
    progress: Progress = None,
) -> Any:
    """Upload a file, register it, and have it processed. Run again after any failure: it resumes.

    Args:
        file: the local file; its type follows from its extension.
        space: ``space@namespace``, or a space of your own namespace. Default: the space ``default``.
        prefix: the folder it goes to, below the Prefix in force unless it is absolute.
        path: a folder below that, or the full name if it ends in the file's extension.
        episode: ``namespace@space:episode``, or the name of an episode.
        kind: what the file is, where its extension does not say it: ``video``, ``audio``, ``image``, ``label-track`` or
            ``text-track``.
        wait: wait until the lake has processed it. Otherwise what is returned is loaded when it is first used.
        concurrency: parts that are under way at once.
        part_size: bytes of a part, at least 5 MiB; None for 10 MB. Very large files have larger ones.
        timeout: seconds that the storage may take to acknowledge a part that was sent.
        skip_bad_lines: leave out lines of a track that cannot be read, and count them (``skipped_lines``, in its
            metadata). Otherwise the first of them is an error, and nothing is uploaded.
        progress: None shows a bar where somebody can see it, True always, False never; or a function that is called
            with every UploadEvent.

    Returns:
        A Video, an Audio, an Image, a TextTrack or a LabelTrack.

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
    uploader = AsyncUploader(UploadOptions(concurrency, part_size, timeout, skip_bad_lines))
    found = await uploader.check(source, kind)
    await uploader.open(place)
    with upload_progress(progress, source.name) as report:
        sent = await uploader.send(source, found, asset_name(place.folder, source.name), report)
        asset = uploader.asset(found, sent.object_id)
        if wait:
            await ready(uploader.lake, found, sent.object_id, report)
    return await asset.load() if wait else asset


@dataclass(frozen=True)
class Sent:
    """A file that is in the lake.

    Attributes:
        object_id: of the asset.
        known: whether the lake had the same bytes under the same name already.
    """

    object_id: str
    known: bool


class AsyncUploader:
    """Uploads files into one space of the lake in use.

    Args:
        options: how parts are sent.
    """

    def __init__(self, options: UploadOptions) -> None:
        self.lake = AsyncLake(current_lake())
        self.namespace = ""
        self.project = ""
        self.episode: str | None = None
        self.manifest = AsyncManifest("")
        self._options = options
        self._slots = Slots(options.concurrency)

    @property
    def concurrency(self) -> int:
        """How many parts may be under way at once."""
        return self._slots.count

    async def check(self, path: Path, kind: str | None) -> Kind:
        """The kind of a file that exists.

        Args:
            path: of the file.
            kind: as the caller says; None for what the extension says.

        Raises:
            SourceError: there is none, or of no kind that can be taken.
        """
        await check_file(path)
        return kind_of(path.name, None if kind is None else kind_named(kind))

    def checked_as(self, kind: Kind) -> str:
        """What a file of a kind is taken for in the manifest: one that was allowed bad lines has not passed without."""
        return f"{kind.name}, bad lines skipped" if self._skips(kind) else kind.name

    def _skips(self, kind: Kind) -> bool:
        return self._options.skip_bad_lines and kind in (LABEL_TRACK, TEXT_TRACK)

    async def open(self, place: Place) -> None:
        """Find out which space a place is in."""
        self.namespace = place.space.namespace or (await self.lake.me()).namespace
        self.project = place.space.space or DEFAULT_SPACE
        self.episode = place.space.episode
        self.manifest = AsyncManifest(f"{self.lake.address} {self.namespace}/{self.project}/{self.episode or ''}")

    async def read(self, path: Path, kind: Kind, report: Report) -> AsyncLocalFile:
        """Hash a file, and make sure that it holds what it should: step 1.

        Raises:
            SourceError: it does not.
        """
        size = self._options.part_size
        if await self.manifest.was_checked(path, self.checked_as(kind)):
            return await AsyncLocalFile.read(path, size, report, known=True)
        before = await check_file(path)
        failure: list[DreamlakeError] = []

        async def check() -> None:
            try:
                await _check_content(path, kind, before, skip_bad_lines=self._skips(kind))
            except DreamlakeError as error:
                failure.append(error)
                raise

        def watched(event: UploadEvent) -> None:
            if failure:  # nobody waits for the hash of a file that cannot be taken
                raise failure[0]
            report(event)

        if before.st_size <= PART_SIZE:
            await check()
            return await AsyncLocalFile.read(path, size, report)
        local: list[AsyncLocalFile] = []

        async def hash_it() -> None:
            local.append(await AsyncLocalFile.read(path, size, watched))

        await gather(check, hash_it)
        return local[0]

    def transfer(self, local: AsyncLocalFile, kind: Kind, report: Report) -> AsyncTransfer:
        """What brings its bytes into the pool: steps 2 to 6."""
        timeout = self._options.timeout
        return AsyncTransfer(self.lake, kind, local, self.namespace, self.project, self._slots, timeout, report)

    def registration(self, local: AsyncLocalFile, name: str, staged: str) -> RegisterAsset:
        """What step 7 says: its place in the pool becomes an asset."""
        return RegisterAsset(
            name=name,
            owner=self.namespace,
            project=self.project,
            staging_hash=staged,
            episode_id=self.episode,
            file_size=local.size,
            skip_bad_lines=self._options.skip_bad_lines,
        )

    def naming(self, local: AsyncLocalFile, kind: Kind, name: str, object_id: str) -> dict[str, Any]:
        """What step 8 says: the asset gets its name in the catalog."""
        asset = {
            "namespace": self.namespace, "space": self.project, "name": name, kind.bss_field: object_id,
            "hash": local.hash, "size": local.size,
        }  # fmt: skip
        return asset if self.episode is None else {**asset, "episodeName": self.episode}

    async def send(self, path: Path, kind: Kind, name: str, report: Report) -> Sent:
        """Bring a file into the lake, register it and start its processing: steps 1 to 9.

        Args:
            path: of a file that was checked.
            kind: of the file.
            name: of the asset.
            report: told how far it is.

        Returns:
            What it has become.
        """
        local = await self.read(path, kind, report)
        staged = await self.transfer(local, kind, report).run()
        registered, known = await self.lake.register(kind, self.registration(local, name, staged))
        created = await self.lake.create_asset(kind, self.naming(local, kind, name, registered.id))
        if created.lambda_url is not None and registered.status != "ready":
            await self.lake.trigger(created.lambda_url)
        await self.manifest.note([Entry(path, name, self.checked_as(kind), registered.id, local.stat)])
        return Sent(registered.id, known)

    def asset(self, kind: Kind, object_id: str) -> AsyncVideo | AsyncAudio | AsyncImage | AsyncTrack:
        """The asset as its users see it."""
        if kind is VIDEO:
            return AsyncVideo(AsyncLakeSource.of(self.lake, object_id))
        if kind is AUDIO:
            return AsyncAudio(AsyncLakeSound.of(self.lake, AUDIO, object_id))
        if kind is IMAGE:
            return AsyncImage(self.lake, object_id)
        return track_of(self.lake, kind, object_id)


async def _check_content(path: Path, kind: Kind, before: os.stat_result, *, skip_bad_lines: bool) -> None:
    from dreamlake.media.check import check_content

    try:
        options = {"skip_bad_lines": True} if skip_bad_lines else {}
        await offload(partial(check_content, path, kind, **options))
    except SourceError:
        if not await offload(partial(_is_as_it_was, path, before)):
            raise changed(path, "changed") from None  # which is why it could not be read
        raise


def _is_as_it_was(path: Path, stat: os.stat_result) -> bool:
    try:
        return identity(path.stat()) == identity(stat)
    except OSError:
        return False
