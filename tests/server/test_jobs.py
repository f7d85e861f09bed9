"""The queue and its runner: a job is done once, survives whoever worked on it, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dreamlake.server.database import Database
from dreamlake.server.lake import new_id
from dreamlake.server.lambdas import runner
from dreamlake.server.lambdas.jobs import MAX_ATTEMPTS, claim, enqueue
from dreamlake.server.lambdas.leases import LEASE_SECONDS
from dreamlake.server.schema import jobs
from tests.clips import X264, Clip, decode_plain

from ._lake import WAIT, Client, lake_settings, on_sqlite, opened, until


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short video."""
    folder = tmp_path_factory.mktemp("clips")
    return Clip(options={**X264, "g": "15"}, frames=30).make(folder / "a.mp4").read_bytes()


@pytest.fixture(scope="module")
def slow_recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video that has to be encoded anew, which takes a second or more."""
    folder = tmp_path_factory.mktemp("clips")
    made = Clip(codec="mpeg4", options={"b": "8M"}, suffix=".avi", size=(960, 544), frames=90)
    return made.make(folder / "slow.avi").read_bytes()


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker process a lake, so that it is known which one has the job."""
    monkeypatch.setattr(runner, "SLOTS", 1)


async def the_job(client: Client) -> Any:
    [row] = await client.rows(jobs)
    return row


async def job_is(client: Client, state: str) -> Any:
    async def check() -> Any:
        row = await the_job(client)
        return row if row.state == state else None

    return await until(check, f"the job to be {state}")


async def worker(client: Client, after: int | None = None) -> int:
    """The process id of the lake's one worker, once it runs and is another than the one before."""
    [only] = client.lake.runner._workers

    async def check() -> int | None:
        process = only._process
        running = process is not None and process.returncode is None and process.pid != after
        return process.pid if running else None

    found: int = await until(check, "a worker process")
    return found


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ended(pid: int) -> None:
    async def check() -> bool:
        return not runs(pid)

    await until(check, f"process {pid} to end")


@asynccontextmanager
async def stuck_job(client: Client, data: bytes) -> AsyncIterator[tuple[str, int]]:
    """A video whose job has begun and does not go on, because its worker is stopped; its id and the worker's."""
    asset = await client.add("/a.mp4", data)  # the upload has started a worker
    pid = await worker(client)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert (await client.trigger(asset)).status_code == 202
        await job_is(client, "running")
        yield asset, pid
    finally:
        if runs(pid):
            os.kill(pid, signal.SIGCONT)


# -- once ----------------------------------------------------------------------------------------------------------


async def test_a_job_runs_once_however_often_it_is_triggered(lake_client: Client, recording: bytes) -> None:
    asset = await lake_client.add("/a.mp4", recording)
    answers = await asyncio.gather(*(lake_client.trigger(asset) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json()["id"] for answer in answers} == {asset}
    meta = await lake_client.finished(asset)
    assert meta["status"] == "ready"
    answer = await lake_client.trigger(asset)
    assert answer.json() == {"id": asset, "status": "ready"}
    row = await the_job(lake_client)
    assert (row.state, row.attempts, row.action, row.error) == ("done", 1, "hls-split", None)
    assert (row.lease_owner, row.lease_until) == (None, None)
    assert (await lake_client.meta(asset))["updatedAt"] == meta["updatedAt"]


async def test_a_failed_job_says_why_and_may_be_tried_again(lake_client: Client) -> None:
    asset = await lake_client.add("/garbage.mp4", b"garbage" * 1000)
    await lake_client.trigger(asset)
    meta = await lake_client.finished(asset)
    assert meta["status"] == "failed"
    assert "garbage.mp4" in meta["error"]
    assert "video" in meta["error"]
    assert "/tmp" not in meta["error"]
    row = await the_job(lake_client)
    assert (row.state, row.attempts) == ("failed", 1)  # trying the same bytes again does not help by itself

    answer = await lake_client.trigger(asset)
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    assert (await lake_client.finished(asset))["status"] == "failed"
    again = await job_is(lake_client, "failed")
    assert (again.id, again.attempts) == (row.id, 1)


async def test_a_retrigger_succeeds_when_the_cause_is_gone(lake_client: Client, recording: bytes) -> None:
    asset = await lake_client.add("/a.mp4", recording)
    key = (await lake_client.meta(asset))["hash"]
    staged = lake_client.data / "objects/alice/robotics/staging" / key
    staged.rename(staged.with_name("away"))
    await lake_client.trigger(asset)
    failed = await lake_client.finished(asset)
    assert failed["status"] == "failed"
    assert failed["error"]
    assert (await job_is(lake_client, "failed")).attempts == MAX_ATTEMPTS

    staged.with_name("away").rename(staged)
    await lake_client.trigger(asset)
    meta = await lake_client.finished(asset)
    assert (meta["status"], meta["error"], meta["frames"]) == ("ready", None, 30)


async def test_while_a_job_is_tried_again_its_old_error_is_not_shown(
    one_slot: None, lake_client: Client, recording: bytes
) -> None:
    asset = await lake_client.add("/garbage.mp4", b"garbage" * 1000)
    await lake_client.trigger(asset)
    await lake_client.finished(asset)
    pid = await worker(lake_client)
    os.kill(pid, signal.SIGSTOP)
    try:
        await lake_client.trigger(asset)
        meta = await lake_client.meta(asset)
        assert (meta["status"], meta["error"]) == ("processing", None)
    finally:
        os.kill(pid, signal.SIGCONT)


@on_sqlite
async def test_progress_appears_in_the_metadata(lake_client: Client, slow_recording: bytes) -> None:
    asset = await lake_client.add("/slow.avi", slow_recording)
    assert (await lake_client.meta(asset))["progress"] is None
    await lake_client.trigger(asset)
    seen = []

    async def check() -> bool:
        meta = await lake_client.meta(asset)
        if meta["status"] == "processing":
            seen.append(meta["progress"])
        return meta["status"] == "ready"

    await until(check, "the video to be ready")
    assert seen == sorted(seen)
    assert any(0 < progress < 1 for progress in seen), seen
    assert (await lake_client.meta(asset))["progress"] is None


async def test_a_job_is_claimed_once(lake_data: Path) -> None:
    """By whoever asks at the same moment, from two servers: new ones, and those whose leases have ended."""
    async with opened(lake_data) as client:
        ids = [await client.add(f"/{n}.mp4", b"data") for n in range(20)]
    databases = [Database(lake_settings(lake_data).database_url) for _ in range(2)]
    async with databases[0].write() as connection:
        await enqueue(connection, [(new_id(), asset, "hls-split") for asset in ids])
        lost = {"state": "running", "attempts": 1, "lease_owner": "elsewhere/1/abc", "lease_until": time.time() - 1}
        await connection.execute(jobs.update().where(jobs.c.asset_id.in_(ids[::2])).values(**lost))
    claims = await asyncio.gather(*(claim(databases[n % 2], f"here/{n}/abc") for n in range(60)))
    # Whoever is turned away by somebody faster asks again a moment later.
    while (late := await claim(databases[0], "here/late/abc")) is not None:
        claims.append(late)
    taken = [found for found in claims if found is not None]
    assert sorted(found.asset.id for found in taken) == sorted(ids)
    assert all(found.attempts == (2 if ids.index(found.asset.id) % 2 == 0 else 1) for found in taken)
    for database in databases:
        await database.close()


async def test_what_was_deleted_meanwhile_gets_no_job(lake_client: Client) -> None:
    """Also where it is one of several, and the others get theirs."""
    there, gone = await lake_client.add("/a.mp4", b"one"), await lake_client.add("/b.mp4", b"two")
    deleting = asyncio.create_task(lake_client.http.delete(f"/videos/{gone}"))
    answers = await asyncio.gather(lake_client.trigger(there), lake_client.trigger(gone), lake_client.trigger(gone))
    assert answers[0].status_code == 202
    assert {answer.status_code for answer in answers[1:]} <= {202, 404}
    assert (await deleting).status_code == 204
    assert (await lake_client.trigger(gone)).status_code == 404
    async with lake_client.lake.database.write() as connection:
        assert await enqueue(connection, [(new_id(), asset, "hls-split") for asset in (gone, there)]) == {there}
    assert [row.asset_id for row in await lake_client.rows(jobs)] == [there]


# -- leases --------------------------------------------------------------------------------------------------------


async def test_a_dead_process_loses_its_lease_at_once(lake_data: Path, recording: bytes) -> None:
    async with opened(lake_data) as client:
        asset = await client.add("/a.mp4", recording)
    code = """
import asyncio, sys
from dreamlake.server.database import Database
from dreamlake.server.lambdas.jobs import claim, enqueue
from dreamlake.server.lambdas.leases import new_holder
async def main():
    database = Database(sys.argv[1])
    async with database.write() as connection:
        await enqueue(connection, [("0" * 24, sys.argv[2], "hls-split")])
    print((await claim(database, new_holder())).asset.id, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, lake_settings(lake_data).database_url, asset, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()).decode().strip() == asset
    process.kill()
    await process.wait()

    async with opened(lake_data) as client:
        row = await the_job(client)
        until_then = row.lease_until or time.time() + LEASE_SECONDS
        assert (await client.finished(asset))["status"] == "ready"
        assert time.time() < until_then
        assert (await the_job(client)).attempts == 2


async def test_a_lease_of_another_host_waits_for_its_end(
    lake_data: Path, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.1)
    async with opened(lake_data) as client:
        asset = await client.add("/a.mp4", recording)
        end = time.time() + 2
        async with client.lake.database.write() as connection:
            await enqueue(connection, [(new_id(), asset, "hls-split")])
            holder = f"not-{socket.gethostname()}/1/abcdef01"
            await connection.execute(
                jobs.update().values(state="running", attempts=1, lease_owner=holder, lease_until=end)
            )
        await client.lake.runner.wake()

        async def taken() -> bool:
            row = await the_job(client)
            return bool(row.lease_owner != holder)

        await until(taken, "the lease to be taken over")
        assert time.time() >= end
        assert (await client.finished(asset))["status"] == "ready"
        assert (await the_job(client)).attempts == 2


async def test_a_lake_that_closes_gives_its_jobs_back(one_slot: None, lake_data: Path, recording: bytes) -> None:
    async with opened(lake_data) as client, stuck_job(client, recording) as (asset, pid):
        pass_on = client.lake.runner.stop()
        await pass_on
        row = await the_job(client)
        assert (row.state, row.attempts, row.lease_owner) == ("queued", 0, None)
        await ended(pid)
    async with opened(lake_data) as client:
        assert (await client.finished(asset))["status"] == "ready"
        assert (await the_job(client)).attempts == 1


@on_sqlite
async def test_an_idle_worker_ends_and_a_new_one_takes_the_next_job(
    one_slot: None, lake_data: Path, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(runner, "REST_SECONDS", 0.1)
    async with opened(lake_data) as client:
        one = await client.ready("/one.mp4", recording)
        row = await the_job(client)
        assert (row.state, row.lease_owner) == ("done", None)
        [only] = client.lake.runner._workers

        async def check() -> bool:
            return only._process is None

        await until(check, "the idle worker to end")
        two = await client.ready("/two.mp4", recording)
        assert one["streams"] == two["streams"]


@on_sqlite
async def test_no_worker_outlives_its_lake(one_slot: None, lake_data: Path) -> None:
    async with opened(lake_data) as client:
        await client.stage(b"data")
        pid = await worker(client)
    await ended(pid)


# -- workers that end ----------------------------------------------------------------------------------------------


async def test_a_worker_that_is_killed_is_replaced(
    one_slot: None, lake_client: Client, recording: bytes, tmp_path: Path
) -> None:
    async with stuck_job(lake_client, recording) as (asset, pid):
        os.kill(pid, signal.SIGKILL)
        meta = await lake_client.finished(asset)
    assert (meta["status"], meta["error"], meta["frames"]) == ("ready", None, 30)
    row = await the_job(lake_client)
    assert (row.state, row.attempts, row.error) == ("done", 2, None)
    assert await worker(lake_client, after=pid)


@on_sqlite
async def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_wrong(
    one_slot: None, lake_client: Client, slow_recording: bytes, tmp_path: Path
) -> None:
    asset = await lake_client.add("/slow.avi", slow_recording)
    pid = await worker(lake_client)
    await lake_client.trigger(asset)

    async def half_way() -> bool:
        return bool((await the_job(lake_client)).progress > 0)

    await until(half_way, "some progress")
    os.kill(pid, signal.SIGKILL)
    meta = await lake_client.finished(asset)
    assert meta["status"] == "ready"
    assert meta["frames"] == 90
    playlist = await lake_client.http.get(f"/videos/{asset}/stream/{meta['streams'][0]}.m3u8")
    uris = [line for line in playlist.text.splitlines() if line.startswith("http")]
    chunks = [(await lake_client.http.get(uri)).raise_for_status().content for uri in uris]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(chunks))  # transport streams may be joined
    assert len(await asyncio.to_thread(decode_plain, whole)) == 90


async def test_a_job_that_kills_its_workers_is_given_up(one_slot: None, lake_client: Client, recording: bytes) -> None:
    async with stuck_job(lake_client, recording) as (asset, pid):
        for attempt in range(1, MAX_ATTEMPTS + 1):
            os.kill(pid, signal.SIGKILL)
            await ended(pid)
            if attempt == MAX_ATTEMPTS:
                break
            pid = await worker(lake_client, after=pid)  # the next one, stopped before it can answer
            os.kill(pid, signal.SIGSTOP)

            async def begun(attempt: int = attempt) -> bool:
                return bool((await the_job(lake_client)).attempts == attempt + 1)

            await until(begun, "the next attempt")
        meta = await lake_client.finished(asset)
    assert meta["status"] == "failed"
    assert "process ended" in meta["error"]
    row = await job_is(lake_client, "failed")
    assert row.attempts == MAX_ATTEMPTS

    await lake_client.trigger(asset)
    assert (await lake_client.finished(asset))["status"] == "ready"


@on_sqlite
async def test_a_job_has_a_time_limit(one_slot: None, lake_data: Path, recording: bytes) -> None:
    async with opened(lake_data, worker_seconds=0.5) as client, stuck_job(client, recording) as (asset, pid):
        meta = await client.finished(asset)
        assert meta["status"] == "failed"
        assert "longer than" in meta["error"]
        await ended(pid)
        assert (await job_is(client, "failed")).attempts == 1


# -- two lakes on one folder ---------------------------------------------------------------------------------------


async def test_two_lakes_share_the_queue(
    one_slot: None, lake_data: Path, recording: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "REST_SECONDS", 0.2)
    async with opened(lake_data) as one, opened(lake_data) as two:
        async with stuck_job(one, recording) as (stuck, _):
            # The worker of the one is held up, so the next job is the other's.
            asset = await one.add("/b.mp4", recording)
            await one.trigger(asset)
            assert (await one.finished(asset))["status"] == "ready"
            assert (await two.meta(asset))["status"] == "ready"
            assert (await two.meta(stuck))["status"] == "processing"
            rows = {row.asset_id: row for row in await one.rows(jobs)}
            assert rows[stuck].lease_owner == one.lake.runner._holder
            assert rows[asset].attempts == 1
        assert (await two.finished(stuck))["status"] == "ready"

        made = await asyncio.gather(*(client.add(f"/{n}.mp4", recording) for n in range(4) for client in (one, two)))
        await asyncio.gather(*(client.trigger(asset) for asset in made for client in (one, two)))
        for asset in made:
            assert (await two.finished(asset))["status"] == "ready"
        assert {row.attempts for row in await one.rows(jobs)} == {1}


async def test_a_deleted_video_takes_its_job_along(one_slot: None, lake_client: Client, recording: bytes) -> None:
    async with stuck_job(lake_client, recording) as (asset, pid):
        assert (await lake_client.http.delete(f"/videos/{asset}")).status_code == 204
        assert await lake_client.rows(jobs) == []
        os.kill(pid, signal.SIGCONT)
        other = await lake_client.ready("/other.mp4", recording)  # by the same worker, when it is done with the first
    assert other["status"] == "ready"
    left = lake_client.data / "objects/alice/robotics/videos" / asset
    assert not [path for path in left.rglob("*") if path.is_file()]


assert WAIT > LEASE_SECONDS  # so that a lease that is not taken over fails a test, and not the wait for it
