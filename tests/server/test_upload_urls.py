"""Presigned URLs of parts: good for one thing, for a while, and for the bytes they were signed with."""

from __future__ import annotations

import base64
import time
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from ._lake import Client, opened
from ._uploads import DATA, HASH, altered, only_upload, path_and_target, problem

# -- presigned URLs ------------------------------------------------------------------------------------------------


async def test_an_altered_url_is_refused(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    other = await lake_client.begin(DATA, owner="bob")
    url = await upload.url(1)
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    signature = query["signature"]
    flipped = ("0" if signature[0] != "0" else "1") + signature[1:]

    refused = {
        "other number": url.replace("/1?", "/2?"),
        "number written otherwise": url.replace("/1?", "/01?"),
        "other upload": url.replace(upload.id, other.id),
        "other target": altered(url, target=other.key),
        "other namespace": altered(url, namespace="bob"),
        "later expiry": altered(url, expires=str(int(query["expires"]) + 1)),
        "other key": altered(url, key="2"),
        "other signature": altered(url, signature=flipped),
        "empty signature": altered(url, signature=""),
        "foreign signature": altered(url, signature="ñ"),
        "more parameters": url + "&sha256=" + base64.b64encode(bytes(32)).decode(),
        "doubled target": url + "&target=" + other.key,
        "doubled signature": url + "&signature=" + signature,
        "no parameters": url.split("?")[0],
    }
    for name in query:
        rest = {key: value for key, value in query.items() if key != name}
        refused[f"without {name}"] = parts._replace(query=urlencode(rest)).geturl()
    for name, wrong in refused.items():
        answer = await lake_client.http.put(wrong, content=DATA)
        assert problem(answer, 403), name
    assert (await upload.done())["parts"] == []
    assert (await other.done())["parts"] == []
    assert (await lake_client.http.put(url, content=DATA)).status_code == 200


async def test_an_expired_url_is_refused(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    signer = lake_client.lake.signer
    path, target = await path_and_target(upload)
    for expires, status in ((int(time.time()) - 1, 403), (int(time.time()) + 60, 200)):
        query = signer.query("PUT", path, "alice", expires, {"target": target})
        answer = await lake_client.http.put(f"{path}?{query}", content=DATA)
        assert answer.status_code == status, answer.text
    assert "expired" in problem(await lake_client.http.put(f"{path}?{signer.query('PUT', path, 'a', 1)}"), 403)


async def test_a_url_of_another_lake_is_refused(lake_client: Client, tmp_path: Path) -> None:
    upload = await lake_client.begin(DATA)
    path, target = await path_and_target(upload)
    async with opened(tmp_path / "other") as other:
        query = other.lake.signer.query("PUT", path, "alice", int(time.time()) + 60, {"target": target})
    problem(await lake_client.http.put(f"{path}?{query}", content=DATA), 403)


async def test_a_signature_is_for_one_method(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    path, target = await path_and_target(upload)
    query = lake_client.lake.signer.query("GET", path, "alice", int(time.time()) + 60, {"target": target})
    problem(await lake_client.http.put(f"{path}?{query}", content=DATA), 403)


async def test_urls_begin_with_the_host_that_was_asked(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    answer = await lake_client.http.post(
        "/videos/upload/multipart/parts",
        json={**upload.target, "partNumbers": [1]},
        headers={"Host": "lake.example:8443"},
    )
    assert answer.json()["parts"]["1"].startswith("http://lake.example:8443/uploads/")


async def test_any_content_type_is_taken(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    for kind in ("video/mp4", "application/json", "application/x-www-form-urlencoded", "multipart/form-data", "?"):
        answer = await lake_client.http.put(await upload.url(1), content=DATA, headers={"Content-Type": kind})
        assert answer.status_code == 200, kind
    assert [part["size"] for part in (await upload.done())["parts"]] == [len(DATA)]


# -- checksums -----------------------------------------------------------------------------------------------------


async def test_a_part_must_match_the_checksum_it_was_announced_with(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    checksum = base64.b64encode(sha256(DATA).digest()).decode()
    url = await upload.url(1, checksums={"1": checksum})
    assert "checksum" in problem(await lake_client.http.put(url, content=DATA[:-1]), 400)
    assert (await upload.done())["parts"] == []
    assert sorted(path.name for path in (only_upload(lake_client)).iterdir()) == ["key"]
    assert (await lake_client.http.put(url, content=DATA)).status_code == 200


async def test_a_checksum_is_a_sha256_in_base64(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    for checksum in ("?", "abc", base64.b64encode(bytes(31)).decode(), "00" * 32):
        assert problem(await upload.call("parts", partNumbers=[1], checksums={"1": checksum}), 400), checksum


async def test_part_numbers_are_1_to_10000(lake_client: Client) -> None:
    upload = await lake_client.begin(DATA)
    for numbers in ([0], [-1], [10_001], [1.5], [None], list(range(1, 1002))):
        assert problem(await upload.call("parts", partNumbers=numbers), 400), numbers
    answer = await upload.call("parts", partNumbers=[1, 10_000])
    assert sorted(answer.raise_for_status().json()["parts"]) == ["1", "10000"]


async def test_numbers_are_not_texts(lake_client: Client) -> None:
    """Wrong types are refused, also where a text could be read as a number."""
    upload = await lake_client.begin(DATA)
    part = await upload.put(1, DATA)
    problem(await upload.call("parts", partNumbers=["1"]), 400)
    problem(await upload.call("complete", parts=[{**part, "partNumber": "1"}]), 400)
    body = {"owner": "alice", "project": "robotics", "hash": HASH, "size": "1"}
    problem(await lake_client.http.post("/videos/upload/multipart/init", json=body), 400)
