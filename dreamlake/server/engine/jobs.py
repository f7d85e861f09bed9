"""Jobs: each worked on by a process of its own, noted on disk, and gone on with by the engine that starts next.

What makes that safe is the client's: the journal of ``predict_many`` knows which rows are done, and the key of a row is
the same in the next process, so no row is predicted or billed twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from anyio import to_thread

from dreamlake.core.joborder import JobOrder, JobReport
from dreamlake.core.wireengine import CreateJob, Job, JobPage, JobStarted, JobStatus
from dreamlake.server.engine.access import EngineAccess
from dreamlake.server.engine.settings import EngineSettings
from dreamlake.server.engine.store import JobRow, Store
from dreamlake.server.errors import Refused

__all__ = ["Jobs"]

log = logging.getLogger(__name__)

PAGE = 50
TRIES = 3  # processes that may die over a job
MAX_FAILURES = 1000  # that a job tells of; all are in its sink's journal
LINE = 16 * 1024**2
STORE_SECONDS = 1.0  # until a store that failed is tried again
_NO_TOKEN = {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
# What a customer did not give must not be found in the environment of the engine.
_NOT_THEIRS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "DREAM_API_KEY", "DREAM_BASE_URL")


@dataclass(eq=False)
class _Running:
    job: Job
    customer: str
    process: asyncio.subprocess.Process | None = None
    interrupted: bool = False
    cancelled: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def interrupt(self) -> None:
        """Ask its process to come to rest, once: a second signal would end it without waiting for anything."""
        if self.process is not None and self.process.returncode is None and not self.interrupted:
            self.interrupted = True
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGINT)


class Jobs:
    """The jobs of an engine.

    Args:
        settings: of the engine.
        store: where they are noted.
        access: that lets their processes in.
    """

    def __init__(self, settings: EngineSettings, store: Store, access: EngineAccess) -> None:
        self.base_url = ""  # known when the engine listens
        self._settings = settings
        self._store = store
        self._access = access
        self._running: dict[str, _Running] = {}
        self._some = asyncio.Event()
        self._stopping = False
        self._workers: list[asyncio.Task[None]] = []

    # -- what clients ask ----------------------------------------------------------------------------------------------

    async def create(self, customer: str, key: str | None, asked: CreateJob) -> JobStarted:
        """Note a job, to be worked on when it is its turn.

        Args:
            customer: whose it is.
            key: its Idempotency-Key; the same one is the same job.
            asked: with places that were checked.

        Raises:
            Refused: 429, when the customer has too many; 422, when the key was used for another.
        """
        if self._settings.worker is None:
            raise Refused(404, "this engine has no jobs")
        waiting = await to_thread.run_sync(self._store.unfinished, customer)
        if len(waiting) >= self._settings.max_queued_jobs:
            raise Refused(429, f"{len(waiting)} jobs have not ended yet", {"Retry-After": "60"})
        job_id = f"job_{secrets.token_hex(12)}"
        job = Job(
            id=job_id,
            status="queued",
            spec=asked.spec,
            source=msgspec.structs.replace(asked.source, token=None),
            sink=msgspec.structs.replace(asked.sink, token=None),
            options=asked.options,
            created_at=_now(),
        )
        body, told = msgspec.json.encode(asked), msgspec.json.encode(job)
        found = await to_thread.run_sync(self._store.add_job, job_id, customer, key, body, told)
        if found is None:
            raise Refused(422, "this Idempotency-Key was used for another job: a new job takes a new key")
        self._some.set()
        return JobStarted(found, (await self.get(customer, found)).status)

    async def get(self, customer: str, job_id: str) -> Job:
        """A job as it stands.

        Raises:
            Refused: 404, there is none, or it is another's.
        """
        row = await to_thread.run_sync(self._store.job, job_id)
        if row is None or row.customer != customer:
            raise Refused(404, f"there is no job {job_id}")
        running = self._running.get(job_id)
        return msgspec.json.decode(row.told, type=Job) if running is None else running.job

    async def page(self, customer: str, cursor: str | None, limit: int) -> JobPage:
        """Jobs of a customer, newest first, without the failures of their rows.

        Raises:
            Refused: 422, no cursor of ours.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
            raise Refused(422, "cursor is what the page before said in next_cursor")
        before = None if cursor is None else int(cursor)
        rows = await to_thread.run_sync(self._store.jobs, customer, before, limit + 1)
        jobs = [
            self._running[row.id].job if row.id in self._running else msgspec.json.decode(row.told, type=Job)
            for row in rows[:limit]
        ]
        more = str(rows[limit - 1].number) if len(rows) > limit else None
        return JobPage([msgspec.structs.replace(job, failures=[]) for job in jobs], more)

    async def cancel(self, customer: str, job_id: str) -> JobStarted:
        """Begin no more rows of it, and wait until its process has come to rest: its counts are the last ones."""
        job = await self.get(customer, job_id)
        if job.status not in ("queued", "running"):
            return JobStarted(job_id, job.status)
        if job_id not in self._running:
            await self._save(self._ended(job, "cancelled"))
        running = self._running.get(job_id)
        if running is None:
            return JobStarted(job_id, (await self.get(customer, job_id)).status)
        running.cancelled = True
        await self._save(running.job, "cancelled")  # whatever happens to this process, it stays cancelled
        running.interrupt()
        await running.ended.wait()
        return JobStarted(job_id, running.job.status)

    # -- work ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, with what an earlier engine has not ended."""
        if self._settings.worker is not None:
            self._some.set()
            self._workers = [asyncio.create_task(self._work()) for _ in range(self._settings.max_jobs)]

    async def stop(self) -> None:
        """Have all jobs come to rest; they go on with the next engine."""
        self._stopping = True
        self._some.set()
        for running in self._running.values():
            running.interrupt()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping:
            try:
                self._some.clear()  # before looking: what comes meanwhile is not slept through
                row = await self._next()
                if row is None:
                    await self._some.wait()
                else:
                    await self._tried(row)
            except Exception:
                log.exception("jobs cannot be worked on")
                await asyncio.sleep(STORE_SECONDS)

    async def _tried(self, row: JobRow) -> None:
        try:
            await self._run(row)
        except Exception:
            log.exception("%s failed", row.id)
            await self._save(self._ended(self._running[row.id].job, "failed", "the engine failed; its log says why"))
        finally:
            self._running.pop(row.id).ended.set()

    async def _next(self) -> JobRow | None:
        """The oldest job that nobody works on; it is ours from here on."""
        for row in await to_thread.run_sync(self._store.unfinished):
            if row.id in self._running or self._stopping:
                continue
            running = self._running[row.id] = _Running(msgspec.json.decode(row.told, type=Job), row.customer)
            # It may have been cancelled after it was read, and before it was ours.
            again = await to_thread.run_sync(self._store.job, row.id)
            if again is not None and again.status in ("queued", "running"):
                return row
            running.job.status = "cancelled"
            self._running.pop(row.id).ended.set()
        return None

    async def _run(self, row: JobRow) -> None:
        """Work on a job until it ends, or the engine does."""
        running = self._running[row.id]
        asked = msgspec.json.decode(row.asked, type=CreateJob)
        if row.customer not in self._access.customers:
            await self._save(self._ended(running.job, "failed", "the API key that it was created with is gone"))
            return
        running.job.status, running.job.started_at = "running", running.job.started_at or _now()
        await self._save(running.job, "cancelled" if running.cancelled else None)
        report: JobReport | None = None
        for attempt in range(1, TRIES + 1):
            report = await self._worked(running, asked)
            if report is not None or running.cancelled or self._stopping:
                break
            log.warning("the process of %s has died (%d of %d)", row.id, attempt, TRIES)
        job = running.job
        if running.cancelled:
            await self._save(self._ended(job, "cancelled"))
        elif report is None and not self._stopping:
            await self._save(
                self._ended(job, "failed", f"its process has died {TRIES} times; the engine's log says why")
            )
        elif report is None or report.interrupted:
            job.status = "queued"  # for the engine that comes next
            await self._save(job)
        else:
            await self._save(self._ended(job, "succeeded" if report.error is None else "failed", report.error))

    async def _worked(self, running: _Running, asked: CreateJob) -> JobReport | None:
        """Have a process work on a job; what it said at its end, or None where it died."""
        key = self._access.grant(running.customer)
        folder = self._settings.data / "work"  # with nothing in it that a relative path could mean
        folder.mkdir(exist_ok=True)
        assert self._settings.worker is not None
        environment = {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}
        environment |= _NO_TOKEN
        running.interrupted = False
        process = running.process = await asyncio.create_subprocess_exec(
            *self._settings.worker,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=folder,
            env=environment,
            limit=LINE,
            start_new_session=True,  # Ctrl-C in a terminal is the engine's to pass on
        )
        try:
            return await self._followed(running, process, JobOrder(job=asked, base_url=self.base_url, api_key=key))
        finally:
            if process.returncode is None:
                process.kill()
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()
            running.process = None
            self._access.withdraw(key)

    async def _followed(
        self, running: _Running, process: asyncio.subprocess.Process, order: JobOrder
    ) -> JobReport | None:
        assert process.stdin is not None and process.stdout is not None
        with suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            await process.stdin.drain()
        saved = 0.0
        loop = asyncio.get_running_loop()
        asked_to_stop: float | None = None
        while True:
            if asked_to_stop is None and (running.cancelled or self._stopping):
                asked_to_stop = loop.time()
                running.interrupt()
            try:
                async with asyncio.timeout(0.5):
                    line = await process.stdout.readline()
            except TimeoutError:
                if asked_to_stop is not None and loop.time() - asked_to_stop > self._settings.job_seconds_to_stop:
                    return None
                continue
            except ValueError:
                log.error("the process of %s says more than %d bytes in a line", running.job.id, LINE)
                return None
            if not line:
                return None
            try:
                report = msgspec.json.decode(line, type=JobReport)
            except msgspec.MsgspecError:
                continue  # a library that writes to stdout
            _take(running.job, report)
            if report.ended:
                return report
            if loop.time() - saved > 1.0:
                saved = loop.time()
                await self._save(running.job, "cancelled" if running.cancelled else None)

    def _ended(self, job: Job, status: JobStatus, error: str | None = None) -> Job:
        job.status, job.error, job.finished_at = status, error, _now()
        return job

    async def _save(self, job: Job, status: JobStatus | None = None) -> None:
        status = status or job.status
        told = msgspec.json.encode(job if status == job.status else msgspec.structs.replace(job, status=status))
        # When it has ended nobody needs its tokens any more.
        asked = msgspec.json.encode(_without_tokens(job)) if status not in ("queued", "running") else None
        await to_thread.run_sync(self._store.save_job, job.id, status, told, asked)


def _take(job: Job, report: JobReport) -> None:
    job.counts, job.cost_usd = report.counts, max(job.cost_usd, report.cost_usd)
    job.failures = report.failures[:MAX_FAILURES]
    job.output_uri = report.output_uri or job.output_uri


def _without_tokens(job: Job) -> CreateJob:
    return CreateJob(source=job.source, sink=job.sink, spec=job.spec, options=job.options)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
