"""One run, from the lock to the report."""

from __future__ import annotations

import time

from dreamlake.core.wireupkeep import Freed, GcReport
from dreamlake.server.errors import Refused
from dreamlake.server.gate import locked
from dreamlake.server.gc.assets import collect_chunks, collect_leftovers, mark_assets
from dreamlake.server.gc.marks import open_marks
from dreamlake.server.gc.pool import (
    collect_parked,
    collect_pending,
    collect_staged,
    collect_unnamed,
    collect_uploads,
    find_projects,
)
from dreamlake.server.gc.run import Run
from dreamlake.server.gc.temporary import collect_temporary
from dreamlake.server.lake import Lake
from dreamlake.server.neighbours import other_lakes, time_apart

__all__ = ["DAY", "collect"]

DAY = 24 * 3600.0  # seconds; what is younger is left alone
MAX_APART = 3600.0  # seconds between our clock and the one that dates the objects
POLL_SECONDS = 0.2  # while somebody else collects


async def collect(lake: Lake, *, dry_run: bool = False, now: float | None = None) -> GcReport:
    """Delete what nothing refers to and nobody has used for a day. Runs of one lake wait for each other.

    Args:
        lake: to collect in.
        dry_run: only find out what would go; nothing is changed.
        now: seconds since the epoch; the clock's when it is None.

    Returns:
        What was deleted, or would have been.

    Raises:
        Refused: 409, another lake keeps its bytes in the same storage, or the storage's clock is not ours.
    """
    if others := await other_lakes(lake.storage, lake.settings, lake.identity):
        raise Refused(
            409,
            f"other lakes keep their bytes in the same storage ({', '.join(others)}), and nothing here says which are "
            "theirs: give each lake a prefix of its own, or delete the marks of those that are no more",
        )
    if not dry_run and abs(apart := await time_apart(lake.storage, lake.settings, lake.identity)) > MAX_APART:
        raise Refused(
            409,
            f"the storage's clock is {apart / 3600:+.1f} hours from the one here: nobody can say what is old. Set the "
            "clock that is wrong",
        )
    async with (
        locked(lake.settings.data, poll=POLL_SECONDS),
        lake.database.alone(["gc"]),  # from servers of other machines
        open_marks(lake.storage.scratch) as marks,
    ):
        # A job is done long before what it has touched at its beginning is as old as this.
        age = max(DAY, 2 * lake.settings.worker_seconds)
        report = GcReport(dry_run, Freed(), Freed(), Freed(), Freed(), Freed(), [])
        run = Run(lake, (time.time() if now is None else now) - age, dry_run, report, marks)
        await find_projects(run)
        await collect_uploads(run)
        await collect_pending(run)
        await collect_parked(run)
        await collect_staged(run)
        await collect_unnamed(run)
        marked = await mark_assets(run)
        if marked:
            await collect_chunks(run)
        await collect_leftovers(run, marked=marked)
        await collect_temporary(run)
        return report
