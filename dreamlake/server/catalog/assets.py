"""Assets in the catalog: their registration, which answers with the signed URL that starts the processing, and finding
them by their paths."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

import msgspec
from litestar import Request, get, post
from litestar.params import FromQuery, JSONBody
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.kinds import Kind, kind_named
from dreamlake.core.targets import check_name, join_path
from dreamlake.core.wirecatalog import AssetCreated, AssetFound, AssetsCreated, CreateAsset, CreateAssets, Created
from dreamlake.errors import UsageError
from dreamlake.server.access import Caller
from dreamlake.server.catalog.tree import Memo, ensure_leaf, ensure_project, order
from dreamlake.server.database import hold, insert
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, new_id
from dreamlake.server.routing import AssetKind
from dreamlake.server.schema import assets, bss_assets, episodes, namespaces, nodes, projects

__all__ = ["ASSETS", "Naming", "create", "download", "name_asset"]

_ATTRIBUTES = {field.encode_name: field.name for field in msgspec.structs.fields(CreateAsset)}


@post("/")
async def create(
    request: Request[Any, Any, Any], data: JSONBody[CreateAsset], lake: OpenLake, kind: AssetKind
) -> AssetCreated:
    """Give an asset its place in a namespace, a space and a folder. The same again gives the same records."""
    body: dict[str, Any] = msgspec.json.decode(await request.body())
    async with lake.database.write() as connection:
        return await _create(connection, lake, lake.base_url(request), _Item(kind, data, body, time.time()), {})


@post("/batch/assets", status_code=200)
async def create_many(request: Request[Any, Any, Any], data: JSONBody[CreateAssets], lake: OpenLake) -> AssetsCreated:
    """The same for many assets, in one transaction."""
    base, now = lake.base_url(request), time.time()
    answers: dict[int, Created] = {}
    items: dict[int, _Item] = {}
    for number, body in enumerate(data.items):
        try:
            # Of several assets of one name the last is the newest one, in whatever order they are made.
            created_at = now + number * 1e-6
            items[number] = _Item(
                kind_named(str(body.get("kind"))), msgspec.convert(body, CreateAsset), body, created_at
            )
        except (UsageError, msgspec.ValidationError) as error:
            answers[number] = Created(problem=Refused(400, str(error)).problem)
    memo: Memo = {}
    async with lake.database.write() as connection:
        for number, item in sorted(items.items(), key=lambda pair: pair[1].order):
            try:
                answers[number] = Created(created=await _create(connection, lake, base, item, memo))
            except Refused as refused:
                answers[number] = Created(problem=refused.problem)
            except UsageError as error:
                answers[number] = Created(problem=Refused(400, str(error)).problem)
    return AssetsCreated([answers[number] for number in range(len(data.items))])


@dataclass(frozen=True)
class _Item:
    """An asset that is to get its place, and all of the body that asks for it."""

    kind: Kind
    data: CreateAsset
    body: Mapping[str, Any]
    created_at: float

    @property
    def bss_id(self) -> str | None:
        found: str | None = getattr(self.data, _ATTRIBUTES[self.kind.bss_field])
        return found

    @property
    def order(self) -> tuple[Any, ...]:
        data = self.data
        place = order(data.namespace, data.space, data.episode_name, normalize("NFC", data.name))
        return place, self.bss_id or ""


async def _create(connection: AsyncConnection, lake: Lake, base: str, item: _Item, memo: Memo) -> AssetCreated:
    kind, data, bss_id = item.kind, item.data, item.bss_id
    if bss_id is None:
        raise Refused(400, f"{kind.bss_field} is missing: register {kind.phrase} with the storage service first")
    extra = {key: value for key, value in item.body.items() if key not in _ATTRIBUTES and key != "kind"}
    naming = Naming(
        data.namespace, data.space, data.episode_name, data.name, bss_id, extra, item.created_at, data.replaces
    )
    return await name_asset(connection, lake, base, kind, naming, memo)


@dataclass(frozen=True)
class Naming:
    """Which asset of the storage service gets which name, and what else is to be kept of it."""

    namespace: str
    space: str
    episode: str | None
    name: str
    bss_id: str
    extra: dict[str, Any]
    created_at: float = field(default_factory=time.time)
    replaces: str | None = None  # the newest asset of that name until now; empty for none, None for any


async def name_asset(
    connection: AsyncConnection, lake: Lake, base: str, kind: Kind, naming: Naming, memo: Memo
) -> AssetCreated:
    """Give an asset its name.

    Args:
        connection: in a transaction that writes.
        lake: that has it.
        base: what the signed URL begins with.
        kind: of the asset.
        naming: what is to be recorded.
        memo: ids that were found in this transaction.
    """
    lake.caller.admit(naming.namespace)
    name, bss_id = check_name(naming.name), naming.bss_id
    await _check_owner(connection, lake.caller, naming.namespace, kind, bss_id)
    project_id, episode_id = await ensure_project(connection, naming.namespace, naming.space, naming.episode, memo)
    leaf = await ensure_leaf(connection, project_id, episode_id, name, kind.name, memo)
    if naming.replaces is not None:
        await _check_newest(connection, leaf.node_id, naming)
    row = {
        "id": new_id(), "node_id": leaf.node_id, "bss_id": bss_id, "kind": kind.name, "folder_id": leaf.folder_id,
        "filename": leaf.filename, "metadata": naming.extra, "created_at": naming.created_at,
    }  # fmt: skip
    # Who brings an earlier version back makes it the newest one.
    newest = {"created_at": row["created_at"], "metadata": naming.extra}
    made = (
        insert(connection, assets)
        .values(**row)
        .on_conflict_do_update(index_elements=["node_id", "bss_id"], set_=newest)
    )
    asset_id: str = (await connection.execute(made.returning(assets.c.id))).scalar_one()
    url = None
    if kind.action is not None:
        path, query = f"/lambdas/{kind.action}", {kind.id_field: bss_id}
        url = lake.signed_url(base, "POST", path, naming.namespace, query)
    return AssetCreated(asset_id, leaf.node_id, project_id, episode_id, leaf.folder_id, leaf.filename, url)


@get("/download")
async def download(
    request: Request[Any, Any, Any],
    lake: OpenLake,
    kind: AssetKind,
    namespace: FromQuery[str],
    path: FromQuery[str],
    space: FromQuery[str | None] = None,
    project: FromQuery[str | None] = None,
    episode: FromQuery[str | None] = None,
) -> AssetFound:
    """Where the bytes of the newest asset at a path are. ``project`` is the older name of ``space``."""
    return await _find(lake, lake.base_url(request), kind, namespace, space or project, episode, path)


@get("/assets/download")
async def download_any(
    request: Request[Any, Any, Any],
    lake: OpenLake,
    namespace: FromQuery[str],
    path: FromQuery[str],
    space: FromQuery[str | None] = None,
    project: FromQuery[str | None] = None,
    episode: FromQuery[str | None] = None,
) -> AssetFound:
    """The same for an asset of any kind."""
    return await _find(lake, lake.base_url(request), None, namespace, space or project, episode, path)


ASSETS = (create_many, download_any)


async def _check_owner(connection: AsyncConnection, caller: Caller, namespace: str, kind: Kind, bss_id: str) -> None:
    """Refuse to name what is another namespace's: the answer would sign a URL for it."""
    if caller.namespace is None:
        return
    query = select(bss_assets.c.id).where(bss_assets.c.id == bss_id, bss_assets.c.owner == namespace)
    if await connection.scalar(query.where(bss_assets.c.kind == kind.name)) is None:
        raise Refused(404, f"there is no {kind.name} {bss_id}")


async def _check_newest(connection: AsyncConnection, node_id: str, naming: Naming) -> None:
    """Refuse to name an asset where another one has got that name meanwhile."""
    await hold(connection, [f"name/{node_id}"])
    query = (
        select(assets.c.bss_id)
        .join(bss_assets, bss_assets.c.id == assets.c.bss_id)
        .where(assets.c.node_id == node_id)
        .order_by(assets.c.created_at.desc(), assets.c.id.desc())
        .limit(1)
    )
    newest = await connection.scalar(query)
    if newest not in (naming.replaces or None, naming.bss_id):
        raise Refused(412, f"{naming.name} is another asset's by now")


async def _find(
    lake: Lake, base: str, kind: Kind | None, namespace: str, space: str | None, episode: str | None, path: str
) -> AssetFound:
    lake.caller.admit(namespace)
    if not space:
        raise Refused(400, "space is missing")
    name = check_name(join_path("/", path))
    # A path is unique in its episode, or in its project where there is no episode.
    scope = projects.c.id if episode is None else episodes.c.id
    tables = (
        assets.join(nodes, nodes.c.id == assets.c.node_id)
        .join(projects, projects.c.id == nodes.c.project_id)
        .join(namespaces, namespaces.c.id == projects.c.namespace_id)
        .outerjoin(episodes, episodes.c.id == nodes.c.episode_id)
        # What was deleted from the storage is no asset any more, and what is another owner's never was one.
        .join(bss_assets, (bss_assets.c.id == assets.c.bss_id) & (bss_assets.c.owner == namespaces.c.slug))
    )
    query = (
        select(assets.c.filename, bss_assets.c.id, bss_assets.c.kind, bss_assets.c.sha256, bss_assets.c.size)
        .select_from(tables)
        .where(namespaces.c.slug == namespace, projects.c.slug == space, nodes.c.path == name, nodes.c.scope == scope)
        .where(bss_assets.c.kind == assets.c.kind)
        .order_by(assets.c.created_at.desc(), assets.c.id.desc())
        .limit(1)
    )
    if episode is not None:
        query = query.where(episodes.c.name == episode)
    if kind is not None:
        query = query.where(assets.c.kind == kind.name)
    async with lake.database.read(quick=True) as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        where = f"{namespace}@{space}" + (f":{episode}" if episode is not None else "")
        raise Refused(404, f"there is no {kind.name if kind else 'asset'} {name} in {where}")
    url = f"{base}/{kind_named(row.kind).route}/{row.id}/raw"
    return AssetFound(url, row.filename, row.id, row.kind, row.sha256, row.size)
