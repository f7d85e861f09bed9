# Generated from tests/_async/test_predict_http.py by scripts/unasync.py. Edit that file, then run it.
"""What an engine, or whatever lies before it, may do with HTTP: the client's own connections against plain sockets."""

from __future__ import annotations

import gzip
import re
import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamlake as dl
from dreamlake.errors import EngineUnreachableError
from tests.predictions import actions, mp4, png

OK = b'{"status":"ok"}'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + OK


class Site:
    """A server that answers as it is told: each request with the next of ``answers``, and then as with the last.

    An empty piece closes the connection. ``heard`` has the first lines of the requests, ``connections`` a number each.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[list[bytes]] = []
        self.heard: list[str] = []
        self.connections: list[int] = []
        self.closed = threading.Event()
        site = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                number = len(set(site.connections))
                while head := _head(self.rfile):
                    site.heard.append(head.split("\r\n")[0])
                    site.connections.append(number)
                    length = re.search(r"(?i)content-length: (\d+)", head)
                    self.rfile.read(int(length[1]) if length else 0)
                    for piece in site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]:
                        if not piece:
                            return
                        self.wfile.write(piece)

            def finish(self) -> None:
                super().finish()
                self.request.close()
                site.closed.set()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                connection, address = super().get_request()
                return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

            def handle_error(self, *_: Any) -> None:
                pass  # clients go when they like

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def _head(file: Any) -> str:
    lines = []
    while (line := file.readline()) not in (b"", b"\r\n"):
        lines.append(line.decode())
    return "".join(lines)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


PACKED = gzip.compress(OK)


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n", OK[:7], b"\r\n8\r\n", OK[7:], b"\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", WHOLE],
        [WHOLE[:9], WHOLE[9:40], WHOLE[40:]],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED), PACKED],
        [b"HTTP/1.0 200 OK\r\n\r\n", OK, b""],
    ],
)
def test_an_answer_may_come_in_any_form(site: Site, answer: list[bytes]) -> None:
    site.answers = [answer]
    with dl.Client(base_url=site.url) as client:
        assert [client.status().status for _ in range(2)] == ["ok", "ok"]
    assert site.connections == ([0, 1] if answer[-1] == b"" else [0, 0])


def test_a_connection_that_was_closed_meanwhile_costs_no_try(site: Site) -> None:
    site.answers = [[WHOLE, b""]]
    with dl.Client(base_url=site.url) as client:
        for number in range(3):
            assert client.status().status == "ok"
            assert site.closed.wait(10)
            site.closed.clear()
            assert len(site.heard) == number + 1


@pytest.mark.parametrize("answer", [[b""], [b"nonsense\r\n\r\n", b""], [WHOLE[:-3], b""]])
def test_an_answer_that_is_none_is_tried_again(site: Site, answer: list[bytes]) -> None:
    site.answers = [answer, [WHOLE]]
    with dl.Client(base_url=site.url) as client:
        assert client.status().status == "ok"
    assert site.heard == ["GET /v1/status HTTP/1.1"] * 2


def test_an_engine_may_send_its_clients_on(site: Site) -> None:
    """As platforms do where a rollout takes longer than a request may."""
    video = mp4(4)
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(video)
    site.answers = [[b"HTTP/1.1 303 See Other\r\nLocation: /later?id=7\r\nContent-Length: 0\r\n\r\n"], [answer, video]]
    with dl.Client(base_url=site.url) as client:
        assert client.predict(png(), actions(1)).video == video
    assert site.heard == ["POST /v1/predict HTTP/1.1", "GET /later?id=7 HTTP/1.1"]


def test_a_proxy_is_asked_where_there_is_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    site.answers = [[WHOLE]]
    with dl.Client(base_url="http://engine.invalid") as client:
        assert client.status().status == "ok"
    assert site.heard == ["GET http://engine.invalid/v1/status HTTP/1.1"]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of localhost, signed by nobody else; its key is beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    return tmp_path / "cert.pem"


def test_over_tls_only_whom_one_trusts(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
    site = Site(tls)
    site.answers = [[WHOLE]]
    url = f"https://localhost:{site.port}"
    try:
        with dl.Client(base_url=url) as client:
            with pytest.raises(EngineUnreachableError, match="certificate"):
                client.status()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with dl.Client(base_url=url) as client:
            assert [client.status().status for _ in range(2)] == ["ok", "ok"]
        assert site.connections == [0, 0]
    finally:
        site.server.shutdown()
        site.server.server_close()
