"""What crashes have left: in the storage, and in the folder of temporary files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path

from anyio import to_thread
from sqlalchemy import select

from dreamlake.server.gc.marks import FOLDER
from dreamlake.server.gc.run import PAGE, Run
from dreamlake.server.schema import jobs

__all__ = ["collect_temporary"]

_JOB = re.compile(r"([0-9a-f]{24})-.+")


async def collect_temporary(run: Run) -> None:
    """Delete the storage's own leftovers, the folders of jobs that do not run, and those of earlier runs."""
    async for found in run.lake.storage.sweep(run.before, dry_run=run.dry_run):
        run.report.temporary.add(found.size)
    folders = _old_folders(run.lake.storage.scratch, run.before)
    while page := await to_thread.run_sync(lambda: list(islice(folders, PAGE))):
        async with run.lake.database.read() as connection:
            running = select(jobs.c.asset_id).where(jobs.c.state.in_(("queued", "running")))
            query = running.where(jobs.c.asset_id.in_([asset_id for asset_id, _ in page]))
            busy = set((await connection.execute(query)).scalars())
        for asset_id, folder in page:
            if asset_id not in busy and folder != run.marks.folder:
                size = await to_thread.run_sync(_size, folder)
                if not run.dry_run:
                    await to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))
                run.report.temporary.add(size)


def _old_folders(scratch: Path, before: float) -> Iterator[tuple[str, Path]]:
    """The folders of jobs, with the id of the asset, and of runs, with an empty one."""
    with os.scandir(scratch) as entries:
        for entry in entries:
            match = _JOB.fullmatch(entry.name)
            if match is None and not entry.name.startswith(FOLDER):
                continue
            with suppress(FileNotFoundError):  # it has just ended
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < before:
                    yield match[1] if match else "", Path(entry.path)


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; what a link leads to is not in it."""
    sizes = (path.lstat() for path in folder.rglob("*"))
    with suppress(FileNotFoundError):
        return sum(found.st_size for found in sizes)
    return 0
