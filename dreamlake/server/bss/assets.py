"""Assets of all kinds: registration, sidecars, the original bytes. The table of kinds says in what they differ."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import msgspec
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from litestar import HttpMethod, Request, Response, Router, delete, get, post, route
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.kinds import IMAGE, KINDS, LABEL_TRACK, TEXT_TRACK, Kind, content_type
from dreamlake.core.targets import check_name
from dreamlake.core.wireassets import METAS, AssetMeta, AssetPage
from dreamlake.core.wireuploads import RegisterAsset, Registered
from dreamlake.errors import SourceError, UsageError
from dreamlake.server.bss.objects import object_response
from dreamlake.server.bss.pool import PoolKey, Verified, find_staged, hold_names, use
from dreamlake.server.catalog.removal import remove_asset
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, new_id
from dreamlake.server.lambdas.jobs import JobState, job_states
from dreamlake.server.routing import AssetKind, of_kind
from dreamlake.server.schema import bss_assets
from dreamlake.server.sidecar import Asset, read_metas, update_meta

if TYPE_CHECKING:
    from dreamlake.media.images import ImageFacts

__all__ = ["assets_routers", "current_meta", "find_asset", "register_all"]

MAX_PAGE = 1000
_IDENTITY = ("owner", "project", "kind", "name", "sha256")
_decoders = RunVar[CapacityLimiter]("image_decoders")  # one at a time, so that large images leave threads to others
_ID = re.compile(r"[0-9a-f]{8,24}")

# What the routes of a kind answer with; each kind's router puts its own in their place.
Meta: TypeAlias = AssetMeta
Page: TypeAlias = AssetPage[AssetMeta]


@post("/")
async def register(data: JSONBody[RegisterAsset], lake: OpenLake, kind: AssetKind) -> Response[Registered]:
    """Make an asset of a staged file. The same name and bytes again give the same id."""
    [answer] = await register_all(lake, [(kind, data)])
    if isinstance(answer, Refused):
        raise answer
    registered, known = answer
    return Response(registered, status_code=200 if known else 201)


@get("/")
async def listing(
    lake: OpenLake,
    kind: AssetKind,
    owner: FromQuery[str],
    project: FromQuery[str],
    limit: FromQuery[int] = 100,
    cursor: FromQuery[str | None] = None,
) -> Page:
    """The assets of a kind in a project, in the order of their creation."""
    lake.caller.admit(owner)
    limit = max(1, min(limit, MAX_PAGE))
    query = select(bss_assets).where(
        bss_assets.c.kind == kind.name, bss_assets.c.owner == owner, bss_assets.c.project == project
    )
    if cursor is not None:
        query = query.where(bss_assets.c.id > cursor)
    async with lake.database.read(quick=True) as connection:
        rows = (await connection.execute(query.order_by(bss_assets.c.id).limit(limit + 1))).all()
        assets = [Asset(**row._mapping) for row in rows[:limit]]
        states = await job_states(connection, [asset.id for asset in assets])
    items = await _metas(lake, assets, states)
    return AssetPage(items, assets[-1].id if len(rows) > limit else None)


@get(["/{asset_id:str}", "/{asset_id:str}/metadata"])
async def metadata(lake: OpenLake, kind: AssetKind, asset_id: FromPath[str]) -> Meta:
    """The sidecar, with the progress of the processing."""
    return await current_meta(lake, await find_asset(lake, asset_id, kind))


@route("/{asset_id:str}/raw", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def raw(
    request: Request[Any, Any, Any], lake: OpenLake, kind: AssetKind, asset_id: FromPath[str]
) -> Response[Any]:
    """The original bytes, to be saved under the asset's own name."""
    asset = await find_asset(lake, asset_id, kind)
    media_type = content_type(kind, asset.name)
    response = await object_response(lake.storage, asset.staging, request, media_type, "private, max-age=3600")
    response.headers["Content-Disposition"] = _disposition(asset.filename)
    return response


@delete("/{asset_id:str}")
async def remove(lake: OpenLake, kind: AssetKind, asset_id: FromPath[str]) -> None:
    """Forget an asset, with its names. Chunks stay while they may be another asset's too."""
    await remove_asset(lake, await find_asset(lake, asset_id, kind))


def assets_routers() -> list[Router]:
    """The routes that all kinds have, below each kind's prefix."""
    handlers = [register, listing, metadata, raw, remove]
    prefixes = [(kind.route, kind) for kind in KINDS] + [("image", IMAGE)]
    page: Any = AssetPage  # whose parameter is known only here
    return [
        Router(
            f"/{prefix}",
            route_handlers=handlers,
            dependencies=of_kind(kind),
            signature_namespace={"Meta": METAS[kind.name], "Page": page[METAS[kind.name]]},
        )
        for prefix, kind in prefixes
    ]


async def find_asset(lake: Lake, asset_id: str, kind: Kind | None = None) -> Asset:
    """The asset with an id, or with the only id that begins so.

    Args:
        lake: to look in.
        asset_id: an ObjectId, or the first of its digits, at least 8.
        kind: of the asset; None for any.

    Raises:
        Refused: 400 when it is no id, 404 when there is no such asset, 409 when a short id fits several.
    """
    if not _ID.fullmatch(asset_id):
        raise Refused(400, f"{asset_id!r} is not an ObjectId (24 hex digits, or the first of them, at least 8)")
    query = select(bss_assets).where(bss_assets.c.id.between(asset_id, f"{asset_id}g")).limit(2)
    if kind is not None:
        query = query.where(bss_assets.c.kind == kind.name)
    if lake.caller.namespace is not None:
        query = query.where(bss_assets.c.owner == lake.caller.namespace)
    async with lake.database.read(quick=True) as connection:
        rows = (await connection.execute(query)).all()
    if not rows:
        raise Refused(404, f"there is no {kind.name if kind else 'asset'} {asset_id}")
    if len(rows) > 1:
        raise Refused(409, f"{asset_id} begins several ids: give more of its digits")
    return Asset(**rows[0]._mapping)


async def register_all(
    lake: Lake, items: Sequence[tuple[Kind, RegisterAsset]]
) -> list[tuple[Registered, bool] | Refused]:
    """Make assets of staged files, in one transaction.

    Returns:
        For each the asset, and whether there was the same one already; or why it was refused.
    """
    keys = [PoolKey(item.owner, item.project, item.staging_hash) for _, item in items]
    async with lake.database.read() as connection:
        staged = await find_staged(connection, keys)
    rows: dict[int, _Row] = {}
    answers: dict[int, tuple[Registered, bool] | Refused] = {}
    for number, (kind, item) in enumerate(items):
        try:
            rows[number] = await _row(lake, kind, item, keys[number], staged.get(keys[number]))
        except Refused as refused:
            answers[number] = refused
    async with lake.database.write() as connection:
        # Since we looked a file may have been collected, or be about to be: from here on it is not any more.
        await hold_names(connection, [row.key for row in rows.values()])
        there = await use(connection, [row.key for row in rows.values()])
        for number, row in list(rows.items()):
            if row.key not in there or there[row.key].sha256 != row.values["sha256"]:
                answers[number] = _unstaged(rows.pop(number).key)
        found = await _insert(connection, list(rows.values()))
    for (number, row), (asset, known) in zip(rows.items(), found, strict=True):
        status = (await current_meta(lake, asset)).status if known else "uploaded"
        if row.skip_bad_lines and status != "ready":
            await update_meta(lake.storage, asset, time.time(), status, skip_bad_lines=True)
        if row.facts is not None and status != "ready":
            size = {"width": row.facts.width, "height": row.facts.height, "format": row.facts.format}
            await update_meta(lake.storage, asset, time.time(), "ready", **size)
            status = "ready"
        answers[number] = Registered(asset.id, status), known
    return [answers[number] for number in range(len(items))]


@dataclass(frozen=True)
class _Row:
    """A row to insert, where its bytes are staged, and what is to be said of an image."""

    key: PoolKey
    values: dict[str, Any]
    facts: ImageFacts | None
    skip_bad_lines: bool = False


async def _row(lake: Lake, kind: Kind, data: RegisterAsset, key: PoolKey, staged: Verified | None) -> _Row:
    try:
        name = check_name(data.name)
    except UsageError as error:
        raise Refused(400, str(error)) from None
    if data.format is not None and f".{data.format}" not in {**kind.extensions, **kind.forced}:
        raise Refused(400, f"{data.format} is not a format of {kind.phrase}")
    if staged is None or not lake.caller.owns(key.owner):
        raise _unstaged(key)
    values: dict[str, Any] = {
        "kind": kind.name, "owner": data.owner, "project": data.project, "name": name, "sha256": staged.sha256,
        "hash": data.staging_hash, "size": staged.size, "created_at": time.time(),
    }  # fmt: skip
    try:
        facts = await _image_facts(lake, Asset(id="", **values)) if kind == IMAGE else None
        return _Row(key, values, facts, data.skip_bad_lines and kind in (LABEL_TRACK, TEXT_TRACK))
    except FileNotFoundError:  # it has just been collected
        raise _unstaged(key) from None


def _unstaged(key: PoolKey) -> Refused:
    return Refused(404, f"nothing is staged under {key.hash} in {key.owner}/{key.project}")


async def _insert(connection: AsyncConnection, rows: Sequence[_Row]) -> list[tuple[Asset, bool]]:
    """The assets with these values, made if they are not there; and whether they were.

    Args:
        connection: in a transaction that writes, and holds the names of their bytes, so that nobody else makes them.
        rows: of the assets.
    """
    if not rows:
        return []
    before = await _assets_of(connection, rows)
    new = {_identity(row.values): {"id": new_id(), **row.values} for row in rows if _identity(row.values) not in before}
    if new:
        await connection.execute(bss_assets.insert(), list(new.values()))
    after = {**before, **(await _assets_of(connection, rows) if new else {})}
    found = [after[_identity(row.values)] for row in rows]
    # Of several items for the same asset the first one makes it.
    made = {identity: values["id"] for identity, values in new.items()}
    answers = []
    for row, asset in zip(rows, found, strict=True):
        answers.append((asset, made.pop(_identity(row.values), None) != asset.id))
    return answers


async def _assets_of(connection: AsyncConnection, rows: Sequence[_Row]) -> dict[tuple[Any, ...], Asset]:
    # By columns of the one index that is unique. The hash is no such: the same bytes may be staged under both names.
    columns = [bss_assets.c[field].in_({row.values[field] for row in rows}) for field in _IDENTITY]
    found = [Asset(**row._mapping) for row in await connection.execute(select(bss_assets).where(*columns))]
    return {_identity(msgspec.structs.asdict(asset)): asset for asset in found}


def _identity(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells an asset from all others."""
    return tuple(values[field] for field in _IDENTITY)


async def current_meta(lake: Lake, asset: Asset) -> AssetMeta:
    """The sidecar as it is now: while a job is under way the queue knows more than the file."""
    async with lake.database.read(quick=True) as connection:
        states = await job_states(connection, [asset.id])
    [meta] = await _metas(lake, [asset], states)
    return meta


async def _metas(lake: Lake, assets: Sequence[Asset], states: Mapping[str, JobState]) -> list[AssetMeta]:
    metas = await read_metas(lake.storage, assets)
    for meta in metas:
        state = states.get(meta.id)
        if state is not None and state.state in ("queued", "running"):
            meta.status, meta.progress, meta.error = "processing", state.progress, None
    return metas


async def _image_facts(lake: Lake, asset: Asset) -> ImageFacts:
    """What is to be said of an image, which no lambda processes.

    Raises:
        Refused: 400, the staged file is not an image.
    """
    from dreamlake.media.images import probe_image  # Pillow is slow to import, and few lakes hold images

    async with lake.storage.local_file(asset.staging) as path:
        try:
            return await to_thread.run_sync(probe_image, path, asset.filename, limiter=_decoder())
        except SourceError as error:
            raise Refused(400, str(error)) from None


def _decoder() -> CapacityLimiter:
    limiter = _decoders.get(None)
    if limiter is None:
        _decoders.set(limiter := CapacityLimiter(1))
    return limiter


def _disposition(filename: str) -> str:
    """The header that names a download (RFC 6266, 4): in ASCII for the oldest clients, and as it is."""
    plain = re.sub(r"[^ !#-\[\]-~]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
