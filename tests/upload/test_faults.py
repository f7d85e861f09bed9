"""The proxy that the other tests here lose data with: each of its faults happens once, where it was told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from tests.faults import (
    Action,
    Answer,
    Cut,
    CutAnswer,
    FaultProxy,
    Late,
    Lose,
    Stall,
    Twice,
    expired,
    failed_in_200,
    in_seconds,
    slow_down,
)
from tests.s3server import BUCKET, S3Server

BODY = bytes(range(256)) * 4096  # 1 MiB


class EchoServer(ThreadingHTTPServer):
    """Says nothing of clients that go away."""

    def handle_error(self, *_: object) -> None:
        """They are meant to."""


class Echo(BaseHTTPRequestHandler):
    """Answers with the length of what it got, and remembers what it was."""

    protocol_version = "HTTP/1.1"
    got: ClassVar[list[tuple[str, bytes]]] = []

    def do_GET(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if len(data) < int(self.headers.get("Content-Length") or 0):
            return
        self.got.append((self.path, data))
        answer = f"{len(data)}".encode() if self.command == "PUT" else BODY
        self.send_response(200)
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(answer), 100_000):
                piece = answer[at : at + 100_000]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

    do_PUT = do_POST = do_HEAD = do_GET  # noqa: N815 (http.server looks for these names)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    Echo.got.clear()
    server = EchoServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with FaultProxy(f"http://127.0.0.1:{server.server_port}") as proxy:
            yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def http(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=10) as client:
        yield client


def whole() -> list[int]:
    """The lengths of the bodies that the server got whole."""
    return [len(data) for _, data in Echo.got]


def test_without_a_plan_everything_passes(proxy: FaultProxy, http: httpx.Client) -> None:
    assert http.get("/a").content == BODY
    assert http.get("/chunked").content == BODY
    assert http.head("/a").headers["content-length"] == str(len(BODY))
    assert http.put("/a", content=BODY).text == str(len(BODY))
    assert http.put("/a", content=b"", headers={"Expect": "100-continue"}).text == "0"
    assert proxy.connections == 1
    assert proxy.count("PUT /a") == 2
    assert [seen.body for seen in proxy.log] == [0, 0, 0, len(BODY), 0]
    assert {status for seen in proxy.log for status in seen.statuses} == {200}


def test_the_nth_that_matches(proxy: FaultProxy, http: httpx.Client) -> None:
    proxy.fault(Answer(500), "PUT", "/a", nth=2)
    proxy.fault(Answer(501), "PUT", "/a", nth=2)
    proxy.fault(Answer(502), path="/b")
    asked = [http.put("/a"), http.put("/b"), http.get("/a"), http.put("/a"), http.put("/a"), http.put("/a")]
    assert [answer.status_code for answer in asked] == [200, 502, 200, 500, 501, 200]
    assert proxy.unused == []


def test_from_some_request_on(proxy: FaultProxy, http: httpx.Client) -> None:
    proxy.fault(Answer(503), nth=2, forever=True)
    proxy.fault(Answer(500), nth=3)
    assert proxy.unused == [Answer(503), Answer(500)]
    assert [http.get("/a").status_code for _ in range(4)] == [200, 503, 500, 503]
    assert proxy.unused == []
    proxy.calm()
    assert http.get("/a").status_code == 200


@pytest.mark.parametrize("after", [0, 1000, 300_000, len(BODY), 2 * len(BODY)])
def test_a_request_that_is_cut(proxy: FaultProxy, http: httpx.Client, after: int) -> None:
    proxy.fault(Cut(after), "PUT")
    with pytest.raises(httpx.TransportError):
        http.put("/a", content=BODY)
    if after < len(BODY):
        assert Echo.got == []
    assert http.put("/a", content=BODY).text == str(len(BODY))


@pytest.mark.parametrize("path", ["/a", "/chunked"])
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("after", [0, 1000, 900_000])
def test_an_answer_that_is_cut(proxy: FaultProxy, http: httpx.Client, path: str, reset: bool, after: int) -> None:
    proxy.fault(CutAnswer(after, reset), "GET")
    with pytest.raises(httpx.TransportError):
        http.get(path)
    assert http.get(path).content == BODY


@pytest.mark.parametrize("after", [None, 0, 1000])
def test_a_stall(proxy: FaultProxy, http: httpx.Client, after: int | None) -> None:
    proxy.fault(Stall(30, after), "PUT")
    with pytest.raises(httpx.TimeoutException):
        http.put("/a", content=BODY, timeout=0.2)
    assert whole() == ([len(BODY)] if after is None else [])
    proxy.fault(Stall(0.2, after), "PUT")
    begun = time.monotonic()
    assert http.put("/a", content=BODY).text == str(len(BODY))
    assert time.monotonic() - begun >= 0.2


def test_answers_that_the_server_never_gave(proxy: FaultProxy, http: httpx.Client) -> None:
    proxy.fault(slow_down("3"), path="^/slow$")
    slow = http.put("/slow", content=BODY)
    assert (slow.status_code, slow.headers["retry-after"]) == (503, "3")
    assert "<Code>SlowDown</Code>" in slow.text
    proxy.fault(slow_down(in_seconds(2)), path="^/slow$")
    assert http.get("/slow").headers["retry-after"].endswith(" GMT")
    proxy.fault(expired(), "PUT")
    assert http.put("/a", content=BODY).status_code == 403
    proxy.fault(failed_in_200(), "POST")
    failed = http.post("/a")
    assert failed.status_code == 200
    assert "<Error>" in failed.text
    assert Echo.got == []
    proxy.fault(failed_in_200(delivered=True), "POST")
    assert "<Error>" in http.post("/a", content=b"xyz").text
    assert whole() == [3]
    assert proxy.connections == 1


def test_an_answer_that_is_lost(proxy: FaultProxy, http: httpx.Client) -> None:
    proxy.fault(Lose(), "PUT")
    with pytest.raises(httpx.TransportError):
        http.put("/uploads/u1/7", content=BODY)
    assert whole() == [len(BODY)]
    assert proxy.acknowledged() == {("u1", 7): len(BODY)}


@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_that_comes_twice(proxy: FaultProxy, http: httpx.Client, at_once: bool) -> None:
    proxy.fault(Twice(at_once), "PUT")
    assert http.put("/a", content=BODY, headers={"Expect": "100-continue"}).text == str(len(BODY))
    assert whole() == [len(BODY)] * 2
    assert proxy.log[0].statuses == [200, 200]


def test_a_request_that_comes_late(proxy: FaultProxy, http: httpx.Client) -> None:
    proxy.fault(Late(2), "PUT", "/late")
    with pytest.raises(httpx.TransportError):
        http.put("/late", content=BODY)
    for path in ("/1", "/2", "/3"):
        http.put(path)
    proxy.deliver()
    paths = [path for path, _ in Echo.got]
    assert paths[:2] == ["/1", "/2"]
    assert sorted(paths[2:]) == ["/3", "/late"]
    proxy.fault(Late(100), "PUT", "/late")
    with pytest.raises(httpx.TransportError):
        http.put("/late", content=BODY)
    assert len(Echo.got) == 4
    proxy.deliver()
    assert Echo.got[4] == ("/late", BODY)


def test_a_client_that_goes_away(proxy: FaultProxy, http: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield BODY[:1000]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        http.put("/a", content=pieces(), headers={"Content-Length": str(len(BODY))})
    assert http.put("/a", content=b"abc").text == "3"
    assert whole() == [3]


def test_signed_urls_of_a_store_hold_through_it(tmp_path: Path) -> None:
    from botocore.config import Config
    from botocore.session import Session

    with S3Server(tmp_path) as server, FaultProxy(server.url) as proxy:
        session = Session()
        session.set_credentials(server.key, server.secret)
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        client = session.create_client("s3", region_name="us-east-1", endpoint_url=proxy.url, config=config)
        target = {"Bucket": BUCKET, "Key": "a/b"}
        upload = {**target, "UploadId": client.create_multipart_upload(**target)["UploadId"]}
        url = client.generate_presigned_url("upload_part", {**upload, "PartNumber": 1}, 600)
        faults: list[Action] = [Cut(5), Lose(), slow_down("0")]
        for fault in faults:
            proxy.fault(fault, "PUT", "partNumber=1")
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                httpx.put(url, content=BODY)
        assert httpx.put(url, content=BODY).status_code == 503
        etag = httpx.put(url, content=BODY).raise_for_status().headers["etag"]
        assert proxy.acknowledged() == {(upload["UploadId"], 1): len(BODY)}
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        client.complete_multipart_upload(**upload, MultipartUpload=parts)
        assert client.get_object(**target)["Body"].read() == BODY
        client.close()
