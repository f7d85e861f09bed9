"""Upload of many files: folders, patterns, thousands of small ones.

Small files are taken in groups, and each step of seed 4 is one request for a whole group. Every file succeeds or fails
for itself; one that fails in a group is tried alone, and that decides.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dreamlake._async._runtime import map_unordered, offload, sleep
from dreamlake._async.kinds import asset_of
from dreamlake._async.localfile import AsyncLocalFile, Report
from dreamlake._async.manifest import Entry
from dreamlake._async.transfer import AsyncTransfer
from dreamlake._async.uploader import AsyncUploader
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import Kind, kind_named, kind_of
from dreamlake.core.parts import CONCURRENCY, PART_SIZE, PUT_SECONDS
from dreamlake.core.prefix import resolve_place
from dreamlake.core.targets import asset_name, check_name
from dreamlake.core.uploads import Found, UploadOptions, UploadReport, UploadResult
from dreamlake.core.wirecatalog import AssetCreated
from dreamlake.core.wireuploads import FinishUpload, Registered, UploadStarted
from dreamlake.errors import DreamlakeError, LakeUnreachableError, ProcessingError, UploadPausedError, UsageError
from dreamlake.progress import Progress, many_progress

__all__ = ["plan_uploads", "upload_many"]

GROUP_FILES = 64
GROUP_BYTES = 64 * 1024**2
GROUPS = 3  # at once: one is read, one is sent, one is registered
ASKED = 1000  # assets whose status is asked for in one request
FINISH_SECONDS = 300.0
FIRST_POLL = 0.1
LAST_POLL = 2.0

Result = UploadResult[Any]


@dataclass
class _Job:
    """A file on its way, and how far it has come."""

    number: int
    path: Path
    name: str
    kind: Kind
    size: int
    local: AsyncLocalFile | None = None
    transfer: AsyncTransfer | None = None
    started: UploadStarted | None = None
    item: FinishUpload | None = None
    registered: Registered | None = None
    known: bool = False
    created: AssetCreated | None = None


async def upload_many(
    paths: Iterable[str | os.PathLike[str]],
    *,
    space: str | None = None,
    prefix: str | None = None,
    path: str | None = None,
    episode: str | None = None,
    kind: str | None = None,
    recursive: bool = False,
    exclude: Iterable[str] = (),
    wait: bool = True,
    concurrency: int = CONCURRENCY,
    part_size: int | None = None,
    timeout: float = PUT_SECONDS,  # noqa: ASYNC109 (of each part, and not of the call)
    skip_bad_lines: bool = False,
    progress: Progress = None,
) -> UploadReport[Any]:
    """Upload files, folders and patterns. One that fails does not stop the others; run again, and only these are sent.

    Args:
        paths: of files and folders, or patterns such as ``runs/**/*.mp4``. Files of a folder keep their paths below it.
        space: as of ``upload``.
        prefix: as of ``upload``.
        path: the folder that they go to, below the prefix.
        episode: as of ``upload``.
        kind: of all of them; None for what their extensions say. Files of folders that have none of the known ones are
            left out.
        recursive: whether folders are searched.
        exclude: patterns of what is left out of folders, such as ``*.jpg`` or ``calibration``.
        wait: wait until the lake has processed them all.
        concurrency: parts that are under way at once, of all files together.
        part_size: as of ``upload``.
        timeout: as of ``upload``.
        skip_bad_lines: as of ``upload``.
        progress: as of ``upload``; a function is told of each file's progress.

    Returns:
        What became of each file: ``ok``, ``failed``, ``failures``, ``assets``.

    Raises:
        SourceError: a path that names nothing, or a folder without ``recursive``.
        UsageError: arguments that cannot mean anything.
        LakeUnreachableError: no lake answers.

    Example:
        >>> report = await adl.upload_many(["./run-042"], recursive=True, space="robotics@alice", prefix="/2026/04")
        >>> report.failures
        []
    """
    options = UploadOptions(concurrency, part_size, timeout, skip_bad_lines)
    place = resolve_place(space=space, prefix=prefix, path=path, episode=episode)
    plan, skipped = await plan_uploads(paths, place.folder, kind=kind, recursive=recursive, exclude=exclude)
    uploader = AsyncUploader(options)
    await uploader.open(place)
    with many_progress(progress, len(plan)) as report:
        many = _Many(uploader, plan, report, kind)
        await many.run(wait=wait)
    return UploadReport([many.results[number] for number in range(len(plan))], skipped)


async def plan_uploads(
    paths: Iterable[str | os.PathLike[str]],
    folder: str,
    *,
    kind: str | None = None,
    recursive: bool = False,
    exclude: Iterable[str] = (),
) -> tuple[list[Result], list[Path]]:
    """Which files would be uploaded as what, without asking anybody.

    Args:
        paths: as of ``upload_many``.
        folder: that they go to.
        kind: as of ``upload_many``.
        recursive: as of ``upload_many``.
        exclude: as of ``upload_many``.

    Returns:
        A result for each file, with an error where it cannot be uploaded, and the files that are left out.
    """
    from dreamlake.media.folder import find_files

    given = None if kind is None else kind_named(kind)
    find = partial(find_files, list(paths), recursive=recursive, exclude=exclude, any_type=given is not None)
    files, skipped = await offload(find)
    single = len(files) == 1 and files[0].named
    names: dict[str, Path] = {}
    results = []
    for file in files:
        try:
            name = asset_name(folder, file.path.name) if single else check_name(_below(folder, file))
            other = names.setdefault(name, file.path)
            if other != file.path:
                raise UsageError(f"{file.path} would be {name}, and so would {other}")
            results.append(Result(file.path, name, kind_of(file.path.name, given)))
        except DreamlakeError as error:
            results.append(Result(file.path, error=error))
    return results, skipped


def _below(folder: str, file: Found) -> str:
    return f"{folder.rstrip('/')}/{file.relative.as_posix()}"


class _Many:
    """Uploads of one call.

    Args:
        uploader: that they share.
        plan: what is to be uploaded.
        report: told of each file's progress.
        kind: of all of them, as the caller says; None for what their extensions say.
    """

    def __init__(
        self,
        uploader: AsyncUploader,
        plan: Sequence[Result],
        report: Callable[[UploadEvent], None],
        kind: str | None,
    ) -> None:
        self._uploader = uploader
        self._plan = plan
        self._report = report
        self._kind = kind
        self._gone: DreamlakeError | None = None
        self._ids: dict[int, str] = {}
        self.results: dict[int, Result] = {}
        self._manifest = uploader.manifest

    async def run(self, *, wait: bool) -> None:
        """Upload what is not there yet."""
        jobs = await self._jobs()
        async with aclosing(map_unordered(self._group, _groups(jobs), GROUPS)) as finished:
            async for _ in finished:
                pass
        if wait:
            await self._processed()

    async def _jobs(self) -> list[_Job]:
        """What is left to do: neither impossible, nor in the lake already."""
        jobs = []
        for number, planned in enumerate(self._plan):
            if planned.error is not None or planned.name is None or planned.kind is None:
                self.results[number] = planned
            else:
                jobs.append(_Job(number, planned.path, planned.name, planned.kind, 0))
        await offload(partial(_measure, jobs))
        known = await self._manifest.known([(job.path, job.name, self._uploader.checked_as(job.kind)) for job in jobs])
        there: set[str] = set()
        ids = list(known.values())
        for at in range(0, len(ids), ASKED):
            statuses = await self._uploader.lake.statuses(ids[at : at + ASKED])
            there |= {status.id for status in statuses if status.status in ("ready", "processing")}
        for job in jobs:
            if known.get(job.path) in there:
                self._done(job, known[job.path], known=True)
        return [job for job in jobs if job.number not in self.results]

    async def _group(self, jobs: Sequence[_Job]) -> None:
        """Upload some files; none of them keeps the others from trying."""
        if len(jobs) > 1 and self._gone is None:
            with suppress(DreamlakeError):  # said again, file by file
                await self._together(jobs)
        for job in jobs:
            if job.number not in self.results:
                await self._alone(job)

    async def _alone(self, job: _Job) -> None:
        """All steps for one file."""
        if self._gone is not None:
            self._failed(job, self._gone)  # the lake is not asked two thousand times whether it is back
            return
        try:
            await self._uploader.check(job.path, self._kind)
            sent = await self._uploader.send(job.path, job.kind, job.name, self._reporter(job))
        except DreamlakeError as error:
            if isinstance(error, LakeUnreachableError | UploadPausedError):
                self._gone = error
            self._failed(job, error)
        else:
            self._done(job, sent.object_id, known=sent.known)

    async def _together(self, jobs: Sequence[_Job]) -> None:
        """Each step in one request for all of them."""
        lake = self._uploader.lake
        await self._all(self._read, jobs)
        read = [job for job in jobs if job.local is not None and job.transfer is not None]
        begun = await lake.begin_uploads([job.transfer.announcement() for job in read if job.transfer is not None])
        for job, begin in zip(read, begun, strict=True):
            job.started = begin.started
        await self._all(self._send, [job for job in read if job.started is not None])
        sent = [job for job in read if job.item is not None]
        finished = await lake.finish_uploads([job.item for job in sent if job.item is not None], FINISH_SECONDS)
        for job, finish in zip(sent, finished, strict=True):
            job.registered, job.known = finish.registered, finish.known
        registered = [job for job in sent if job.registered is not None]
        created = await lake.create_assets([self._naming(job) for job in registered])
        for job, create in zip(registered, created, strict=True):
            job.created = create.created
        named = [job for job in registered if job.created is not None]
        if urls := [url for job in named if (url := _to_run(job)) is not None]:
            await lake.run_lambdas(urls)
        for job in named:
            assert job.registered is not None
            self._done(job, job.registered.id, known=job.known)
        await self._manifest.note(
            Entry(job.path, job.name, self._uploader.checked_as(job.kind), job.registered.id, job.local.stat)
            for job in named
            if job.registered is not None and job.local is not None
        )

    async def _read(self, job: _Job) -> None:
        """Check and hash a file."""
        with suppress(DreamlakeError):  # said again when it goes alone
            await self._uploader.check(job.path, self._kind)
            report = self._reporter(job)
            job.local = await self._uploader.read(job.path, job.kind, report)
            await job.local.hash_parts()
            job.transfer = self._uploader.transfer(job.local, job.kind, report)

    async def _send(self, job: _Job) -> None:
        """Bring its bytes into the pool, unless they are there."""
        local, transfer, started = job.local, job.transfer, job.started
        assert local is not None
        assert transfer is not None
        assert started is not None
        with suppress(DreamlakeError):
            upload = None if started.exists else await transfer.send(started)
            staged = started.key.rsplit("/", 1)[-1]
            registration = self._uploader.registration(local, job.name, staged)
            job.item = FinishUpload(kind=job.kind.name, asset=registration, upload=upload)

    def _naming(self, job: _Job) -> dict[str, Any]:
        assert job.local is not None
        assert job.registered is not None
        return {"kind": job.kind.name, **self._uploader.naming(job.local, job.kind, job.name, job.registered.id)}

    async def _all(self, fn: Callable[[_Job], Awaitable[None]], jobs: Sequence[_Job]) -> None:
        async with aclosing(map_unordered(fn, jobs, self._uploader.concurrency)) as finished:
            async for _ in finished:
                pass

    async def _processed(self) -> None:
        """Wait until the lake has processed what is new."""
        waiting = {self._ids[number]: number for number, result in self.results.items() if result.error is None}
        pause = FIRST_POLL
        while waiting:
            ids = list(waiting)
            for at in range(0, len(ids), ASKED):
                asked = ids[at : at + ASKED]
                statuses = await self._uploader.lake.statuses(asked)
                for gone in set(asked) - {status.id for status in statuses}:
                    self._not_processed(waiting.pop(gone), "it was deleted while it was processed")
                for status in statuses:
                    number = waiting[status.id]
                    if status.status in ("ready", "failed"):
                        del waiting[status.id]
                    if status.status == "failed":
                        self._not_processed(number, status.error or "")
                    share = 1.0 if status.status == "ready" else status.progress or 0.0
                    self._report(UploadEvent("process", share, 1.0, str(self.results[number].path)))
            if waiting:
                await sleep(pause)
                pause = min(pause * 1.5, LAST_POLL)

    def _not_processed(self, number: int, why: str) -> None:
        result = self.results[number]
        self.results[number] = replace(result, error=ProcessingError(f"{result.name}: {why}"))

    def _reporter(self, job: _Job) -> Report:
        path = str(job.path)
        return lambda event: self._report(UploadEvent(event.stage, event.done, event.total, path))

    def _done(self, job: _Job, object_id: str, *, known: bool) -> None:
        asset = asset_of(self._uploader.lake, job.kind, object_id)
        self._ids[job.number] = object_id
        self.results[job.number] = Result(job.path, job.name, job.kind, asset, known=known)
        self._report(UploadEvent("upload", job.size, job.size, str(job.path)))

    def _failed(self, job: _Job, error: DreamlakeError) -> None:
        self.results[job.number] = Result(job.path, job.name, job.kind, error=error)
        self._report(UploadEvent("failed", 0, job.size, str(job.path)))


def _to_run(job: _Job) -> str | None:
    """The signed URL that starts its processing, if there is something to process."""
    ready = job.registered is not None and job.registered.status == "ready"
    return None if job.created is None or ready else job.created.lambda_url


def _measure(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        with suppress(OSError):  # said when it is its turn
            job.size = job.path.stat().st_size


def _groups(jobs: Iterable[_Job]) -> Iterator[list[_Job]]:
    """Small files together, large ones alone."""
    group: list[_Job] = []
    size = 0
    for job in jobs:
        if job.size > PART_SIZE:
            yield [job]
            continue
        if len(group) == GROUP_FILES or size + job.size > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(job)
        size += job.size
    if group:
        yield group
