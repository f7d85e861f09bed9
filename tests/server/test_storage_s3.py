"""What only a storage in S3 has: a location, a network, and a store that may fail or say no."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dreamlake.core.parts import CompletedPart
from dreamlake.errors import ConfigError
from dreamlake.server.storage import StorageDown, UnknownUploadError, open_storage
from dreamlake.server.storage.s3location import parse_location
from tests.s3server import BUCKET

from ._between import Between
from ._lake import opened
from ._stores import Store, Stores, make_store

KEY = "alice/robotics/staging/0123456789abcdef"
LEAST = 5 << 20


@pytest.fixture(params=["rclone", "juicefs"])
def store(
    request: pytest.FixtureRequest, stores: Stores, unused_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    return make_store(request.param, stores, unused_port, tmp_path, monkeypatch)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


# -- locations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket",
        "s3://bucket/prefix",
        "s3://bucket/a/b c/ü",
        "s3://bucket/p?endpoint=http://127.0.0.1:9000",
        "s3://bucket/p?endpoint=https://minio.lab/s3&region=eu-west-1&path_style=false",
        "s3://bucket?path_style=true",
    ],
)
def test_a_location_says_itself(text: str) -> None:
    assert str(parse_location(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://", "cannot name a bucket"),
        ("s3:///prefix", "cannot name a bucket"),
        ("s3://a b/prefix", "cannot name a bucket"),
        ("s3://key:hidden@bucket/prefix", "credentials are not said"),
        ("s3://bucket/p?endpoint=http://key:hidden@host", "credentials are not said"),
        ("s3://bucket/a//b", "cannot begin keys"),
        ("s3://bucket/../b", "cannot begin keys"),
        ("s3://bucket/p?endpoint=127.0.0.1:9000", "not the endpoint of a store"),
        ("s3://bucket/p?endpoint=ftp://host", "not the endpoint of a store"),
        ("s3://bucket/p?endpoint=http://host:99999", "not the endpoint of a store"),
        ("s3://bucket/p?endpoint=http://a&endpoint=http://b", "each once"),
        ("s3://bucket/p?regoin=us-east-1", "not regoin"),
        ("s3://bucket/p?region=US East", "is not a region"),
        ("s3://bucket/p?path_style=maybe", "true or false"),
        ("gs://bucket/p", "not at gs://"),
    ],
)
def test_a_location_that_cannot_be_meant(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        open_storage(text, tmp_path)
    assert "hidden" not in str(error.value)


async def test_the_location_opens_the_same_storage(store: Store) -> None:
    async with store.open() as first, open_storage(first.location, store.scratch) as second:
        await first.write(KEY, b"here")
        assert await second.read(KEY) == b"here"
        assert second.location == first.location == store.location


async def test_endpoint_and_region_from_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.server is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.server.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    async with open_storage(f"s3://{BUCKET}/{store.prefix}", store.scratch) as storage:
        await storage.write(KEY, b"here")
        url = await storage.sign_get(KEY, "video/mp4")
    assert url is not None
    assert url.startswith(f"{store.server.url}/{BUCKET}/{store.prefix}/{KEY}?")
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"here"


async def test_what_cannot_be_opened_is_said_in_a_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    assert store.server is not None
    location = store.server.location(store.prefix)
    with pytest.raises(ConfigError, match=r"s3://nobodys-bucket/x cannot be used: there is no such bucket"):
        async with open_storage(location.replace(f"{BUCKET}/{store.prefix}", "nobodys-bucket/x"), store.scratch):
            pass
    with pytest.raises(StorageDown, match=rf"s3://{BUCKET}/{store.prefix} does not answer"):
        async with open_storage(store.server.location(store.prefix, f"http://127.0.0.1:{unused_port}"), store.scratch):
            pass
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ConfigError, match=r"cannot be used: .*SignatureDoesNotMatch"):
        async with store.open():
            pass
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="needs credentials: AWS_ACCESS_KEY_ID"):
        async with store.open():
            pass


@pytest.mark.parametrize("store", ["rclone"], indirect=True)
async def test_the_command_says_it_in_one_line(store: Store, tmp_path: Path) -> None:
    location = store.location.replace(BUCKET, "nobodys-bucket")
    command = [sys.executable, "-m", "dreamlake.cli", "serve", "--port", "0", "--data", str(tmp_path / "lake")]
    done = await asyncio.to_thread(
        subprocess.run, [*command, "--storage", location], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"dreamlake: s3://nobodys-bucket/{store.prefix} cannot be used: there is no such bucket\n"


def test_slashes_around_a_prefix_say_nothing() -> None:
    assert str(parse_location("s3://bucket//a/b/")) == "s3://bucket/a/b"
    assert parse_location("s3://bucket/").prefix == ""


def test_s3_without_its_extra(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["aiobotocore"] = None
from pathlib import Path
from dreamlake.errors import MissingExtraError
from dreamlake.server.storage import open_storage
try:
    open_storage("s3://bucket", Path({str(tmp_path)!r}))
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("needs an extra: pip install 'dreamlake[s3]'\n"), done.stderr


# -- failures ------------------------------------------------------------------------------------------------------


async def test_an_answer_to_complete_that_is_an_error_inside_a_200(store: Store) -> None:
    assert store.server is not None
    with Between(store.server.url) as between:
        async with store.behind(between.url) as storage:
            upload_id = await storage.begin_upload(KEY)
            etag = await storage.write_part(upload_id, KEY, 1, pieces(b"data"), None)
            between.fault = lambda line: "200" if line.startswith("POST") else None
            with pytest.raises(StorageDown, match="InternalError"):
                await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], "")
            assert await storage.size(KEY) is None
            between.fault = lambda line: None
            await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], "")
            assert await storage.read(KEY) == b"data"


async def test_an_answer_to_complete_that_is_lost(store: Store) -> None:
    """It is asked for again, and then the upload is not known any more: whoever asks has to look at the object."""
    assert store.server is not None
    with Between(store.server.url) as between:
        async with store.behind(between.url) as storage:
            upload_id = await storage.begin_upload(KEY)
            etag = await storage.write_part(upload_id, KEY, 1, pieces(b"data"), None)
            lost: list[str] = []

            def lose_once(line: str) -> str | None:
                if line.startswith("POST") and not lost:
                    lost.append(line)
                    return "lose"
                return None

            between.fault = lose_once
            with pytest.raises(UnknownUploadError):
                await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], "")
            assert len(lost) == 1
            assert await storage.read(KEY) == b"data"


async def test_downloads_whose_connection_breaks_go_on(store: Store) -> None:
    assert store.server is not None
    data = os.urandom(3 << 20)
    with Between(store.server.url) as between:
        async with store.behind(between.url) as storage:
            await storage.write(KEY, data)
            for forever in (False, True):
                cut: list[str] = []

                def break_off(line: str, cut: list[str] = cut, forever: bool = forever) -> str | None:
                    if line.startswith(f"GET /{BUCKET}/{store.prefix}/{KEY}") and (forever or not cut):
                        cut.append(line)
                        return "cut"
                    return None

                between.fault = break_off
                if forever:  # half of what is left comes each time, but a whole range never does
                    with pytest.raises(StorageDown):
                        async with storage.local_file(KEY):
                            pass
                else:
                    assert b"".join([piece async for piece in storage.stream(KEY, 0, len(data))]) == data
                    cut.clear()
                    async with storage.local_file(KEY) as path:
                        assert path.read_bytes() == data
                assert cut
            assert list(storage.scratch.glob("download-*")) == []


@pytest.mark.parametrize("store", ["juicefs"], indirect=True)
async def test_a_file_that_cannot_be_sent_whole_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.server is not None
    path = store.scratch / "file"
    with Between(store.server.url) as between:
        async with store.behind(between.url) as storage:
            await storage.write(KEY, b"old")
            path.write_bytes(bytes(20 << 20))
            between.fault = lambda line: "503" if "partNumber=2" in line else None
            with pytest.raises(StorageDown):
                await storage.write_file(KEY, path)
            assert path.stat().st_size == 20 << 20
            assert await storage.read(KEY) == b"old"
            assert [pending async for pending in storage.list_uploads()] == []


@pytest.mark.parametrize("store", ["rclone"], indirect=True)
async def test_a_store_that_is_down_is_said_to_clients(store: Store, tmp_path: Path) -> None:
    assert store.server is not None
    with Between(store.server.url) as between:
        location = store.server.location(store.prefix, between.url)
        async with opened(tmp_path / "lake", storage=location) as client:
            between.fault = lambda line: "503"
            body = {"owner": "alice", "project": "robotics", "hash": hashlib.sha256(b"").hexdigest()[:16]}
            answer = await client.http.post("/videos/upload/multipart/init", json=body)
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"] == "1"
            assert "the lake's storage failed" in answer.json()["detail"]
            between.fault = lambda line: None
            (await client.http.post("/videos/upload/multipart/init", json=body)).raise_for_status()


async def test_what_a_store_checks_is_asked_again_after_a_failure(store: Store) -> None:
    assert store.server is not None
    with Between(store.server.url) as between:
        async with store.behind(between.url) as storage:
            between.fault = lambda line: "503" if line.startswith("PUT") else None
            with pytest.raises(StorageDown):
                await storage.checks_parts()
            between.fault = lambda line: None
            assert await storage.checks_parts() is (store.name == "juicefs")
            asked = len(between.requests)
            assert await storage.checks_parts() is (store.name == "juicefs")
            assert len(between.requests) == asked


@pytest.mark.parametrize("store", ["rclone"], indirect=True)
@pytest.mark.parametrize("one_part", [False, True])
async def test_a_store_that_checks_a_signed_header(store: Store, one_part: bool) -> None:
    """As AWS does: the client sends the checksum that the URL was signed with."""
    assert store.server is not None
    data, digest = b"data", hashlib.sha256(b"data").digest()
    with Between(store.server.url) as between:
        between.checks = True
        async with store.behind(between.url) as storage, httpx.AsyncClient() as client:
            assert await storage.checks_parts() is True
            upload_id = await storage.begin_upload(KEY, one_part=one_part)
            assert (upload_id == "put") is one_part
            url = await storage.sign_part(upload_id, KEY, 1, digest)
            assert url is not None
            assert parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"] == ["host;x-amz-checksum-sha256"]
            right = {"x-amz-checksum-sha256": base64.b64encode(digest).decode()}
            wrong = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"wrong").digest()).decode()}
            assert (await client.put(url, content=b"wrong", headers=right)).status_code == 400
            for headers in ({}, wrong):  # the signature is for the right one
                assert (await client.put(url, content=b"wrong", headers=headers)).status_code in (400, 403)
            answer = (await client.put(url, content=data, headers=right)).raise_for_status()
            staged = await storage.complete_upload(upload_id, KEY, [CompletedPart(1, answer.headers["etag"])], "")
            assert staged.size == len(data)
            assert await storage.read(KEY) == data

            upload_id = await storage.begin_upload(KEY)
            etag = await storage.write_part(upload_id, KEY, 1, pieces(data), digest)
            await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], "")
            assert await storage.read(KEY) == data
