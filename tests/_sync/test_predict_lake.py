# Generated from tests/_async/test_predict_lake.py by scripts/unasync.py. Edit that file, then run it.
"""Bulk inference from the lake into the lake."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import numpy as np
import pytest

import dreamlake as dl
from dreamlake._sync.lake import Lake
from dreamlake.config import current_lake
from dreamlake.errors import UsageError
from dreamlake.io import RolloutSink, frames_from_lake
from tests.clips import real_clip
from tests.predictions import SPEC, STEPS, Engine, actions


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> dl.Client:
    return dl.Client(base_url=engine.url)


def test_from_the_lake_to_the_lake(client: dl.Client, engine: Engine, lake: str) -> None:
    video = dl.upload(real_clip("carphone_distorted.mp4"), space="predictions", path="/in.mp4")
    clips = video.chunk(1.0)
    of_each = np.stack([actions(row) for row in range(len(clips))])
    source = frames_from_lake(clips, of_each)
    assert len(source) == len(clips) > 2
    prefix = f"/rollouts/{lake}-{uuid4().hex}"  # of its own: what is in the sink already is not asked for again
    result = client.predict_many(source, RolloutSink.lake("predictions", prefix), spec=SPEC)
    assert (result.ok, result.failed) == (len(clips), 0)
    assert result.output_uri.endswith(f"predictions/{prefix}")
    found = [entry for entry in dl.ls(prefix, space="predictions")]
    assert len(found) == len(clips)
    stored = dl.load_video(found[1].id)
    assert stored.frames == STEPS + 1
    here = Lake(current_lake())
    query = {"namespace": here.me().namespace, "space": "predictions", "prefix": prefix}
    answer = here.send("GET", f"{here.address.remote}/assets/video", query=query, key=True)
    provenance = answer.json()["items"][1]["metadata"]["rollout"]
    assert provenance["spec"] == SPEC
    assert provenance["metadata"]["source_video"] == video.id
    assert provenance["metadata"]["source_st"] == pytest.approx(clips.st[1])
    again = client.predict_many(frames_from_lake(clips, of_each), RolloutSink.lake("predictions", prefix), spec=SPEC)
    assert again.resumed == len(clips)
    assert len(engine.requests) == len(clips)
    with pytest.raises(UsageError, match="clips and 1 actions"):
        frames_from_lake(clips, of_each[:1])
    assert client.predict(video[0], of_each[0]).num_frames == STEPS + 1
