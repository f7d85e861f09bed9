"""Rollouts as videos of the lake in use, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dreamlake._async._runtime import offload
from dreamlake._async.uploader import AsyncUploader
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import VIDEO
from dreamlake.core.prefix import resolve_place
from dreamlake.core.targets import asset_name
from dreamlake.core.uploads import UploadOptions
from dreamlake.errors import DreamlakeError, SinkError
from dreamlake.io.sink import LakeSink

__all__ = ["AsyncLakeWriter"]


class AsyncLakeWriter:
    """Uploads rollouts; their metadata becomes that of their places in the catalog.

    Args:
        sink: that says where to.
    """

    def __init__(self, sink: LakeSink) -> None:
        self._sink = sink
        self._place = resolve_place(space=sink.space, prefix=sink.prefix, path=None, episode=None)
        self._uploader = AsyncUploader(UploadOptions())

    async def open(self) -> None:
        """Find out which lake and space it is, which tells the sink from others.

        Raises:
            LakeUnreachableError: no lake answers.
        """
        uploader = self._uploader
        await uploader.open(self._place)
        self._sink.target = f"{uploader.lake.address}: {uploader.namespace}@{uploader.project}/{self._place.folder}"

    async def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Upload one rollout and have it processed.

        Args:
            row_id: becomes its name.
            video: the mp4.
            record: what the metadata says of it.

        Raises:
            SinkError: the lake does not take it.
        """
        folder = await offload(partial(TemporaryDirectory, prefix="dreamlake-rollout-"))
        try:
            path = Path(folder.name) / f"{row_id}.mp4"
            await offload(partial(path.write_bytes, video))
            await self._send(path, {"rollout": {**record, "row_id": row_id}})
        except DreamlakeError as error:
            raise SinkError(f"{self._sink.uri}: {error}") from error
        finally:
            await offload(folder.cleanup)

    async def _send(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """The steps of an upload, as ``AsyncUploader.send`` has them, with provenance in that of the catalog."""
        uploader = self._uploader
        name = asset_name(self._place.folder, path.name)
        local = await uploader.read(path, VIDEO, _silent)
        staged = await uploader.transfer(local, VIDEO, _silent).run()
        registered, _ = await uploader.lake.register(VIDEO, uploader.registration(local, name, staged))
        naming = uploader.naming(local, VIDEO, name, registered.id)
        created = await uploader.lake.create_asset(VIDEO, {**provenance, **naming})
        if created.lambda_url is not None and registered.status != "ready":
            await uploader.lake.trigger(created.lambda_url)


def _silent(_: UploadEvent) -> None:
    pass
