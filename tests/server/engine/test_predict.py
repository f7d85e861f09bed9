"""Predictions: the right frames, in the right order, however they were batched."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from dreamlake.media.encode import encode_rollout
from dreamlake.media.rollout import decode_mp4
from dreamlake.server.engine.reference import ReferenceCamera

from ._engine import SIZE, Counting, Small, engine, moves, npy, own, picture, png, soon


def rollouts(answer: httpx.Response) -> list[bytes]:
    """The files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(answer.raise_for_status().content)) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == sorted(member.name for member in members)
        return [archive.extractfile(member).read() for member in members]  # type: ignore[union-attr]  # (files)


async def test_a_rollout_is_what_the_formula_says(tmp_path: Path) -> None:
    """Bit for bit where the encoding is exact; with the encoder's own bytes where it is playable."""
    pixels, actions = picture(), moves(steps=19) * 3  # more than one chunk, and out of the picture
    async with engine(tmp_path / "exact", encoding="exact") as client:
        answer = (await client.predict(png(pixels), npy(actions))).raise_for_status()
        assert np.array_equal(decode_mp4(answer.content), own(pixels, actions))
    assert answer.headers["content-type"] == "video/mp4"
    assert float(answer.headers["x-dreamengine-estimated-charge-usd"]) == pytest.approx(20 * 0.0005)
    assert float(answer.headers["x-dreamengine-engine-wall-ms"]) > 0
    assert answer.headers["x-dreamengine-customer-id"] == "local"
    assert answer.headers["x-dreamengine-request-id"] == answer.headers["x-request-id"]
    async with engine(tmp_path / "playable") as client:
        played = (await client.predict(png(pixels), npy(actions))).raise_for_status().content
    assert played == encode_rollout(own(pixels, actions), 10, "playable")
    assert len(decode_mp4(played)) == 20


async def test_the_seeds_shape_in_full_resolution(tmp_path: Path) -> None:
    """(48, 384) actions are a video of (49, 480, 640, 3), and what is lost is within the tolerance of the encoding."""
    model = ReferenceCamera()
    pixels, actions = picture(size=model.resolution), moves(steps=48, dim=384)
    async with engine(tmp_path, model) as client:
        answer = await client.predict(png(pixels), npy(actions), model="reference-camera", seed=7)
    found = decode_mp4(answer.raise_for_status().content)
    expected = model.predict(pixels[None], actions[None], np.zeros(1, np.int64))[0]
    assert found.shape == (49, 480, 640, 3)
    assert answer.headers["x-dreamengine-estimated-charge-usd"] == "0.024500"
    error = np.abs(found[1::12].astype(np.int16) - expected[::12])  # some are enough
    assert error.mean() < 3
    assert (error < 12).mean() > 0.99


async def test_a_batch_is_each_of_its_rollouts_in_order(tmp_path: Path) -> None:
    pixels, several = picture(), [moves(seed, steps) for seed, steps in ((1, 5), (2, 9), (3, 5))]
    async with engine(tmp_path, encoding="exact") as client:
        answer = await client.predict(png(pixels), [npy(one) for one in several])
        found = rollouts(answer)
        alone = [(await client.predict(png(pixels), npy(one))).content for one in several]
    assert answer.headers["content-type"] == "application/x-tar"
    assert answer.headers["x-dreamengine-batch-size"] == "3"
    assert float(answer.headers["x-dreamengine-estimated-charge-usd"]) == pytest.approx((6 + 10 + 6) * 0.0005)
    assert [decode_mp4(one).tolist() for one in found] == [own(pixels, one).tolist() for one in several]
    assert found == alone


async def test_what_waits_together_is_predicted_together(tmp_path: Path) -> None:
    """Batches are of one length and one set of options, and no larger than the model takes."""
    model = Counting()
    frame = png(picture())
    async with engine(tmp_path, model) as client:
        model.go.clear()
        asked = [asyncio.create_task(client.predict(frame, npy(moves()), seed=99))]
        await soon(lambda: model.calls, "the model to be called")
        kinds = [{}] * 6 + [{"num_steps": 3}] * 2
        asked += [
            asyncio.create_task(client.predict(frame, npy(moves()), seed=seed, **kind))
            for seed, kind in enumerate(kinds)
        ]
        # One batch is ahead of the model; the rest waits.
        (batcher,) = client.engine.batchers.values()
        await soon(lambda: batcher.running + batcher.waiting == 9, "all of them to be there")
        told = (await client.http.get("/v1/status")).json()
        model.go.set()
        answers = [await one for one in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert told["status"] == "ok"
    assert told["queued"] + told["running"] == 9
    assert model.rollouts == 9
    assert max(number for number, _ in model.calls) > 1
    assert all(number <= model.max_batch for number, _ in model.calls)
    with_steps = {6, 7}
    assert all(set(seeds) <= with_steps or not set(seeds) & with_steps for _, seeds in model.calls)


async def test_too_many_are_told_when_to_come_again(tmp_path: Path) -> None:
    model = Counting()
    frame, actions = png(picture()), npy(moves())
    async with engine(tmp_path, model, max_waiting=3, max_rollouts=3) as client:
        model.go.clear()
        asked = [asyncio.create_task(client.predict(frame, actions)) for _ in range(14)]
        await soon(lambda: any(one.done() for one in asked), "one to be refused")
        model.go.set()
        answers = [await one for one in asked]
        late = [answer for answer in answers if answer.status_code == 429]
        assert late
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in late)
        assert {answer.status_code for answer in answers} == {200, 429}
        # What was refused was neither computed nor billed.
        assert model.rollouts == sum(answer.status_code == 200 for answer in answers)
        assert (await client.predict(frame, actions)).status_code == 200


class Picky(Small):
    """It cannot bear seed 13, and takes all others of the batch down with it."""

    def predict(self, frames: Any, actions: Any, seeds: Any) -> Any:
        if 13 in seeds:
            raise RuntimeError("thirteen")
        return super().predict(frames, actions, seeds)


async def test_one_that_fails_is_alone_with_it(tmp_path: Path) -> None:
    frame, actions = png(picture()), npy(moves())
    async with engine(tmp_path, Picky()) as client:
        answers = await asyncio.gather(*(client.predict(frame, actions, seed=seed) for seed in (11, 12, 13, 14, 15)))
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200, 200]
    assert "thirteen" not in answers[2].text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda found: found[:, :-1],
        lambda found: found.astype(np.float32),
        lambda found: found.tolist(),
        lambda found: found[..., :1],
    ],
)
async def test_a_model_that_returns_nonsense(tmp_path: Path, wrong: Any) -> None:
    class Wrong(Small):
        def predict(self, frames: Any, actions: Any, seeds: Any) -> Any:
            return wrong(super().predict(frames, actions, seeds))

    async with engine(tmp_path, Wrong()) as client:
        answer = await client.predict(png(picture()), npy(moves()))
    assert answer.status_code == 500
    assert answer.json()["title"] == "Internal Server Error"


async def test_a_torch_module(tmp_path: Path) -> None:
    """It is given tensors, without gradients, and may return one."""
    torch = pytest.importorskip("torch")

    class Brighter(torch.nn.Module):  # type: ignore[misc, name-defined]  # (imported here)
        slug, action_dim, resolution, price = "brighter", 4, SIZE, 0.001
        fps = 25

        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(1.0))

        def predict(self, frames: Any, actions: Any, seeds: Any, guidance: float) -> Any:
            assert not torch.is_grad_enabled()
            assert not self.training
            assert frames.device == self.gain.device
            steps = torch.arange(1, actions.shape[1] + 1, device=frames.device)[None, :, None, None, None]
            bright = frames[:, None].float() * 0.5 + self.gain * steps * guidance + seeds[:, None, None, None, None]
            return bright.clamp(0, 255).round().to(torch.uint8)

    pixels = picture()
    async with engine(tmp_path, Brighter(), encoding="exact") as client:
        answer = await client.predict(png(pixels), npy(moves(steps=3)), seed=5, guidance=2)
        found = decode_mp4(answer.raise_for_status().content)
    for step in (1, 2, 3):
        expected = np.clip(np.round(pixels.astype(np.float32) * 0.5 + step * 2 + 5), 0, 255)
        assert np.array_equal(found[step], expected)


async def test_several_models(tmp_path: Path) -> None:
    class Other(Small):
        slug, price, action_dim, name = "other", 0.25, 5, "Another"

    async with engine(tmp_path, Small(), Other()) as client:
        listed = (await client.http.get("/v1/models")).json()["data"]
        specs = (await client.http.get("/v1/specs")).json()
        default = await client.predict(png(picture()), npy(moves()))
        other = await client.predict(png(picture()), npy(moves(dim=5)), model="other")
        unknown = await client.predict(png(picture()), npy(moves()), model="nobody")
    assert [(one["slug"], one["spec"]["action_dim"]) for one in listed] == [("small", 4), ("other", 5)]
    assert listed[1]["name"] == "Another"
    assert listed[0]["spec"]["resolution"] == list(SIZE)
    assert specs == {
        "specs": [
            {"slug": "small", "price_per_frame_usd": 0.0005},
            {"slug": "other", "price_per_frame_usd": 0.25},
        ],
        "default_price_usd_per_frame": 0.0005,
    }
    assert default.headers["x-dreamengine-estimated-charge-usd"] == "0.003500"
    assert other.headers["x-dreamengine-estimated-charge-usd"] == "1.750000"
    assert unknown.status_code == 404
    assert "nobody" in unknown.json()["detail"]


async def test_a_model_that_takes_too_long_is_given_up_until_it_returns(tmp_path: Path) -> None:
    model, other = Counting(), Small()
    frame, actions = png(picture()), npy(moves())
    async with engine(tmp_path, model, other, model_seconds=0.3) as client:
        batcher = client.engine.batchers["counting"]
        model.go.clear()
        asked = [asyncio.create_task(client.predict(frame, actions, f"k{number}")) for number in range(4)]
        answers = [await one for one in asked]
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[-1] == 504  # the batch that the model was at; who waited for the next is told to come again
        assert set(statuses) <= {503, 504}
        late = next(answer for answer in answers if answer.status_code == 504)
        assert late.json()["detail"] == "counting has taken longer than 0.3 s"
        refused = await client.predict(frame, actions, "k0")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        ready = await client.http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["detail"] == "stuck in a call that does not return: counting"
        assert (await client.http.get("/healthz")).status_code == 200
        assert (await client.predict(frame, actions, model="small")).status_code == 200
        calls = len(model.calls)
        model.go.set()
        await soon(lambda: not batcher.stuck, "the model to return")
        assert (await client.http.get("/readyz")).status_code == 200
        assert (await client.predict(frame, actions, "k0")).status_code == 200  # not what came too late for anybody
        assert len(model.calls) == calls + 1


async def test_a_model_that_never_returns_does_not_keep_the_engine_from_ending(tmp_path: Path) -> None:
    model = Counting()
    async with engine(tmp_path, model, model_seconds=0.2) as client:
        model.go.clear()
        assert (await client.predict(png(picture()), npy(moves()))).status_code == 504
    assert client.engine.batchers["counting"].stuck  # it has ended, and the model has not
    model.go.set()
