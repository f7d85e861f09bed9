"""The folder of segments: bounded, whole files only, and never in the way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dreamlake.config import cache_bytes
from dreamlake.errors import ConfigError
from dreamlake.media.diskcache import DiskCache


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def used_at(folder: Path, name: str, seconds: int) -> None:
    """Set when a file was used last: the clock is too coarse to tell files of one moment apart."""
    (path,) = folder.rglob(name)
    os.utime(path, (seconds, seconds))


def test_what_was_put_is_there_for_other_processes_too(tmp_path: Path) -> None:
    DiskCache(tmp_path, 1000).put("abcd", b"content")
    assert DiskCache(tmp_path, 1000).get("abcd") == b"content"
    assert DiskCache(tmp_path, 1000).get("abce") is None


def test_those_that_were_used_last_stay(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 1000)
    for number in range(9):
        cache.put(f"{number:04}", bytes(100))
        used_at(tmp_path, f"{number:04}", 1_000_000 + number)
    assert cache.get("0000") == bytes(100)  # which makes it the last to go
    cache.put("0009", bytes(100))
    cache.put("0010", bytes(100))
    assert size(tmp_path) <= 1000
    assert cache.get("0000") is not None
    assert cache.get("0010") is not None
    assert cache.get("0001") is None


def test_the_bound_holds_for_files_of_other_processes(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path, 10_000) for _ in range(8)]
    for number in range(400):
        caches[number % 8].put(f"{number:04}", bytes(100))
        assert size(tmp_path) <= 15_000  # each process looks again before it has written much


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 100)
    cache.put("abcd", bytes(101))
    assert cache.get("abcd") is None
    DiskCache(tmp_path / "off", 0).put("abcd", b"content")
    assert not (tmp_path / "off").exists()
    cache.put("abcd", b"content")
    assert DiskCache(tmp_path, 0).get("abcd") is None  # turned off, it does not find what was kept before either


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache(tmp_path / "file", 1000)
    cache.put("abcd", b"content")
    assert cache.get("abcd") is None


def test_half_a_file_is_never_seen(tmp_path: Path) -> None:
    cache, wrong = DiskCache(tmp_path, 10_000_000), []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            data = cache.get("abcd")
            if data is not None and data != bytes([data[0]]) * 1_000_000:
                wrong.append(len(data))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(60):
        cache.put("abcd", bytes([number]) * 1_000_000)
    stop.set()
    reader.join()
    assert not wrong
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["abcd"]


def test_the_bound_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_bytes() == 10_000_000_000
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")
    assert cache_bytes() == 0
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "10 GB")
    with pytest.raises(ConfigError, match="10 GB"):
        cache_bytes()
