"""The walk-through of the engine's documentation, word for word but for the names of the packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from datasets import Dataset, Features, Image, List, Value

from tests.predictions import Engine, actions, png

REPO = "kingJulio/dream-engine-example-frames"  # here a folder of that name, which `datasets` takes too
CARD = """---
dataset_info:
  splits:
  - name: train
    num_examples: 16
configs:
- config_name: default
  data_files:
  - split: train
    path: train.parquet
---
"""

WALKTHROUGH = """
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
print(table.to_pandas().head().shape[0])
row = table.to_pandas().iloc[0]
video = dream.load_video(f"./out/videos/{row['row_id']}.mp4")
print(video.numpy().shape)
"""


def write_dataset(folder: Path) -> None:
    """The 16 rows that the documentation is about."""
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    columns = {
        "start_frame": [{"bytes": png(), "path": None}] * 16,
        "action_sequence": [actions(row, 48).tolist() for row in range(16)],
    }
    features = Features({"start_frame": Image(), "action_sequence": List(List(Value("float32")))})
    Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")


def test_the_walk_through(tmp_path: Path) -> None:
    write_dataset(tmp_path / REPO)
    with Engine(api_key="dre_1") as engine:
        environment = {
            **os.environ, "DREAM_API_KEY": "dre_1", "DREAM_BASE_URL": engine.url, "HF_HOME": str(tmp_path / "hf"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }  # fmt: skip
        command = [sys.executable, "-c", WALKTHROUGH]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    assert done.stdout.splitlines() == [
        "rows_hint: 16",
        "rows: 16",
        "frames_per_row: 49",
        "total_frames: 784",
        "total_usd: $0.3920",
        "ok: 16",
        "failed: 0",
        f"output_uri: {tmp_path / 'out'}",
        "5",
        "(49, 32, 32, 3)",
    ], done.stderr
    assert "16/16" in done.stderr
    assert sum(engine.billed.values()) == 16
