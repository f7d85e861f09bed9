"""Videos of the storage service: registration, sidecars, playlists, chunks, the frame index, the original."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import numpy as np
import pytest

from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.playlist import Playlist, parse_playlist
from dreamlake.media.scan import scan
from dreamlake.server.schema import bss_assets
from tests.clips import SVT, X264, Clip

from ._lake import Client, opened

UNKNOWN = "69e7264a0123456789abcdef"
DATA = b"not a video, and registered all the same"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of H.264."""
    made = Clip(options={**X264, "g": "30"}, frames=180)
    return made.make(tmp_path_factory.mktemp("clips") / "run01.mp4")


async def signed_chunks(client: Client, meta: dict[str, Any]) -> Playlist:
    answer = await client.http.get(f"/videos/{meta['id']}/stream/{meta['streams'][0]}.m3u8")
    return parse_playlist(answer.raise_for_status().text)


@pytest.fixture(scope="module")
def recording(clip: Path) -> bytes:
    """Its bytes."""
    return clip.read_bytes()


# -- registration --------------------------------------------------------------------------------------------------


async def test_the_same_name_and_bytes_give_the_same_id(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    first = await lake_client.register("/camera/run01.mp4", digest, fileSize=len(DATA), episodeId="e", future=[1])
    assert first.status_code == 201
    asset = first.json()["id"]
    assert first.json() == {"id": asset, "status": "uploaded"}
    assert re.fullmatch("[0-9a-f]{24}", asset)

    again = await lake_client.register("/camera/run01.mp4", digest)
    assert (again.status_code, again.json()) == (200, {"id": asset, "status": "uploaded"})

    others = [
        await lake_client.register("/camera/run02.mp4", digest),
        await lake_client.register("/camera/run01.mp4", await lake_client.stage(DATA + b"!")),
        await lake_client.register(
            "/camera/run01.mp4", await lake_client.stage(DATA, project="other"), project="other"
        ),
    ]
    assert [answer.status_code for answer in others] == [201] * 3
    assert len({asset, *(answer.json()["id"] for answer in others)}) == 4


async def test_many_at_once_get_one_id(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    answers = await asyncio.gather(*(lake_client.register("/a.mp4", digest) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await lake_client.rows(bss_assets)) == 1


async def test_what_is_not_staged_cannot_be_registered(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    for changes in ({"stagingHash": "0" * 16}, {"owner": "bob"}, {"project": "other"}):
        answer = await lake_client.register("/a.mp4", digest, **changes)
        assert answer.status_code == 404, changes
    assert await lake_client.rows(bss_assets) == []


BAD_NAMES: list[Any] = [
    "", "a.mp4", "/", "//a.mp4", "/a/", "/a//b.mp4", "/./a.mp4", "/../a.mp4", "/a/../../b.mp4", "/a\0.mp4", "/a\n",
    "/a\\b.mp4", "/\x7f.mp4", "/" + "a" * 256, "/" + "ä" * 128, "/a" * 513, 7, None,
]  # fmt: skip


async def test_bad_names(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    for name in BAD_NAMES:
        answer = await lake_client.register(name, digest)
        assert answer.status_code == 400, name
        assert answer.headers["content-type"] == "application/problem+json"
    surrogate = (
        b'{"name": "/\\ud800.mp4", "owner": "alice", "project": "robotics", "stagingHash": "%b"}' % digest.encode()
    )
    assert (await lake_client.http.post("/videos", content=surrogate)).status_code == 400
    assert await lake_client.rows(bss_assets) == []


async def test_names_of_any_script(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    for name in ("/カメラ/前.mp4", "/a b/ü #%?&.mp4", "/" + "ä" * 127):
        answer = await lake_client.register(name, digest)
        assert (await lake_client.meta(answer.raise_for_status().json()["id"]))["name"] == name


# -- metadata ------------------------------------------------------------------------------------------------------

COMMON = {"id", "owner", "project", "name", "status", "error", "hash", "sha256", "size", "createdAt", "updatedAt"}
OF_VIDEOS = {
    "fps", "duration", "durationSec", "width", "height", "frames", "codec", "rotation", "hasAudio", "streams", "index",
}  # fmt: skip


async def test_metadata_before_processing(lake_client: Client) -> None:
    meta = await lake_client.meta(await lake_client.add("/a.mp4", DATA))
    assert meta.keys() >= COMMON | OF_VIDEOS
    assert (meta["owner"], meta["project"], meta["name"]) == ("alice", "robotics", "/a.mp4")
    assert (meta["status"], meta["error"], meta["size"]) == ("uploaded", None, len(DATA))
    assert meta["sha256"] == sha256(DATA).hexdigest()
    assert meta["hash"] == meta["sha256"][:16]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", meta["createdAt"])
    assert {meta[name] for name in OF_VIDEOS - {"streams"}} == {None}
    assert meta["streams"] == []


async def test_metadata_after_processing(lake_client: Client, recording: bytes) -> None:
    meta = await lake_client.ready("/camera/run01.mp4", recording)
    assert meta.keys() >= COMMON | OF_VIDEOS
    assert (meta["fps"], meta["duration"], meta["durationSec"], meta["frames"]) == (30.0, 6.0, 6.0, 180)
    assert (meta["width"], meta["height"], meta["rotation"]) == (160, 96, 0)
    assert (meta["codec"], meta["hasAudio"], meta["index"]) == ("h264", False, "frames.npz")
    assert len(meta["streams"]) == 1
    assert meta["updatedAt"] > meta["createdAt"]
    same = await lake_client.http.get(f"/videos/{meta['id']}/metadata")
    assert same.json() == meta
    stored = await lake_client.lake.storage.read(f"alice/robotics/videos/{meta['id']}/meta.json")
    assert b'"ready"' in stored


async def test_listing(lake_client: Client) -> None:
    digest = await lake_client.stage(DATA)
    made = [(await lake_client.register(f"/{n}.mp4", digest)).json()["id"] for n in range(7)]

    async def page(**query: Any) -> dict[str, Any]:
        answer = await lake_client.http.get("/videos", params={"owner": "alice", "project": "robotics", **query})
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    whole = await page()
    assert [item["id"] for item in whole["items"]] == made
    assert whole["nextCursor"] is None
    assert whole["items"][0] == await lake_client.meta(made[0])

    found, sizes, cursor = [], [], {}
    while True:
        answer = await page(limit=3, **cursor)
        found += [item["id"] for item in answer["items"]]
        sizes.append(len(answer["items"]))
        if answer["nextCursor"] is None:
            break
        cursor = {"cursor": answer["nextCursor"]}
    assert (found, sizes) == (made, [3, 3, 1])
    assert (await page(limit=7))["nextCursor"] is None  # no empty page at the end

    assert (await page(owner="bob"))["items"] == []
    assert (await page(project="other"))["items"] == []
    assert (await page(owner="' OR 1=1 --"))["items"] == []


# -- playlists and chunks ------------------------------------------------------------------------------------------


async def test_playlists_carry_absolute_signed_urls(lake_client: Client, recording: bytes) -> None:
    meta = await lake_client.ready("/a.mp4", recording)
    path = f"/videos/{meta['id']}/stream/{meta['streams'][0]}.m3u8"
    answer = await lake_client.http.get(path)
    assert answer.headers["content-type"].split(";")[0] == "application/vnd.apple.mpegurl"
    assert "immutable" not in answer.headers["cache-control"]  # the signatures expire
    playlist = parse_playlist(answer.text)
    assert playlist.durations == [2.0, 2.0, 2.0]
    for uri in playlist.uris:
        assert re.fullmatch(r"http://lake\.test/chunks/[0-9a-f]{16}\.ts\?.*signature=[0-9a-f]{64}", uri)

    elsewhere = await lake_client.http.get(path, headers={"Host": "10.0.0.7:10234"})
    assert all(uri.startswith("http://10.0.0.7:10234/chunks/") for uri in parse_playlist(elsewhere.text).uris)

    async with opened(lake_client.data, public_url="https://lake.example/base") as public:
        signed = parse_playlist((await public.http.get(path)).text)
    assert all(uri.startswith("https://lake.example/base/chunks/") for uri in signed.uris)


async def test_init_sections_are_signed_too(lake_client: Client, tmp_path: Path) -> None:
    made = Clip(codec="libsvtav1", options={**SVT, "g": "20"}, frames=20).make(tmp_path / "a.mp4")
    data = await asyncio.to_thread(made.read_bytes)
    playlist = await signed_chunks(lake_client, await lake_client.ready("/a.mp4", data))
    assert re.match(r"http://lake\.test/chunks/[0-9a-f]{16}\.m4s\?", playlist.uris[0])
    assert re.match(r"http://lake\.test/chunks/[0-9a-f]{16}\.mp4\?", playlist.init or "")
    for uri, kind in ((playlist.uris[0], "video/iso.segment"), (playlist.init or "", "video/mp4")):
        answer = await lake_client.http.get(uri)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


async def test_a_playlist_that_is_not_there(lake_client: Client, recording: bytes) -> None:
    meta = await lake_client.ready("/a.mp4", recording)
    stream = meta["streams"][0]
    for name in ("0" * 16 + ".m3u8", stream, stream + ".ts", stream + ".m3u8.bak", "meta.json", "..%2Fmeta.json"):
        assert (await lake_client.http.get(f"/videos/{meta['id']}/stream/{name}")).status_code == 404, name


async def test_chunks_are_what_their_names_say(lake_client: Client, recording: bytes) -> None:
    playlist = await signed_chunks(lake_client, await lake_client.ready("/a.mp4", recording))
    for uri in playlist.uris:
        answer = await lake_client.http.get(uri)
        assert answer.status_code == 200
        assert sha256(answer.content).hexdigest().startswith(urlsplit(uri).path[len("/chunks/") :][:16])
        assert answer.headers["content-type"] == "video/mp2t"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["accept-ranges"] == "bytes"
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["etag"]


async def test_chunks_are_for_signed_urls_alone(lake_client: Client, recording: bytes) -> None:
    playlist = await signed_chunks(lake_client, await lake_client.ready("/a.mp4", recording))
    parts = urlsplit(playlist.uris[0])
    query = dict(parse_qsl(parts.query))
    refused = [parts.path, parts._replace(path=urlsplit(playlist.uris[1]).path).geturl(), playlist.uris[0] + "&more=1"]
    for name, value in query.items():
        refused.append(parts._replace(query=urlencode({**query, name: value + "0"})).geturl())
        refused.append(parts._replace(query=urlencode({k: v for k, v in query.items() if k != name})).geturl())
    for url in refused:
        answer = await lake_client.http.get(url)
        assert answer.status_code == 403, url
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_chunk_that_is_not_there(lake_client: Client) -> None:
    lake = lake_client.lake
    for name in ("0" * 16 + ".ts", "0" * 16 + ".exe", "signing.key", "..", "0" * 15 + ".ts", "0" * 16):
        url = lake.signed_url("http://lake.test", "GET", f"/chunks/{name}", "alice")
        assert (await lake_client.http.get(url)).status_code == 404, name


# -- ranges (RFC 9110, 14) -----------------------------------------------------------------------------------------

RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=0-9": (0, 10),
    "bytes=5-5": (5, 6),
    "bytes=10-": (10, None),
    "bytes=-10": (-10, None),
    "bytes=-1000000000": (0, None),  # more than there is: all of it
    "bytes=7-1000000000": (7, None),
}
IGNORED = ["bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2-3", "items=0-5", "bytes=0x1-2", "garbage"]
UNSATISFIABLE = ["bytes={size}-", "bytes={size}-{size}", "bytes=99999999999-", "bytes=-0"]


async def check_ranges(client: Client, url: str, data: bytes) -> None:
    for header, (start, stop) in RANGES.items():
        answer = await client.http.get(url, headers={"Range": header})
        expected = data[start:stop]
        first = len(data) + start if start < 0 else start
        assert answer.status_code == 206, header
        assert answer.content == expected, header
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}", header
        assert int(answer.headers["content-length"]) == len(expected), header
    for header in IGNORED:
        answer = await client.http.get(url, headers={"Range": header})
        assert (answer.status_code, answer.content) == (200, data), header
    for header in UNSATISFIABLE:
        answer = await client.http.get(url, headers={"Range": header.format(size=len(data))})
        assert answer.status_code == 416, header
        assert answer.headers["content-type"] == "application/problem+json", header


async def test_ranges_of_chunks_and_originals(lake_client: Client, recording: bytes) -> None:
    meta = await lake_client.ready("/a.mp4", recording)
    await check_ranges(lake_client, f"/videos/{meta['id']}/raw", recording)
    url = (await signed_chunks(lake_client, meta)).uris[0]
    await check_ranges(lake_client, url, (await lake_client.http.get(url)).content)


async def test_a_refused_range_says_how_long_the_object_is(lake_client: Client) -> None:
    """RFC 9110, 15.5.17: so that the client can ask again."""
    asset = await lake_client.add("/a.mp4", DATA)
    answer = await lake_client.http.get(f"/videos/{asset}/raw", headers={"Range": "bytes=1000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


async def test_a_range_of_very_many_digits(lake_client: Client) -> None:
    asset = await lake_client.add("/a.mp4", DATA)
    for header, statuses in (("bytes=" + "9" * 5000 + "-", (200, 416)), ("bytes=0-" + "9" * 5000, (200, 206))):
        answer = await lake_client.http.get(f"/videos/{asset}/raw", headers={"Range": header})
        assert answer.status_code in statuses
        assert answer.status_code == 416 or answer.content == DATA


async def test_if_range(lake_client: Client) -> None:
    """RFC 9110, 13.1.5: a range of another representation than the one the client has is of no use to it."""
    asset = await lake_client.add("/a.mp4", DATA)
    etag = (await lake_client.http.get(f"/videos/{asset}/raw")).headers["etag"]
    for condition, status, content in ((etag, 206, DATA[5:]), ('"other"', 200, DATA)):
        headers = {"Range": "bytes=5-", "If-Range": condition}
        answer = await lake_client.http.get(f"/videos/{asset}/raw", headers=headers)
        assert (answer.status_code, answer.content) == (status, content), condition


async def test_if_none_match(lake_client: Client) -> None:
    """RFC 9110, 13.1.2: who has it need not get it again."""
    asset = await lake_client.add("/a.mp4", DATA)
    etag = (await lake_client.http.get(f"/videos/{asset}/raw")).headers["etag"]
    answer = await lake_client.http.get(f"/videos/{asset}/raw", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    answer = await lake_client.http.get(f"/videos/{asset}/raw", headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.content) == (200, DATA)


async def test_head(lake_client: Client, recording: bytes) -> None:
    """Players and downloaders ask how long something is before they ask for it."""
    meta = await lake_client.ready("/a.mp4", recording)
    chunk = (await signed_chunks(lake_client, meta)).uris[0]
    base = f"/videos/{meta['id']}"
    for url in (chunk, f"{base}/raw", f"{base}/frames.npz", f"{base}/stream/{meta['streams'][0]}.m3u8"):
        got, head = await lake_client.http.get(url), await lake_client.http.head(url)
        assert (head.status_code, head.content) == (200, b""), url
        for name in ("content-length", "content-type", "cache-control"):
            assert head.headers[name] == got.headers[name], (url, name)


# -- the frame index and the original ------------------------------------------------------------------------------


async def test_the_frame_index_equals_a_scan(lake_client: Client, clip: Path, recording: bytes) -> None:
    meta = await lake_client.ready("/a.mp4", recording)
    answer = await lake_client.http.get(f"/videos/{meta['id']}/frames.npz")
    stored, fresh = FrameIndex.from_bytes(answer.raise_for_status().content), scan(clip).index
    for name in ("pts", "frame_packet", "packet_flags", "segment_packet"):
        assert np.array_equal(getattr(stored, name), getattr(fresh, name)), name
    for name in ("codec", "width", "height", "rotation", "time_base", "end_pts", "fps", "has_audio"):
        assert getattr(stored.header, name) == getattr(fresh.header, name), name
    assert stored.header.container == "mpegts"
    playlist = await signed_chunks(lake_client, meta)
    for number, uri in enumerate(playlist.uris):
        data = (await lake_client.http.get(uri)).content
        assert bytes(stored.segment_sha256[number]) == sha256(data).digest()
        assert stored.segment_size[number] == len(data)


async def test_raw_is_the_original(lake_client: Client, recording: bytes) -> None:
    for name, kind in (("/a.mp4", "video/mp4"), ("/a.mkv", "video/x-matroska"), ("/a", "application/octet-stream")):
        asset = await lake_client.add(name, recording)
        answer = await lake_client.http.get(f"/videos/{asset}/raw")
        assert answer.content == recording
        assert answer.headers["content-type"] == kind
        assert "public" not in answer.headers["cache-control"]


async def test_no_frame_index_before_it_is_made(lake_client: Client) -> None:
    asset = await lake_client.add("/a.mp4", DATA)
    assert (await lake_client.http.get(f"/videos/{asset}/frames.npz")).status_code == 404


# -- deletion ------------------------------------------------------------------------------------------------------


async def test_a_deleted_video_is_gone_and_its_chunks_serve_another(lake_client: Client, recording: bytes) -> None:
    one = await lake_client.ready("/one.mp4", recording)
    two = await lake_client.ready("/two.mp4", recording)
    answer = await lake_client.http.delete(f"/videos/{one['id']}")
    assert (answer.status_code, answer.content) == (204, b"")

    base = f"/videos/{one['id']}"
    for path in ("", "/metadata", "/raw", "/frames.npz", f"/stream/{one['streams'][0]}.m3u8"):
        assert (await lake_client.http.get(base + path)).status_code == 404, path
    assert (await lake_client.http.delete(base)).status_code == 404
    assert (await lake_client.trigger(one["id"])).status_code == 404
    assert not list((lake_client.data / "objects/alice/robotics/videos" / one["id"]).rglob("*.*"))
    listed = await lake_client.http.get("/videos", params={"owner": "alice", "project": "robotics"})
    assert [item["id"] for item in listed.json()["items"]] == [two["id"]]

    for uri in (await signed_chunks(lake_client, two)).uris:
        assert (await lake_client.http.get(uri)).status_code == 200
    assert (await lake_client.http.get(f"/videos/{two['id']}/raw")).content == recording

    back = await lake_client.ready("/one.mp4", recording)  # and it may come back
    assert back["id"] != one["id"]


# -- problem details -----------------------------------------------------------------------------------------------


def assert_problem(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == status
    assert body["detail"]


BAD_IDS = ["0", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.upper(), "v-BV1bW411n7fY9x01", "%00", "..%2F..", "é", "a" * 3000]


async def test_ids_that_are_none(lake_client: Client) -> None:
    for path in ("", "/metadata", "/raw", "/frames.npz", "/stream/0123456789abcdef.m3u8"):
        assert_problem(await lake_client.http.get(f"/videos/{UNKNOWN}{path}"), 404)
        for bad in BAD_IDS:
            answer = await lake_client.http.get(f"/videos/{bad}{path}")
            assert_problem(answer, 404 if answer.status_code == 404 else 400)
    assert_problem(await lake_client.http.delete(f"/videos/{UNKNOWN}"), 404)
    assert_problem(await lake_client.trigger(UNKNOWN), 404)
    assert_problem(await lake_client.trigger("v-BV1bW411n7fY9x01"), 400)


async def test_every_refusal_is_a_problem(lake_client: Client) -> None:
    http = lake_client.http
    assert_problem(await http.get("/nowhere"), 404)
    assert_problem(await http.post("/lambdas/no-such-lambda", json={"videoId": UNKNOWN}), 404)
    assert_problem(await http.put("/videos"), 405)
    assert_problem(await http.patch(f"/videos/{UNKNOWN}"), 405)
    assert "GET" in (await http.put("/videos")).headers["allow"]
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{'a': 1}",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"owner": "\xff"}',
    ):
        assert_problem(await http.post("/videos", content=body), 400)
        assert_problem(await http.post("/videos/upload/multipart/init", content=body), 400)
        assert_problem(await http.post("/assets/video", content=body), 400)
    for body in (b"", b"{", b"[]", b"null", b"7", b'{"videoId": 7}', b"{}"):
        assert_problem(await http.post("/lambdas/hls-split", content=body), 400)
    assert_problem(await http.get("/videos"), 400)
    assert_problem(await http.get("/videos", params={"owner": "alice"}), 400)
    assert_problem(await http.get("/videos", params={"owner": "alice", "project": "p", "limit": "many"}), 400)
    assert_problem(await http.get("/videos/upload/multipart/parts-done", params={"key": "a"}), 400)


async def test_unknown_fields_are_ignored(lake_client: Client) -> None:
    """Newer clients send more."""
    asset = await lake_client.add("/a.mp4", DATA)
    body = {"videoId": asset, "priority": 3, "options": {"gop": 2}}
    answer = await lake_client.http.post("/lambdas/hls-split", json=body)
    assert answer.status_code == 202, answer.text
