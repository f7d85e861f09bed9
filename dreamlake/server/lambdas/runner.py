"""The local runner: executes queued jobs in processes of this machine.

Each slot has a worker process that is started when there is work and ended after a while without any. Jobs are leased
in the database, so any number of lakes over one database share the work, and a job whose process died is taken over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dreamlake.server.database import Database, DatabaseDown
from dreamlake.server.lambdas import jobs
from dreamlake.server.lambdas.jobs import Claim
from dreamlake.server.lambdas.leases import LEASE_SECONDS, new_holder, retire
from dreamlake.server.lambdas.worker import Event, Task
from dreamlake.server.operation.logs import request_id
from dreamlake.server.settings import Settings
from dreamlake.server.sidecar import remove_objects, update_meta
from dreamlake.server.storage import Storage

if TYPE_CHECKING:
    from dreamlake.server.operation.metrics import Metrics

__all__ = ["Runner"]

log = logging.getLogger(__name__)

SLOTS = min(4, os.cpu_count() or 1)
POLL_SECONDS = 1.0  # while somebody else's job is unfinished
REST_SECONDS = 15.0  # while nothing is known to be unfinished
IDLE_SECONDS = 30.0
PATIENCE_SECONDS = 24 * 3600.0  # for a storage that is down
KEEP_SECONDS = 0.25
ASKED_FOR = 10_000  # jobs of which it is known which request has asked for them


class Runner:
    """Executes the jobs of one lake while it is open."""

    def __init__(
        self, database: Database, storage: Storage, settings: Settings, metrics: Metrics | None = None
    ) -> None:
        self._database = database
        self._storage = storage
        self._settings = settings
        self._metrics = metrics
        self._end_by: float | None = None  # when a lake that closes waits for jobs no longer
        self._asked_for: OrderedDict[str, str] = OrderedDict()  # the asset, and the id of the request
        self._holder = new_holder()
        self._wake = [asyncio.Event() for _ in range(SLOTS)]
        self._slots: list[asyncio.Task[None]] = []
        self._workers = [_Worker(settings) for _ in range(SLOTS)]

    async def start(self) -> None:
        """Begin to work, first on what earlier lakes have left."""
        self._slots = [asyncio.create_task(self._work(*slot)) for slot in zip(self._workers, self._wake, strict=True)]

    @property
    def alive(self) -> bool:
        """Whether jobs are executed."""
        return self._end_by is None and not any(slot.done() for slot in self._slots)

    def drain(self) -> None:
        """Begin no more jobs; those under way are given the grace that the settings grant, from now on."""
        if self._end_by is None:
            self._end_by = time.monotonic() + self._settings.grace_seconds
            for wake in self._wake:
                wake.set()

    async def stop(self) -> None:
        """End the workers, and give back what was not finished when the grace is over."""
        self.drain()
        if self._slots and self._end_by is not None:
            await asyncio.wait(self._slots, timeout=max(0.0, self._end_by - time.monotonic()))
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for worker in self._workers:
            await worker.end(for_good=True)
        retire(self._holder)
        try:
            await jobs.release(self._database, self._holder)
        except (RuntimeError, DatabaseDown):
            # At the interpreter's end no thread begins any more. The next lake sees that this process is gone.
            log.debug("leases were not given back", exc_info=True)

    async def wake(self, assets: Iterable[str] = ()) -> None:
        """There are new jobs, for these assets."""
        if (known := request_id.get()) is not None:
            self._asked_for.update(dict.fromkeys(assets, known))
            while len(self._asked_for) > ASKED_FOR:
                self._asked_for.popitem(last=False)
        for wake in self._wake:
            wake.set()

    async def warm(self) -> None:
        """A job will come soon: start a worker now, so that the job need not wait for it."""
        with suppress(_Closing):
            await self._workers[0].start()

    async def _work(self, worker: _Worker, wake: asyncio.Event) -> None:
        busy = False
        while self._end_by is None:
            wake.clear()  # before the queue is read: a job that comes after that is not slept through
            try:
                if busy or await jobs.pending(self._database):  # a claim takes the lock of all writers
                    claim = await jobs.claim(self._database, self._holder)
                    busy = claim is not None
                    if claim is not None:
                        await self._execute(worker, claim)
                        continue
                unfinished = await jobs.pending(self._database)
            except DatabaseDown as error:
                log.warning("the job queue cannot be read: %s; trying again", error)
                unfinished = True
            except Exception:
                log.exception("the job queue cannot be read; trying again")
                unfinished = True
            await worker.rest()
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), POLL_SECONDS if unfinished else REST_SECONDS)

    async def _execute(self, worker: _Worker, claim: Claim) -> None:
        # The slot's own task goes on: what it logs next belongs to another request, or to none.
        token = request_id.set(self._asked_for.pop(claim.asset.id, None))
        begun = time.monotonic()
        state = "released"
        try:
            state = await self._try(worker, claim)
        finally:
            seconds = time.monotonic() - begun
            said = {"action": claim.action, "asset": claim.asset.id, "state": state, "ms": round(seconds * 1000, 1)}
            log.info("%s of %s: %s after %.1f s", claim.action, claim.asset.id, state, seconds, extra=said)
            if self._metrics is not None:
                self._metrics.job(claim.action, state, seconds)
            request_id.reset(token)

    async def _try(self, worker: _Worker, claim: Claim) -> str:
        """Execute a job once; what became of it."""
        if claim.exhausted:
            event = Event("refused", error=claim.error or "its process ended every time it was tried")
        else:
            keeper = asyncio.create_task(self._keep(worker, claim))
            try:
                storage = self._storage
                event = await worker.run(Task(claim.action, storage.location, str(storage.scratch), claim.asset))
            finally:
                keeper.cancel()
        if event.state == "down" and time.time() - claim.asset.created_at < PATIENCE_SECONDS:
            # It is no fault of the job's, and does not count as a try.
            log.warning("%s of %s waits for the storage: %s", claim.action, claim.asset.id, event.error)
            await jobs.give_back(self._database, claim.id, self._holder)
            await asyncio.sleep(POLL_SECONDS)
            return "waiting"
        retry = event.state in ("failed", "down") and claim.attempts < jobs.MAX_ATTEMPTS
        if event.error is not None:
            log.warning("%s of %s: %s", claim.action, claim.asset.id, event.error)
            if not retry:
                await update_meta(self._storage, claim.asset, time.time(), "failed", error=event.error)
        ours = await jobs.finish(self._database, claim, self._holder, event.error, retry=retry)
        if not ours and await jobs.is_deleted(self._database, claim.asset.id):
            await remove_objects(self._storage, claim.asset)  # the job has written them after they were deleted
        return "done" if event.error is None else "retried" if retry else "failed"

    async def _keep(self, worker: _Worker, claim: Claim) -> None:
        """Say how far the job is, and keep its lease."""
        said, kept = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            if worker.progress != said or time.monotonic() - kept > LEASE_SECONDS / 4:
                said, kept = worker.progress, time.monotonic()
                with suppress(DatabaseDown):  # the next time may do
                    await jobs.keep(self._database, claim.id, self._holder, said)


class _Closing(Exception):
    """The lake is being closed: no process begins any more."""


class _Worker:
    """One worker process and the conversation with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()
        self._over = False
        self._used = time.monotonic()
        self.progress = 0.0

    async def start(self) -> asyncio.subprocess.Process:
        """The running process, started if there is none."""
        async with self._starting:
            if self._over:
                raise _Closing
            if self._process is None or self._process.returncode is not None:
                package = str(Path(__file__).parents[3])
                path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "dreamlake.server.lambdas.worker",
                    str(os.getpid()), str(self._settings.worker_memory),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": path}, limit=1024 * 1024,
                    start_new_session=True,  # Ctrl-C is the lake's to answer, not the worker's
                )  # fmt: skip
            self._used = time.monotonic()
            return self._process

    async def run(self, task: Task) -> Event:
        """Have a job executed."""
        self.progress = 0.0
        try:
            return await asyncio.wait_for(self._converse(task), self._settings.worker_seconds)
        except TimeoutError:
            await self.end()
            return Event("refused", error=f"it took longer than {self._settings.worker_seconds:.0f} s")
        except asyncio.CancelledError:
            await self.end()
            raise

    async def _converse(self, task: Task) -> Event:
        process = await self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            await process.stdin.drain()
            while line := await process.stdout.readline():
                event = msgspec.json.decode(line, type=Event)
                if event.state != "running":
                    return event
                self.progress = event.progress
        except (BrokenPipeError, ConnectionResetError):
            pass
        return Event("failed", error=f"its process ended with status {await process.wait()}")

    async def rest(self) -> None:
        """Nothing to do: end the process when that has been so for a while."""
        if time.monotonic() - self._used > IDLE_SECONDS:
            await self.end()

    async def end(self, *, for_good: bool = False) -> None:
        """End the process; ``for_good``, so that nobody starts another."""
        self._over = self._over or for_good
        async with self._starting:  # one that is just being started has to end too
            process = self._process
            if process is None:
                return
            if process.returncode is None:
                process.kill()
                await process.wait()  # who is cancelled here leaves it to the next who ends it
            if process.stdin is not None:
                process.stdin.close()
            self._process = None
