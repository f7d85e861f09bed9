"""Micro-batches: rollouts that wait for a model are predicted together, as many as it takes at once.

While a model predicts a batch, the one before is encoded, so at most two batches of frames are in memory for each
model. A model that takes too long over a call cannot be interrupted: until it returns, whoever asks for it is refused.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray

from dreamlake.media.cores import cores
from dreamlake.media.encode import Encoding, RolloutEncoder
from dreamlake.server.engine.models import Served
from dreamlake.server.engine.modelthread import ModelThread, TooLong
from dreamlake.server.errors import Refused

__all__ = ["Batcher", "Predicted"]

log = logging.getLogger(__name__)

AHEAD = 2  # batches: one that is predicted, and one that is encoded
LONGEST_WAIT = 60.0
STUCK_RETRY = 10  # seconds after which to ask again for a model that is stuck: nobody knows


@dataclass(frozen=True)
class Predicted:
    """A rollout: its mp4, and for how many milliseconds the engine has worked on the batch that it was in."""

    video: bytes
    wall_ms: float


@dataclass(eq=False)
class _Ask:
    start: NDArray[np.uint8]
    actions: NDArray[np.float32]
    seed: int
    options: Mapping[str, Any]
    answer: asyncio.Future[Predicted] = field(repr=False)

    def goes_with(self, other: _Ask) -> bool:
        """Whether one call of the model can predict both."""
        return len(self.actions) == len(other.actions) and self.options == other.options


class Batcher:
    """The rollouts that wait for one model.

    Args:
        model: that predicts them.
        encoding: of their videos.
        max_waiting: how many there may be.
        max_bytes: of the frames of one batch.
        linger: seconds that a batch which is not full waits for more.
        timeout: seconds that one call of the model may take; None for any time.
    """

    def __init__(
        self,
        model: Served,
        *,
        encoding: Encoding,
        max_waiting: int,
        max_bytes: int,
        linger: float,
        timeout: float | None,
    ) -> None:
        self.model = model
        self.running = 0
        self.batches = 0
        self._encoding = encoding
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._linger = linger
        self._waiting: deque[_Ask] = deque()
        self._came = asyncio.Event()
        self._ahead = asyncio.Semaphore(AHEAD)
        self._predicting = asyncio.Lock()
        self._encoders = CapacityLimiter(cores())
        self._timeout = timeout
        self._thread = ModelThread(f"model-{model.slug}")
        self._tasks: set[asyncio.Task[None]] = set()
        self._seconds = 1.0  # that a rollout has taken lately

    @property
    def waiting(self) -> int:
        """Rollouts that no batch has taken yet."""
        return len(self._waiting)

    @property
    def stuck(self) -> bool:
        """Whether the model has taken too long over a call, and is still at it."""
        return self._thread.stuck

    def start(self) -> None:
        """Begin to work."""
        self._spawn(self._work())

    async def stop(self) -> None:
        """End; what is not done is answered with 503."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse_waiting(_ending())
        # A model cannot be interrupted; what it still predicts is for nobody.
        if not await to_thread.run_sync(self._thread.end, 0.0 if self.stuck else self._timeout):
            log.error("%s is left behind in a call that does not return", self.model.slug)

    async def predict(
        self, start: NDArray[np.uint8], actions: Sequence[NDArray[np.float32]], seed: int, options: Mapping[str, Any]
    ) -> list[Predicted]:
        """Rollouts from one frame, in the order of their actions.

        Raises:
            Refused: 429 with Retry-After, when too many wait already; 500 when the model fails; 504 when it takes too
                long, and from then on 503 until it has returned; 503 when the engine ends.
        """
        if self.stuck:
            raise self._stuck()
        if len(self._waiting) + len(actions) > self._max_waiting:
            seconds = math.ceil(min(max(self._seconds * len(self._waiting), 1.0), LONGEST_WAIT))
            raise Refused(
                429, f"{len(self._waiting)} rollouts wait for {self.model.slug} already", {"Retry-After": str(seconds)}
            )
        loop = asyncio.get_running_loop()
        asks = [_Ask(start, one, seed, options, loop.create_future()) for one in actions]
        self._waiting.extend(asks)
        self._came.set()
        answers = await asyncio.gather(*(ask.answer for ask in asks), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Predicted)]

    # -- batches -------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while True:
            await self._ahead.acquire()
            batch = await self._next()
            self._spawn(self._serve(batch))

    async def _next(self) -> list[_Ask]:
        """Wait for a batch: of what waits, the first, and what goes with it."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        if len(self._waiting) < self.model.max_batch:
            await asyncio.sleep(self._linger)
        first = self._waiting[0]
        height, width = self.model.spec.resolution
        steps = min(len(first.actions), self.model.spec.chunk_size)
        most = max(1, min(self.model.max_batch, self._max_bytes // (steps * height * width * 3)))
        batch = [ask for ask in self._waiting if ask.goes_with(first)][:most]
        taken = set(map(id, batch))
        self._waiting = deque(ask for ask in self._waiting if id(ask) not in taken)
        return batch

    async def _serve(self, batch: list[_Ask]) -> None:
        """Answer a batch. If it fails, each is tried by itself: what is wrong with one is not the others' fault."""
        self.running += len(batch)
        begun = time.perf_counter()
        try:
            try:
                await self._roll_out(batch)
            except Exception as error:
                if len(batch) == 1 or isinstance(error, Refused):
                    raise
                log.warning("a batch of %d failed; each is tried by itself", len(batch), exc_info=True)
                for ask in batch:
                    await self._serve_alone(ask)
            self._seconds += 0.2 * ((time.perf_counter() - begun) / len(batch) - self._seconds)
        except Exception as error:  # noqa: BLE001 (logged there: a model may raise whatever it likes)
            for ask in batch:
                self._failed(ask, error)
        except asyncio.CancelledError:
            for ask in batch:
                _fail(ask, _ending())
            raise
        finally:
            self.running -= len(batch)
            self._ahead.release()

    async def _serve_alone(self, ask: _Ask) -> None:
        try:
            await self._roll_out([ask])
        except Exception as error:  # noqa: BLE001 (as above)
            self._failed(ask, error)

    def _failed(self, ask: _Ask, error: Exception) -> None:
        if isinstance(error, Refused):
            _fail(ask, error)
            return
        log.error("%s failed", self.model.slug, exc_info=error)
        _fail(ask, Refused(500, f"{self.model.slug} failed on this request; the engine's log says why"))

    def _stuck(self) -> Refused:
        return Refused(
            503,
            f"{self.model.slug} has been at one call for longer than {self._timeout:g} s; "
            "until that returns, or the engine is started anew, it predicts nothing",
            {"Retry-After": str(STUCK_RETRY)},
        )

    def _refuse_waiting(self, error: Refused) -> None:
        for ask in self._waiting:
            _fail(ask, error)
        self._waiting.clear()

    async def _roll_out(self, batch: list[_Ask]) -> None:
        """Predict chunk by chunk, each from the last frame of the one before, and encode."""
        self.batches += 1
        begun = time.perf_counter()
        actions = np.stack([ask.actions for ask in batch])
        seeds = np.array([ask.seed for ask in batch], np.int64)
        frames = np.stack([ask.start for ask in batch])
        encoders = [RolloutEncoder(self.model.spec.resolution, self.model.fps, self._encoding) for _ in batch]
        await self._encode(encoders, frames[:, None])
        for first in range(0, actions.shape[1], self.model.spec.chunk_size):
            chunk = np.ascontiguousarray(actions[:, first : first + self.model.spec.chunk_size])
            call = partial(self.model.predict, frames, chunk, seeds, batch[0].options)
            async with self._predicting:
                predicted = await self._call(call)
            await self._encode(encoders, predicted)
            frames = np.ascontiguousarray(predicted[:, -1])
        for ask, encoder in zip(batch, encoders, strict=True):
            video = await to_thread.run_sync(encoder.finish, limiter=self._encoders)
            if not ask.answer.done():
                ask.answer.set_result(Predicted(video, (time.perf_counter() - begun) * 1000))

    async def _call(self, call: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        if self.stuck:
            raise self._stuck()
        try:
            return await self._thread.call(call, self._timeout)
        except TooLong:
            log.error("%s has taken longer than %g s, and cannot be interrupted", self.model.slug, self._timeout)
            self._refuse_waiting(self._stuck())
            raise Refused(504, f"{self.model.slug} has taken longer than {self._timeout:g} s") from None

    async def _encode(self, encoders: list[RolloutEncoder], frames: NDArray[np.uint8]) -> None:
        adds = [partial(encoder.add, some) for encoder, some in zip(encoders, frames, strict=True)]
        await asyncio.gather(*(to_thread.run_sync(add, limiter=self._encoders) for add in adds))


def _fail(ask: _Ask, error: Refused) -> None:
    if not ask.answer.done():
        ask.answer.set_exception(error)
        with suppress(Exception):
            ask.answer.exception()  # whoever asked may be gone


def _ending() -> Refused:
    return Refused(503, "the engine ends; try again", {"Retry-After": "1"})
