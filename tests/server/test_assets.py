"""Assets of all five kinds through the storage service: registration, sidecars, originals, lambdas, deletion."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dreamlake.core.kinds import AUDIO, IMAGE, KINDS, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind, content_type
from dreamlake.core.wire import decode_json
from dreamlake.core.wireassets import METAS
from dreamlake.server.schema import bss_assets
from tests.recordings import LABELS, make_file, make_image, make_sound

from ._lake import Client, on_sqlite, opened

COMMON = {
    "id", "owner", "project", "name", "status", "error", "progress", "hash", "sha256", "size", "createdAt", "updatedAt"
}  # fmt: skip
OWN = {
    AUDIO: {"duration", "sampleRate", "channels", "codec", "samples", "streams", "index"},
    IMAGE: {"width", "height", "format"},
    LABEL_TRACK: {
        "format", "entryCount", "startTime", "endTime", "startFrame", "endFrame", "fields", "streams"
    },
    TEXT_TRACK: {"format", "entryCount", "startTime", "endTime", "startFrame", "endFrame", "fields", "streams"},
}  # fmt: skip
CAPTIONS = b'{"ts": 0, "dt": 2.5, "text": "a cup"}\n{"st": 2, "et": 4, "sf": 60, "ef": 119, "caption": "a hand"}\n'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a good file of each kind, by its name."""
    folder = tmp_path_factory.mktemp("files")
    return {
        kind.name: make_file(kind, folder / f"{kind.name}{next(iter(kind.extensions))}").read_bytes() for kind in KINDS
    }


def named(kind: Kind) -> str:
    return f"/run 042/a{next(iter(kind.extensions))}"


# -- registration --------------------------------------------------------------------------------------------------


async def test_the_same_name_and_bytes_give_the_same_id(lake_client: Client, files: dict[str, bytes]) -> None:
    for kind in KINDS:
        digest = await lake_client.stage(files[kind.name], kind.route)
        first = await lake_client.register(named(kind), digest, kind)
        again = await lake_client.register(named(kind), digest, kind)
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json() == again.json()
        assert first.json()["status"] == ("ready" if kind == IMAGE else "uploaded")

        meta = await lake_client.meta(first.json()["id"], kind)
        assert (meta["name"], meta["owner"], meta["project"]) == (named(kind), "alice", "robotics")
        assert meta["sha256"] == sha256(files[kind.name]).hexdigest()
        assert meta["hash"] == digest
        assert meta["size"] == len(files[kind.name])
        if kind in OWN:
            assert meta.keys() == COMMON | OWN[kind]
        answer = await lake_client.http.get(f"/{kind.route}/{meta['id']}/metadata")
        assert decode_json(answer.content, METAS[kind.name]).created_at == meta["createdAt"]


async def test_one_file_may_be_assets_of_two_kinds(lake_client: Client) -> None:
    labels = await lake_client.ready("/a.jsonl", CAPTIONS, LABEL_TRACK)
    texts = await lake_client.ready("/a.jsonl", CAPTIONS, TEXT_TRACK)
    assert labels["id"] != texts["id"]
    assert (labels["entryCount"], texts["entryCount"]) == (2, 2)


async def test_what_is_staged_may_have_a_name_of_64_digits(lake_client: Client, files: dict[str, bytes]) -> None:
    """Where the first 16 digits of two files are the same, the second one is staged under all of them."""
    from sqlalchemy.dialects.sqlite import insert

    from dreamlake.server.schema import staged

    data = files["image"]
    digest = sha256(data).hexdigest()
    await lake_client.lake.storage.write(f"alice/robotics/staging/{digest}", data)
    row = {"owner": "alice", "project": "robotics", "hash": digest, "sha256": digest, "size": len(data)}
    async with lake_client.lake.database.write() as connection:
        await connection.execute(insert(staged).values(**row, created_at=0.0))
    answer = await lake_client.register("/a.jpg", digest, IMAGE)
    assert answer.status_code == 201, answer.text
    meta = await lake_client.meta(answer.json()["id"], IMAGE)
    assert (meta["hash"], meta["status"], meta["width"]) == (digest, "ready", 64)
    assert (await lake_client.http.get(f"/images/{meta['id']}/raw")).content == data
    for wrong in (digest[:17], digest[:63], digest + "0", digest.upper(), digest + "\n"):
        assert (await lake_client.register("/a.jpg", wrong, IMAGE)).status_code == 400, wrong


@on_sqlite
async def test_a_format_is_one_of_the_kind(lake_client: Client) -> None:
    digest = await lake_client.stage(CAPTIONS)
    good = [
        (LABEL_TRACK, "jsonl"),
        (LABEL_TRACK, "csv"),
        (TEXT_TRACK, "jsonl"),
        (TEXT_TRACK, "vtt"),
        (TEXT_TRACK, "srt"),
    ]
    for kind, form in good:
        assert (await lake_client.register("/a", digest, kind, format=form)).is_success, (kind.name, form)
    for kind, form in ((LABEL_TRACK, "vtt"), (TEXT_TRACK, "csv"), (VIDEO, "jsonl"), (AUDIO, "srt"), (IMAGE, "csv")):
        answer = await lake_client.register("/b", digest, kind, format=form)
        assert answer.status_code == 400, (kind.name, form)
        assert form in answer.json()["detail"]


# -- images --------------------------------------------------------------------------------------------------------


async def test_an_image_is_ready_at_once(lake_client: Client, tmp_path: Path) -> None:
    data = make_image(tmp_path / "a.jpg", orientation=6).read_bytes()
    meta = await lake_client.meta(await lake_client.add("/a.jpg", data, IMAGE), IMAGE)
    assert (meta["status"], meta["width"], meta["height"], meta["format"]) == ("ready", 40, 64, "jpeg")
    assert (await lake_client.http.get(f"/image/{meta['id']}")).json() == meta
    listed = await lake_client.http.get("/image", params={"owner": "alice", "project": "robotics"})
    assert listed.json()["items"] == [meta]
    assert (await lake_client.http.post("/lambdas/None", json={"imageId": meta["id"]})).status_code == 404


@on_sqlite
async def test_a_broken_image_is_not_registered(lake_client: Client, files: dict[str, bytes]) -> None:
    for data in (b"", b"not an image", files["image"][:-20], files["audio"]):
        answer = await lake_client.register("/a b.png", await lake_client.stage(data, "images"), IMAGE)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("a b.png: ")
    assert await lake_client.rows(bss_assets) == []


async def test_an_image_whose_sidecar_is_lost_gets_another(lake_client: Client, files: dict[str, bytes]) -> None:
    """As after a crash between the two steps of its registration."""
    digest = await lake_client.stage(files["image"])
    asset = (await lake_client.register("/a.jpg", digest, IMAGE)).json()["id"]
    await lake_client.lake.storage.delete(f"alice/robotics/images/{asset}/meta.json")
    assert (await lake_client.meta(asset, IMAGE))["status"] == "uploaded"
    again = await lake_client.register("/a.jpg", digest, IMAGE)
    assert again.json() == {"id": asset, "status": "ready"}
    assert (await lake_client.meta(asset, IMAGE))["width"] == 64


async def test_many_registrations_of_an_image_at_once(lake_client: Client, files: dict[str, bytes]) -> None:
    digest = await lake_client.stage(files["image"])
    answers = await asyncio.gather(*(lake_client.register("/a.jpg", digest, IMAGE) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert {answer.json()["status"] for answer in answers} == {"ready"}
    assert len({answer.json()["id"] for answer in answers}) == 1


# -- lambdas -------------------------------------------------------------------------------------------------------


@on_sqlite
async def test_sound_is_processed(lake_client: Client, tmp_path: Path) -> None:
    for extension, codec in ((".wav", "pcm_s16le"), (".flac", "flac")):
        made = await asyncio.to_thread(make_sound, tmp_path / f"a{extension}", seconds=0.5, layout="stereo")
        meta = await lake_client.ready(f"/mic{extension}", made.read_bytes(), AUDIO)
        assert (meta["duration"], meta["sampleRate"], meta["channels"], meta["codec"]) == (0.5, 48_000, 2, codec)
        assert (meta["samples"], meta["index"], meta["error"]) == (24_000, "samples.npz", None)
        assert len(meta["streams"]) == 1


@on_sqlite
async def test_label_tracks_are_processed(lake_client: Client) -> None:
    meta = await lake_client.ready("/detections.jsonl", LABELS, LABEL_TRACK)
    assert {name: meta[name] for name in OWN[LABEL_TRACK]} == {
        "format": "jsonl", "entryCount": 3, "startTime": 0.0, "endTime": 1.033, "startFrame": 15, "endFrame": 31,
        "fields": ["bbox", "confidence", "label"], "streams": meta["streams"],
    }  # fmt: skip
    meta = await lake_client.ready("/detections", b"ts,dt,label\n0,1,a\n", LABEL_TRACK)
    assert (meta["format"], meta["entryCount"], meta["startFrame"], meta["endFrame"]) == ("csv", 1, None, None)
    empty = await lake_client.ready("/empty.csv", b"", LABEL_TRACK)
    assert (empty["entryCount"], empty["startTime"], empty["endTime"], empty["fields"]) == (0, None, None, [])


@on_sqlite
async def test_text_tracks_are_processed(lake_client: Client) -> None:
    vtt = b"WEBVTT\n\n00:01.000 --> 00:02.000\na cup\n"
    meta = await lake_client.ready("/a.vtt", vtt, TEXT_TRACK)
    assert (meta["format"], meta["entryCount"], meta["startTime"], meta["endTime"]) == ("vtt", 1, 1.0, 2.0)
    meta = await lake_client.ready("/captions/llava", CAPTIONS, TEXT_TRACK)
    assert (meta["format"], meta["entryCount"], meta["endTime"], meta["endFrame"]) == ("jsonl", 2, 4.0, 119)
    assert meta["fields"] == ["caption", "text"]
    assert (await lake_client.ready("/b", vtt, TEXT_TRACK))["format"] == "vtt"
    srt = b"1\n00:00:01,000 --> 00:00:02,000\na cup\n"
    assert (await lake_client.ready("/c", srt, TEXT_TRACK))["format"] == "srt"


@on_sqlite
async def test_what_a_file_should_not_be(lake_client: Client) -> None:
    broken = [
        (AUDIO, "/mic/a.wav", b"RIFF garbage", "a.wav: cannot be read as audio"),
        (AUDIO, "/a.wav", b"", "a.wav: is empty"),
        (LABEL_TRACK, "/b.jsonl", LABELS + b"{", "b.jsonl: line 4: is not a JSON object"),
        (LABEL_TRACK, "/c.csv", b"label\nperson\n", "c.csv: line 1: the header names no ts"),
        (TEXT_TRACK, "/d.jsonl", LABELS, "d.jsonl: line 1: text is missing"),
        (TEXT_TRACK, "/e.vtt", b"\xff\xfeW\0E\0", "e.vtt: line 1: is not UTF-8"),
    ]
    for kind, name, data, error in broken:
        meta = await lake_client.processed(name, data, kind)
        assert meta["status"] == "failed", name
        assert meta["error"].startswith(error), name
        assert "staging" not in meta["error"]
        assert str(lake_client.data) not in meta["error"]


async def test_a_lambda_is_for_one_kind(lake_client: Client) -> None:
    labels = await lake_client.add("/a.jsonl", LABELS, LABEL_TRACK)
    for kind in (VIDEO, AUDIO, TEXT_TRACK):
        assert (await lake_client.trigger(labels, kind)).status_code == 400, kind.name
    assert (await lake_client.meta(labels, LABEL_TRACK))["status"] == "uploaded"


# -- reading -------------------------------------------------------------------------------------------------------


async def test_an_id_of_another_kind_is_no_id(lake_client: Client, files: dict[str, bytes]) -> None:
    ids = {kind: await lake_client.add(named(kind), files[kind.name], kind) for kind in KINDS}
    for kind, asset in ids.items():
        # The first digits are the time, so they may be those of assets of other kinds too.
        assert (await lake_client.meta(asset[:8], kind))["id"] == asset
        for other in KINDS:
            for path in ("", "/metadata", "/raw"):
                answer = await lake_client.http.get(f"/{other.route}/{asset}{path}")
                assert answer.status_code == (200 if kind == other else 404), (kind.name, other.name, path)
            if kind != other:
                assert (await lake_client.http.delete(f"/{other.route}/{asset}")).status_code == 404
    assert len(await lake_client.rows(bss_assets)) == len(KINDS)
    for path in ("/frames.npz", "/stream/0123456789abcdef.m3u8"):
        assert (await lake_client.http.get(f"/videos/{ids[AUDIO]}{path}")).status_code == 404


async def test_a_listing_is_of_one_kind(lake_client: Client, files: dict[str, bytes]) -> None:
    made = {
        kind: [await lake_client.add(f"/{number}", files[kind.name], kind) for number in range(3)] for kind in KINDS
    }
    for kind, assets in made.items():
        query: dict[str, Any] = {"owner": "alice", "project": "robotics", "limit": 2}
        page = (await lake_client.http.get(f"/{kind.route}", params=query)).raise_for_status().json()
        assert page["items"] == [await lake_client.meta(asset, kind) for asset in assets[:2]]
        rest = await lake_client.http.get(f"/{kind.route}", params={**query, "cursor": page["nextCursor"]})
        assert [item["id"] for item in rest.json()["items"]] == assets[2:]


@on_sqlite
async def test_raw_is_the_original(lake_client: Client, files: dict[str, bytes]) -> None:
    for kind in KINDS:
        data = files[kind.name]
        asset = await lake_client.add(named(kind), data, kind)
        url = f"/{kind.route}/{asset}/raw"
        got, head = await lake_client.http.get(url), await lake_client.http.head(url)
        part = await lake_client.http.get(url, headers={"Range": "bytes=3-9"})
        assert (got.status_code, got.content, head.status_code, head.content) == (200, data, 200, b"")
        assert (part.status_code, part.content) == (206, data[3:10])
        for answer in (got, head, part):
            assert answer.headers["content-type"].split(";")[0] == content_type(kind, named(kind))
            assert answer.headers["content-disposition"].startswith(f'attachment; filename="{named(kind)[9:]}"')
        assert head.headers["content-length"] == str(len(data))


@on_sqlite
async def test_a_download_has_the_name_of_the_asset(lake_client: Client) -> None:
    header = re.compile(r"""attachment; filename="([ !#-\[\]-~]*)"; filename\*=UTF-8''([\w.%~-]*)""", re.ASCII)
    for name in ("a.csv", 'say "hi".csv', "ü 前.csv", "a;b,c=%41'.csv", "plain"):
        asset = await lake_client.add(f"/camera/{name}", b"", LABEL_TRACK)
        answer = await lake_client.http.get(f"/labels/{asset}/raw")
        assert (answer.status_code, answer.content) == (200, b"")
        found = header.fullmatch(answer.headers["content-disposition"])
        assert found, answer.headers["content-disposition"]
        assert unquote(found[2]) == name
        assert len(found[1]) == len(name)


async def test_what_is_deleted_is_gone(lake_client: Client, files: dict[str, bytes]) -> None:
    for kind in KINDS:
        asset = await lake_client.add(named(kind), files[kind.name], kind)
        other = await lake_client.add("/other", files[kind.name], kind)
        answer = await lake_client.http.delete(f"/{kind.route}/{asset}")
        assert (answer.status_code, answer.content) == (204, b"")
        for path in ("", "/metadata", "/raw"):
            assert (await lake_client.http.get(f"/{kind.route}/{asset}{path}")).status_code == 404
        assert not list((lake_client.data / "objects/alice/robotics").rglob(f"{asset}/*"))
        assert (await lake_client.http.get(f"/{kind.route}/{other}/raw")).content == files[kind.name]


async def test_sidecars_outlive_the_lake(lake_client: Client, files: dict[str, bytes]) -> None:
    metas = [(kind, await lake_client.ready(named(kind), files[kind.name], kind)) for kind in KINDS]
    async with opened(lake_client.data) as other:
        for kind, meta in metas:
            assert await other.meta(meta["id"], kind) == meta
