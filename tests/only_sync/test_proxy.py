"""The proxy that other tests count with: it passes everything on, and changes what it is told to."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

import dreamlake as dl
from tests.clips import decode_plain, real_clip
from tests.proxy import Proxy

CLIP = real_clip("carphone_pristine.mp4")


def test_everything_passes_and_is_counted(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")  # other tests fetch the same segments
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(CLIP.read_bytes() + b"\0\0\0\x0cfree" + os.urandom(4))  # bytes that no other test has sent
    with Proxy(served) as proxy:
        dl.connect(proxy.url)
        video = dl.upload(clip, prefix="/proxy", progress=False)
        assert proxy.sent > clip.stat().st_size
        assert (video.numpy() == decode_plain(clip)).all()
        assert proxy.received > clip.stat().st_size
        assert proxy.connections
        assert proxy.count("POST /videos/upload/multipart/init") == 1
        assert proxy.count("GET /chunks/") == len({line for line in proxy.requests if "GET /chunks/" in line})
        proxy.reset()
        assert (proxy.requests, proxy.connections, proxy.sent, proxy.received) == ([], 0, 0, 0)
        dl.connect()


def test_the_nth_body_is_damaged_and_no_other(served: str) -> None:
    with Proxy(served) as proxy, httpx.Client(base_url=proxy.url) as client:
        sound = client.get("/openapi.json").content
        proxy.corrupt("/openapi", nth=2)
        bodies = [client.get("/openapi.json").content for _ in range(4)]
        assert [body == sound for body in bodies] == [True, False, True, True]
        assert sum(one != other for one, other in zip(bodies[1], sound, strict=True)) == 1
        proxy.corrupt("/openapi", forever=True)
        assert sound not in [client.get("/openapi.json").content for _ in range(3)]
        assert proxy.requests == ["GET /openapi.json"] * 8
        assert proxy.connections == 1


def test_a_round_trip_takes_its_time(served: str) -> None:
    with Proxy(served, latency=0.2) as proxy, httpx.Client(base_url=proxy.url) as client:
        client.get("/openapi.json").raise_for_status()
        begun = time.monotonic()
        client.get("/openapi.json").raise_for_status()
        assert time.monotonic() - begun >= 0.2


def test_connections_at_once(served: str) -> None:
    with Proxy(served) as proxy, ThreadPoolExecutor(8) as threads:
        texts = set(threads.map(lambda _: httpx.get(f"{proxy.url}/openapi.json").text, range(24)))
        assert len(texts) == 1
        assert len(proxy.requests) == proxy.connections == 24


def test_a_server_that_is_not_there(unused_port: int) -> None:
    with Proxy(f"http://127.0.0.1:{unused_port}") as proxy, pytest.raises(httpx.TransportError):
        httpx.get(proxy.url)
