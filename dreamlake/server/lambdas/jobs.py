"""The queue of lambda jobs in the database."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.database import Database, insert
from dreamlake.server.lambdas.leases import LEASE_SECONDS, is_gone
from dreamlake.server.schema import bss_assets, jobs
from dreamlake.server.sidecar import Asset

__all__ = [
    "Claim", "JobState", "claim", "enqueue", "finish", "give_back", "is_deleted", "job_states", "keep", "pending",
    "release",
]  # fmt: skip

MAX_ATTEMPTS = 3
_LEASE = ("state", "attempts", "lease_owner", "lease_until")


@dataclass(frozen=True)
class Claim:
    """A job that is ours: ``attempts`` counts this one; with ``exhausted`` there were too many already."""

    id: str
    action: str
    attempts: int
    exhausted: bool
    error: str | None
    asset: Asset


@dataclass(frozen=True)
class JobState:
    """How far the processing of an asset is."""

    state: str
    progress: float | None


async def enqueue(
    connection: AsyncConnection, wanted: Sequence[tuple[str, str, str]], *, again: bool = False
) -> set[str]:
    """Queue the jobs of those assets that there are.

    One that is queued, running or done already stays as it is; one that failed is tried anew, and with ``again`` one
    that is done too.

    Args:
        connection: in a transaction that writes.
        wanted: an id for the job, the asset's id and the action of each.
        again: whether what is done is done again.

    Returns:
        The ids of the assets that there are.
    """
    ids = {asset_id for _, asset_id, _ in wanted}
    query = select(bss_assets.c.id).where(bss_assets.c.id.in_(ids)).order_by(bss_assets.c.id)
    there = set(await connection.scalars(query.with_for_update(key_share=True, read=True)))  # so that they stay
    fresh = {"state": "queued", "attempts": 0, "lease_owner": None, "lease_until": None, "progress": 0.0, "error": None}
    ended = ("failed", "done") if again else ("failed",)
    rows = [
        {"id": job_id, "asset_id": asset_id, "action": action, "created_at": time.time(), **fresh}
        for job_id, asset_id, action in sorted(
            wanted, key=lambda job: job[1:]
        )  # in order, or two would lock each other
        if asset_id in there
    ]
    if rows:
        statement = insert(connection, jobs).on_conflict_do_update(
            index_elements=["asset_id", "action"], set_=fresh, where=or_(*(jobs.c.state == state for state in ended))
        )
        await connection.execute(statement, rows)
    return there


async def claim(database: Database, holder: str) -> Claim | None:
    """Take the oldest job that nobody works on."""
    async with database.write() as connection:
        # Few are running at a time, and many may be queued: of those the oldest is enough that nobody else just takes.
        oldest = select(jobs).order_by(jobs.c.created_at)
        running = (await connection.execute(oldest.where(jobs.c.state == "running"))).all()
        next_one = oldest.where(jobs.c.state == "queued").limit(1).with_for_update(skip_locked=True)
        queued = (await connection.execute(next_one)).all()
        now = time.time()
        free = [row for row in running if row.lease_until < now or is_gone(row.lease_owner)]
        for row in sorted([*free, *queued], key=lambda row: row.created_at):
            attempts = row.attempts + 1
            # As we saw it: its holder may have gone on with it since, or somebody else have taken it over.
            unchanged = [jobs.c[name].is_not_distinct_from(getattr(row, name)) for name in _LEASE]
            taken = await connection.execute(
                update(jobs)
                .where(jobs.c.id == row.id, *unchanged)
                .values(state="running", attempts=attempts, lease_owner=holder, lease_until=now + LEASE_SECONDS)
            )
            if taken.rowcount:
                asset = (await connection.execute(select(bss_assets).where(bss_assets.c.id == row.asset_id))).one()
                return Claim(row.id, row.action, attempts, attempts > MAX_ATTEMPTS, row.error, Asset(**asset._mapping))
        return None


async def keep(database: Database, job_id: str, holder: str, progress: float) -> bool:
    """Prolong a lease and say how far the job is; False when the job is no longer ours."""
    return await _change(database, job_id, holder, lease_until=time.time() + LEASE_SECONDS, progress=progress)


async def finish(database: Database, claim: Claim, holder: str, error: str | None, *, retry: bool = False) -> bool:
    """End a job: done when there is no error, queued again with ``retry``, failed otherwise.

    One whose asset was given another version meanwhile is queued again, as if it had not been tried.

    Returns:
        Whether it was still ours.
    """
    state = "done" if error is None else "queued" if retry else "failed"
    values: dict[str, object] = {"state": state, "error": error and error[:2000], "progress": float(error is None)}
    async with database.write() as connection:
        # Who gives it a new version holds the asset first too, and then looks whether there is a job under way.
        query = select(bss_assets.c.sha256).where(bss_assets.c.id == claim.asset.id).with_for_update(read=True)
        if await connection.scalar(query) not in (claim.asset.sha256, None):
            values = {"state": "queued", "error": None, "progress": 0.0, "attempts": 0}
        result = await connection.execute(
            update(jobs)
            .where(jobs.c.id == claim.id, jobs.c.lease_owner == holder)
            .values(**values, lease_owner=None, lease_until=None)
        )
        return bool(result.rowcount)


async def give_back(database: Database, job_id: str, holder: str) -> None:
    """Queue a job again as if it had not been tried."""
    await _change(
        database, job_id, holder, state="queued", attempts=jobs.c.attempts - 1, lease_owner=None, lease_until=None,
        progress=0.0,
    )  # fmt: skip


async def release(database: Database, holder: str) -> None:
    """Give back what we hold without having worked on it, so that the next lake begins at once."""
    async with database.write() as connection:
        await connection.execute(
            update(jobs)
            .where(jobs.c.lease_owner == holder, jobs.c.state == "running")
            .values(state="queued", attempts=jobs.c.attempts - 1, lease_owner=None)
        )


async def is_deleted(database: Database, asset_id: str) -> bool:
    """Whether the asset was deleted, and its jobs with it."""
    async with database.read() as connection:
        return (await connection.execute(select(bss_assets.c.id).where(bss_assets.c.id == asset_id))).first() is None


async def pending(database: Database) -> bool:
    """Whether any job is not finished yet."""
    async with database.read() as connection:
        found = await connection.execute(select(jobs.c.id).where(jobs.c.state.in_(("queued", "running"))).limit(1))
        return found.first() is not None


async def job_states(connection: AsyncConnection, asset_ids: Sequence[str]) -> dict[str, JobState]:
    """How far the newest jobs of assets are, of those that have any."""
    rows = await connection.execute(
        select(jobs.c.asset_id, jobs.c.state, jobs.c.progress)
        .where(jobs.c.asset_id.in_(asset_ids))
        .order_by(jobs.c.created_at)
    )
    return {row.asset_id: JobState(row.state, row.progress) for row in rows}


async def _change(database: Database, job_id: str, holder: str, **values: object) -> bool:
    async with database.write() as connection:
        result = await connection.execute(
            update(jobs).where(jobs.c.id == job_id, jobs.c.lease_owner == holder).values(**values)
        )
        return bool(result.rowcount)
