"""Threads that meet at a segment, however they are scheduled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamlake as dl
from dreamlake.media import cache
from tests.clips import X264, Clip, decode_plain
from tests.proxy import Proxy


def test_a_thread_that_looked_before_another_fetched_does_not_fetch_again(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")
    path = Clip(options={**X264, "g": "5"}, size=(90, 50), frames=20).make(tmp_path / "run.mp4")
    with Proxy(served) as proxy:
        dl.connect(proxy.url)
        video = dl.upload(path, prefix="/fetching", progress=False)
        looked, fetched = threading.Event(), threading.Event()
        get: Callable[[Hashable], Any] = cache.segments.get
        pictures: list[Any] = []

        def held_up(key: Hashable) -> Any:
            found = get(key)
            if threading.current_thread() is late and not looked.is_set():
                looked.set()
                assert fetched.wait(30)
            return found

        late = threading.Thread(target=lambda: pictures.append(video[3].numpy()))
        monkeypatch.setattr(cache.segments, "get", held_up)
        late.start()
        assert looked.wait(30)
        pictures.append(video[3].numpy())
        fetched.set()
        late.join(30)
        dl.connect()
        assert np.array_equal(pictures, [decode_plain(path)[3]] * 2)
        assert proxy.count("GET /chunks/") == 1
