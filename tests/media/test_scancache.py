"""A file on another machine is walked once, and not again by the next process."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

import dreamlake as dl
from tests.clips import decode_plain
from tests.webserver import WebServer

FRAME = 7
SCRIPT = f"""
import sys
import dreamlake as dl
sys.stdout.buffer.write(dl.load_video(sys.argv[1])[{FRAME}].numpy().tobytes())
"""


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 MB without tables: to know its packets one has to read it through."""
    path, random = tmp_path_factory.mktemp("scans") / "noise.mkv", np.random.default_rng(7)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "10", "qp": "20"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, "yuv420p"
        for _ in range(240):
            picture = random.integers(0, 256, (108, 192, 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    assert path.stat().st_size > 4e6
    return path


def elsewhere(url: str) -> bytes:
    """A frame, decoded by another process."""
    return subprocess.run([sys.executable, "-c", SCRIPT, url], check=True, capture_output=True).stdout


def entries(home: Path) -> list[Path]:
    return [path for path in (home / "cache" / "scans").rglob("*") if path.is_file()]


def test_another_process_does_not_walk_it_again(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    size, expected = noise.stat().st_size, decode_plain(noise)[FRAME].tobytes()
    with WebServer() as web:
        url = web.put("noise.mkv", noise.read_bytes())
        assert elsewhere(url) == expected
        first = web.sent
        assert first >= size
        assert elsewhere(url) == expected
        assert web.sent - first < size / 2

        (entry,) = entries(tmp_path)
        entry.write_bytes(entry.read_bytes()[:-1] + b"!")
        before = web.sent
        assert elsewhere(url) == expected  # a damaged entry is none
        assert web.sent - before >= size

        content = b"of another version of Dreamlake"
        entry.write_bytes(sha256(content).digest() + content)
        assert elsewhere(url) == expected
        before = web.sent
        assert elsewhere(url) == expected  # and its place has been taken
        assert web.sent - before < size / 2


def test_another_version_is_another_file(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    with WebServer() as web:
        url = web.put("noise.mkv", noise.read_bytes())
        frames = dl.load_video(url).frames
        assert frames == 240
        other = tmp_path / "short.mkv"
        with av.open(str(noise)) as source, av.open(str(other), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size and number < 120:
                    packet.stream = stream
                    target.mux(packet)
        web.files[urlsplit(url).path] = other.read_bytes()
        assert dl.load_video(url).frames == 120
        assert len(entries(tmp_path)) == 2


def test_files_of_this_machine_are_always_walked(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    assert dl.load_video(noise).frames == 240
    assert not entries(tmp_path)
