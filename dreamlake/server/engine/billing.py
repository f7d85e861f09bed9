"""Each prediction once: computed once, billed once, and answered as often as it is asked for under its key."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from anyio import to_thread

from dreamlake.core.wireengine import CreditsNeeded
from dreamlake.server.engine.store import Answer, Store
from dreamlake.server.errors import Refused

__all__ = ["Billing", "CreditsRefused", "Plan"]

REPLAYED = "Idempotent-Replayed"
MICROS_IN_MIL = 100  # a mil is a hundredth of a cent


class CreditsRefused(Refused):
    """402: the balance does not cover it.

    Attributes:
        credits: what there is, and what it takes.
    """

    def __init__(self, credits: CreditsNeeded) -> None:  # noqa: A002 (what a 402 speaks of)
        super().__init__(402, f"the balance is {credits.balance_mils} mils, and this takes {credits.requested_mils}")
        self.credits = credits


@dataclass(frozen=True)
class Plan:
    """A prediction that could be made: what it costs, in millionths of a dollar, and how it is made."""

    micros: int
    predict: Callable[[], Awaitable[Answer]]


@dataclass(frozen=True)
class _Running:
    digest: str
    task: asyncio.Task[Answer]


class Billing:
    """Predictions by their keys, and what may be spent on them.

    Args:
        store: keeps answers and what was spent.
        budget: millionths of a dollar that each customer may spend; None for no bound.
    """

    def __init__(self, store: Store, budget: int | None) -> None:
        self._store = store
        self._budget = budget
        self._spent: dict[str, int] = {}  # with what is being computed; no other engine writes to the store
        self._running: dict[tuple[str, str | object | None], _Running] = {}

    async def once(self, customer: str, key: str | None, digest: str, prepare: Callable[[], Awaitable[Plan]]) -> Answer:
        """The answer to a request; whoever asks the same meanwhile waits for the same computation.

        It goes on when the client has gone: the next request with the key finds it.

        Args:
            customer: who asks.
            key: its Idempotency-Key; None makes every request another one.
            digest: of what is asked.
            prepare: finds out whether and for how much it can be predicted.

        Raises:
            Refused: 422, when the key was used for something else; and whatever the computation is refused with.
        """
        place = (customer, object() if key is None else key)
        running = self._running.get(place)
        if running is not None and running.digest != digest:
            raise _another()
        if running is None:
            task = asyncio.create_task(self._first(customer, key, digest, prepare))
            running = self._running[place] = _Running(digest, task)
            task.add_done_callback(partial(self._forget, place))
        return await asyncio.shield(running.task)

    async def stop(self) -> None:
        """End what is computed still; nothing of it is billed."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(
        self, customer: str, key: str | None, digest: str, prepare: Callable[[], Awaitable[Plan]]
    ) -> Answer:
        if key is not None:
            kept = await to_thread.run_sync(self._store.answer, customer, key)
            if kept is not None and kept.digest != digest:
                raise _another()
            if kept is not None:
                return replace(kept, headers={**kept.headers, REPLAYED: "true"})
        plan = await prepare()
        if customer not in self._spent:
            spent = await to_thread.run_sync(self._store.spent, customer)
            self._spent.setdefault(customer, spent)
        with self._reserved(customer, plan.micros):
            answer = await plan.predict()
            await to_thread.run_sync(self._store.keep, customer, key, answer, plan.micros)
        return answer

    @contextmanager
    def _reserved(self, customer: str, micros: int) -> Iterator[None]:
        """Take so much of the budget, and give it back where nothing comes of it."""
        spent = self._spent[customer]
        if self._budget is not None and spent + micros > self._budget:
            left = max(0, self._budget - spent)
            raise CreditsRefused(CreditsNeeded(left // MICROS_IN_MIL, math.ceil(micros / MICROS_IN_MIL)))
        self._spent[customer] += micros
        try:
            yield
        except BaseException:
            self._spent[customer] -= micros
            raise

    def _forget(self, place: tuple[str, str | object | None], task: asyncio.Task[Answer]) -> None:
        del self._running[place]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone


def _another() -> Refused:
    return Refused(422, "this Idempotency-Key was used for another prediction: a new prediction takes a new key")
