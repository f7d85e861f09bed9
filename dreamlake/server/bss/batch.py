"""Many uploads in one request and one transaction: what a folder of small files is brought into the lake with.

Each item has its own answer; one that is refused does not hold up the others.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from litestar import Request, Router, post
from litestar.params import JSONBody
from sqlalchemy import Select, select

from dreamlake.core.kinds import IMAGE, KINDS, kind_named
from dreamlake.core.signing import SignatureError
from dreamlake.core.wire import Success
from dreamlake.core.wireuploads import (
    AskStatuses,
    BeginUploads,
    Begun,
    CompleteUpload,
    Finished,
    FinishUploads,
    RunLambdas,
    Status,
    Statuses,
    UploadsBegun,
    UploadsFinished,
    UploadStarted,
)
from dreamlake.server.bss.assets import register_all
from dreamlake.server.bss.staging import begin, finish
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, new_id
from dreamlake.server.lambdas.jobs import enqueue
from dreamlake.server.lambdas.worker import ACTIONS
from dreamlake.server.schema import bss_assets, jobs

__all__ = ["batch_router"]

_STATUS = {"queued": "processing", "running": "processing", "done": "ready", "failed": "failed"}


@post("/begin", status_code=200)
async def begin_many(request: Request[Any, Any, Any], data: JSONBody[BeginUploads], lake: OpenLake) -> UploadsBegun:
    """Begin uploads, as ``init`` does."""
    started = await begin(lake, data.items, lake.base_url(request))
    if any(isinstance(answer, UploadStarted) and not answer.exists for answer in started):
        await lake.runner.warm()
    return UploadsBegun(
        [Begun(problem=item.problem) if isinstance(item, Refused) else Begun(started=item) for item in started]
    )


@post("/finish", status_code=200)
async def finish_many(data: JSONBody[FinishUploads], lake: OpenLake) -> UploadsFinished:
    """Complete uploads and make assets of them, as ``complete`` and the registration do."""
    answers = [Finished() for _ in data.items]
    uploads: dict[int, CompleteUpload] = {}
    for number, item in enumerate(data.items):
        if item.upload is not None:
            uploads[number] = item.upload
    for number, refused in zip(uploads, await finish(lake, list(uploads.values())), strict=True):
        if refused is not None:
            answers[number].problem = refused.problem
    rest = [number for number, answer in enumerate(answers) if answer.problem is None]
    items = [(kind_named(data.items[number].kind), data.items[number].asset) for number in rest]
    for number, made in zip(rest, await register_all(lake, items), strict=True):
        if isinstance(made, Refused):
            answers[number].problem = made.problem
        else:
            answers[number].registered, answers[number].known = made
    return UploadsFinished(answers)


@post("/lambdas", status_code=202)
async def run_many(data: JSONBody[RunLambdas], lake: OpenLake) -> Success:
    """Queue the processing of assets, as a POST to each of their signed URLs does."""
    wanted = [_verified(lake, url) for url in data.urls]
    async with lake.database.write() as connection:
        ids = {asset_id for asset_id, _ in wanted}
        there = set(await connection.scalars(_visible(lake, select(bss_assets.c.id).where(bss_assets.c.id.in_(ids)))))
        # What is not there was deleted meanwhile.
        jobs_of = [(new_id(), asset_id, action) for asset_id, action in dict(wanted).items() if asset_id in there]
        await enqueue(connection, jobs_of)
    await lake.runner.wake(there)
    return Success()


@post("/statuses", status_code=200, opt={"scope": "read"})
async def statuses(data: JSONBody[AskStatuses], lake: OpenLake) -> Statuses:
    """How far assets are, of whatever kind; those that do not exist are left out."""
    query = (
        select(bss_assets.c.id, bss_assets.c.kind, jobs.c.state, jobs.c.progress, jobs.c.error)
        .select_from(bss_assets.outerjoin(jobs, jobs.c.asset_id == bss_assets.c.id))
        .where(bss_assets.c.id.in_(data.ids))
    )
    async with lake.database.read() as connection:
        rows = (await connection.execute(_visible(lake, query))).all()
    found = []
    for row in rows:
        without_job = "ready" if row.kind == IMAGE.name else "uploaded"
        status: Any = _STATUS[row.state] if row.state is not None else without_job
        progress = row.progress if status == "processing" else None
        found.append(Status(row.id, status, progress, row.error if status == "failed" else None))
    return Statuses(found)


def _visible(lake: Lake, query: Select[Any]) -> Select[Any]:
    """The assets among those of a query that the caller may see."""
    namespace = lake.caller.namespace
    return query if namespace is None else query.where(bss_assets.c.owner == namespace)


def batch_router() -> Router:
    """The routes below /batch."""
    return Router("/batch", route_handlers=[begin_many, finish_many, run_many, statuses])


def _verified(lake: Lake, url: str) -> tuple[str, str]:
    """The asset and the action of a signed URL."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = dict(pairs)
    action = parts.path.rpartition("/")[2]
    kind = next((kind for kind in KINDS if kind.action == action), None)
    if kind is None or action not in ACTIONS or len(query) != len(pairs):
        raise Refused(400, "each URL is a lambdaUrl, as the registration gave it")
    try:
        lake.signer.verify("POST", f"/lambdas/{action}", query, time.time())
    except SignatureError as error:
        raise Refused(403, str(error)) from None
    return query.get(kind.id_field, ""), action
