"""Sources and sinks against what they are for: real datasets, a real S3 server, and a stand-in for the Hub."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamlake.aio as adl
from dreamlake.errors import SinkError, UsageError
from dreamlake.io import RolloutSink, frames_from_dir, frames_from_hf, frames_from_s3, hfsink, output
from dreamlake.io.rows import encode_actions
from tests.hub import Hub
from tests.predictions import SPEC, STEPS, Engine, actions, metadata, png, rollout, rows
from tests.s3server import BUCKET, S3Server

# Of huggingface_hub itself, when it sends an LFS object.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> adl.AsyncClient:
    return adl.AsyncClient(base_url=engine.url)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)  # there is no such store here
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    with Hub() as hub:
        yield hub


# Datasets of Hugging Face


@pytest.fixture
def datasets_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "dataset"


def make_parquet(folder: Path, count: int, bad: int | None = None) -> Path:
    """A dataset in parquet as ``datasets`` writes it: pictures, actions, and other columns."""
    from datasets import Dataset, Features, Image, List, Value

    moves = List(List(Value("float32")))
    types = {"start_frame": Image(), "action_sequence": moves, "robot": Value("string"), "n": Value("int32")}
    columns = {
        "start_frame": [{"bytes": b"broken" if row == bad else png(), "path": None} for row in range(count)],
        "action_sequence": [actions(row).tolist() for row in range(count)],
        "robot": [f"arm-{row}" for row in range(count)],
        "n": list(range(count)),
    }
    folder.mkdir()
    Dataset.from_dict(columns, features=Features(types)).to_parquet(folder / "train.parquet")
    return folder


async def test_a_dataset_in_parquet(
    client: adl.AsyncClient, engine: Engine, datasets_home: Path, tmp_path: Path
) -> None:
    folder = make_parquet(datasets_home, 16, bad=5)
    source = frames_from_hf(str(folder), frame_field="start_frame", actions_field="action_sequence")
    source.rows_hint = 16
    assert (await client.estimate_cost(source, spec=SPEC)).frames_per_row == STEPS + 1
    result = await client.predict_many(source, RolloutSink.dir(tmp_path / "out"), spec=SPEC)
    assert (result.ok, result.failed) == (15, 1)
    assert [(row.row_id, row.attempts) for row in result.failures] == [("row_00000005", 0)]
    assert engine.rows() == {*range(16)} - {5}
    lines = metadata(tmp_path / "out")
    assert [line["row_id"] for line in lines] == [f"row_{row:08d}" for row in range(16) if row != 5]
    assert lines[3]["metadata"] == '{"robot":"arm-3","n":3}'
    again = frames_from_hf(str(folder), id_field="robot")
    assert [row.row_id for row in again][:2] == ["arm-0", "arm-1"]
    assert len(list(again)) == 16  # a fresh pass each time


async def test_a_folder_of_pictures_as_a_dataset(
    client: adl.AsyncClient, engine: Engine, datasets_home: Path, tmp_path: Path
) -> None:
    import json

    folder = datasets_home / "train"
    folder.mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w") as file:
        for row in range(5):
            (folder / f"{row}.png").write_bytes(png())
            line = {"file_name": f"{row}.png", "moves": actions(row).tolist()}
            file.write(json.dumps(line) + "\n")
    source = frames_from_hf(str(datasets_home), frame_field="image", actions_field="moves")
    result = await client.predict_many(source, RolloutSink.dir(tmp_path / "out"), spec=SPEC)
    assert (result.ok, result.failed) == (5, 0)
    assert engine.rows() == set(range(5))


async def test_what_is_wrong_with_a_dataset_is_said(datasets_home: Path) -> None:
    folder = make_parquet(datasets_home, 2)
    with pytest.raises(UsageError, match="no column 'frame'; it has start_frame, action_sequence"):
        frames_from_hf(str(folder), frame_field="frame")
    with pytest.raises(UsageError, match="test"):
        frames_from_hf(str(folder), split="test")
    with pytest.raises(UsageError, match="nowhere"):
        frames_from_hf(str(datasets_home / "nowhere"))


async def test_rollouts_are_committed_to_a_dataset(
    client: adl.AsyncClient, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (hfsink.FILES, output.SHARD_ROWS) == (500, 500)
    monkeypatch.setattr(hfsink, "FILES", 50)  # a tenth of it all, so that it takes a tenth of the time
    monkeypatch.setattr(output, "SHARD_ROWS", 50)
    hub.token = "hf_1"
    sink = RolloutSink.hf("me/out", token="hf_1", private=True, endpoint=hub.url)
    result = await client.predict_many(rows(62), sink, spec=SPEC, concurrency=16)
    assert (result.ok, result.failed, result.output_uri) == (62, 0, "hf://datasets/me/out")
    assert hub.private is True
    assert max(len(commit) for commit in hub.commits) <= 50
    assert len(hub.commits) <= 3
    videos = {path: data for path, data in hub.files.items() if path.startswith("videos/")}
    assert videos == {f"videos/run-{row:04d}.mp4": rollout(row) for row in range(62)}
    assert hub.files.keys() - videos.keys() == {"metadata.parquet"}
    assert "metadata.parquet" in hub.commits[-1]
    assert sum("metadata.parquet" in commit for commit in hub.commits) == 1
    (tmp_path / "metadata.parquet").write_bytes(hub.files["metadata.parquet"])
    lines = metadata(tmp_path)
    assert [line["row_id"] for line in lines] == [f"run-{row:04d}" for row in range(62)]
    spool = list((tmp_path / "home" / "runs").rglob("*.mp4"))
    assert spool == []
    again = await client.predict_many(rows(62), sink, spec=SPEC)
    assert (again.ok, again.resumed) == (62, 62)


async def test_what_was_not_committed_is_committed_by_the_next_call(
    client: adl.AsyncClient, engine: Engine, hub: Hub
) -> None:
    hub.failures = deque([403])
    with pytest.raises(SinkError, match="hf://datasets/me/out") as caught:
        await client.predict_many(rows(20), RolloutSink.hf("me/out", endpoint=hub.url), spec=SPEC)
    assert caught.value.result.ok == 20
    assert hub.files == {}
    hub.failures = deque([503])  # passes
    result = await client.predict_many(rows(20), RolloutSink.hf("me/out", endpoint=hub.url), spec=SPEC)
    assert (result.ok, result.resumed) == (20, 20)
    assert len(engine.requests) == 20
    assert len(hub.files) == 21
    hub.files["metadata.parquet"] = b"of others"
    with pytest.raises(SinkError, match="no journal knows"):
        await client.predict_many(rows(1), RolloutSink.hf("me/other", endpoint=hub.url), spec=SPEC)


# S3


async def test_from_s3_to_s3(
    client: adl.AsyncClient, engine: Engine, s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3.use(monkeypatch)
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    from dreamlake.media.s3 import client as s3_client

    store = s3_client("the test")
    for row in range(12):
        store.put_object(Bucket=BUCKET, Key=f"in/{row:02d}.png", Body=png())
        if row != 4:
            store.put_object(Bucket=BUCKET, Key=f"in/{row:02d}.npy", Body=encode_actions(actions(row)))
    source = frames_from_s3(f"s3://{BUCKET}/in")
    assert source.rows_hint is None
    sink = RolloutSink.s3(f"s3://{BUCKET}/out/1/")
    result = await client.predict_many(source, sink, spec=SPEC)
    assert (result.ok, result.failed, result.output_uri) == (11, 1, f"s3://{BUCKET}/out/1")
    assert "there is no s3://" in str(result.failures[0].error)

    def read(name: str) -> bytes:
        body: bytes = store.get_object(Bucket=BUCKET, Key=f"out/1/{name}")["Body"].read()
        return body

    assert read("videos/07.mp4") == rollout(7)
    (tmp_path / "metadata.parquet").write_bytes(read("metadata.parquet"))
    assert [line["row_id"] for line in metadata(tmp_path)] == [f"{row:02d}" for row in range(12) if row != 4]
    store.delete_object(Bucket=BUCKET, Key="out/1/videos/07.mp4")
    sent = len(engine.requests)
    again = await client.predict_many(source, RolloutSink.s3(f"s3://{BUCKET}/out/1"), spec=SPEC)
    assert (again.ok, again.resumed) == (11, 10)
    assert [request.row for request in engine.requests[sent:]] == [7]
    assert read("videos/07.mp4") == rollout(7)
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "another"))
    with pytest.raises(SinkError, match="no journal knows"):
        await client.predict_many(source, sink, spec=SPEC)


# Folders


def test_names_of_folders_are_paired(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "a/1.png", "c.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png())
    source = frames_from_dir(tmp_path, recursive=True, actions_glob="*_moves.npy")
    assert source.rows_hint == 3
    found = [(row.row_id, Path(row.actions).name) for row in source]
    assert found == [("a/1", "1_moves.npy"), ("b/2", "2_moves.npy"), ("c", "c_moves.npy")]
    assert [row.row_id for row in frames_from_dir(tmp_path)] == ["c"]
    with pytest.raises(UsageError, match="one star"):
        frames_from_dir(tmp_path, actions_glob="actions.npy")
    with pytest.raises(FileNotFoundError):
        frames_from_dir(tmp_path / "nowhere")


def test_a_frame_of_any_depth_and_mode_is_sent_as_rgb() -> None:
    from PIL import Image

    from dreamlake.io.rows import encode_frame

    for mode in ("L", "RGBA", "P", "CMYK", "I;16"):
        data, media_type = encode_frame(Image.new(mode, (8, 8)))
        picture: Any = Image.open(io.BytesIO(data))
        assert (picture.mode, picture.size, media_type) == ("RGB", (8, 8), "image/png")
