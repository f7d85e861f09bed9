# Generated from tests/_async/test_lake.py by scripts/unasync.py. Edit that file, then run it.
"""Assets of a lake as its client sees them: their sidecars by id, and themselves by path."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

import dreamlake as dl
from dreamlake._sync.lake import Lake
from dreamlake.config import connect, current_lake
from dreamlake.core.kinds import AUDIO, IMAGE, TEXT_TRACK, VIDEO, Kind
from dreamlake.core.targets import DEFAULT_SPACE, Space, parse_space, parse_target
from dreamlake.core.wireassets import ImageMeta, TrackMeta, VideoMeta
from dreamlake.errors import NotFoundError
from tests.clips import real_clip
from tests.recordings import image_bytes

CLIP = real_clip("carphone_distorted.mp4")


def test_a_video_by_id_and_by_path(lake: str) -> None:
    video = dl.upload(CLIP, space="robotics@alice", prefix="/2026/camera", progress=False)
    client = Lake(current_lake())
    object_id = video.uri.rsplit("/", 1)[-1]
    meta = client.asset(VIDEO, object_id)
    assert isinstance(meta, VideoMeta)
    assert meta == client.video(object_id)

    target = parse_target(f"alice@robotics//2026/camera/{CLIP.name}")
    found = client.find(VIDEO, target.space, target.path)
    assert (found.bss_id, found.kind, found.filename, found.size) == (object_id, "video", CLIP.name, meta.size)
    assert found.sha256 == meta.sha256
    assert found == client.find(None, parse_space("robotics@alice"), target.path)
    original = client.send("GET", found.url, key=True)
    assert sha256(original.content).hexdigest() == found.sha256

    for kind, space, path in (
        (AUDIO, target.space, target.path),
        (VIDEO, Space("alice", "robotics", "run-042"), target.path),
        (VIDEO, Space("bob", "robotics"), target.path),
        (None, target.space, "/2026/camera"),
    ):
        with pytest.raises(NotFoundError):
            client.find(kind, space, path)
    with pytest.raises(NotFoundError):
        client.asset(AUDIO, object_id)


def test_your_own_default_space_need_not_be_named(lake: str) -> None:
    video = dl.upload(CLIP, prefix="/mine", progress=False)
    client = Lake(current_lake())
    found = client.find(VIDEO, parse_target(f"//mine/{CLIP.name}").space, f"/mine/{CLIP.name}")
    assert found.bss_id == video.uri.rsplit("/", 1)[-1]
    assert client.asset(VIDEO, found.bss_id).project == DEFAULT_SPACE


@pytest.fixture
def registered(served: str) -> Iterator[dict[str, str]]:
    """The ids of an image and of a text track in the served lake, by their kinds' names."""
    with httpx.Client(base_url=served) as http:

        def call(path: str, **body: object) -> dict[str, Any]:
            answer: dict[str, Any] = http.post(path, json=body).raise_for_status().json()
            return answer

        def add(kind: Kind, name: str, data: bytes) -> str:
            place = {"owner": "carol", "project": "robotics"}
            digest = sha256(data).hexdigest()
            begun = call(f"/{kind.route}/upload/multipart/init", **place, hash=digest[:16])
            if not begun["exists"]:
                upload = {"uploadId": begun["uploadId"], "key": begun["key"]}
                url = call(f"/{kind.route}/upload/multipart/parts", **upload, partNumbers=[1])["parts"]["1"]
                etag = http.put(url, content=data).raise_for_status().headers["etag"]
                parts = [{"partNumber": 1, "etag": etag}]
                call(f"/{kind.route}/upload/multipart/complete", **upload, parts=parts)
            made: str = call(f"/{kind.route}", **place, name=name, stagingHash=digest[:16])["id"]
            return made

        ids = {
            IMAGE.name: add(IMAGE, "/a.png", image_bytes("PNG")),
            TEXT_TRACK.name: add(TEXT_TRACK, "/a.vtt", b"WEBVTT\n"),
        }
    connect(served)
    yield ids
    connect()


def test_sidecars_have_the_type_of_their_kind(registered: dict[str, str]) -> None:
    client = Lake(current_lake())
    image = client.asset(IMAGE, registered[IMAGE.name])
    assert isinstance(image, ImageMeta)
    assert (image.status, image.width, image.height, image.format) == ("ready", 3, 2, "png")
    track = client.asset(TEXT_TRACK, registered[TEXT_TRACK.name])
    assert isinstance(track, TrackMeta)
    assert (track.status, track.name) == ("uploaded", "/a.vtt")
