"""Predictions: from a form to an mp4, or a tar of them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray

from dreamlake.core.wireengine import BATCH_SIZE, CHARGE, CUSTOMER, IDEMPOTENCY_KEY, REQUEST_ID, WALL_MS
from dreamlake.server.engine.batching import Batcher, Predicted
from dreamlake.server.engine.billing import REPLAYED, Billing, Plan
from dreamlake.server.engine.inputs import Asked, read_actions, read_form, read_frame
from dreamlake.server.engine.metrics import EngineMetrics
from dreamlake.server.engine.settings import EngineSettings
from dreamlake.server.engine.store import Answer
from dreamlake.server.errors import Refused

__all__ = ["Predictor", "check_key"]

DECODERS = 2  # frames that are decoded at once: each may be large
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class _Input:
    """A form, decoded."""

    batcher: Batcher
    start: NDArray[np.uint8]
    actions: Sequence[NDArray[np.float32]]
    micros: int


class Predictor:
    """Answers requests for rollouts.

    Args:
        settings: of the engine.
        batchers: its models, by their slugs; the first is asked where a request names none.
        billing: whom they are billed to.
        metrics: that count them.
    """

    def __init__(
        self, settings: EngineSettings, batchers: dict[str, Batcher], billing: Billing, metrics: EngineMetrics
    ) -> None:
        self._settings = settings
        self._batchers = batchers
        self._billing = billing
        self._metrics = metrics
        self._decoders = CapacityLimiter(DECODERS)

    async def answer(
        self, customer: str, key: str | None, body: bytes, content_type: str, request_id: str, *, batch: bool
    ) -> Answer:
        """The answer to a request.

        Args:
            customer: who asks.
            key: its Idempotency-Key.
            body: the form.
            content_type: of the body.
            request_id: of the request.
            batch: whether several sequences of actions are predicted, and answered as a tar.

        Raises:
            Refused: whatever keeps it from being answered.
            UsageError: a form that asks for nothing that can be.
            MediaError: a frame that is none.
        """
        most = self._settings.max_rollouts if batch else 1
        asked = await to_thread.run_sync(partial(read_form, body, content_type, rollouts=most))
        digest = f"{'batch' if batch else 'one'}:{asked.digest}"
        prepare = partial(self._prepare, customer, asked, digest, request_id, batch)
        answer = await self._billing.once(customer, key, digest, prepare)
        if REPLAYED in answer.headers:
            self._metrics.replayed.inc()
        return answer

    async def _prepare(self, customer: str, asked: Asked, digest: str, request_id: str, batch: bool) -> Plan:
        batcher = next(iter(self._batchers.values())) if asked.model is None else self._batchers.get(asked.model)
        if batcher is None:
            raise Refused(404, f"there is no model {asked.model}; there are {', '.join(self._batchers)}")
        options = batcher.model.options(asked.num_steps, asked.guidance)
        given = await to_thread.run_sync(self._read, batcher, asked, limiter=self._decoders)

        async def predict() -> Answer:
            found = await batcher.predict(given.start, given.actions, asked.seed, options)
            self._metrics.rollouts.labels(batcher.model.slug).inc(len(found))
            headers = {
                "Content-Type": "application/x-tar" if batch else "video/mp4",
                REQUEST_ID: request_id,
                WALL_MS: f"{max(one.wall_ms for one in found):.1f}",
                CHARGE: f"{given.micros / 1e6:.6f}",
                CUSTOMER: customer,
            }
            if not batch:
                return Answer(digest, headers, found[0].video)
            return Answer(digest, {**headers, BATCH_SIZE: str(len(found))}, await to_thread.run_sync(_tar, found))

        return Plan(given.micros, predict)

    def _read(self, batcher: Batcher, asked: Asked) -> _Input:
        spec = batcher.model.spec
        actions = [read_actions(one, spec.action_dim, self._settings.max_actions) for one in asked.actions]
        start = read_frame(asked.frame, spec.resolution, self._settings.max_pixels)
        frames = sum(len(one) + 1 for one in actions)
        return _Input(batcher, start, actions, frames * batcher.model.price_micros)


def check_key(key: str | None) -> str | None:
    """An Idempotency-Key, if there is one.

    Raises:
        Refused: 422, something that is none.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise Refused(422, f"{IDEMPOTENCY_KEY} is 1 to 255 printable characters of ASCII, without spaces")
    return key


def _tar(rollouts: Sequence[Predicted]) -> bytes:
    """Videos whose order is that of their names too."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, rollout in enumerate(rollouts):
            member = tarfile.TarInfo(f"rollout_{number:03d}.mp4")
            member.size = len(rollout.video)
            archive.addfile(member, io.BytesIO(rollout.video))
    return file.getvalue()
