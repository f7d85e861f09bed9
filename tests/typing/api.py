"""What type checkers know of the public API; ``make check`` runs mypy over this file."""

from typing import Any, assert_type

import PIL.Image
import torch
from numpy.typing import NDArray

import dreamlake as dl
import dreamlake.aio as adl
from dreamlake.io import RolloutSink

Pixels = NDArray[Any]  # of the type that was asked for


def blocking() -> None:
    video = assert_type(dl.load_video("v-0000000000000001"), dl.Video)
    assert_type(video[0], dl.Video)
    assert_type(video[1.0:2.0], dl.Video)
    assert_type(video.fps, float)
    assert_type(video.frames, int)
    assert_type(video.image, PIL.Image.Image)
    assert_type(video.numpy(), Pixels)
    assert_type(video.tensor(), torch.Tensor)
    for picture in video.iterator():
        assert_type(picture, Pixels)
    for frame in video:
        assert_type(frame, dl.Video)
    for entry in dl.ls("/camera", recursive=True):
        assert_type(entry, dl.Entry)
    assert_type(dl.move(entry, "/x"), dl.Entry)
    clips = assert_type(video.chunk(0.2), dl.VideoArray)
    assert_type(clips[0], dl.Video)
    assert_type(clips[0, 1.5], dl.Video)
    assert_type(clips[1:3], dl.VideoArray)
    assert_type(clips[:, 0], dl.VideoArray)
    assert_type(clips + video, dl.VideoArray)
    assert_type(clips.tensor(), torch.Tensor)
    for batch in clips.iterator(batch_size=8):
        assert_type(batch, Pixels)
    client = dl.Client()
    assert_type(client.predict(b"", [[0.0]]), dl.Rollout)
    assert_type(client.predict_many([], RolloutSink.dir("out"), spec="x"), dl.PredictResult)
    assert_type(client.estimate_cost([], spec="x").total_usd, float | None)


async def awaited() -> None:
    video = assert_type(await adl.load_video("v-0000000000000001"), adl.AsyncVideo)
    assert_type(video[0], adl.AsyncVideo)
    assert_type(await video.image, PIL.Image.Image)
    assert_type(await video.thumbnail, PIL.Image.Image)
    assert_type(await video.numpy(), Pixels)
    uploaded: adl.AsyncVideo = await adl.upload("video.mp4")  # what it is follows from the file
    assert_type(uploaded[0], adl.AsyncVideo)
    assert_type(video.chunk(0.2, by_iframe=True)[:, 0], adl.AsyncVideoArray)
    assert_type(await video.chunk(0.2).numpy(), Pixels)
    async for entry in adl.find("*.mp4"):
        assert_type(entry, adl.Entry)
    async for picture in video.iterator():
        assert_type(picture, Pixels)
    assert_type(await adl.AsyncClient().predict_many([], RolloutSink.dir("out"), spec="x"), adl.PredictResult)
