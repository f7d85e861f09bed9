"""Videos at https:// and s3:// URLs: the same frames as from a file here, and no more bytes than it takes."""

from __future__ import annotations

import pickle
import sys
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest

import dreamlake.aio as adl
from dreamlake._async._runtime import gather, map_unordered
from dreamlake.errors import (
    AccessError,
    ConfigError,
    FileChangedError,
    InvalidTargetError,
    MediaError,
    MissingExtraError,
    SourceError,
    SourceNotFoundError,
    SourceUnreachableError,
)
from tests.clips import CLIPS, PLAINER, X264, Clip, decode_plain, join, plain_times, real_clip, remux
from tests.s3server import S3Server
from tests.webserver import WebServer

CARPHONE = real_clip("carphone_pristine.mp4")
NOW = {"Retry-After": "0"}

frames_of = lru_cache(3)(decode_plain)

# Name, clip that it is made of, suffix, and how it is written.
WRITTEN = {
    "faststart": ("h264-open-gop", ".mp4", "faststart"),
    "moov-at-end": ("h264-sound", ".mp4", ""),
    "fragments": ("h264-sound", ".mp4", "frag_keyframe+empty_moov"),
    "mov": ("h264-pyramid", ".mov", ""),
    "mkv": ("h264-open-gop", ".mkv", ""),
    "ts": ("h264-open-gop", ".ts", ""),
    "vp9-mp4": ("vp9", ".mp4", ""),
}
AS_MADE = ("av1", "av1-webm", "vp9", "h264-avi", "h264-avi-b-frames", "h264-variable")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remote")


def file_of(name: str, folder: Path) -> Path:
    """A clip of this name, made once."""
    source, suffix, flags = WRITTEN.get(name, (name, "", ""))
    path = folder / f"{name}{suffix or CLIPS[source].suffix}"
    if path.exists():
        return path
    if name not in WRITTEN:
        return CLIPS[name].make(path)
    return remux(file_of(source, folder), path, **({"movflags": flags} if flags else {}))


@pytest.fixture(autouse=True)
def _nothing_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here is what a first reader fetches."""
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
async def carphone(web: WebServer) -> AsyncIterator[adl.Video]:
    yield await adl.load_video(web.put("carphone.mp4", CARPHONE.read_bytes()))


@pytest.fixture(scope="module")
def large(folder: Path) -> Path:
    """20 MB of noise with key frames every second."""
    path, random = folder / "large.mp4", np.random.default_rng(7)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "30", "qp": "20"})
        stream.width, stream.height, stream.pix_fmt = 480, 270, "yuv420p"
        noise = random.integers(0, 256, (8, 270, 480, 3), np.uint8)
        for number in range(180):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise[number % 8], number, 0), format="rgb24")))
        output.mux(stream.encode(None))
    assert path.stat().st_size > 20e6
    return path


def file_of_large(large: Path, folder: Path, suffix: str) -> Path:
    """The same in another container."""
    path = folder / f"large{suffix}"
    return path if path.exists() else remux(large, path)


# -- the same frames ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*WRITTEN, *AS_MADE])
async def test_every_frame(web: WebServer, folder: Path, name: str) -> None:
    path = file_of(name, folder)
    expected = frames_of(path)
    video = await adl.load_video(web.put(path.name, path.read_bytes()))
    assert np.array_equal(await video.numpy(keepdims=True), expected)
    for number in range(len(expected) - 1, -1, -7):
        assert np.array_equal(await video[number].numpy(), expected[number]), f"frame {number}"
    for number, seconds in enumerate(plain_times(path)):
        assert video[seconds] == video[number], f"frame {number}, at {seconds} s"
    count = 0
    async for picture in video[3:60:2].iterator():
        assert np.array_equal(picture, expected[3 + 2 * count])
        count += 1
    assert count == len(expected[3:60:2])


async def test_parameter_sets_that_change_on_the_way(web: WebServer, folder: Path) -> None:
    second, path = PLAINER.make(folder / "plainer.mp4"), folder / "two.mp4"
    join([file_of("h264-open-gop", folder), second], path)
    expected = frames_of(path)
    for place in (path, web.put("two.mp4", path.read_bytes())):
        video = await adl.load_video(place)
        for number in (320, 5, 298, 199, 200, 150, 0, 249):
            assert np.array_equal(await video[number].numpy(), expected[number]), f"frame {number}"
        assert np.array_equal(await video.numpy(), expected)
        # A video that begins with the same parameter sets, and keeps them.
        same = await adl.load_video(file_of("h264-open-gop", folder))
        assert np.array_equal(await same.numpy(), expected[: same.frames])


async def test_what_a_video_of_a_url_is(carphone: adl.Video, web: WebServer) -> None:
    here = await adl.load_video(CARPHONE)
    assert carphone.id is None
    assert carphone.uri.startswith(f"http://{web.host}/")
    assert (carphone.frames, carphone.fps, carphone.et) == (here.frames, here.fps, here.et)
    assert 'Video("http://...carphone.mp4", fps=29.97' in repr(carphone)
    assert await adl.load(carphone.uri) == carphone


# -- what it costs -----------------------------------------------------------------------------------------------------


async def test_opening_fetches_little_and_a_segment_is_one_request(web: WebServer, large: Path) -> None:
    url, size = web.put_file(large)
    expected = frames_of(large)
    video = await adl.load_video(url)
    assert web.sent < size / 10
    assert len(web.requests) <= 8
    web.requests.clear()
    assert np.array_equal(await video[100].numpy(), expected[100])
    assert len(web.requests) == 1
    assert web.sent < size / 2.5  # two of six seconds
    assert np.array_equal(await video[110].numpy(), expected[110])
    assert len(web.requests) == 1  # the segment is kept


async def test_fragments_cost_their_headers(web: WebServer, large: Path, folder: Path) -> None:
    path = remux(large, folder / "large-fragments.mp4", movflags="frag_keyframe+empty_moov")
    data = path.read_bytes()
    video = await adl.load_video(web.put("large.mp4", data))
    assert web.sent < len(data) / 4
    assert len(web.requests) <= data.count(b"moof") * 2 + 6
    web.requests.clear()
    assert np.array_equal(await video[100].numpy(), frames_of(large)[100])
    assert len(web.requests) == 1


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
async def test_what_has_no_tables_is_read_through_once(web: WebServer, large: Path, folder: Path, suffix: str) -> None:
    path = file_of_large(large, folder, suffix)
    video = await adl.load_video(web.put(path.name, path.read_bytes()))
    assert web.sent < path.stat().st_size * 1.1
    assert len(web.requests) <= 16
    web.requests.clear()
    assert np.array_equal(await video[100].numpy(), frames_of(large)[100])
    assert not web.requests  # 20 MB are still there


async def test_a_segment_that_has_to_be_demuxed_is_fetched_at_once(web: WebServer, large: Path, folder: Path) -> None:
    path = file_of_large(large, folder, ".mkv")
    url, size = web.put_file(path)
    video = await adl.load_video(url)
    for _ in range(64 * 1024**2 // size + 1):  # more than what is kept of all files
        await adl.load_video(web.put_file(path)[0])
    expected = frames_of(large)
    assert np.array_equal(await video[10].numpy(), expected[10])  # with the header of the file
    web.requests.clear()
    assert np.array_equal(await video[100].numpy(), expected[100])
    assert 0 < len(web.requests) <= 3


async def test_a_known_video_costs_a_look(web: WebServer, carphone: adl.Video) -> None:
    web.requests.clear()
    assert await adl.load_video(carphone.uri) == carphone
    assert [(request.begin, request.sent) for request in web.requests] == [(0, 1)]


async def test_sound_that_lies_apart_is_not_fetched(web: WebServer, folder: Path) -> None:
    clip = Clip(options={**X264, "g": "15"}, frames=240, sound="pcm_s16le", suffix=".mov").make(folder / "sound.mov")
    # The whole of the sound lies behind the whole of the picture.
    video = await adl.load_video(web.put("sound.mov", clip.read_bytes()))
    expected = frames_of(clip)
    web.requests.clear()
    assert np.array_equal(await video[200].numpy(), expected[200])
    assert len(web.requests) == 1
    assert web.sent < clip.stat().st_size / 3


# -- clips in other hands ----------------------------------------------------------------------------------------------


async def test_a_pickled_clip_finds_its_url_and_tells_no_secret(web: WebServer) -> None:
    url = web.put("carphone.mp4", CARPHONE.read_bytes()).replace("http://", "http://bob:hunter2@")
    web.password = "Ym9iOmh1bnRlcjI="
    video = await adl.load_video(f"{url}?X-Amz-Signature=5ec2e7")
    assert np.array_equal(await video[7].numpy(), frames_of(CARPHONE)[7])
    clip = pickle.loads(pickle.dumps(video[3:9]))
    assert clip == video[3:9]
    for said in (repr(video), video.uri, repr(video._source), str(clip)):
        assert "hunter2" not in said
        assert "5ec2e7" not in said
    web.password = "other"
    with pytest.raises(AccessError) as raised:
        await adl.load_video(f"{url}?X-Amz-Signature=5ec2e8")
    assert "hunter2" not in str(raised.value)
    assert "5ec2e8" not in str(raised.value)


async def test_many_readers(web: WebServer, carphone: adl.Video) -> None:
    expected = frames_of(CARPHONE)

    async def check(number: int) -> None:
        assert np.array_equal(await carphone[number].numpy(), expected[number]), f"frame {number}"

    async for _ in map_unordered(check, range(0, len(expected), 5), 8):
        pass


async def test_several_videos_at_once(web: WebServer, folder: Path) -> None:
    paths = [file_of(name, folder) for name in ("mkv", "faststart", "ts", "vp9")]
    urls = [web.put(path.name, path.read_bytes()) for path in paths]
    videos = await gather(*(partial(adl.load_video, url) for url in urls))
    arrays = await gather(*(video.numpy for video in videos))
    for path, pixels in zip(paths, arrays, strict=True):
        assert np.array_equal(pixels, frames_of(path))


# -- files that change -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified", ""])
async def test_a_file_that_is_replaced(web: WebServer, folder: Path, validator: str) -> None:
    web.validator = validator
    url = web.put("run.mp4", file_of("faststart", folder).read_bytes())
    path = url.removeprefix(f"http://{web.host}")
    before = await adl.load_video(url)
    web.files[path] = file_of("av1", folder).read_bytes()
    with pytest.raises(FileChangedError):
        await before[100].numpy()
    after = await adl.load_video(url)
    assert np.array_equal(await after.numpy(), frames_of(file_of("av1", folder)))
    with pytest.raises(FileChangedError):
        await before[100].numpy()
    del web.files[path]
    with pytest.raises(SourceNotFoundError):
        await adl.load_video(url)


async def test_a_file_that_is_replaced_while_it_is_scanned(web: WebServer, large: Path, folder: Path) -> None:
    url, _ = web.put_file(file_of_large(large, folder, ".mkv"))
    path = url.removeprefix(f"http://{web.host}")

    def replace() -> None:
        if len(web.requests) == 4:
            web.files[path] = web.files[path][:-1]

    web.before = replace
    with pytest.raises(FileChangedError):
        await adl.load_video(url)
    assert len(web.requests) == 5


# -- servers as they are -----------------------------------------------------------------------------------------------


async def test_a_small_file_of_a_server_without_ranges(web: WebServer) -> None:
    web.ranges = False
    for length in (True, False):
        web.length = length
        web.requests.clear()
        video = await adl.load_video(web.put("carphone.mp4", CARPHONE.read_bytes()))
        assert np.array_equal(await video.numpy(), frames_of(CARPHONE))
        assert len(web.requests) == 1


@pytest.mark.parametrize("length", [True, False])
async def test_a_large_file_of_a_server_without_ranges(web: WebServer, length: bool) -> None:
    web.ranges, web.length = False, length
    with pytest.raises(SourceError, match="only the whole file"):
        await adl.load_video(web.put("large.mp4", bytes(33 * 1024**2)))


async def test_a_server_that_gives_less_than_it_is_asked_for(web: WebServer) -> None:
    web.most = 50_000
    video = await adl.load_video(web.put("carphone.mp4", CARPHONE.read_bytes()))
    assert np.array_equal(await video.numpy(), frames_of(CARPHONE))


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_a_server_that_is_busy(web: WebServer, carphone: adl.Video, status: int) -> None:
    web.answers.extend([(status, NOW)] * 4)
    assert np.array_equal(await carphone[50].numpy(), frames_of(CARPHONE)[50])
    web.answers.extend([(status, NOW)] * 5)
    with pytest.raises(SourceUnreachableError, match=f"answered {status}"):
        await adl.load_video(carphone.uri)


async def test_bodies_that_end_early_are_fetched_again(web: WebServer, carphone: adl.Video) -> None:
    web.cuts = 1
    assert np.array_equal(await carphone[50].numpy(), frames_of(CARPHONE)[50])
    assert not web.cuts


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_followed_once(web: WebServer, status: int) -> None:
    target = web.put("carphone.mp4", CARPHONE.read_bytes())
    web.redirects["/latest"] = (status, target)
    video = await adl.load_video(web.url("/latest"))
    assert [request.target for request in web.requests].count("/latest") == 1
    assert video.uri == web.url("/latest")
    # What it led to has moved meanwhile, and the same file is found where it leads to now.
    moved = web.put("moved.mp4", web.files.pop(target.removeprefix(f"http://{web.host}")))
    web.redirects["/latest"] = (status, moved)
    assert np.array_equal(await video[50].numpy(), frames_of(CARPHONE)[50])


async def test_redirects_in_a_circle(web: WebServer) -> None:
    web.redirects["/round"] = (302, web.url("/round"))
    with pytest.raises(SourceUnreachableError, match="redirects"):
        await adl.load_video(web.url("/round"))


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessError),
        (403, AccessError),
        (404, SourceNotFoundError),
        (410, SourceNotFoundError),
        (400, SourceUnreachableError),
    ],
)
async def test_refusals(web: WebServer, status: int, error: type[Exception]) -> None:
    web.answers.append((status, {}))
    with pytest.raises(error, match=f"video.*{status}"):
        await adl.load_video(web.url("/video.mp4"))
    assert len(web.requests) == 1


async def test_nobody_listens(unused_port: int) -> None:
    with pytest.raises(SourceUnreachableError, match=f"no answer from 127.0.0.1:{unused_port}.*address") as raised:
        await adl.load_video(f"http://127.0.0.1:{unused_port}/video.mp4")
    assert isinstance(raised.value, ConnectionError)


@pytest.mark.parametrize("data", [b"", b"not a video", CARPHONE.read_bytes()[:100_000]])
async def test_what_is_no_video(web: WebServer, data: bytes) -> None:
    with pytest.raises(MediaError, match="video"):
        await adl.load_video(web.put("video.mp4", data))


@pytest.mark.parametrize("url", ["http://localhost:99999/x.mp4", "s3://bucket", "s3://bucket/", "s3://a bucket/x.mp4"])
async def test_what_is_no_url(url: str) -> None:
    with pytest.raises(InvalidTargetError):
        await adl.load_video(url)


# -- S3 ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment in which nothing is configured."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


@pytest.fixture(scope="module")
def s3(folder: Path) -> Iterator[S3Server]:
    with S3Server(folder / "s3") as server:
        yield server


async def test_an_object_of_a_real_store(s3: S3Server, aws: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    aws.setenv("AWS_ENDPOINT_URL", s3.url)
    (tmp_path / "credentials").write_text(
        f"[robots]\naws_access_key_id = {s3.key}\naws_secret_access_key = {s3.secret}\n"
    )
    aws.setenv("AWS_PROFILE", "robots")
    for name in ("moov-at-end", "mkv"):
        path = file_of(name, folder)
        uri = s3.put(f"run 042/front?#{quote('ü')}ü-{path.name}", path.read_bytes())
        video = await adl.load_video(uri)
        assert (video.uri, video.id) == (uri, None)
        assert np.array_equal(await video.numpy(), frames_of(path))
        assert np.array_equal(await video[33].numpy(), frames_of(path)[33])


async def test_an_object_that_changes(s3: S3Server, aws: pytest.MonkeyPatch, folder: Path) -> None:
    s3.use(aws)
    uri = s3.put("changing.mp4", file_of("faststart", folder).read_bytes())
    video = await adl.load_video(uri)
    s3.put("changing.mp4", file_of("av1", folder).read_bytes())
    with pytest.raises(FileChangedError):
        await video[150].numpy()


async def test_refusals_of_a_real_store(s3: S3Server, aws: pytest.MonkeyPatch) -> None:
    s3.use(aws)
    for uri in (s3.uri("none.mp4"), "s3://nobodys-bucket/none.mp4"):
        with pytest.raises(SourceNotFoundError, match="none"):
            await adl.load_video(uri)
    aws.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(AccessError, match="credentials in use"):
        await adl.load_video(s3.uri("none.mp4"))


async def test_without_credentials_nothing_is_signed(web: WebServer, aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", web.url(""))
    web.files["/open/carphone.mp4"] = CARPHONE.read_bytes()
    video = await adl.load_video("s3://open/carphone.mp4")
    assert np.array_equal(await video[9].numpy(), frames_of(CARPHONE)[9])
    assert {request.target for request in web.requests} == {"/open/carphone.mp4"}
    web.answers.append((403, {}))
    with pytest.raises(AccessError, match="no AWS credentials"):
        await adl.load_video("s3://closed/video.mp4")


async def test_a_bucket_of_another_region(web: WebServer, aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL", web.url(""))
    aws.setenv("AWS_ACCESS_KEY_ID", "key")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    web.files["/far/carphone.mp4"] = CARPHONE.read_bytes()
    web.answers.append((400, {"x-amz-bucket-region": "eu-north-1"}))
    video = await adl.load_video("s3://far/carphone.mp4")
    assert video.frames == len(frames_of(CARPHONE))
    first, *others = [request.target for request in web.requests]
    assert "eu-north-1" not in first
    assert all("eu-north-1" in target for target in others)


async def test_aws_that_is_configured_wrongly(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobodys")
    with pytest.raises(ConfigError, match="nobodys"):
        await adl.load_video("s3://bucket/video.mp4")


async def test_s3_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(MissingExtraError, match=r"dreamlake\[s3\]"):
        await adl.load_video("s3://bucket/video.mp4")
