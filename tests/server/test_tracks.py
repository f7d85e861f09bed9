"""Tracks through the storage service: chunks, playlists, sidecars, new versions (seed 3)."""

from __future__ import annotations

import asyncio
import json
import re
from hashlib import sha256
from typing import Any

import av
import httpx
import pytest

from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, Kind
from dreamlake.server.gc import collect
from dreamlake.server.schema import bss_assets

from ._garbage import grow_old, objects
from ._lake import Client, on_sqlite, over_tcp, until

THREE = b"""\
{"ts": 0.0, "dt": 0.5, "label": "person", "confidence": 0.95, "bbox": [100, 50, 200, 150]}
{"ts": 0.5, "dt": 0.033, "fs": 15, "fe": 15, "label": "car", "bbox": [300, 200, 450, 350]}
{"ts": 1.0, "dt": 0.033, "fs": 30, "fe": 30, "label": "person", "bbox": [110, 55, 210, 155]}
"""
OVERLAP = b'{"ts": 29.5, "dt": 1.0, "label": "cup"}\n'
MEGABYTE = b'{"ts": 0, "dt": 1, "mask": "' + b"a" * 1024**2 + b'"}\n'


async def read_playlist(client: Client, meta: dict[str, Any], kind: Kind = LABEL_TRACK, stream: int = 0) -> list[str]:
    answer = await client.http.get(f"/{kind.route}/{meta['id']}/stream/{meta['streams'][stream]}.m3u8")
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    return answer.raise_for_status().text.splitlines()


async def read_chunks(client: Client, meta: dict[str, Any], kind: Kind = LABEL_TRACK) -> list[bytes]:
    urls = [line for line in await read_playlist(client, meta, kind) if line.startswith("http")]
    answers = [(await client.http.get(url)).raise_for_status() for url in urls]
    for url, answer in zip(urls, answers, strict=True):
        name = re.search(r"/chunks/([0-9a-f]{16})\.(jsonl|vtt)\?", url)
        assert name is not None
        assert sha256(answer.content).hexdigest().startswith(name[1])
    return [answer.content for answer in answers]


@on_sqlite
async def test_the_three_lines_of_seed_3(lake_client: Client) -> None:
    meta = await lake_client.ready("/detections.jsonl", THREE, LABEL_TRACK)
    documented = {
        "labelId": meta["id"], "owner": "alice", "project": "robotics", "name": "/detections.jsonl", "entryCount": 3,
        "startTime": 0.0, "endTime": 1.033, "startFrame": 15, "endFrame": 30,
        "fields": ["bbox", "confidence", "label"], "streams": meta["streams"],
    }  # fmt: skip
    assert {name: meta[name] for name in documented} == documented
    assert "updatedAt" in meta
    stored = await objects(lake_client.lake.storage)
    folder = f"alice/robotics/tracks/labels/{meta['id']}"
    [chunk] = [key for key in stored if key.startswith("chunks/")]
    assert chunk == f"chunks/{sha256(THREE).hexdigest()[:16]}.jsonl"
    staging = f"alice/robotics/staging/{sha256(THREE).hexdigest()[:16]}"
    assert set(stored) >= {staging, f"{folder}/meta.json", f"{folder}/stream/{meta['streams'][0]}.m3u8", chunk}
    assert json.loads(await lake_client.lake.storage.read(f"{folder}/meta.json"))["labelId"] == meta["id"]
    assert await read_chunks(lake_client, meta) == [THREE]


@on_sqlite
async def test_the_overlap_of_seed_3(lake_client: Client) -> None:
    inside = b'{"ts": 1.0, "dt": 1.0}\n', b'{"ts": 45.0, "dt": 1.0}\n'
    meta = await lake_client.ready("/detections.jsonl", inside[1] + OVERLAP + inside[0], LABEL_TRACK)
    assert await read_chunks(lake_client, meta) == [inside[0] + OVERLAP, OVERLAP + inside[1]]
    assert (meta["entryCount"], meta["startFrame"], meta["endFrame"]) == (3, None, None)
    durations = [line for line in await read_playlist(lake_client, meta) if line.startswith("#EXTINF")]
    assert durations == ["#EXTINF:30.000000,"] * 2


@on_sqlite
async def test_csv_becomes_jsonl(lake_client: Client) -> None:
    data = b"ts,dt,label,confidence\r\n0,0.5,person,0.95\r\n31,0,car,\r\n"
    meta = await lake_client.ready("/detections.csv", data, LABEL_TRACK)
    chunks = [[json.loads(line) for line in chunk.splitlines()] for chunk in await read_chunks(lake_client, meta)]
    assert chunks == [
        [{"ts": 0, "dt": 0.5, "label": "person", "confidence": 0.95}],
        [{"ts": 31, "dt": 0, "label": "car"}],
    ]


@on_sqlite
async def test_the_formats_of_text_tracks(lake_client: Client) -> None:
    vtt = b"WEBVTT\n\nSTYLE\n::cue { color: red }\n\n1\n00:00:29.500 --> 00:00:30.500 align:start\n<b>a</b>\n"
    srt = b"1\n00:00:29,500 --> 00:00:30,500\na & b\n"
    said = b'{"ts": 29.5, "dt": 1, "text": "a"}\n{"st": 40, "et": 41, "sf": 3, "caption": "b"}\n'
    cut = {}
    for name, data in (("a.vtt", vtt), ("a.srt", srt), ("a.jsonl", said)):
        meta = await lake_client.ready(f"/{name}", data, TEXT_TRACK)
        assert meta["textTrackId"] == meta["id"]
        cut[name] = await read_chunks(lake_client, meta, TEXT_TRACK)
    head = b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"
    cue = b"STYLE\n::cue { color: red }\n\n1\n00:00:29.500 --> 00:00:30.500 align:start\n<b>a</b>\n\n"
    assert cut["a.vtt"] == [head + cue] * 2
    assert cut["a.srt"] == [head + b"00:00:29.500 --> 00:00:30.500\na &amp; b\n\n"] * 2
    first, second = ([json.loads(line) for line in chunk.splitlines()] for chunk in cut["a.jsonl"])
    assert first == [{"ts": 29.5, "dt": 1, "text": "a"}]
    assert second == [*first, {"ts": 40.0, "dt": 1.0, "fs": 3, "caption": "b"}]


@on_sqlite
async def test_an_empty_track_has_no_streams(lake_client: Client) -> None:
    meta = await lake_client.ready("/empty.jsonl", b"", LABEL_TRACK)
    assert (meta["entryCount"], meta["streams"], meta["startTime"], meta["startFrame"]) == (0, [], None, None)


@on_sqlite
async def test_bad_lines_are_skipped_when_that_is_wanted(lake_client: Client) -> None:
    data = THREE + b'{"ts": 1}\n{"ts": NaN, "dt": 1}\n' + OVERLAP
    digest = await lake_client.stage(data, LABEL_TRACK.route)
    asset = (await lake_client.register("/a.jsonl", digest, LABEL_TRACK)).json()["id"]
    await lake_client.trigger(asset, LABEL_TRACK)
    meta = await lake_client.finished(asset, LABEL_TRACK)
    assert (meta["status"], meta["error"]) == ("failed", "a.jsonl: line 4: dt is missing")
    again = await lake_client.register("/a.jsonl", digest, LABEL_TRACK, skipBadLines=True)
    assert again.json() == {"id": asset, "status": "failed"}
    await lake_client.trigger(asset, LABEL_TRACK)
    meta = await lake_client.finished(asset, LABEL_TRACK)
    assert (meta["status"], meta["entryCount"], meta["skippedLines"]) == ("ready", 4, 2)


# -- players -------------------------------------------------------------------------------------------------------


@on_sqlite
async def test_subtitles_play(lake_client: Client) -> None:
    times = [3, 28, 31, 59, 3000]
    cues = [
        f"00:{at // 60:02}:{at % 60:02}.500 --> 00:{(at + 3) // 60:02}:{(at + 3) % 60:02}.000\nline {at}\n"
        for at in times
    ]
    meta = await lake_client.ready("/a.vtt", "\n".join(["WEBVTT\n", *cues]).encode(), TEXT_TRACK)

    def play(url: str) -> list[tuple[float, float, str]]:
        with av.open(url) as container:
            [stream] = container.streams
            assert (container.format.name, stream.codec_context.name) == ("hls", "webvtt")
            found = [packet for packet in container.demux() if packet.pts is not None]
            return [
                (
                    float(packet.pts * packet.time_base),
                    float(packet.duration * packet.time_base),
                    bytes(packet).decode(),
                )  # type: ignore[operator]  # (they have times)
                for packet in found
            ]

    async with over_tcp(lake_client.app) as (host, port):
        url = f"http://{host}:{port}/text-tracks/{meta['id']}/stream/{meta['streams'][0]}.m3u8"
        played = await asyncio.to_thread(play, url)
    # A player that joins the segments meets what lies on a boundary once, or twice.
    assert sorted(set(played)) == [(at + 0.5, 2.5, f"line {at}") for at in times]
    playlist = await read_playlist(lake_client, meta, TEXT_TRACK)
    assert playlist[playlist.index("#EXT-X-GAP") + 1] == "#EXTINF:2910.000000,"


# -- who uses what -------------------------------------------------------------------------------------------------


@on_sqlite
async def test_chunks_of_tracks_are_kept_while_a_track_names_them(lake_client: Client) -> None:
    long = b'{"ts": 0, "dt": 5000, "label": "sunny"}\n'
    kept = await lake_client.ready("/a.jsonl", THREE + long + b'{"ts": 9000, "dt": 1}\n', LABEL_TRACK)
    gone = await lake_client.ready("/b.jsonl", THREE + OVERLAP, LABEL_TRACK)
    assert len(kept["streams"]) == 2
    before = await read_chunks(lake_client, kept)
    (await lake_client.http.delete(f"/labels/{gone['id']}")).raise_for_status()
    await grow_old(lake_client)
    report = await collect(lake_client.lake)
    assert (report.chunks.count, report.problems) == (2, [])
    assert await read_chunks(lake_client, kept) == before
    assert len(await read_playlist(lake_client, kept, stream=1)) > 5


# -- versions ------------------------------------------------------------------------------------------------------


async def change(client: Client, asset: str, data: bytes, expected: bytes) -> httpx.Response:
    staged = await client.stage(data, LABEL_TRACK.route)
    body = {"stagingHash": staged, "expected": sha256(expected).hexdigest()}
    return await client.http.post(f"/labels/{asset}/versions", json=body)


async def test_a_new_version(lake_client: Client) -> None:
    first = await lake_client.ready("/a.jsonl", THREE, LABEL_TRACK)
    answer = await change(lake_client, first["id"], THREE + OVERLAP, THREE)
    assert (answer.status_code, answer.json()) == (202, {"id": first["id"], "status": "processing"})
    second = await lake_client.finished(first["id"], LABEL_TRACK)
    assert (second["id"], second["name"], second["entryCount"]) == (first["id"], "/a.jsonl", 4)
    assert second["sha256"] == sha256(THREE + OVERLAP).hexdigest()
    assert second["size"] == len(THREE + OVERLAP)
    assert (await lake_client.http.get(f"/labels/{first['id']}/raw")).content == THREE + OVERLAP
    # Said again, it is the same; of what is no more, it is late.
    assert (await change(lake_client, first["id"], THREE + OVERLAP, THREE)).status_code == 202
    late = await change(lake_client, first["id"], THREE + b"\n", THREE)
    assert (late.status_code, late.json()["detail"]) == (412, "/a.jsonl has got another version meanwhile")
    assert (await lake_client.meta(first["id"], LABEL_TRACK))["entryCount"] == 4


async def test_of_all_who_change_it_at_once_one_is_first(lake_client: Client) -> None:
    asset = (await lake_client.ready("/a.jsonl", THREE, LABEL_TRACK))["id"]
    versions = [THREE + b"\n" * count for count in range(1, 9)]
    staged = [await lake_client.stage(data, LABEL_TRACK.route) for data in versions]
    bodies = [{"stagingHash": one, "expected": sha256(THREE).hexdigest()} for one in staged]
    answers = await asyncio.gather(*(lake_client.http.post(f"/labels/{asset}/versions", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202, *[412] * 7]
    won = versions[[answer.status_code for answer in answers].index(202)]
    assert (await lake_client.finished(asset, LABEL_TRACK))["sha256"] == sha256(won).hexdigest()


async def test_a_version_that_comes_while_the_one_before_is_processed(lake_client: Client) -> None:
    """The job under way knows nothing of it: it is done again."""
    data = MEGABYTE * 4
    asset = await lake_client.add("/a.jsonl", data, LABEL_TRACK)
    await lake_client.trigger(asset, LABEL_TRACK)
    for count in range(1, 4):
        (await change(lake_client, asset, data + OVERLAP * count, data + OVERLAP * (count - 1))).raise_for_status()

    async def processed() -> bool:
        meta = await lake_client.finished(asset, LABEL_TRACK)
        return bool(meta["entryCount"] == 7)

    await until(processed, "the last version to be processed")
    [row] = await lake_client.rows(bss_assets)
    meta = await lake_client.meta(asset, LABEL_TRACK)
    assert (meta["status"], row.sha256, meta["sha256"]) == ("ready", *[sha256(data + OVERLAP * 3).hexdigest()] * 2)


@on_sqlite
async def test_versions_that_cannot_be(lake_client: Client) -> None:
    track = await lake_client.ready("/a.jsonl", THREE, LABEL_TRACK)
    asset = track["id"]
    other = await lake_client.add("/a.jsonl", OVERLAP, LABEL_TRACK)
    taken = await change(lake_client, asset, OVERLAP, THREE)
    assert (taken.status_code, taken.json()["detail"]) == (
        409,
        "another label-track has these bytes and the name /a.jsonl",
    )
    nothing = {"stagingHash": "0" * 16, "expected": sha256(THREE).hexdigest()}
    assert (await lake_client.http.post(f"/labels/{asset}/versions", json=nothing)).status_code == 404
    assert (await lake_client.http.post(f"/text-tracks/{asset}/versions", json=nothing)).status_code == 404
    assert (await lake_client.http.post(f"/videos/{asset}/versions", json=nothing)).status_code == 404
    assert (await lake_client.http.post(f"/labels/{'0' * 24}/versions", json=nothing)).status_code == 404
    for name in ("/x", "/y"):  # of several names it would change under all
        body = {"namespace": "alice", "space": "robotics", "name": name, "bssLabelId": asset}
        (await lake_client.http.post("/assets/label-track", json=body)).raise_for_status()
    shared = await change(lake_client, asset, THREE + OVERLAP, THREE)
    assert (shared.status_code, "other names" in shared.json()["detail"]) == (409, True)
    assert (await lake_client.meta(asset, LABEL_TRACK)) == track
    assert other != asset


@on_sqlite
async def test_a_name_that_somebody_else_took_meanwhile(lake_client: Client) -> None:
    one, two = [await lake_client.add("/a", data, LABEL_TRACK) for data in (THREE, OVERLAP)]
    body = {"namespace": "alice", "space": "robotics", "name": "/a"}

    async def name(asset: str, replaces: str) -> int:
        answer = await lake_client.http.post(
            "/assets/label-track", json={**body, "bssLabelId": asset, "replaces": replaces}
        )
        return answer.status_code

    assert await name(one, "") == 201
    assert await name(one, "") == 201  # said again
    assert await name(two, "") == 412
    assert await name(two, one) == 201


@pytest.mark.parametrize("replaces", ["x", "0" * 23, 7])
@on_sqlite
async def test_what_a_name_cannot_replace(lake_client: Client, replaces: Any) -> None:
    body = {"namespace": "alice", "space": "robotics", "name": "/a", "bssLabelId": "0" * 24, "replaces": replaces}
    assert (await lake_client.http.post("/assets/label-track", json=body)).status_code == 400
