"""The end of an engine: what is under way comes to its end within the grace, and the rest is told to come again."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import httpx

from tests.server._lake import until

from ._engine import Counting, engine, moves, npy, picture, png, soon

FRAME, ACTIONS = png(picture()), npy(moves())


async def test_what_is_predicted_may_end(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model, grace_seconds=60.0) as client:
        model.go.clear()
        asked = [asyncio.create_task(client.predict(FRAME, ACTIONS, f"k{number}")) for number in range(9)]
        (batcher,) = client.engine.batchers.values()
        await soon(lambda: batcher.running + batcher.waiting == 9, "all of them to be there")
        client.server.should_exit = True

        async def refuses() -> bool:
            try:
                _, writer = await asyncio.open_connection(*_place(client.url))
            except OSError:
                return True
            writer.close()
            return False

        await until(refuses, "nobody to be let in any more")
        model.go.set()
        assert [(await one).status_code for one in asked] == [200] * 9
    assert model.rollouts == 9


async def test_what_takes_longer_is_neither_kept_nor_billed(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model, grace_seconds=0.0) as client:
        model.go.clear()
        asked = [asyncio.create_task(client.predict(FRAME, ACTIONS, f"k{number}")) for number in range(9)]
        await soon(lambda: model.calls, "the model to be called")
        client.server.should_exit = True
        answers = await asyncio.gather(*asked, return_exceptions=True)
        model.go.set()
    for answer in answers:
        if isinstance(answer, httpx.Response):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        else:
            assert isinstance(answer, httpx.TransportError)
    with sqlite3.connect(tmp_path / "engine.db") as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM customers").fetchone() == (0,)
    database.close()


def _place(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)
