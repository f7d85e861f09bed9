"""The multipart protocol of the staging pool: nothing is taken that was not announced, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dreamlake.server.bss import pool
from dreamlake.server.schema import staged

from ._lake import ROUTES, Client, Upload, on_sqlite, opened, over_tcp, until
from ._uploads import ANNOUNCED, DATA, HALVES, HASH, MIB, only_upload, problem


async def content(client: Client, key: str) -> bytes:
    return await client.lake.storage.read(key)


# -- the way it should go ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@on_sqlite
async def test_every_kind_stages_in_parts(lake_client: Client, route: str) -> None:
    upload = await lake_client.begin(DATA, route, contentType="application/x-anything")
    assert upload.key == f"alice/robotics/staging/{HASH}"
    assert await upload.done() == {"expired": False, "parts": []}

    second = await upload.put(2, HALVES[1])  # in any order
    first = await upload.put(1, HALVES[0])
    assert (await upload.done())["parts"] == [{**first, "size": 1000}, {**second, "size": len(DATA) - 1000}]

    answer = await upload.call("complete", parts=[first, second])
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert await content(lake_client, upload.key) == DATA
    assert await upload.done() == {"expired": True, "parts": []}
    [row] = await lake_client.rows(staged)
    assert (row.owner, row.project, row.hash, row.size) == ("alice", "robotics", HASH, len(DATA))
    assert row.sha256 == sha256(DATA).hexdigest()


async def test_all_kinds_share_one_pool(lake_client: Client) -> None:
    await lake_client.stage(DATA, "labels")
    begun = await lake_client.http.post(
        "/videos/upload/multipart/init",
        json={"owner": "alice", "project": "robotics", "hash": HASH, "sha256": sha256(DATA).hexdigest()},
    )
    assert begun.json()["exists"] is True


async def test_bytes_that_are_staged_need_not_be_sent(lake_client: Client) -> None:
    body = {"owner": "alice", "project": "robotics", "hash": HASH, "sha256": sha256(DATA).hexdigest()}

    async def begin(**changes: str) -> dict[str, Any]:
        answer = await lake_client.http.post("/videos/upload/multipart/init", json={**body, **changes})
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    assert (await begin())["exists"] is False
    await lake_client.stage(DATA)
    assert (await begin())["exists"] is True
    assert (await begin())["key"] == f"alice/robotics/staging/{HASH}"
    assert (await begin(owner="bob"))["exists"] is False  # nobody learns what others have
    assert (await begin(project="other"))["exists"] is False


async def test_the_digest_is_the_identity_and_not_its_first_digits(lake_client: Client) -> None:
    await lake_client.stage(DATA)
    body = {"owner": "alice", "project": "robotics", "hash": HASH, "sha256": HASH + "0" * 48}
    answer = await lake_client.http.post("/videos/upload/multipart/init", json=body)
    assert answer.json()["exists"] is False
    assert answer.json()["key"] == f"alice/robotics/staging/{body['sha256']}"
    answer = await lake_client.http.post("/videos/upload/multipart/init", json={**body, "sha256": "f" * 64})
    assert "differ" in problem(answer, 400)


async def test_an_empty_file_has_one_empty_part(lake_client: Client) -> None:
    digest = await lake_client.stage(b"")
    assert await content(lake_client, f"alice/robotics/staging/{digest}") == b""


async def test_etags_go_with_and_without_quotes(lake_client: Client) -> None:
    for quoted in (True, False):
        data = DATA + bytes([quoted])
        upload = await lake_client.begin(data)
        part = await upload.put(1, data)
        assert re.fullmatch(r'"[^"]+"', part["etag"])
        etag = part["etag"] if quoted else part["etag"].strip('"')
        assert (await upload.call("complete", parts=[{**part, "etag": etag}])).status_code == 200


async def test_a_part_that_is_sent_again_replaces_the_first(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    old = await upload.put(1, b"something else")
    new = await upload.put(1, DATA)
    assert (await upload.done())["parts"] == [{**new, "size": len(DATA)}]
    problem(await upload.call("complete", parts=[old]), 400)
    assert (await upload.call("complete", parts=[new])).status_code == 200
    assert await content(lake_client, upload.key) == DATA


async def test_the_same_part_twice_is_one_part(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    assert await upload.put(1, DATA) == await upload.put(1, DATA)
    assert len((await upload.done())["parts"]) == 1


async def test_complete_may_be_repeated(lake_client: Client) -> None:
    """The first answer may have been lost."""
    upload = await lake_client.begin(DATA)
    parts = [await upload.put(1, HALVES[0]), await upload.put(2, HALVES[1])]
    for _ in range(3):
        assert (await upload.call("complete", parts=parts)).json() == {"success": True}
    assert await content(lake_client, upload.key) == DATA
    assert len(await lake_client.rows(staged)) == 1


async def test_complete_may_be_repeated_while_the_first_is_under_way(lake_client: Client) -> None:
    """A client that gave up waiting asks again, and must not be told that its parts were never sent."""
    for attempt in range(10):
        data = [bytes([attempt, n]) * 1000 for n in range(8)]
        upload = await lake_client.begin(b"".join(data))
        parts = [await upload.put(n, piece) for n, piece in enumerate(data, 1)]
        answers = await asyncio.gather(*(upload.call("complete", parts=parts) for _ in range(6)))
        assert [(answer.status_code, answer.text) for answer in answers] == [(200, '{"success":true}')] * 6
        assert await content(lake_client, upload.key) == b"".join(data)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_row_that_a_crash_has_swallowed_is_made_again(
    lake_client: Client, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    upload = await lake_client.begin(DATA, **(ANNOUNCED if announced else {}))
    url = await upload.url(1, checksums={"1": base64.b64encode(sha256(DATA).digest()).decode()})
    etag = (await lake_client.http.put(url, content=DATA)).raise_for_status().headers["etag"]
    parts = [{"partNumber": 1, "etag": etag}]
    with monkeypatch.context() as broken:
        broken.setattr(pool, "commit", None)  # the lake falls over when the bytes are in place
        assert (await upload.call("complete", parts=parts)).status_code == 500
    assert await lake_client.rows(staged) == []
    assert (await upload.call("complete", parts=parts)).status_code == 200
    [row] = await lake_client.rows(staged)
    assert (row.sha256, row.size) == (sha256(DATA).hexdigest(), len(DATA))


async def test_two_uploads_of_the_same_bytes_at_once(lake_client: Client) -> None:
    await asyncio.gather(*(lake_client.stage(DATA) for _ in range(8)))
    assert await content(lake_client, f"alice/robotics/staging/{HASH}") == DATA
    assert len(await lake_client.rows(staged)) == 1


# -- lists of parts that make no sense -----------------------------------------------------------------------------


WRONG_LISTS: dict[str, Callable[[Any, Any, Any], list[Any]]] = {
    "left out at the end": lambda a, b, c: [a, b],
    "left out at the beginning": lambda a, b, c: [b, c],
    "left out between": lambda a, b, c: [a, c],
    "out of order": lambda a, b, c: [b, a, c],
    "duplicate": lambda a, b, c: [a, b, b, c],
    "never sent": lambda a, b, c: [a, b, c, {"partNumber": 4, "etag": c["etag"]}],
    "foreign etag": lambda a, b, c: [a, b, {**c, "etag": b["etag"]}],
    "unknown etag": lambda a, b, c: [a, b, {**c, "etag": '"' + "0" * 32 + '"'}],
    "empty etag": lambda a, b, c: [a, b, {**c, "etag": ""}],
    "hostile etag": lambda a, b, c: [a, b, {**c, "etag": "../../key"}],
    "number zero": lambda a, b, c: [{**a, "partNumber": 0}, b, c],
    "negative number": lambda a, b, c: [{**a, "partNumber": -1}, b, c],
    "number missing": lambda a, b, c: [{"etag": a["etag"]}, b, c],
    "empty": lambda a, b, c: [],
}


async def test_a_wrong_list_changes_nothing(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    parts = [await upload.put(n, DATA[(n - 1) * 700 : n * 700]) for n in (1, 2, 3)]
    before = await upload.done()

    for name, change in WRONG_LISTS.items():
        assert problem(await upload.call("complete", parts=change(*parts)), 400), name
        assert await upload.done() == before, name
        assert await lake_client.lake.storage.size(upload.key) is None, name
        assert await lake_client.rows(staged) == [], name

    assert (await upload.call("complete", parts=parts)).status_code == 200
    assert await content(lake_client, upload.key) == DATA


async def test_other_bytes_than_announced_are_not_staged(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    wrong = await upload.put(1, DATA[:-1] + b"!")
    assert "SHA-256" in problem(await upload.call("complete", parts=[wrong]), 400)
    assert await lake_client.lake.storage.size(upload.key) is None
    assert await lake_client.rows(staged) == []
    assert list((lake_client.data / "objects").rglob(".*")) == []
    assert (await upload.call("complete", parts=[await upload.put(1, DATA)])).status_code == 200


async def test_other_bytes_do_not_harm_those_that_are_staged(lake_client: Client) -> None:
    await lake_client.stage(DATA)
    upload = await lake_client.begin(DATA)
    problem(await upload.call("complete", parts=[await upload.put(1, b"garbage")]), 400)
    assert await content(lake_client, upload.key) == DATA


async def test_a_name_that_is_promised_is_not_given_to_other_bytes(lake_client: Client) -> None:
    """Two uploads whose digests share 16 digits never write to one key, though neither is complete."""
    first = await lake_client.begin(DATA, sha256=sha256(DATA).hexdigest())
    second = await lake_client.begin(DATA, sha256=HASH + "0" * 48)
    assert (first.key, second.key) == (f"alice/robotics/staging/{HASH}", f"alice/robotics/staging/{HASH}{'0' * 48}")
    unannounced = await lake_client.begin(DATA)
    assert unannounced.key == first.key


async def test_unannounced_bytes_do_not_take_the_name_of_others(lake_client: Client) -> None:
    await lake_client.begin(DATA, sha256=HASH + "0" * 48)  # other bytes with these first digits are on their way
    upload = await lake_client.begin(DATA)
    assert "sha256" in problem(await upload.call("complete", parts=[await upload.put(1, DATA)]), 409)
    assert await lake_client.rows(staged) == []


async def test_urls_of_parts_come_with_the_first_answer(lake_client: Client) -> None:
    checksum = base64.b64encode(sha256(DATA).digest()).decode()
    body = {"owner": "alice", "project": "robotics", "hash": HASH, **ANNOUNCED, "checksums": {"1": checksum}}
    begun = (await lake_client.http.post("/videos/upload/multipart/init", json=body)).raise_for_status().json()
    assert list(begun["parts"]) == ["1"]
    assert "checksum" in problem(await lake_client.http.put(begun["parts"]["1"], content=DATA[:-1]), 400)
    etag = (await lake_client.http.put(begun["parts"]["1"], content=DATA)).raise_for_status().headers["etag"]
    upload = Upload(lake_client.http, "videos", begun["uploadId"], begun["key"])
    (await upload.call("complete", parts=[{"partNumber": 1, "etag": etag}])).raise_for_status()
    assert await content(lake_client, upload.key) == DATA


async def test_a_promised_checksum_must_come(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA, **ANNOUNCED)
    assert "promised" in problem(await upload.call("parts", partNumbers=[1]), 400)


# -- uploads that are not there ------------------------------------------------------------------------------------


async def test_abort_forgets_the_parts(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    part, url = await upload.put(1, DATA), await upload.url(2)
    assert (await upload.call("abort")).json() == {"success": True}
    assert list((lake_client.data / "uploads").iterdir()) == []
    assert await upload.done() == {"expired": True, "parts": []}
    problem(await upload.call("abort"), 404)
    problem(await upload.call("complete", parts=[part]), 404)
    problem(await upload.call("parts", partNumbers=[1]), 404)
    problem(await lake_client.http.put(url, content=b"late"), 404)


@on_sqlite
async def test_a_part_that_comes_while_its_upload_is_aborted(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    url = await upload.url(1)

    async def body() -> AsyncIterator[bytes]:
        yield DATA
        (await upload.call("abort")).raise_for_status()
        yield DATA

    problem(await lake_client.http.put(url, content=body()), 404)
    assert await upload.done() == {"expired": True, "parts": []}


async def test_unknown_uploads(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    part = await upload.put(1, DATA)
    for upload_id in ("0" * 32, "no-such-upload", "..", "../uploads", "a/b", "\0", "x" * 1024):
        upload.id = upload_id
        assert await upload.done() == {"expired": True, "parts": []}, upload_id
        for name, body in (("parts", {"partNumbers": [1]}), ("complete", {"parts": [part]}), ("abort", {})):
            assert problem(await upload.call(name, **body), 404), (upload_id, name)


async def test_an_upload_belongs_to_its_key(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    part = await upload.put(1, DATA)
    mine, upload.key = upload.key, f"bob/robotics/staging/{HASH}"
    assert await upload.done() == {"expired": True, "parts": []}
    problem(await upload.call("parts", partNumbers=[1]), 404)
    problem(await upload.call("complete", parts=[part]), 404)
    problem(await upload.call("abort"), 404)
    upload.key = mine
    assert (await upload.call("complete", parts=[part])).status_code == 200


# -- hostile values ------------------------------------------------------------------------------------------------

HOSTILE_SLUGS = ["", ".", "..", "../x", "a/b", "/a", ".hidden", "-x", "a\0", "a\n", "a\\b", "ä", "a" * 101, 7, None]
HOSTILE_HASHES = ["", "..", HASH.upper(), HASH[:-1], HASH + "0", HASH[:-1] + "/", HASH + "\n", HASH[:-1] + "\0", 7]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("owner", HOSTILE_SLUGS),
        ("project", HOSTILE_SLUGS),
        ("hash", HOSTILE_HASHES),
        ("sha256", ["", HASH, "z" * 64, HASH + "0" * 48 + "\n"]),
        ("size", [-1, "many", 1 << 60]),
        ("partSize", [-1, "many", 1 << 60]),
    ],
)
@on_sqlite
async def test_hostile_beginnings(lake_client: Client, field: str, values: list[Any]) -> None:
    taken = []
    for value in values:
        body = {"owner": "alice", "project": "robotics", "hash": HASH, field: value}
        answer = await lake_client.http.post("/videos/upload/multipart/init", json=body)
        if answer.status_code != 400 or not answer.json()["detail"]:
            taken.append((value, answer.text))
    assert taken == []
    assert list((lake_client.data / "uploads").iterdir()) == []


HOSTILE_KEYS = [
    "",
    "..",
    "lake.db",
    "signing.key",
    f"../alice/robotics/staging/{HASH}",
    f"alice/../robotics/staging/{HASH}",
    f"../../staging/{HASH}",
    f"alice/robotics/staging/../{HASH}",
    f"alice/robotics/videos/{HASH}",
    f"alice//staging/{HASH}",
    f"/alice/robotics/staging/{HASH}",
    f"alice/robotics/staging/{HASH}/",
    f"alice/robotics/staging/{HASH}\n",
    f"alice/robotics/staging/{HASH}\0",
    f"alice\0/robotics/staging/{HASH}",
    f"alice/robotics/staging/{HASH.upper()}",
    f"chunks/{HASH}.ts",
    f"{'a' * 300}/robotics/staging/{HASH}",
    f"alice/{'a' * 600}/staging/{HASH}",
    "a" * 2000,
]


async def test_hostile_keys(lake_client: Client) -> None:
    """None of them names an upload; whether that is 400 or 404, nothing is touched."""
    upload = await lake_client.begin(DATA)
    part = await upload.put(1, DATA)
    unexpected = []
    for key in HOSTILE_KEYS:
        upload.key = key
        for name, body in (("parts", {"partNumbers": [1]}), ("complete", {"parts": [part]}), ("abort", {})):
            answer = await upload.call(name, **body)
            if answer.status_code not in (400, 404):
                unexpected.append((key[:50], name, answer.status_code))
        done = await lake_client.http.get("/videos/upload/multipart/parts-done", params=upload.target)
        assert done.status_code == 400 or done.json() == {"expired": True, "parts": []}, key
    assert unexpected == []
    assert await lake_client.rows(staged) == []


# -- bytes on the way ----------------------------------------------------------------------------------------------


@on_sqlite
async def test_a_large_part_streams_through(lake_client: Client) -> None:
    """64 MB pass through without being held."""
    block = os.urandom(MIB // 4)
    digest = sha256(block * 256).hexdigest()
    begun = await lake_client.http.post(
        "/videos/upload/multipart/init", json={"owner": "alice", "project": "robotics", "hash": digest[:16]}
    )
    target = {"uploadId": begun.json()["uploadId"], "key": begun.json()["key"]}
    signed = await lake_client.http.post("/videos/upload/multipart/parts", json={**target, "partNumbers": [1]})

    async def body() -> AsyncIterator[bytes]:
        for _ in range(256):
            yield block

    tracemalloc.start()
    try:
        answer = await lake_client.http.put(signed.json()["parts"]["1"], content=body())
        part = {"partNumber": 1, "etag": answer.raise_for_status().headers["etag"]}
        done = await lake_client.http.post("/videos/upload/multipart/complete", json={**target, "parts": [part]})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.json() == {"success": True}
    assert await lake_client.lake.storage.size(target["key"]) == 64 * MIB
    assert peak < 16 * MIB


@on_sqlite
async def test_a_body_that_fails_leaves_no_part(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    url = await upload.url(1)

    async def body() -> AsyncIterator[bytes]:
        yield os.urandom(2 * MIB)
        raise ConnectionResetError("the cable was pulled")

    answer = await lake_client.http.put(url, content=body())
    assert answer.status_code >= 400
    assert sorted(path.name for path in (only_upload(lake_client)).iterdir()) == ["key"]
    assert (await upload.done())["parts"] == []


@on_sqlite
async def test_a_connection_that_breaks_off_leaves_no_part(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    kept = await upload.put(1, HALVES[0])
    folder = only_upload(lake_client)
    url = urlsplit(await upload.url(2))

    async def temporary() -> list[Path]:
        return [path for path in folder.glob(".*") if path.stat().st_size]

    async def gone() -> bool:
        return not list(folder.glob(".*"))

    async with over_tcp(lake_client.app) as address:
        connection = await asyncio.to_thread(socket.create_connection, address)
        with connection:
            head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: lake\r\nContent-Length: {8 * MIB}\r\n\r\n"
            await asyncio.to_thread(connection.sendall, head.encode() + bytes(4 * MIB))
            await until(temporary, "the first bytes to be written")
        await until(gone, "the lake to clean up")
        assert (await upload.done())["parts"] == [{**kept, "size": 1000}]

    parts = [kept, await upload.put(2, HALVES[1])]
    assert (await upload.call("complete", parts=parts)).status_code == 200


@on_sqlite
async def test_a_part_has_a_limit(lake_data: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(101):
            yield bytes(10)

    async with opened(lake_data, max_part_bytes=1000) as client:
        upload = await client.begin(DATA)
        url = await upload.url(1)
        problem(await client.http.put(url, content=bytes(1001)), 413)
        problem(await client.http.put(url, content=pieces()), 413)  # says nothing about its length
        assert (await upload.done())["parts"] == []
        assert (await client.http.put(url, content=bytes(1000))).status_code == 200


@on_sqlite
async def test_a_json_body_has_a_limit(lake_client: Client) -> None:
    body = b'{"owner": "' + b"a" * (5 * MIB) + b'"}'
    problem(await lake_client.http.post("/videos/upload/multipart/init", content=body), 413)
