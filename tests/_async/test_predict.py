"""The client of an engine: single predictions, batches, prices, jobs, and what its errors say."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dreamlake.aio as adl
from dreamlake.errors import (
    DreamlakeError,
    EngineError,
    EngineUnreachableError,
    JobFailedError,
    RowError,
    UsageError,
)
from dreamlake.io import IterableSource, RolloutSink, SourceRow, frames_from_dir
from tests.predictions import PRICE, SIZE, SPEC, STEPS, Cut, Engine, Late, Reset, Status, actions, png, rows


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> adl.AsyncClient:
    return adl.AsyncClient(base_url=engine.url)


async def test_a_rollout_has_one_frame_more_than_there_are_actions(client: adl.AsyncClient, tmp_path: Path) -> None:
    rollout = await client.predict(png(), actions(7), spec=SPEC)
    assert rollout.frames.shape == (STEPS + 1, SIZE, SIZE, 3)
    assert rollout.frames.dtype == np.uint8
    assert rollout.num_frames == STEPS + 1
    assert (rollout.request_id, rollout.wall_ms, rollout.customer_id) == ("request-7", 12.5, "me")
    assert rollout.charge_usd == pytest.approx((STEPS + 1) * PRICE)
    assert rollout.save(tmp_path / "made" / "rollout.mp4").read_bytes() == rollout.video


async def test_options_go_with_the_form(client: adl.AsyncClient, engine: Engine) -> None:
    await client.predict(png(), actions(1), spec=SPEC, seed=5, num_steps=12, guidance=1.5)
    await client.predict(png(), actions(1))
    assert engine.forms == [{"seed": "5", "num_steps": "12", "guidance": "1.5", "model": SPEC}, {}]


@pytest.mark.parametrize("form", ["array", "picture", "path", "jpeg", "bmp", "function"])
async def test_a_frame_may_have_any_form(client: adl.AsyncClient, tmp_path: Path, form: str) -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture = Image.fromarray(pixels)
    path = tmp_path / "frame.png"
    path.write_bytes(png())
    encoded = io.BytesIO()
    picture.save(encoded, "BMP" if form == "bmp" else "JPEG")
    forms = {"array": pixels, "picture": picture, "path": path, "function": lambda: pixels}
    frame = forms.get(form, encoded.getvalue())
    assert (await client.predict(frame, actions(2).tolist())).num_frames == STEPS + 1


@pytest.mark.parametrize(
    ("frame", "given", "says"),
    [
        (b"no picture", actions(0), "frame: "),
        ("nowhere.png", actions(0), "there is no nowhere.png"),
        (np.zeros((4, 4), np.uint8), actions(0), r"\(H, W, 3\) uint8"),
        (None, np.zeros(3), r"\(T, A\)"),
        (None, np.full((2, 2), np.nan), "finite"),
        (None, b"no npy", "npy"),
        (None, [["a", "b"]], "numbers"),
    ],
)
async def test_what_cannot_be_sent_is_not_sent(
    client: adl.AsyncClient, engine: Engine, frame: object, given: object, says: str
) -> None:
    with pytest.raises(RowError, match=says):
        await client.predict(png() if frame is None else frame, given)
    assert engine.requests == []


async def test_a_batch_is_one_request_for_several_rollouts(client: adl.AsyncClient, engine: Engine) -> None:
    rollouts = await client.predict_batch(png(), [actions(50), actions(150, 5)], spec=SPEC)
    assert [rollout.num_frames for rollout in rollouts] == [STEPS + 1, 6]
    assert rollouts[0].frames.mean() == pytest.approx(50, abs=4)
    assert rollouts[1].frames.mean() == pytest.approx(150, abs=4)
    assert sum(rollout.charge_usd or 0 for rollout in rollouts) == pytest.approx((STEPS + 7) * PRICE)
    assert len(engine.requests) == 1


async def test_models_specs_and_status(client: adl.AsyncClient) -> None:
    (model,) = await client.models()
    assert (model.slug, model.spec.resolution, model.spec.action_dim) == (SPEC, (SIZE, SIZE), 2)
    assert [item.slug for item in (await client.specs()).specs] == [SPEC]
    assert (await client.status()).status == "ok"


@pytest.mark.parametrize("fault", [Status(500), Status(503), Reset(), Reset(committed=True), Cut(), Cut(honest=False)])
async def test_what_passes_is_tried_again_with_the_same_key(engine: Engine, fault: object) -> None:
    engine.faults = lambda _, before: fault if before < 2 else None  # type: ignore[return-value]
    async with adl.AsyncClient(base_url=engine.url) as client:
        assert (await client.predict(png(), actions(9))).num_frames == STEPS + 1
    assert len(engine.tries(9)) == 3
    assert len(engine.keys(9)) == 1
    assert engine.billed == {9: 1}


async def test_an_answer_that_comes_too_late_is_fetched_with_the_next_try(engine: Engine) -> None:
    engine.faults = lambda _, before: Late(1.0) if before == 0 else None
    async with adl.AsyncClient(base_url=engine.url, timeout=0.4) as client:
        assert (await client.predict(png(), actions(9))).num_frames == STEPS + 1
    assert engine.billed == {9: 1}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, adl.AuthError),
        (403, adl.AuthError),
        (404, adl.ModelNotFoundError),
        (404, LookupError),
        (422, adl.ValidationError),
        (429, adl.RateLimitError),
        (500, EngineError),
    ],
)
async def test_errors_say_what_the_engine_said(engine: Engine, status: int, error: type[Exception]) -> None:
    engine.faults = lambda _row, _before: Status(status, (("Retry-After", "0"),), "so it is")
    client = adl.AsyncClient(base_url=engine.url)
    with pytest.raises(error, match="so it is") as caught:
        await client.predict(png(), actions(1))
    assert isinstance(caught.value, adl.DreamError)
    assert isinstance(caught.value, DreamlakeError)
    assert caught.value.status_code == status
    assert len(engine.requests) == (3 if status in (429, 500) else 1)


async def test_too_few_credits_say_how_many(engine: Engine) -> None:
    engine.faults = lambda _row, _before: Status(402, detail={"balance_mils": 12, "requested_mils": 245})
    with pytest.raises(adl.InsufficientCreditsError, match="takes 245 mils") as caught:
        await adl.AsyncClient(base_url=engine.url).predict(png(), actions(1))
    assert (caught.value.balance_mils, caught.value.requested_mils) == (12, 245)


async def test_a_wait_that_is_too_long_is_not_waited_for(engine: Engine) -> None:
    engine.faults = lambda _row, _before: Status(429, (("Retry-After", "259200"),))
    with pytest.raises(adl.RateLimitError) as caught:
        await adl.AsyncClient(base_url=engine.url).predict(png(), actions(1))
    assert caught.value.retry_after == 259200
    assert len(engine.requests) == 1


async def test_the_key_and_the_url_come_from_the_environment(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.api_key = "dre_1"
    monkeypatch.setenv("DREAM_BASE_URL", engine.url + "/")
    with pytest.raises(adl.AuthError):
        await adl.AsyncClient().predict(png(), actions(1))
    monkeypatch.setenv("DREAM_API_KEY", "dre_1")
    assert (await adl.AsyncClient().predict(png(), actions(1))).num_frames == STEPS + 1
    assert "dre_1" not in repr(adl.AsyncClient())


async def test_nobody_there(unused_port: int) -> None:
    with pytest.raises(EngineUnreachableError, match="no answer from http://127"):
        await adl.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}").predict(png(), actions(1))


# What it costs


async def test_the_estimate_is_rows_times_frames_times_the_price(client: adl.AsyncClient) -> None:
    source = [{"frame": png(), "actions": actions(0, 48)}] * 16
    estimate = await client.estimate_cost(source, spec=SPEC)
    assert (estimate.rows, estimate.frames_per_row, estimate.total_frames) == (16, 49, 784)
    assert f"${estimate.total_usd:.4f}" == "$0.3920"


async def test_nobody_knows_the_total_of_a_source_without_an_end(client: adl.AsyncClient) -> None:
    source = IterableSource(lambda: iter(rows(3)))
    estimate = await client.estimate_cost(source, spec=SPEC)
    assert (estimate.rows, estimate.total_frames, estimate.total_usd) == (None, None, None)
    source.rows_hint = 3
    assert (await client.estimate_cost(source, spec=SPEC)).total_usd == pytest.approx(3 * (STEPS + 1) * PRICE)


async def test_a_price_is_never_guessed(client: adl.AsyncClient, unused_port: int) -> None:
    with pytest.raises(adl.ModelNotFoundError, match=f"no spec 'dreamdojo-9b'.*it has {SPEC}"):
        await client.estimate_cost(rows(1), spec="dreamdojo-9b")
    with pytest.raises(EngineUnreachableError):
        await adl.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}").estimate_cost(rows(1), spec=SPEC)
    with pytest.raises(RowError, match="no rows"):
        await client.estimate_cost([], spec=SPEC)


async def test_rows_that_cannot_be_read_say_nothing_of_the_length(client: adl.AsyncClient) -> None:
    bad = {"frame": png(), "actions": b"-"}
    assert (await client.estimate_cost([bad, 5, *rows(1)], spec=SPEC)).frames_per_row == STEPS + 1
    with pytest.raises(RowError, match="npy"):
        await client.estimate_cost([bad] * 30, spec=SPEC)


async def test_a_source_that_can_be_read_once_keeps_its_rows(
    client: adl.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    source = IterableSource(iter([{"frame": png()}, *rows(4)]), name="once")
    assert (await client.estimate_cost(source, spec=SPEC)).rows is None
    assert (await client.estimate_cost(source, spec=SPEC)).frames_per_row == STEPS + 1
    result = await client.predict_many(source, RolloutSink.dir(tmp_path / "out"), spec=SPEC)
    assert (result.ok, result.failed) == (4, 1)
    assert engine.rows() == {0, 1, 2, 3}
    with pytest.raises(UsageError, match="once"):
        await client.estimate_cost(source, spec=SPEC)


# Jobs


async def test_a_job_goes_from_its_creation_to_its_result(
    client: adl.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    source, sink = frames_from_dir(tmp_path), RolloutSink.hf("me/out", token="hf_secret")
    job = await client.jobs.create(source, sink, spec=SPEC, concurrency=8, max_cost_usd=2.0)
    assert job.status == "running"
    sent = engine.jobs[job.id]["sent"]
    assert sent["source"] == {
        "type": "dir",
        "location": str(tmp_path),
        "options": {"actions_glob": "*.npy", "recursive": False},
        "rows_hint": 1,
    }
    assert sent["sink"] == {"type": "hf", "location": "me/out", "options": {"private": False}, "token": "hf_secret"}
    assert sent["options"] == {"concurrency": 8, "max_cost_usd": 2.0}
    result = await job.result(timeout=30)
    assert (result.ok, result.failed, result.output_uri) == (15, 1, "hf://datasets/me/out")
    assert [(row.row_id, str(row.error), row.attempts) for row in result.failures] == [("row-3", "422", 1)]
    assert (await client.jobs.get(job.id)).status == "succeeded"


async def test_jobs_are_listed_cancelled_and_missed(client: adl.AsyncClient) -> None:
    source, sink = IterableSource(rows(1)), RolloutSink.s3("s3://bucket/out")
    with pytest.raises(UsageError, match="predict_many"):
        await client.jobs.create(source, sink, spec=SPEC)
    from dreamlake.io import frames_from_s3

    made = [await client.jobs.create(frames_from_s3("s3://bucket/in"), sink, spec=SPEC) for _ in range(5)]
    assert [job.id async for job in client.jobs.list()] == [job.id for job in reversed(made)]
    cancelled = await made[0].cancel()
    assert cancelled.status == "cancelled"
    with pytest.raises(JobFailedError, match="cancelled") as caught:
        await cancelled.result()
    assert caught.value.result.ok == 0
    assert (await client.jobs.cancel(made[1].id)).status == "cancelled"
    with pytest.raises(adl.ModelNotFoundError, match="no such job"):
        await client.jobs.get("job-99")


async def test_waiting_for_a_job_ends_in_time(client: adl.AsyncClient, engine: Engine) -> None:
    from dreamlake.io import frames_from_s3

    job = await client.jobs.create(frames_from_s3("s3://b/in"), RolloutSink.s3("s3://b/out"), spec=SPEC)
    engine.jobs[job.id]["status"] = "queued"
    with pytest.raises(TimeoutError, match="queued"):
        await job.wait(timeout=0.3)


def test_a_row_shows_no_pixels() -> None:
    assert repr(SourceRow("a", png(), partial(actions, 3))) == "SourceRow(row_id='a', metadata={})"
