# Generated from dreamlake/_async/lakesink.py by scripts/unasync.py. Edit that file, then run it.
"""Rollouts as videos of the lake in use, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dreamlake._sync._runtime import offload
from dreamlake._sync.uploader import Uploader
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import VIDEO
from dreamlake.core.prefix import resolve_place
from dreamlake.core.targets import asset_name
from dreamlake.core.uploads import UploadOptions
from dreamlake.errors import DreamlakeError, SinkError
from dreamlake.io.sink import LakeSink

__all__ = ["LakeWriter"]


class LakeWriter:
    """Uploads rollouts; their metadata becomes that of their places in the catalog.

    Args:
        sink: that says where to.
    """

    def __init__(self, sink: LakeSink) -> None:
        self._sink = sink
        self._place = resolve_place(space=sink.space, prefix=sink.prefix, path=None, episode=None)
        self._uploader = Uploader(UploadOptions())

    def open(self) -> None:
        """Find out which lake and space it is, which tells the sink from others.

        Raises:
            LakeUnreachableError: no lake answers.
        """
        uploader = self._uploader
        uploader.open(self._place)
        self._sink.target = f"{uploader.lake.address}: {uploader.namespace}@{uploader.project}/{self._place.folder}"

    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Upload one rollout and have it processed.

        Args:
            row_id: becomes its name.
            video: the mp4.
            record: what the metadata says of it.

        Raises:
            SinkError: the lake does not take it.
        """
        folder = offload(partial(TemporaryDirectory, prefix="dreamlake-rollout-"))
        try:
            path = Path(folder.name) / f"{row_id}.mp4"
            offload(partial(path.write_bytes, video))
            self._send(path, {"rollout": {**record, "row_id": row_id}})
        except DreamlakeError as error:
            raise SinkError(f"{self._sink.uri}: {error}") from error
        finally:
            offload(folder.cleanup)

    def _send(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """The steps of an upload, as ``Uploader.send`` has them, with provenance in that of the catalog."""
        uploader = self._uploader
        name = asset_name(self._place.folder, path.name)
        local = uploader.read(path, VIDEO, _silent)
        staged = uploader.transfer(local, VIDEO, _silent).run()
        registered, _ = uploader.lake.register(VIDEO, uploader.registration(local, name, staged))
        naming = uploader.naming(local, VIDEO, name, registered.id)
        created = uploader.lake.create_asset(VIDEO, {**provenance, **naming})
        if created.lambda_url is not None and registered.status != "ready":
            uploader.lake.trigger(created.lambda_url)


def _silent(_: UploadEvent) -> None:
    pass
