"""The blocking API among threads, event loops and processes, and processes that are killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import dreamlake as dl
import dreamlake.aio as adl
from tests.clips import Clip, decode_plain, real_clip
from tests.webserver import WebServer

BIKES = real_clip("bikes.mp4")
WANTED = (0, 249, 100, 42, 199, 3)


def run_python(code: str, home: Path, *arguments: object) -> subprocess.Popen[str]:
    """Another Python on the same lake; the code finds its arguments in ``sys.argv``."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "DREAMLAKE_HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str], *, status: int = 0) -> str:
    """What a process printed, once it has ended as expected and without a word on stderr."""
    out, error = process.communicate(timeout=90)
    assert (process.returncode, error) == (status, ""), error
    return out


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


def test_both_apis_in_one_process(lake: str) -> None:
    expected = decode_plain(BIKES)
    video = dl.upload(BIKES, prefix="/processes", progress=False)

    async def main() -> None:
        same = await adl.load_video(video.id)
        # The blocking API inside a running event loop, as in Jupyter.
        assert np.array_equal(dl.load_video(video.id)[7].numpy(), expected[7])
        assert np.array_equal(await same[7].numpy(), video[7].numpy())

    for _ in range(2):  # a second event loop finds nothing left of the first
        asyncio.run(main())
    assert np.array_equal(video[249].numpy(), expected[249])


def test_eight_threads_read_one_video(lake: str) -> None:
    expected = decode_plain(BIKES)
    video = dl.upload(BIKES, prefix="/processes", progress=False)

    def read(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, len(video), 20):
            assert np.array_equal(video[number].numpy(), expected[number])
        assert np.array_equal(video[seed * 10 : seed * 10 + 30].numpy(), expected[seed * 10 : seed * 10 + 30])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read, range(8)))


def _read(data: bytes) -> list[bytes]:
    video = pickle.loads(data)
    return [video[number].numpy().tobytes() for number in WANTED]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_read_a_pickled_video(lake: str, method: str) -> None:
    expected = decode_plain(BIKES)
    video = dl.upload(BIKES, prefix="/processes", progress=False)
    video[5].numpy()  # connections, caches and decoders are in use when the workers begin
    with multiprocessing.get_context(method).Pool(2) as workers:
        for frames in workers.map(_read, [pickle.dumps(video), pickle.dumps(video[:])]):
            assert frames == [expected[number].tobytes() for number in WANTED]
    assert np.array_equal(video[6].numpy(), expected[6])  # and the parent's still work


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_read_a_pickled_video_of_a_url(method: str) -> None:
    expected = decode_plain(BIKES)
    with WebServer() as web:
        video = dl.load_video(web.put("bikes.mp4", BIKES.read_bytes()))
        video[5].numpy()
        used = {request.port for request in web.requests}
        assert len(used) == 1  # a connection is kept when the workers begin
        web.requests.clear()
        with multiprocessing.get_context(method).Pool(2) as workers:
            for frames in workers.map(_read, [pickle.dumps(video), pickle.dumps(video[:])]):
                assert frames == [expected[number].tobytes() for number in WANTED]
        assert web.requests
        assert used.isdisjoint(request.port for request in web.requests)
        web.requests.clear()
        assert np.array_equal(video[200].numpy(), expected[200])
        assert used == {request.port for request in web.requests}
        dl.close()
        assert np.array_equal(video[6].numpy(), expected[6])


READ_AND_UPLOAD = """
    import sys
    from pathlib import Path
    import numpy as np
    import dreamlake as dl
    from tests.clips import decode_plain
    shared, own = map(Path, sys.argv[1:])
    for round in range(3):
        video = dl.upload(own, prefix=f"/round-{round}", progress=False)
        assert np.array_equal(video.numpy(), decode_plain(own))
        shared_video = dl.upload(shared, prefix="/shared", progress=False)
        assert np.array_equal(shared_video.numpy(), decode_plain(shared))
    print(shared_video.id)
"""


def test_processes_share_a_lake(tmp_path: Path) -> None:
    clips = [
        Clip(options={"preset": "veryfast", "g": "15"}, frames=40 + n).make(tmp_path / f"{n}.mp4") for n in range(3)
    ]
    shared = real_clip("carphone_pristine.mp4")
    processes = [run_python(READ_AND_UPLOAD, tmp_path / "home", shared, clip) for clip in clips]
    assert len({finish(process) for process in processes}) == 1


def padded(path: Path, megabytes: int) -> Path:
    """A clip with a free box behind it: the same frames, and more parts to send."""
    Clip(options={"preset": "veryfast", "g": "10"}, frames=45).make(path)
    with path.open("ab") as file:
        file.write((megabytes * 1024**2 + 8).to_bytes(4, "big") + b"free" + os.urandom(megabytes * 1024**2))
    return path


UPLOAD = """
    import sys
    import dreamlake as dl
    def say(event):
        print(event.stage, event.done, flush=True)
    dl.upload(sys.argv[1], progress=say)
"""


@pytest.mark.parametrize("moment", ["hash ", "upload 0", "upload 10485760", "process "])
def test_killed_while_uploading(tmp_path: Path, moment: str) -> None:
    path = padded(tmp_path / "run.mp4", 45)
    victim = run_python(UPLOAD, tmp_path / "home", path)
    assert victim.stdout is not None
    assert victim.stderr is not None
    for line in victim.stdout:
        if line.startswith(moment):
            break
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(10) == -signal.SIGKILL
    victim.stdout.close()
    victim.stderr.close()

    steps = finish(run_python(UPLOAD, tmp_path / "home", path)).splitlines()
    sent = [float(line.split()[1]) for line in steps if line.startswith("upload")]
    if moment == "upload 10485760":
        assert sent[0] >= 10485760, "the part that was acknowledged is not sent again"
    with lake_in(tmp_path / "home"):
        video = dl.upload(path, progress=False)
        assert np.array_equal(video.numpy(), decode_plain(path))


def test_killed_while_processing(tmp_path: Path) -> None:
    # Pictures that must be encoded anew, so that the processing takes long enough to be killed in its midst.
    path = Clip(codec="mjpeg", pix_fmt="yuvj420p", options={"q": "3"}, suffix=".mov", frames=150, size=(960, 544)).make(
        tmp_path / "run.mov"
    )
    victim = run_python(UPLOAD, tmp_path / "home", path)
    assert victim.stdout is not None
    assert victim.stderr is not None
    for line in victim.stdout:
        if line.startswith("process 0.") and not line.startswith("process 0.0\n"):
            break
    victim.send_signal(signal.SIGKILL)
    victim.wait(10)
    victim.stdout.close()
    victim.stderr.close()

    # Whoever opens the lake next goes on with it, without uploading again.
    code = """
        import sys
        import dreamlake as dl
        from dreamlake._sync.lake import Lake
        from dreamlake.config import current_lake
        import httpx, getpass
        lake = Lake(current_lake())
        page = lake.send("GET", current_lake().bss_url + "/videos", query={"owner": sys.argv[1], "project": "default"})
        (item,) = page.json()["items"]
        assert item["status"] == "processing", item
        from dreamlake.core.ids import resource_id
        from dreamlake.core.kinds import VIDEO
        video = dl.load_video(resource_id(VIDEO, item["id"]))
        print(video.frames, video.numpy().shape)
    """
    import getpass

    from dreamlake.core.targets import slugify

    reader = run_python(code, tmp_path / "home", slugify(getpass.getuser()))
    assert finish(reader) == "150 (150, 544, 960, 3)\n"


class lake_in:  # noqa: N801 - a context manager, used like a function
    """The embedded lake of another home."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> None:
        dl.connect(data=self._home / "lake")

    def __exit__(self, *_: object) -> None:
        dl.connect()


def test_the_interpreter_ends_at_once_and_in_silence(tmp_path: Path) -> None:
    code = """
        import sys
        import dreamlake as dl
        video = dl.upload(sys.argv[1], progress=False, wait=sys.argv[2] == "wait")
    """
    for wait in ("wait", "go"):
        begun = time.monotonic()
        finish(run_python(code, tmp_path / "home", BIKES, wait))
        assert time.monotonic() - begun < 30


def test_no_main_guard_is_needed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import dreamlake as dl\nprint(dl.upload({str(BIKES)!r}, progress=False).frames)\n")
    environment = {**os.environ, "DREAMLAKE_HOME": str(tmp_path / "home")}
    out = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=60)
    assert (out.stdout, out.stderr) == ("250\n", "")


def test_no_module_of_the_current_folder_is_taken_for_one_of_ours(tmp_path: Path) -> None:
    (tmp_path / "anyio.py").write_text("open('taken', 'w')")
    code = "import sys; sys.path.remove(''); import dreamlake as dl; dl.upload(sys.argv[1], progress=False)"
    command = [sys.executable, "-c", code, str(BIKES)]
    environment = {**os.environ, "DREAMLAKE_HOME": str(tmp_path / "home")}
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=60)
    assert not (tmp_path / "taken").exists()
