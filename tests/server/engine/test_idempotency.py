"""Once computed, once billed, answered as often as it is asked for; and what may be spent."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dreamlake.errors import ConfigError
from dreamlake.server.engine.store import Answer, Store

from ._engine import Client, Counting, engine, moves, npy, picture, png, soon

FRAME, ACTIONS, OTHER = png(picture()), npy(moves()), npy(moves(1))
PRICE = 7 * 500  # millionths of a dollar


def spent(data: Path) -> dict[str, int]:
    """What the engine's ledger says."""
    with sqlite3.connect(data / "engine.db") as database:
        found = dict(database.execute("SELECT customer, spent FROM customers"))
    database.close()
    return found


async def test_the_same_key_is_the_same_prediction(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model) as client:
        first = await client.predict(FRAME, ACTIONS, "k1")
        again = await client.predict(FRAME, ACTIONS, "k1")  # its form has another boundary
        other_key = await client.predict(FRAME, ACTIONS, "k2")
        assert first.request.headers["content-type"] != again.request.headers["content-type"]
    assert again.content == first.content
    told = {name: value for name, value in first.headers.items() if name.startswith("x-dreamengine-")}
    assert told == {name: value for name, value in again.headers.items() if name.startswith("x-dreamengine-")}
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert "idempotent-replayed" not in other_key.headers
    assert model.rollouts == 2
    assert spent(tmp_path) == {"local": 2 * PRICE}


async def test_while_the_first_is_still_computed(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model) as client:
        model.go.clear()
        asked = [asyncio.create_task(client.predict(FRAME, ACTIONS, "k")) for _ in range(5)]
        await soon(lambda: model.calls, "the model to be called")
        wrong = await client.predict(FRAME, OTHER, "k")
        assert wrong.status_code == 422
        assert "Idempotency-Key" in wrong.json()["detail"]
        model.go.set()
        answers = [await one for one in asked]
    assert {answer.content for answer in answers} == {answers[0].content}
    assert len({answer.headers["x-dreamengine-request-id"] for answer in answers}) == 1
    assert model.rollouts == 1
    assert spent(tmp_path) == {"local": PRICE}


@pytest.mark.parametrize("change", [{"seed": 1}, {"num_steps": 2}, {"guidance": 0.5}, {"model": "counting"}])
async def test_the_same_key_and_another_prediction(tmp_path: Path, change: dict[str, Any]) -> None:
    async with engine(tmp_path, Counting()) as client:
        assert (await client.predict(FRAME, ACTIONS, "k")).status_code == 200
        for what, fields in (((FRAME, ACTIONS), change), ((FRAME, OTHER), {}), ((FRAME, [ACTIONS]), {})):
            answer = await client.predict(*what, "k", **fields)
            assert answer.status_code == 422
            assert "another prediction" in answer.json()["detail"]
        assert (await client.predict(FRAME, ACTIONS, "k")).headers["idempotent-replayed"] == "true"


async def test_a_client_that_goes_away(tmp_path: Path) -> None:
    """What it asked for is computed all the same, and there when it comes again."""
    model = Counting()
    async with engine(tmp_path, model) as client:
        model.go.clear()
        asked = asyncio.create_task(client.predict(FRAME, ACTIONS, "k"))
        await soon(lambda: model.calls, "the model to be called")
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        model.go.set()
        assert (await client.predict(FRAME, ACTIONS, "k")).status_code == 200
    assert model.rollouts == 1
    assert spent(tmp_path) == {"local": PRICE}


async def test_what_fails_is_neither_kept_nor_billed(tmp_path: Path) -> None:
    class Failing(Counting):
        fails = True

        def predict(self, *given: Any, **options: Any) -> Any:
            if self.fails:
                raise RuntimeError
            return super().predict(*given)

    model = Failing()
    async with engine(tmp_path, model) as client:
        assert (await client.predict(FRAME, ACTIONS, "k")).status_code == 500
        assert spent(tmp_path) == {}
        model.fails = False
        assert (await client.predict(FRAME, ACTIONS, "k")).status_code == 200
    assert spent(tmp_path) == {"local": PRICE}


async def test_a_restart(tmp_path: Path) -> None:
    async with engine(tmp_path, Counting()) as client:
        first = await client.predict(FRAME, [ACTIONS, OTHER], "k")
    model = Counting()
    async with engine(tmp_path, model) as client:
        again = await client.predict(FRAME, [ACTIONS, OTHER], "k")
        assert (await client.predict(FRAME, [OTHER, ACTIONS], "k")).status_code == 422
    assert again.content == first.content
    assert again.headers["content-type"] == "application/x-tar"
    assert model.calls == []
    assert spent(tmp_path) == {"local": 2 * PRICE}


async def test_a_key_is_its_customers_alone(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model, keys=("one", "two")) as client:
        for key in ("one", "two"):
            client.http.headers["Authorization"] = f"Bearer {key}"
            assert (await client.predict(FRAME, ACTIONS, "k")).status_code == 200
    assert model.rollouts == 2
    assert sorted(spent(tmp_path).values()) == [PRICE, PRICE]


@pytest.mark.parametrize("key", ["a b", "x" * 256, "k\tk"])
async def test_keys_that_are_none(tmp_path: Path, key: str) -> None:
    async with engine(tmp_path) as client:
        assert (await client.predict(FRAME, ACTIONS, key)).status_code == 422


async def test_answers_are_bounded_in_bytes_and_time(tmp_path: Path) -> None:
    model = Counting()

    async def replayed(client: Client, key: str) -> bool:
        answer = await client.predict(FRAME, ACTIONS, key)
        return "idempotent-replayed" in answer.raise_for_status().headers

    async with engine(tmp_path, model) as client:
        size = len((await client.predict(FRAME, ACTIONS)).content)
    async with engine(tmp_path, model, answer_bytes=3 * size) as client:
        for number in range(5):
            assert not await replayed(client, f"k{number}")
        assert [await replayed(client, f"k{number}") for number in (4, 3, 2)] == [True] * 3
        assert not await replayed(client, "k0")
    async with engine(tmp_path, model, answer_seconds=0.0) as client:
        assert not await replayed(client, "k4")


def test_an_answer_larger_than_all_that_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, 1000.0)
    store.keep("a", "k1", Answer("d", {}, b"x" * 5), 1)
    store.keep("a", "k2", Answer("d", {}, b"x" * 20), 1)
    assert [store.answer("a", key) is not None for key in ("k1", "k2")] == [True, False]
    assert store.spent("a") == 2
    store.close()


def test_a_folder_has_one_engine(tmp_path: Path) -> None:
    store = Store(tmp_path, 10, 10.0)
    with pytest.raises(ConfigError, match="another engine"):
        Store(tmp_path, 10, 10.0)
    store.close()
    Store(tmp_path, 10, 10.0).close()
    assert (tmp_path / "engine.db").stat().st_mode & 0o777 == 0o600


async def test_a_budget(tmp_path: Path) -> None:
    """402 says what there is and what it takes, in mils; what was answered once is answered for nothing."""
    model = Counting()
    budget = 2 * PRICE + PRICE // 2
    async with engine(tmp_path, model, budget_micros=budget) as client:
        assert (await client.predict(FRAME, ACTIONS, "a")).status_code == 200
        two = await client.predict(FRAME, [ACTIONS, ACTIONS], "b")
        assert two.status_code == 402
        assert two.json()["detail"] == {"balance_mils": (budget - PRICE) // 100, "requested_mils": 2 * PRICE // 100}
        model.go.clear()
        asked = asyncio.create_task(client.predict(FRAME, OTHER, "c"))
        await soon(lambda: len(model.calls) == 2, "the model to be called again")
        # What is being computed is spent already.
        assert (await client.predict(FRAME, OTHER, "d")).json()["detail"]["balance_mils"] == PRICE // 2 // 100
        model.go.set()
        assert (await asked).status_code == 200
    async with engine(tmp_path, model, budget_micros=budget) as client:  # a restart gives nothing back
        assert (await client.predict(FRAME, OTHER, "d")).status_code == 402
        assert (await client.predict(FRAME, ACTIONS, "a")).headers["idempotent-replayed"] == "true"
    assert spent(tmp_path) == {"local": 2 * PRICE}
    assert model.rollouts == 2
