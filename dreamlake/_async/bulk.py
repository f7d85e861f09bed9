"""Bulk inference: every row of a source to the engine, every rollout into a sink, and nothing twice.

There are twice as many workers as there may be requests. So while some wait for the engine, others read, encode and
store, as ``desk`` tells them, and no more rows than that are ever in memory.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from dreamlake._async._runtime import Event, offload, take
from dreamlake._async._workers import crew
from dreamlake._async.desk import AsyncDesk
from dreamlake._async.engine import BACKOFF, AsyncEngine, passes, rollout_of
from dreamlake._async.gate import AsyncGate
from dreamlake._async.lakesink import AsyncLakeWriter
from dreamlake.config import home
from dreamlake.core.bulk import (
    Budget,
    BulkEvent,
    BulkOptions,
    FailedRow,
    PredictOptions,
    PredictResult,
    idempotency_key,
)
from dreamlake.core.pace import Breaker, Pace
from dreamlake.errors import (
    AuthError,
    BrokenSourceError,
    CostLimitError,
    DreamError,
    DreamlakeError,
    EngineUnreachableError,
    InsufficientCreditsError,
    RateLimitError,
    RowError,
    SinkError,
    TooManyFailuresError,
)
from dreamlake.io.form import Form
from dreamlake.io.journal import Claim, RunJournal
from dreamlake.io.output import Output, plain
from dreamlake.io.sink import LakeSink, RolloutSink
from dreamlake.io.source import IterableSource, SourceRow, rows_of
from dreamlake.media.rollout import Rollout

__all__ = ["AsyncBulk"]

log = logging.getLogger("dreamlake")

DRAIN_SECONDS = 10.0
_END: Any = object()

Report = Callable[[BulkEvent], None]


@dataclass(frozen=True, eq=False)
class _Ready:
    """A row that can be sent."""

    row: SourceRow
    claim: Claim
    form: Form


@dataclass(frozen=True, eq=False)
class _Answer:
    """What came for it."""

    sent: _Ready
    attempts: int
    rollout: Rollout


class AsyncBulk:
    """One call of ``predict_many``.

    Args:
        engine: that predicts.
        source: of the rows.
        sink: for the rollouts.
        spec: the model.
        predict: how rollouts are made.
        options: how rows are worked through.
        price: USD of a frame, where it is needed for a bound of the cost.
        report: told how far it is.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        source: IterableSource,
        sink: RolloutSink,
        spec: str,
        predict: PredictOptions,
        options: BulkOptions,
        price: float | None,
        report: Report,
    ) -> None:
        self._engine = engine
        self._source = source
        self._sink = sink
        self._spec = spec
        self._predict = predict
        self._options = options
        self._price = price
        self._report = report
        self._lake = AsyncLakeWriter(sink) if isinstance(sink, LakeSink) else None
        self._gate = AsyncGate(Pace(options.concurrency))
        self._breaker = Breaker()
        self._budget = Budget(options.max_cost_usd)
        self._desk: AsyncDesk[_Ready, _Answer] = AsyncDesk(options.concurrency, 2 * options.concurrency)
        self._state = threading.Lock()  # of what follows; nothing is awaited while it is held
        self._event = BulkEvent(0, 0, 0, source.rows_hint, 0.0)
        self._halted: DreamlakeError | None = None
        self._stopping = Event()
        self._conflicts: list[FailedRow] = []
        self._position = 0
        self._uri = ""

    async def run(self) -> PredictResult:
        """Work through all rows.

        Raises:
            DreamError: it halted; its ``result`` says what had become of the rows until then.
        """
        if self._lake is not None:
            await self._lake.open()
        folder = self._sink.journal_folder(home())
        identity = {
            "sink": self._sink.uri,
            "source": self._source.identity,
            "spec": self._spec,
            "seed": self._predict.seed,
            "num_steps": self._predict.num_steps,
            "guidance": self._predict.guidance,
        }
        self._journal = await offload(partial(RunJournal, folder, identity))
        try:
            self._output = await offload(partial(Output, self._sink, self._journal, folder))
            self._budget.spent = self._journal.totals()[1]
            self._rows: Any = rows_of(self._source)
            await crew(self._work, 2 * self._options.concurrency, self._interrupted, self._finish, DRAIN_SECONDS)
            result = self._result()
        except Exception:
            raise
        except BaseException:  # an interruption, or a cancellation
            done = self._journal.totals()[0]
            log.warning("stopped: %d rollouts are in %s; the same call again goes on from there", done, self._sink.uri)
            raise
        finally:
            self._journal.close()  # at once: a task that is cancelled need not get another turn
        if self._halted is not None:
            if isinstance(self._halted, DreamError):
                self._halted.result = result
            raise self._halted
        return result

    # -- what workers do ---------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while (job := await self._desk.job()) is not None:
            try:
                if job[0] == "ask":
                    await self._ask(job[1])
                elif job[0] == "store":
                    await self._store(job[1])
                else:
                    await self._read()
            except CostLimitError as error:
                self._end(error)
            except DreamlakeError as error:
                self._halt(error)

    async def _read(self) -> None:
        """Take a row from the source, and encode it."""
        found = None
        try:
            found = await self._next()
        finally:
            self._desk.was_read(last=found is None)
        if found is None:
            return
        row, claim = found
        form = None
        try:
            form = await self._form(row, claim)
        finally:
            if form is None:
                self._desk.gone()
            else:
                self._desk.ready(_Ready(row, claim, form))

    async def _next(self) -> tuple[SourceRow, Claim] | None:
        """The next row that there is something to do for; one worker at a time."""
        if not hasattr(self._rows, "__anext__"):
            return await offload(self._scan)
        while not self._desk.over:
            try:
                row = await take(self._rows, _END)
            except RowError as error:
                self._reject(error)
            except BrokenSourceError as error:
                self._reject(error)
                self._end(error)
            else:
                if row is _END:
                    return None
                if (claim := await offload(partial(self._admit, row))) is not None:
                    return row, claim
        return None

    def _scan(self) -> tuple[SourceRow, Claim] | None:
        """The same, of a source that is read by blocking: rows that are done are passed over in one go."""
        while not self._desk.over:
            try:
                row = next(self._rows, _END)
            except RowError as error:
                self._reject(error)
            except BrokenSourceError as error:
                self._reject(error)
                self._end(error)
            else:
                if row is _END:
                    return None
                if (claim := self._admit(row)) is not None:
                    return row, claim
        return None

    def _reject(self, error: DreamError) -> None:
        """The source has an error where a row should be."""
        claim = self._journal.claim(None, self._position)
        self._position += 1
        self._fail(claim, error, 0)

    def _admit(self, row: SourceRow) -> Claim | None:
        """Note a row; None where an earlier call has done what there is to do."""
        claim = self._journal.claim(row.row_id, self._position)
        self._position += 1
        if claim.state == "failed" and not self._options.retry_failed:
            self._count(failed=1)
            return None
        if not self._output.has(claim):
            return replace(claim, state="open")
        if claim.content is not None and isinstance(row.frame, np.ndarray | bytes):
            return claim  # it is in memory anyway, so whether it is the same row can be seen
        self._count(resumed=1)
        return None

    async def _form(self, row: SourceRow, claim: Claim) -> Form | None:
        """What to send for a row; None where that is the end of it."""
        try:
            form = await self._engine.form("/v1/predict", row.frame, [row.actions], self._spec, self._predict)
        except RowError as error:
            await offload(partial(self._fail, claim, error, 0))
            return None
        if claim.state == "ok":
            await offload(partial(self._compare, claim, form))
            return None
        return form

    async def _ask(self, ready: _Ready) -> None:
        """Send a row, and leave its answer on the desk."""
        answer = None
        try:
            attempts, rollout = await self._predicted(ready.claim, ready.form)
            if rollout is not None:
                answer = _Answer(ready, attempts, rollout)
        finally:
            self._desk.answered(answer)

    def _compare(self, claim: Claim, form: Form) -> None:
        """An earlier call has done a row of this name: was it this one?"""
        if claim.content == form.digest:
            self._count(resumed=1)
            return
        wrong = RowError(f"{self._sink.uri} has the rollout of another row called {claim.row_id}; nothing was sent")
        self._conflicts.append(FailedRow(claim.row_id, wrong, 0))
        self._failed(wrong)

    async def _predicted(self, claim: Claim, form: Form) -> tuple[int, Rollout | None]:
        """Ask the engine, three times at most; no rollout where that is the end of it."""
        cost = 0.0 if self._price is None else form.frames * self._price
        with self._state:
            affordable = self._budget.reserve(cost)
        if not affordable:
            bound = self._options.max_cost_usd
            raise CostLimitError(f"another rollout of up to ${cost:.4f} could cost more than max_cost_usd={bound}")
        key = idempotency_key(self._journal.run_id, claim.row_id, form.digest)
        attempts, spent = 0, 0.0
        try:
            while await self._gate.enter(again=attempts > 0):
                attempts += 1
                failure: DreamError
                try:
                    answer = await self._engine.post_form(form, key)
                    rollout = rollout_of(answer.content, answer.headers, self._spec)
                except DreamError as error:
                    failure = error
                    if isinstance(error, RateLimitError):
                        self._gate.refused()
                else:
                    self._gate.succeeded()
                    spent = cost if rollout.charge_usd is None else rollout.charge_usd
                    return attempts, rollout
                finally:
                    self._gate.leave()
                if isinstance(failure, AuthError | InsufficientCreditsError):
                    raise failure  # every row would fail so
                # What was not heard may have been done, and billed.
                spent = cost if isinstance(failure, EngineUnreachableError) else 0.0
                if not await self._pause(failure, attempts):
                    await offload(partial(self._fail, claim, failure, attempts))
                    break
        finally:
            with self._state:
                self._budget.settle(cost, spent)
        return attempts, None

    async def _pause(self, failure: DreamError, attempts: int) -> bool:
        """Wait before the next try; False where there is none."""
        if not passes(failure):
            return False
        chance = random.random()  # noqa: S311 (no secret)
        delay = BACKOFF.delay(attempts, chance, failure.retry_after)
        if delay is None:
            return False
        if failure.retry_after is None:
            await self._stopping.wait(delay)
        else:  # what the engine asks of one it asks of all
            self._gate.hold(max(delay, BACKOFF.delay(attempts, chance) or 0.0))
        return True

    async def _store(self, answer: _Answer) -> None:
        """Bring a rollout into the sink."""
        try:
            await self._written(answer.sent.row, answer.sent.claim, answer.sent.form, answer.attempts, answer.rollout)
        finally:
            self._desk.gone()

    async def _written(self, row: SourceRow, claim: Claim, form: Form, attempts: int, rollout: Rollout) -> None:
        charge = rollout.charge_usd
        if charge is None:
            charge = form.frames * (self._price or 0.0)
        record = {
            "spec": self._spec,
            "source_id": claim.source_id,
            "frames": rollout.num_frames,
            "request_id": rollout.request_id,
            "engine_wall_ms": rollout.wall_ms,
            "estimated_charge_usd": rollout.charge_usd,
            "attempts": attempts,
            "bytes": len(rollout.video),
            "metadata": plain(row.metadata),
        }
        if self._lake is not None:
            await self._lake.write(claim.row_id, rollout.video, record)
            await offload(partial(self._output.note, claim, form.digest, attempts, charge, record))
        else:
            done = partial(self._output.store, claim, form.digest, attempts, charge, record, rollout.video)
            await offload(done)
        with self._state:
            self._breaker.note(ok=True)
        self._count(ok=1, cost=charge)

    # -- what becomes of them ----------------------------------------------------------------------------------------

    def _fail(self, claim: Claim, error: DreamlakeError, attempts: int) -> None:
        """A row has no rollout, and will not have one in this call."""
        self._journal.failed(claim.row_id, error, attempts)
        self._failed(error)

    def _failed(self, error: DreamlakeError) -> None:
        with self._state:
            self._breaker.note(ok=False, engine=passes(error))
            broken = self._breaker.broken
        self._count(failed=1)
        if self._options.on_error == "halt":
            self._halt(error)
        elif broken:
            failed, done = self._breaker.failed, self._breaker.done
            self._halt(TooManyFailuresError(f"{failed} of {done} rows failed, the last with: {error}"))

    def _end(self, error: DreamlakeError) -> None:
        """Take no more rows; what was taken can be done, and is."""
        with self._state:
            self._halted = self._halted or error
        self._desk.end()

    def _halt(self, error: DreamlakeError) -> None:
        """Send nothing more."""
        self._end(error)
        self._stop()

    def _interrupted(self) -> None:
        log.warning("stopping: up to %.0f s for what the engine works on; Ctrl-C again stops at once", DRAIN_SECONDS)
        self._stop()

    def _stop(self) -> None:
        """Begin nothing more; what the engine works on is waited for."""
        self._desk.end()
        self._stopping.set()
        self._gate.stop()

    def _count(self, ok: int = 0, failed: int = 0, resumed: int = 0, cost: float = 0.0) -> None:
        with self._state:
            was = self._event
            self._event = BulkEvent(
                was.ok + ok, was.failed + failed, was.resumed + resumed, self._source.rows_hint, was.cost_usd + cost
            )
            self._report(self._event)

    async def _finish(self) -> None:
        """Whatever has happened, what is done is written."""
        try:
            self._uri = await offload(self._output.finish)
        except SinkError as error:
            self._halted = self._halted or error

    def _result(self) -> PredictResult:
        ok, cost = self._journal.totals()
        failures = [*self._journal.failures(), *self._conflicts]
        return PredictResult(
            ok=ok,
            failed=len(failures),
            failures=failures,
            output_uri=self._uri or self._sink.uri,
            resumed=self._event.resumed,
            cost_usd=cost,
        )
