"""Videos and arrays of clips in torch's DataLoader: every sample is exact, in workers of every kind, and none hangs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import dreamlake as dl
from dreamlake.errors import UsageError
from dreamlake.media import cache
from dreamlake.media.cores import cores, slot
from tests.clips import CLIPS, decode_plain

pytestmark = [
    pytest.mark.timeout(100),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

# Workers that are not forked import torch anew, which takes seconds: each kind reads one lake.
METHODS = [("embedded", "fork"), ("served", "fork"), ("served", "spawn"), ("embedded", "forkserver")]
Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def open_gop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A clip of several segments, and its 200 frames."""
    path = CLIPS["h264-open-gop"].make(tmp_path_factory.mktemp("loader") / "open.mp4")
    return path, np.stack(decode_plain(path))


@pytest.fixture
def video(lake: str, open_gop: tuple[Path, np.ndarray]) -> dl.Video:
    return dl.upload(open_gop[0], prefix="/loader", progress=False)


class Windows(Dataset[tuple[int, torch.Tensor]]):
    """What a user writes: a data set that holds videos, and reads a window of frames for each sample."""

    def __init__(self, *videos: dl.Video, length: int = 4) -> None:
        self.starts = [(video, start) for video in videos for start in range(0, len(video) - length, 10)]
        self.length = length

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> tuple[int, torch.Tensor]:
        video, start = self.starts[number]
        return start, video[start : start + self.length].tensor(size=(48, 80))


def check_clips(batches: Iterator[torch.Tensor], expected: np.ndarray) -> None:
    """The batches are all clips, once and in order."""
    assert np.array_equal(torch.cat(list(batches)).numpy(), expected)


def test_without_workers(video: dl.Video, open_gop: tuple[Path, np.ndarray]) -> None:
    clips = video.chunk(0.2)[:, ::2]  # 34 clips of 3 frames, the last of which is shorter
    loader: DataLoader[Any] = DataLoader(clips[:-1], batch_size=8, collate_fn=dl.VideoArray.tensor)
    check_clips(iter(loader), open_gop[1][:198].reshape(33, 6, 96, 160, 3)[:, ::2])


@pytest.mark.parametrize(("lake", "method"), METHODS, indirect=["lake"])
def test_an_array_in_workers(video: dl.Video, open_gop: tuple[Path, np.ndarray], method: str) -> None:
    expected = open_gop[1][:198].reshape(33, 6, 96, 160, 3)[:, ::2]
    clips = video.chunk(0.2)[:-1, ::2]
    assert np.array_equal(clips[:3].numpy(), expected[:3])  # decoders, caches and connections are in use
    loader: DataLoader[Any] = DataLoader(
        clips, batch_size=8, num_workers=2, collate_fn=dl.VideoArray.tensor, multiprocessing_context=method
    )
    check_clips(iter(loader), expected)
    assert np.array_equal(clips[30:].numpy(), expected[30:])  # and the parent's still work


@pytest.mark.parametrize(("lake", "method"), [("served", "fork"), ("embedded", "spawn")], indirect=["lake"])
def test_a_data_set_of_videos_in_workers(
    video: dl.Video, open_gop: tuple[Path, np.ndarray], made: Made, method: str
) -> None:
    seed = dl.upload(made("seed"), prefix="/loader", progress=False)
    data = Windows(video, seed)
    expected = {}
    for name, one in (("open", video), ("seed", seed)):
        pixels = one.tensor(size=(48, 80))
        expected |= {(name, start): pixels[start : start + 4] for start in range(0, len(one) - 4, 10)}
    loader: DataLoader[Any] = DataLoader(data, batch_size=5, num_workers=2, multiprocessing_context=method)
    found = [(int(start), window) for starts, windows in loader for start, window in zip(starts, windows, strict=True)]
    assert len(found) == len(expected) == len(data)
    for (start, window), (key, wanted) in zip(found, expected.items(), strict=True):
        assert start == key[1]
        assert torch.equal(window, wanted), f"{key}"


def test_shuffled_epochs_of_persistent_workers(video: dl.Video, open_gop: tuple[Path, np.ndarray]) -> None:
    clips = video[:198].chunk(0.2)
    loader: DataLoader[Any] = DataLoader(
        clips, batch_size=4, shuffle=True, num_workers=2, persistent_workers=True,
        collate_fn=collate_with_starts, multiprocessing_context="fork",
        generator=torch.Generator().manual_seed(7),
    )  # fmt: skip
    orders = []
    for _ in range(2):
        order = []
        for starts, pixels in loader:
            for start, clip in zip(starts.tolist(), pixels.numpy(), strict=True):
                assert np.array_equal(clip, open_gop[1][start : start + 6]), f"frame {start}"
                order.append(start)
        assert sorted(order) == list(range(0, 198, 6))
        orders.append(order)
    assert orders[0] != orders[1]


def collate_with_starts(clips: dl.VideoArray) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch and the first frame of each clip in it, at 30 frames a second."""
    return torch.from_numpy(np.rint(clips.st * 30).astype(int)), clips.tensor()


def test_a_fork_while_threads_decode(open_gop: tuple[Path, np.ndarray], made: Made) -> None:
    """Workers are forked while the parent's decoders have threads of their own, wait in a video, and are at work."""
    path, expected = open_gop
    video = dl.load_video(path)
    assert np.array_equal(video.numpy(), expected)  # a long run: a decoder with threads
    walker = video.iterator()
    assert np.array_equal(next(walker), expected[0])  # one in the middle of its work
    for number in range(40):
        video[number].numpy()  # one that waits

    def read(start: int) -> None:
        for number in range(start, 200, 5):
            assert np.array_equal(video[number].numpy(), expected[number])

    loader: DataLoader[Any] = DataLoader(
        video[:198].chunk(0.2), batch_size=4, num_workers=2, collate_fn=dl.VideoArray.tensor,
        multiprocessing_context="fork",
    )  # fmt: skip
    with ThreadPoolExecutor(2) as threads:
        reading = [threads.submit(read, start) for start in range(4)]
        check_clips(iter(loader), expected[:198].reshape(33, 6, 96, 160, 3))
        for one in reading:
            one.result()
    for number, picture in enumerate(walker, 1):
        assert np.array_equal(picture, expected[number])


def forked(check: Callable[[], bool]) -> int:
    """The pid of a child that ends with 0 where the check holds in it, and in any case within 20 s."""
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return child


def test_a_walk_goes_on_after_a_fork(open_gop: tuple[Path, np.ndarray]) -> None:
    """In the child, which has the parent's memory and not its threads, and in the parent."""
    path, expected = open_gop
    video = dl.load_video(path)
    iterator = video.iterator()
    for number in range(45):
        assert np.array_equal(video[number].numpy(), expected[number])
        assert np.array_equal(next(iterator), expected[number])

    def walk_on() -> bool:
        return all(
            np.array_equal(video[number].numpy(), expected[number]) for number in range(45, 90)
        ) and np.array_equal(video.numpy(), expected)

    child = forked(walk_on)
    for number in range(45, 90):
        assert np.array_equal(video[number].numpy(), expected[number])
        assert np.array_equal(next(iterator), expected[number])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class Held:
    """A key that keeps whoever looks it up, and so the lock of the cache."""

    def __init__(self) -> None:
        self.looked, self.released = threading.Event(), threading.Event()

    def __hash__(self) -> int:
        self.looked.set()
        assert self.released.wait(30)
        return 1


def test_a_fork_while_locks_are_held(open_gop: tuple[Path, np.ndarray]) -> None:
    """The child has no thread that would ever give them back."""
    path, expected = open_gop
    video = dl.load_video(path)
    key = Held()
    with ExitStack() as stack, ThreadPoolExecutor(1) as threads:
        stack.callback(key.released.set)
        for _ in range(cores()):
            stack.enter_context(slot())
        looking = threads.submit(cache.segments.get, key)
        assert key.looked.wait(10)
        child = forked(lambda: np.array_equal(video[::40].numpy(), expected[::40]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        key.released.set()
        assert looking.result() is None


class Broken(Dataset[Any]):
    """A data set whose third sample is asked for wrongly."""

    def __init__(self, video: dl.Video) -> None:
        self.video = video

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Any:
        return self.video[number].tensor(size=(8, 8) if number != 2 else (0, 8))


def test_an_error_in_a_worker_is_our_error_in_the_parent(open_gop: tuple[Path, np.ndarray]) -> None:
    data = Broken(dl.load_video(open_gop[0]))
    loader: DataLoader[Any] = DataLoader(data, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(UsageError, match="0 pixels high"):
        list(loader)
