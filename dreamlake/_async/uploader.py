"""What brings files into the lake, in the nine steps of seed 4."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dreamlake._async._runtime import Slots, gather, offload
from dreamlake._async.lake import AsyncLake
from dreamlake._async.localfile import AsyncLocalFile, Report, changed, check_file, identity
from dreamlake._async.manifest import AsyncManifest, Entry
from dreamlake._async.transfer import AsyncTransfer
from dreamlake.config import current_lake
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, Kind, kind_named, kind_of
from dreamlake.core.parts import PART_SIZE
from dreamlake.core.prefix import Place
from dreamlake.core.uploads import UploadOptions
from dreamlake.core.wireuploads import RegisterAsset
from dreamlake.errors import DreamlakeError, SourceError

__all__ = ["AsyncUploader", "Sent"]


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
        self.namespace, self.project = await self.lake.whole(place.space)
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
