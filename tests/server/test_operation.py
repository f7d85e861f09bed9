"""What operators see of a server: its log, its health and its metrics; and what it refuses before it looks."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dreamlake.server.operation.logs import JsonLines, redact, request_id, start_logging
from dreamlake.server.storage import StorageDown

from ._served import Served, listening

SECRETS = {
    "a key": ("refused dlk_abc123_s3cretS3cret_9f", "s3cret"),
    "a presigned URL": ("PUT /uploads/1?expires=1&key=1&signature=deadbeef&x=1", "deadbeef"),
    "an escaped URL": ("next=%2Fchunks%3Fsignature%3Ddeadbeef", "deadbeef"),
    "S3": ("GET https://s/x?X-Amz-Signature=deadbeef&X-Amz-Credential=AKIA9/eu&X-Amz-Security-Token=tok3n", "deadbeef"),
    "S3's credential": ("?X-Amz-Credential=AKIA9/eu", "AKIA9"),
    "a header": ("Authorization: Bearer t0psecret", "t0psecret"),
    "a dictionary of headers": ("{'authorization': 'Bearer t0psecret', 'a': 1}", "t0psecret"),
    "raw headers": ("[(b'authorization', b'Bearer t0psecret')]", "t0psecret"),
    "a scheme of one's own": ("Authorization: t0psecret", "t0psecret"),
    "a bare token": ("sent bearer t0psecret to it", "t0psecret"),
    "basic access": ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    "a database": ("cannot reach postgresql://dream:hunter2@db/lake", "hunter2"),
}


@pytest.fixture
async def served(lake_data: Path) -> AsyncIterator[Served]:
    async with listening(lake_data) as client:
        yield client


@pytest.fixture
def _logging() -> Iterator[None]:
    """Put the log back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_logged(name: str) -> None:
    text, secret = SECRETS[name]
    assert secret in text
    assert secret not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize("text", ["GET /videos 200 1.0 ms", "the basic idea", "key=1&expires=2", "http://h:80/a@b"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_in_arguments_extras_and_tracebacks(
    form: Any, capsys: pytest.CaptureFixture[str], _logging: None
) -> None:
    start_logging(form, "info")
    try:
        raise ValueError("bad dlk_key_one")
    except ValueError:
        logging.getLogger("test").exception("sent %s", {"Authorization": "Bearer dlk_key_two"}, extra={"u": "dlk_x_y"})
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert not re.search("key_one|key_two|x_y", said)


def test_a_log_line_cannot_be_forged(capsys: pytest.CaptureFixture[str], _logging: None) -> None:
    for form in ("json", "text"):
        start_logging(form, "info")  # type: ignore[arg-type]  # (the words come out of a tuple)
        logging.getLogger("test").info("no such %s", "video\n2026 INFO all is well\x1b[2J")
        [line] = capsys.readouterr().err.splitlines()
        assert "\x1b" not in line


def test_lines_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str], _logging: None) -> None:
    start_logging("json", "warning")
    logging.getLogger("test").info("quiet")
    logging.getLogger("test").warning("loud")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


async def test_each_request_is_a_line(served: Served, capsys: pytest.CaptureFixture[str], _logging: None) -> None:
    start_logging("json", "info")
    path = "/videos/" + "a" * 24
    answer = await served.http.get(f"{path}?signature=deadbeef", headers={"X-Request-Id": "run-7.3"})
    assert answer.headers["x-request-id"] == "run-7.3"
    [line] = [json.loads(one) for one in capsys.readouterr().err.splitlines()]
    expected = {"logger": "dreamlake.access", "method": "GET", "path": path, "status": 404, "requestId": "run-7.3"}
    assert expected.items() <= line.items()
    assert line["bytes"] == len(answer.content)
    assert line["ms"] >= 0


@pytest.mark.parametrize("given", ["", "a" * 65, 'a"b', "a b", "\xff"])
async def test_a_request_id_that_a_log_cannot_bear_is_replaced(served: Served, given: str) -> None:
    answer = await served.http.get("/healthz", headers={"X-Request-Id": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


async def test_a_failure_names_its_line(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _logging: None
) -> None:
    start_logging("json", "info")

    async def fail(_: str) -> int:
        raise StorageDown("it is gone")

    asset = await served.add("/a.mp4", b"bytes")
    monkeypatch.setattr(served.lake.storage, "size", fail)
    capsys.readouterr()
    answer = await served.http.get(f"/videos/{asset}/raw")
    assert answer.status_code == 503
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    lines = [json.loads(one) for one in capsys.readouterr().err.splitlines()]
    assert {line["requestId"] for line in lines} == {answer.headers["x-request-id"]}
    assert any(line["level"] == "error" and "it is gone" in line["message"] for line in lines)
    assert await served.metric("dreamlake_storage_errors_total") == 1


async def test_a_job_is_logged_with_the_request_that_asked_for_it(
    served: Served, capsys: pytest.CaptureFixture[str], _logging: None
) -> None:
    start_logging("json", "info")
    asset = await served.add("/a.mp4", b"no video at all")
    await served.http.post("/lambdas/hls-split", json={"videoId": asset}, headers={"X-Request-Id": "asked-it"})
    assert (await served.finished(asset))["status"] == "failed"
    said = [json.loads(one) for one in capsys.readouterr().err.splitlines()]
    of_runner = [line for line in said if line["logger"].endswith("runner")]
    assert of_runner
    assert {line["requestId"] for line in of_runner} == {"asked-it"}
    assert request_id.get() is None


async def test_health_needs_no_name(served: Served) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await served.http.get(path, headers={"Host": "10.1.2.3"})
        assert answer.json() == {"status": "ok"}


async def test_not_ready_says_why(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: str) -> int:
        raise StorageDown("secret.example:9000 refused")

    monkeypatch.setattr(served.lake.storage, "size", fail)
    answer = await served.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the storage fails"
    assert int(answer.headers["retry-after"]) > 0
    assert (await served.http.get("/healthz")).status_code == 200


async def test_not_ready_without_a_folder_a_runner_or_room(lake_data: Path) -> None:
    async with listening(lake_data, min_free_bytes=2**62) as served:
        served.lake.runner.drain()
        detail = (await served.http.get("/readyz")).json()["detail"]
        assert re.fullmatch(r"the disk has \d+ MiB left; no jobs are executed", detail)
        shutil.rmtree(lake_data)
        assert "the disk fails" in (await served.http.get("/readyz")).json()["detail"]


async def test_metrics(served: Served) -> None:
    asset = await served.add("/a.mp4", b"no video at all")
    await served.trigger(asset)
    await served.finished(asset)
    for number in range(3):
        await served.http.get(f"/videos/{number:024x}")
        await served.http.get(f"/nowhere/{number}")
    await served.begin(b"something else")
    await served.http.request("BREW", "/healthz")
    page = (await served.http.get("/metrics")).text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }

    def requests(method: str, route: str, status: str) -> float:
        labels = (("method", method), ("route", route), ("status", status))
        return found["dreamlake_requests_total", *labels]

    assert requests("GET", "/videos/{asset_id}", "404") == 3
    assert requests("GET", "unknown", "404") == 3
    assert any(("method", "other") in key for key in found)
    assert found["dreamlake_job_seconds_count", ("action", "hls-split"), ("state", "failed")] == 1
    assert found["dreamlake_uploads",] == 1
    assert found["dreamlake_received_bytes_total",] > len(b"no video at all")
    assert found["dreamlake_sent_bytes_total",] > 0
    assert any(key[0] == "dreamlake_build_info" for key in found)
    assert "BREW" not in page
    assert "nowhere" not in page


async def test_an_embedded_lake_has_no_metrics(lake_client: Any) -> None:
    assert (await lake_client.http.get("/metrics")).status_code == 404


@pytest.mark.parametrize(
    ("url", "headers", "status"),
    [
        ("/videos/" + "a" * 9000, {}, 414),
        ("/healthz?q=" + "a" * 9000, {}, 414),
        ("/healthz", {"X-Large": "a" * 17000}, 431),
        ("/healthz", {f"X-{number}": "a" for number in range(101)}, 431),
    ],
    ids=["path", "query", "large header", "many headers"],
)
async def test_heads_are_bounded(served: Served, url: str, headers: dict[str, str], status: int) -> None:
    answer = await served.http.get(url, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status


async def test_requests_at_once_are_bounded(lake_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(lake_data, max_requests=1) as served:
        asset = await served.add("/a.mp4", b"bytes")
        began, go_on = asyncio.Event(), asyncio.Event()
        size = served.lake.storage.size

        async def slow(key: str) -> int | None:
            began.set()
            await go_on.wait()
            return await size(key)

        monkeypatch.setattr(served.lake.storage, "size", slow)
        working = asyncio.create_task(served.http.get(f"/videos/{asset}/raw"))
        await began.wait()
        refused = await served.http.get("/auth/me")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert (await served.http.get("/healthz")).status_code == 200
        assert await served.metric('dreamlake_refused_total{limit="requests"}') == 1
        go_on.set()
        assert (await working).content == b"bytes"
        assert (await served.http.get("/auth/me")).status_code == 200


async def test_who_waits_for_a_client_leaves_room_for_others(lake_data: Path) -> None:
    async with listening(lake_data, max_requests=1) as served:
        slow = [await served.connect() for _ in range(5)]
        for _, writer in slow:
            writer.write(b"POST /videos HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        while await served.metric("dreamlake_requests_running") != 6:
            pass
        assert (await served.http.get("/auth/me")).status_code == 200
        for reader, writer in slow:
            writer.write(b"123456789")
            assert b" 400 " in await reader.readline()
            writer.close()


async def test_bodies_that_are_collected_are_bounded_together(lake_data: Path) -> None:
    async with listening(lake_data, max_held_bytes=100_000) as served:
        reader, writer = await served.connect()
        writer.write(b"POST /videos HTTP/1.1\r\nHost: x\r\nContent-Length: 90001\r\n\r\n" + b" " * 90_000)
        while True:
            answer = await served.http.post("/videos", content=b" " * 20_000)
            if answer.status_code == 503:
                break
            assert answer.status_code == 400
        assert int(answer.headers["retry-after"]) > 0
        writer.write(b"1")
        assert b" 400 " in await reader.readline()
        writer.close()
        assert (await served.http.post("/videos", content=b" " * 20_000)).status_code == 400


async def test_parts_of_a_namespace_at_once_are_bounded(lake_data: Path) -> None:
    async with listening(lake_data, max_transfers=1) as served:
        mine = await served.begin(b"mine")
        more = await served.begin(b"more")
        others = await served.begin(b"others", owner="bob")
        url = httpx.URL(await mine.url(1))
        reader, writer = await served.connect()
        writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nm" % url.raw_path)
        while await served.metric("dreamlake_transfers_running") != 1:
            pass
        answer = await served.http.put(await more.url(1), content=b"more")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        await others.put(1, b"others")
        writer.write(b"ine")
        assert b" 200 " in await reader.readline()
        writer.close()
        await more.put(1, b"more")


async def test_uploads_of_a_namespace_under_way_are_bounded(lake_data: Path) -> None:
    async with listening(lake_data, max_uploads=2) as served:
        first = await served.begin(b"one")
        await served.begin(b"two")
        body = {"owner": "alice", "project": "robotics", "hash": "0" * 16}
        answer = await served.http.post("/videos/upload/multipart/init", json=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        await served.begin(b"one", owner="bob")
        await first.call("abort")
        await served.begin(b"three")


def test_a_formatter_by_itself_says_what_it_must() -> None:
    record = logging.LogRecord("a", logging.INFO, "f", 1, "hello %s", ("you",), None)
    line = json.loads(JsonLines().format(record))
    assert {"level": "info", "logger": "a", "message": "hello you"}.items() <= line.items()
    assert line["time"].endswith("+00:00")
