"""Jobs: the same pool on the engine's side. Each is worked on by a real process; some are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dreamlake import aio as adl
from dreamlake.core.wireengine import CreateJob, JobSink, JobSource
from dreamlake.errors import AuthError, ModelNotFoundError, UsageError
from dreamlake.io import RolloutSink, frames_from_dir
from dreamlake.media.rollout import decode_mp4
from dreamlake.server.engine.jobplaces import JobPlaces
from dreamlake.server.errors import Refused
from tests.hub import Hub
from tests.server._lake import until as asked_until

from ._engine import Client, Counting, engine, moves, npy, own, picture, png

WORKER = (sys.executable, "-m", "dreamlake.cli.jobworker")
ENDED = {"succeeded", "failed", "cancelled"}


def episodes(folder: Path, rows: int) -> Path:
    """Pairs of pictures and actions."""
    folder.mkdir(parents=True)
    for number in range(rows):
        (folder / f"row-{number:02d}.png").write_bytes(png(picture(number)))
        (folder / f"row-{number:02d}.npy").write_bytes(npy(moves(number)))
    return folder


def asked(source: Path | str, sink: Path | str, spec: str = "counting", **options: Any) -> dict[str, Any]:
    return {
        "source": {"type": "dir", "location": str(source)},
        "sink": {"type": "dir", "location": str(sink)},
        "spec": spec,
        "options": options,
    }


async def create(client: Client, body: dict[str, Any], key: str | None = None) -> str:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await client.http.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


async def until(client: Client, job: str, check: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for a job until it is so."""

    async def ask() -> dict[str, Any] | None:
        found: dict[str, Any] = (await client.http.get(f"/v1/jobs/{job}")).raise_for_status().json()
        return found if check(found) else None

    found: dict[str, Any] = await asked_until(ask, job)
    return found


async def ended(client: Client, job: str) -> dict[str, Any]:
    return await until(client, job, lambda found: found["status"] in ENDED)


async def test_a_job_from_folder_to_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = episodes(root / "in", 5)
    (source / "row-03.npy").write_bytes(b"nothing")
    model = Counting()
    async with engine(tmp_path / "e", model, worker=WORKER, jobs_roots=(str(root),), encoding="exact") as client:
        body = asked(source, "out", seed=3)  # a place below the root may be named from there
        job = await create(client, body, "key")
        assert await create(client, body, "key") == job
        other = await client.http.post("/v1/jobs", json=asked(source, "elsewhere"), headers={"Idempotency-Key": "key"})
        assert other.status_code == 422
        found = await ended(client, job)
        listed = (await client.http.get("/v1/jobs")).json()
    assert found["status"] == "succeeded", found
    assert found["counts"] == {"ok": 4, "failed": 1, "total": 5}
    assert [(one["row_id"], one["attempts"]) for one in found["failures"]] == [("row-03", 0)]
    assert found["cost_usd"] == pytest.approx(4 * 7 * 0.0005)
    assert found["output_uri"] == str(root / "out")
    assert found["created_at"] <= found["started_at"] <= found["finished_at"]
    assert [one["id"] for one in listed["data"]] == [job]
    rows = pq.read_table(root / "out/metadata.parquet").to_pylist()
    assert [row["row_id"] for row in rows] == ["row-00", "row-01", "row-02", "row-04"]
    for row in rows:
        number = int(row["row_id"][-2:])
        video = (root / "out/videos" / f"{row['row_id']}.mp4").read_bytes()
        assert np.array_equal(decode_mp4(video), own(picture(number), moves(number)))
    assert {seed for _, seeds in model.calls for seed in seeds} == {3}


async def test_a_restart_goes_on_and_bills_nothing_twice(tmp_path: Path) -> None:
    """The engine ends in the middle; the next one finishes, and predicts no row again."""
    root = tmp_path / "root"
    source = episodes(root / "in", 12)
    first = Counting()
    options: dict[str, Any] = {"worker": WORKER, "jobs_roots": (str(root),), "job_seconds_to_stop": 30.0}
    async with engine(tmp_path / "e", first, **options) as client:
        job = await create(client, asked(source, root / "out", concurrency=2))
        await until(client, job, lambda _: first.rollouts >= 2)
    assert 2 <= first.rollouts < 12
    with sqlite3.connect(tmp_path / "e/engine.db") as database:
        assert database.execute("SELECT status FROM jobs").fetchall() == [("queued",)]
    database.close()
    second = Counting()
    async with engine(tmp_path / "e", second, **options) as client:
        found = await ended(client, job)
    assert found["status"] == "succeeded", found
    assert found["counts"] == {"ok": 12, "failed": 0, "total": 12}
    assert first.rollouts + second.rollouts == 12
    assert found["cost_usd"] == pytest.approx(12 * 7 * 0.0005)
    assert pq.read_table(root / "out/metadata.parquet").num_rows == 12


async def test_its_process_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = episodes(root / "in", 8)
    model = Counting()
    async with engine(tmp_path / "e", model, worker=WORKER, jobs_roots=(str(root),)) as client:
        job = await create(client, asked(source, root / "out", concurrency=1))
        await until(client, job, lambda _: model.rollouts >= 2)
        process = client.engine.jobs._running[job].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        found = await ended(client, job)
    assert found["status"] == "succeeded", found
    assert found["counts"]["ok"] == 8
    assert model.rollouts == 8


async def test_cancelling(tmp_path: Path) -> None:
    """One that runs, one that waits, and one that has ended."""
    root = tmp_path / "root"
    source = episodes(root / "in", 20)
    model = Counting()
    async with engine(tmp_path / "e", model, worker=WORKER, jobs_roots=(str(root),)) as client:
        running = await create(client, asked(source, root / "one", concurrency=1))
        waiting = await create(client, asked(source, root / "two"))
        await until(client, running, lambda found: found["status"] == "running" and model.rollouts > 0)
        for job in (waiting, running):
            answer = await client.http.post(f"/v1/jobs/{job}/cancel")
            assert answer.json() == {"id": job, "status": "cancelled"}
        done = model.rollouts
        found = [(await client.http.get(f"/v1/jobs/{job}")).json() for job in (running, waiting)]
        assert [one["status"] for one in found] == ["cancelled", "cancelled"]
        stored = found[0]["counts"]["ok"]
        assert stored == done < 20  # what the engine worked on was waited for
        assert found[1]["counts"]["ok"] == 0
        assert (await client.http.post(f"/v1/jobs/{running}/cancel")).json()["status"] == "cancelled"
        assert len(list((root / "one/videos").glob("*.mp4"))) == stored
        assert not (root / "two").exists()
        assert model.rollouts == done


async def test_a_job_that_cannot_be_done(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with engine(tmp_path / "e", Counting(), worker=WORKER, jobs_roots=(str(root),)) as client:
        job = await create(client, asked(root / "nothing", root / "out"))
        found = await ended(client, job)
    assert found["status"] == "failed"
    assert "there is no such folder" in found["error"]
    assert found["counts"] == {"ok": 0, "failed": 0, "total": None}


async def test_each_key_has_its_own_jobs_and_tokens_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = episodes(root / "in", 1)
    body = asked(source, root / "out")
    body["source"]["token"] = "hf_first-secret"
    body["sink"]["token"] = "hf_second-secret"
    keys = ("alices", "bobs")
    async with engine(tmp_path / "e", Counting(), worker=WORKER, jobs_roots=(str(root),), keys=keys) as client:
        client.http.headers["Authorization"] = "Bearer alices"
        job = await create(client, body)
        assert (await ended(client, job))["status"] == "succeeded"
        told = (await client.http.get(f"/v1/jobs/{job}")).text + (await client.http.get("/v1/jobs")).text
        assert "secret" not in told
        client.http.headers["Authorization"] = "Bearer bobs"
        strange = await client.http.get(f"/v1/jobs/{job}")
        nobodys = await client.http.get("/v1/jobs/job_none")
        assert strange.status_code == nobodys.status_code == 404
        assert strange.json()["detail"].replace(job, "*") == nobodys.json()["detail"].replace("job_none", "*")
        assert (await client.http.post(f"/v1/jobs/{job}/cancel")).status_code == 404
        assert (await client.http.get("/v1/jobs")).json()["data"] == []
    kept = b"".join(path.read_bytes() for path in (tmp_path / "e").iterdir() if path.is_file())
    assert b"secret" not in kept


async def test_pages(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    # Without a command to work on them with, jobs would wait for ever; this one never ends of itself.
    worker = (sys.executable, "-c", "import sys; sys.stdin.read()")
    async with engine(tmp_path / "e", worker=worker, jobs_roots=(str(root),), max_queued_jobs=7) as client:
        made = [await create(client, asked("in", f"out-{number}", "small")) for number in range(7)]
        full = await client.http.post("/v1/jobs", json=asked("in", "out", "small"))
        assert (full.status_code, full.headers["retry-after"]) == (429, "60")
        found: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = (await client.http.get("/v1/jobs", params={"limit": 3, **cursor})).json()
            found += [one["id"] for one in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == made[::-1]
        for wrong in ({"cursor": "x"}, {"cursor": "9" * 30}, {"limit": 0}, {"limit": 1000}):
            assert (await client.http.get("/v1/jobs", params=wrong)).status_code in (400, 422)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"spec": "nobody"}, 404),
        ({"spec": ""}, 422),
        ({"options": {"concurrency": 0}}, 422),
        ({"options": {"num_steps": 4}}, 422),
        ({"source": {"type": "ftp", "location": "x"}}, 422),
        ({"source": {"type": "lake", "location": "x"}}, 422),
        ({"source": {"type": "hf", "location": "/etc"}}, 422),
        ({"source": {"type": "hf", "location": "../etc"}}, 422),
        ({"source": {"type": "dir", "location": "in", "options": {"endpoint": "http://localhost"}}}, 422),
        ({"source": {"type": "dir", "location": "in", "options": {"recursive": "yes"}}}, 422),
        ({"source": {"type": "dir", "location": "/etc"}}, 403),
        ({"source": {"type": "dir", "location": "../../etc"}}, 403),
        ({"source": {"type": "dir", "location": "link"}}, 403),
        ({"sink": {"type": "dir", "location": "link/out"}}, 403),
        ({"sink": {"type": "hf", "location": "a/b", "options": {"endpoint": "http://localhost"}}}, 422),
        ({"sink": {"type": "s3", "location": "s3://bucket/a"}}, 403),
        ({"sink": {"type": "s3", "location": "bucket"}}, 422),
        ({"sink": {"type": "lake", "location": "default"}}, 403),
        ({"sink": None}, 422),
    ],
)
async def test_what_no_job_may(tmp_path: Path, change: dict[str, Any], status: int) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    async with engine(tmp_path / "e", worker=WORKER, jobs_roots=(str(root),)) as client:
        answer = await client.http.post("/v1/jobs", json={**asked("in", "out", "small"), **change})
        assert answer.status_code == status, answer.text
        assert (await client.http.get("/v1/jobs")).json()["data"] == []


def test_places_in_buckets_and_the_lake() -> None:
    places = JobPlaces(["s3://bucket/open/", "lake"])
    source = JobSource(type="hf", location="owner/name")

    def checked(sink: JobSink) -> JobSink:
        return places.checked(CreateJob(source=source, sink=sink, spec="x")).sink

    assert checked(JobSink(type="s3", location="s3://bucket/open/a/")).location == "s3://bucket/open/a"
    assert checked(JobSink(type="s3", location="s3://bucket/open")).location == "s3://bucket/open"
    assert checked(JobSink(type="lake", location="robotics", options={"prefix": "/a"})).location == "robotics"
    for closed in ("s3://bucket/opened", "s3://bucket", "s3://other/open"):
        with pytest.raises(Refused, match="may not use"):
            checked(JobSink(type="s3", location=closed))
    with pytest.raises(UsageError, match="no such folder"):
        JobPlaces(["/nowhere/at/all"])


async def test_an_engine_without_jobs(tmp_path: Path) -> None:
    async with engine(tmp_path) as client:
        body = asked("in", "out", "small")
        body["source"] = {"type": "hf", "location": "a/b"}
        body["sink"] = {"type": "hf", "location": "a/c"}
        assert (await client.http.post("/v1/jobs", json=body)).status_code == 404


async def test_a_jobs_rollouts_are_committed_with_its_own_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the one that the engine's own user has logged in with."""
    root = tmp_path / "root"
    source = episodes(root / "in", 2)
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_1")
    with Hub(token="hf_1") as hub:
        given = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_1", "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
        async with engine(tmp_path / "e", Counting(), worker=WORKER, jobs_roots=(str(root),)) as client:
            body = asked(source, "")
            body["sink"] = {"type": "hf", "location": "me/out"}
            refused = await ended(client, await create(client, body))
            assert refused["status"] == "failed"
            assert hub.files == {}
            body["sink"]["token"] = "hf_1"
            done = await ended(client, await create(client, body))
            assert done["status"] == "succeeded", done
    assert {"videos/row-00.mp4", "videos/row-01.mp4", "metadata.parquet"} <= set(hub.files)


@pytest.mark.parametrize("key", [None, "alices"])
async def test_the_client_of_jobs(tmp_path: Path, key: str | None) -> None:
    """What feeds ``predict_many`` feeds ``jobs.create``."""
    root = tmp_path / "root"
    src = frames_from_dir(episodes(root / "in", 3))
    keys = () if key is None else (key,)
    async with (
        engine(tmp_path / "e", Counting(), worker=WORKER, jobs_roots=(str(root),), keys=keys) as served,
        adl.AsyncClient(base_url=served.url, api_key=key or "any") as client,
    ):
        job = await client.jobs.create(src, RolloutSink.dir(root / "out"), spec="counting", num_steps=2)
        result = await job.result(timeout=60)
        assert (result.ok, result.failed, result.output_uri) == (3, 0, str(root / "out"))
        assert [one.id async for one in client.jobs.list()] == [job.id]
        with pytest.raises(AuthError, match="--jobs-root"):
            await client.jobs.create(src, RolloutSink.dir(tmp_path / "elsewhere"), spec="counting")
        with pytest.raises(ModelNotFoundError, match="there is no job"):
            await client.jobs.get("job_none")
