"""``dreamlake engine``, ``predict`` and ``jobs``: the whole way, from the walk-through to an engine that is killed."""

from __future__ import annotations

import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dreamlake.media.encode import encode_rollout
from dreamlake.media.rollout import decode_mp4
from dreamlake.server.engine.reference import ReferenceCamera

from .test_cli import Command

SIZE = (48, 64)
MODELS = f"""
import time
from dreamlake.server.engine.reference import ReferenceCamera

class Small(ReferenceCamera):
    resolution = {SIZE}

class Slow(Small):
    max_batch = 1

    def predict(self, frames, actions, seeds):
        with open("calls", "a") as file:
            file.write("x")
        time.sleep(0.05)
        return super().predict(frames, actions, seeds)
"""
WALK_THROUGH = """
import dreamlake as dream
from dreamlake.io import frames_from_hf, RolloutSink
client = dream.Client()
src = frames_from_hf(
"kingJulio/dream-engine-example-frames", # public; no token needed
frame_field="start_frame",
actions_field="action_sequence",
)
print(f"rows_hint: {src.rows_hint}") # 16
estimate = client.estimate_cost(src, spec="dreamdojo-2b-gr1")
print(f"rows: {estimate.rows}")
print(f"frames_per_row: {estimate.frames_per_row}")
print(f"total_frames: {estimate.total_frames}")
print(f"total_usd: ${estimate.total_usd:.4f}")
sink = RolloutSink.dir("./out")
result = client.predict_many(
src,
sink,
spec="dreamdojo-2b-gr1",
concurrency=4, # up to 4 in-flight requests at once
on_error="skip", # skip failed rows; use "halt" to stop on first error
progress=True, # tqdm progress bar
)
print(f"ok: {result.ok}")
print(f"failed: {result.failed}")
print(f"output_uri: {result.output_uri}")
import pyarrow.parquet as pq
table = pq.read_table("./out/metadata.parquet")
print(table.schema)
print(table.to_pandas().head())
"""


def start(number: int) -> np.ndarray:
    """The starting frame of a row."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))


def moves(number: int) -> np.ndarray:
    """Its actions, of the shape that the walk-through has."""
    return np.random.default_rng(100 + number).normal(size=(48, 384)).astype(np.float32)


def own(number: int) -> np.ndarray:
    """The rollout of a row, as the reference model computes it outside of any engine."""
    frame = start(number)
    found = ReferenceCamera().predict(frame[None], moves(number)[None], np.zeros(1, np.int64))[0]
    return np.concatenate([frame[None], found])


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(start(number)).save(file, "PNG")
    return file.getvalue()


def episodes(folder: Path, rows: int) -> Path:
    folder.mkdir()
    for number in range(rows):
        (folder / f"row_{number:03d}.png").write_bytes(png(number))
        np.save(folder / f"row_{number:03d}.npy", moves(number))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where everything happens, with the models in it."""
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


@contextmanager
def engine(home: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``dreamlake engine serve`` in a process of its own; its URL, and the process."""
    command = [sys.executable, "-m", "dreamlake.cli", "engine", "serve", "--port", "0", "--data", str(home / "engine")]
    with (home / "engine.log").open("a") as log:
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=log, text=True, cwd=home, env=Command(home).environment
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"at (http://\S+)", line)
        assert found, (line, (home / "engine.log").read_text())
        yield found[1], process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def command(home: Path, url: str) -> Command:
    """The command, for that engine."""
    found = Command(home)
    found.environment["DREAM_BASE_URL"] = url
    return found


def test_the_walk_through(home: Path) -> None:
    """As it is documented, with two names replaced, and the dataset in a folder of its name."""
    import datasets

    rows = {"start_frame": [{"bytes": png(n), "path": None} for n in range(16)]}
    rows["action_sequence"] = [moves(n).tolist() for n in range(16)]
    features = datasets.Features(
        {
            "start_frame": datasets.Image(),
            "action_sequence": datasets.List(datasets.List(datasets.Value("float32"))),
        }
    )
    place = home / "kingJulio/dream-engine-example-frames"
    place.mkdir(parents=True)
    datasets.Dataset.from_dict(rows, features=features).to_parquet(place / "train.parquet")
    # As a dataset on the Hub says of itself how many rows it has.
    datasets.DatasetInfo(
        features=features, splits=datasets.SplitDict({"train": datasets.SplitInfo("train", num_examples=16)})
    ).write_to_directory(str(place))
    info = datasets.info.DatasetInfosDict({"default": datasets.DatasetInfo.from_directory(str(place))})
    info.write_to_directory(str(place))
    options = ("--model", "models:Small", "--slug", "dreamdojo-2b-gr1", "--encoding", "exact")
    with engine(home, *options) as (url, _):
        environment = {**command(home, url).environment, "HF_HOME": str(home / "hf"), "HF_HUB_OFFLINE": "1"}
        ran = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", WALK_THROUGH],
            cwd=home, env=environment, capture_output=True, text=True, timeout=110,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[:8] == [
        "rows_hint: 16",
        "rows: 16",
        "frames_per_row: 49",
        "total_frames: 784",
        "total_usd: $0.3920",
        "ok: 16",
        "failed: 0",
        f"output_uri: {home / 'out'}",
    ]
    table = pq.read_table(home / "out/metadata.parquet").to_pylist()
    assert len(table) == 16
    for number, row in enumerate(table):
        video = (home / "out/videos" / f"{row['row_id']}.mp4").read_bytes()
        assert row["frames"] == 49
        assert np.array_equal(decode_mp4(video), own(number)), number
    with sqlite3.connect(home / "engine/engine.db") as database:
        assert database.execute("SELECT spent FROM customers").fetchall() == [(392_000,)]
    database.close()


def test_predict(home: Path) -> None:
    """The command, on a folder; a second time there is nothing to do."""
    episodes(home / "in", 3)
    (home / "in/row_001.npy").write_bytes(b"nothing")
    with engine(home, "--model", "models:Slow") as (url, _):
        run = command(home, url)
        given = (str(home / "in"), str(home / "out"), "--spec", "reference-camera")
        estimate = run("predict", *given, "--estimate").stdout
        assert estimate.split() == [
            "rows:", "3", "frames_per_row:", "49", "total_frames:", "147", "total_usd:", "$0.0735",
        ]  # fmt: skip
        first = run("predict", *given, status=9)
        assert first.stdout.splitlines() == ["ok: 2", "failed: 1", f"output_uri: {home / 'out'}"]
        assert "row_001: " in first.stderr
        np.save(home / "in/row_001.npy", moves(1))
        events = [json.loads(line) for line in run("predict", *given, "--json").stdout.splitlines()]
        assert events[-1] == {
            "event": "done", "ok": 3, "failed": 0, "cost_usd": pytest.approx(0.0735), "output_uri": str(home / "out"),
        }  # fmt: skip
        assert run("predict", *given[:3], "nobody", "--estimate", status=4).stderr.startswith("dreamlake: ")
        for number in range(3):
            video = (home / f"out/videos/row_{number:03d}.mp4").read_bytes()
            assert video == encode_rollout(own(number), 10, "playable")
    assert (home / "calls").read_text() == "xxx"
    assert "dreamlake: no answer from" in run("predict", *given, "--estimate", status=6).stderr


def test_a_job_outlives_an_engine_that_is_killed(home: Path) -> None:
    """SIGKILL at about half of the rows: the next engine finishes, and no row is paid twice."""
    episodes(home / "in", 16)
    options = ("--model", "models:Slow", "--jobs-root", str(home))
    with engine(home, *options) as (url, process):
        run = command(home, url)
        said = run("jobs", "create", str(home / "in"), str(home / "out"), "--spec", "reference-camera", "--json").stdout
        job = json.loads(said)["id"]
        deadline = time.monotonic() + 60
        while len(list((home / "out/videos").glob("*.mp4"))) < 6:
            assert time.monotonic() < deadline, run("jobs", "show", job).stdout
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert len(list((home / "out/videos").glob("*.mp4"))) < 16
    with engine(home, *options) as (url, _):
        run = command(home, url)
        shown = run("jobs", "show", job, "--wait")
        assert f"{job}: succeeded, 16 ok, 0 failed of 16, $0.3920" in shown.stdout
        assert job in run("jobs", "ls").stdout
        assert json.loads(run("jobs", "ls", "--json").stdout)["counts"]["ok"] == 16
        assert run("jobs", "show", "job_none", status=4).stderr.startswith("dreamlake: ")
        assert "succeeded" in run("jobs", "cancel", job).stdout  # it has ended, and stays so
    with sqlite3.connect(home / "engine/engine.db") as database:
        assert database.execute("SELECT spent FROM customers").fetchall() == [(392_000,)]
    database.close()
    table = pq.read_table(home / "out/metadata.parquet").to_pylist()
    assert [row["row_id"] for row in table] == [f"row_{number:03d}" for number in range(16)]
    for number, row in enumerate(table):
        video = (home / "out/videos" / f"{row['row_id']}.mp4").read_bytes()
        assert video == encode_rollout(own(number), 10, "playable")


def test_what_it_is_started_with(home: Path) -> None:
    """What is wrong is one line, and says what to do."""
    ran = subprocess.run(
        [sys.executable, "-m", "dreamlake.cli", "engine", "serve", "--port", "0", "--host", "0.0.0.0"],
        cwd=home, env=Command(home).environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.startswith("dreamlake: 0.0.0.0 can be reached from other machines")
    assert len(ran.stderr.splitlines()) == 1


def test_keys_from_the_environment(home: Path) -> None:
    """They are not seen in a list of processes, nor in the log."""
    environment = Command(home).environment | {"DREAM_ENGINE_KEYS": "dre_one, dre_two"}
    assert environment["DREAM_ENGINE_KEYS"]
    (home / "serve.py").write_text("from dreamlake.cli import main; main()")
    process = subprocess.Popen(
        [sys.executable, "serve.py", "engine", "serve", "--port", "0", "--model", "models:Small"],
        cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    found = re.search(r"at (http://\S+)", process.stdout.readline())
    assert found
    run = command(home, found[1])
    assert run("jobs", "ls", status=5).stderr.startswith("dreamlake: ")
    run.environment["DREAM_API_KEY"] = "dre_two"
    assert run("jobs", "ls", "--json").stdout == ""
    process.terminate()
    log = process.communicate(timeout=30)[1]
    assert process.returncode in (0, -signal.SIGTERM)
    assert "401" in log
    assert "dre_" not in log
