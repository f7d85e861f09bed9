"""Where the objects of an asset are, and its sidecar ``meta.json`` (seed 2, "S3 layout after upload")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from dreamlake.core.kinds import Kind, kind_named
from dreamlake.core.wire import AssetStatus
from dreamlake.core.wireassets import METAS, AssetMeta, StreamedMeta
from dreamlake.server.storage import Storage

__all__ = [
    "SAMPLES", "Asset", "chunk_key", "parse_meta", "read_meta", "read_metas", "remove_objects", "staging_key",
    "timestamp", "update_meta", "write_meta",
]  # fmt: skip


SAMPLES = "samples.npz"  # the name of a sample index


class Asset(msgspec.Struct, frozen=True):
    """An asset of the storage service, as its row says. Size in bytes, created_at in seconds since the epoch."""

    id: str
    kind: str
    owner: str
    project: str
    name: str
    hash: str
    sha256: str
    size: int
    created_at: float

    @property
    def kind_info(self) -> Kind:
        """All that follows from its kind."""
        return kind_named(self.kind)

    @property
    def filename(self) -> str:
        """The last part of its name."""
        return self.name.rsplit("/", 1)[-1]

    @property
    def staging(self) -> str:
        """The key of its original bytes."""
        return staging_key(self.owner, self.project, self.hash)

    def key(self, name: str) -> str:
        """The key of one of its own objects, such as ``meta.json``."""
        return f"{self.owner}/{self.project}/{self.kind_info.folder}/{self.id}/{name}"


def staging_key(owner: str, project: str, digest: str) -> str:
    """The key of a staged file."""
    return f"{owner}/{project}/staging/{digest}"


def chunk_key(digest: str, extension: str, digits: int = 16) -> str:
    """The key of a chunk, shared by all assets; it is named by the first hex digits of its SHA-256."""
    return f"chunks/{digest[:digits]}.{extension}"


def timestamp(seconds: float) -> str:
    """A time in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_meta(asset: Asset) -> AssetMeta:
    """The sidecar of an asset that is registered and not processed."""
    return METAS[asset.kind](
        id=asset.id,
        owner=asset.owner,
        project=asset.project,
        name=asset.name,
        status="uploaded",
        hash=asset.hash,
        sha256=asset.sha256,
        size=asset.size,
        created_at=timestamp(asset.created_at),
        updated_at=timestamp(asset.created_at),
    )


async def read_meta(storage: Storage, asset: Asset) -> AssetMeta:
    """The sidecar; what registration knows until the first job has written one."""
    [meta] = await read_metas(storage, [asset])
    return meta


async def read_metas(storage: Storage, assets: Sequence[Asset]) -> list[AssetMeta]:
    """The sidecars of many assets, in order."""
    found = await storage.read_many([asset.key("meta.json") for asset in assets])
    return [parse_meta(asset, data) for asset, data in zip(assets, found, strict=True)]


def parse_meta(asset: Asset, data: bytes | None) -> AssetMeta:
    """The sidecar as it was read; None where there is none."""
    if data is None:
        return new_meta(asset)
    meta = msgspec.json.decode(data, type=METAS[asset.kind])
    # Of a new version the row knows first.
    meta.hash, meta.sha256, meta.size = asset.hash, asset.sha256, asset.size
    return meta


async def write_meta(storage: Storage, asset: Asset, meta: AssetMeta) -> None:
    """Write the sidecar."""
    data = msgspec.json.format(msgspec.json.encode(meta), indent=2)
    await storage.write(asset.key("meta.json"), data)


async def update_meta(storage: Storage, asset: Asset, now: float, status: AssetStatus, **changes: Any) -> None:
    """Change fields of the sidecar."""
    meta = await read_meta(storage, asset)
    await write_meta(storage, asset, msgspec.structs.replace(meta, status=status, updated_at=timestamp(now), **changes))


async def remove_objects(storage: Storage, asset: Asset) -> None:
    """Delete the asset's own objects. Chunks stay: they may be another asset's too."""
    meta = await read_meta(storage, asset)
    streams = meta.streams if isinstance(meta, StreamedMeta) else []
    for name in ("meta.json", "frames.npz", SAMPLES, *(f"stream/{stream}.m3u8" for stream in streams)):
        await storage.delete(asset.key(name))
