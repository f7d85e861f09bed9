"""Bulk inference in processes that are killed and interrupted: nothing is sent twice, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dreamlake as dl
from dreamlake.io import RolloutSink
from tests.predictions import SPEC, Engine, metadata, rollout, rows

CODE = """
import sys
from tests.predictions import SPEC, rows
from dreamlake.io import RolloutSink

mode, url, out, count, concurrency = sys.argv[1:]
call = dict(spec=SPEC, concurrency=int(concurrency), progress=False)
if mode == "blocking":
    import dreamlake as dl
    dl.Client(base_url=url).predict_many(rows(int(count)), RolloutSink.dir(out), **call)
else:
    import asyncio
    import dreamlake.aio as adl
    asyncio.run(adl.AsyncClient(base_url=url).predict_many(rows(int(count)), RolloutSink.dir(out), **call))
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


def started(mode: str, engine: Engine, out: Path, count: int, concurrency: int) -> subprocess.Popen[str]:
    """Another process that predicts."""
    command = [sys.executable, "-c", CODE, mode, engine.url, str(out), str(count), str(concurrency)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("mode", ["blocking", "async"])
def test_killed_at_half_of_the_rows_the_next_call_does_the_other_half(
    engine: Engine, tmp_path: Path, mode: str
) -> None:
    out, count, concurrency = tmp_path / "out", 200, 4
    engine.seconds = 0.01
    process = started(mode, engine, out, count, concurrency)
    wait_until(lambda: len(engine.requests) >= count // 2)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: engine.running == 0)
    finished = {path.stem for path in (out / "videos").glob("run-*.mp4")}
    assert count // 2 - 2 * concurrency <= len(finished) < count
    assert not (out / "metadata.parquet").exists()
    sent = len(engine.requests)

    result = dl.Client(base_url=engine.url).predict_many(rows(count), RolloutSink.dir(out), spec=SPEC, progress=False)
    assert (result.ok, result.failed) == (count, 0)
    again = [f"run-{request.row:04d}" for request in engine.requests[sent:]]
    assert len(again) == len(set(again))
    # Only what the process had not noted when it died was sent again: at most what it had under way.
    assert sent + len(again) - count <= 2 * concurrency
    assert result.resumed == count - len(again)
    assert len(finished & set(again)) <= 2 * concurrency
    assert engine.billed == dict.fromkeys(range(count), 1)
    assert all(len(engine.keys(row)) == 1 for row in range(count))
    lines = metadata(out)
    assert [line["row_id"] for line in lines] == [f"run-{row:04d}" for row in range(count)]
    assert [line["source_index"] for line in lines] == list(range(count))
    assert sorted(path.name for path in (out / "videos").iterdir()) == [f"run-{row:04d}.mp4" for row in range(count)]
    assert (out / "videos" / "run-0123.mp4").read_bytes() == rollout(123)


@pytest.mark.parametrize("mode", ["blocking", "async"])
def test_interrupted_it_waits_for_what_is_under_way_and_says_how_to_go_on(
    engine: Engine, tmp_path: Path, mode: str
) -> None:
    out = tmp_path / "out"
    engine.seconds = 0.2
    process = started(mode, engine, out, 100, 4)
    wait_until(lambda: len(engine.requests) >= 8)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    done = len(metadata(out))
    assert f"stopped: {done} rollouts are in {out}; the same call again goes on from there" in said
    assert len(engine.requests) == done < 100
    assert sum(engine.billed.values()) == done
    engine.seconds = 0.0
    result = dl.Client(base_url=engine.url).predict_many(rows(100), RolloutSink.dir(out), spec=SPEC, progress=False)
    assert (result.ok, result.resumed) == (100, done)
    assert engine.billed == dict.fromkeys(range(100), 1)


@pytest.mark.parametrize("mode", ["blocking", "async"])
def test_interrupted_twice_it_ends_at_once(engine: Engine, tmp_path: Path, mode: str) -> None:
    engine.seconds = 30.0
    process = started(mode, engine, tmp_path / "out", 20, 2)
    wait_until(lambda: engine.running == 2)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Ctrl-C again stops at once" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert engine.running == 2  # nobody has waited for it
    assert not (tmp_path / "out" / "metadata.parquet").exists()
