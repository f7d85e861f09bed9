"""Spaces, episodes, paths, asset names and URIs, as the seeds write them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import AUDIO, KINDS, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind
from dreamlake.core.targets import (
    AssetUri,
    FileUri,
    Space,
    Target,
    asset_name,
    bss_uri,
    check_name,
    check_slug,
    join_path,
    parse_episode,
    parse_source,
    parse_space,
    parse_target,
    slugify,
)
from dreamlake.errors import InvalidIdError, InvalidTargetError, UsageError

from ._helpers import examples

OBJECT_ID = "69e7264a0123456789abcdef"
slugs = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\")
parts = st.text(letters, min_size=1, max_size=12).filter(lambda part: part not in (".", ".."))


# -- spaces and episodes


def test_the_sdk_says_space_at_namespace() -> None:
    assert parse_space("robotics@alice") == Space(namespace="alice", space="robotics")
    assert parse_space("robotics") == Space(namespace=None, space="robotics")


def test_the_cli_says_namespace_at_space_colon_episode() -> None:
    assert parse_episode("alice@robotics:run-042") == Space("alice", "robotics", "run-042")
    assert parse_episode("robotics:run-042") == Space(None, "robotics", "run-042")
    assert parse_episode("run-042") == Space(None, None, "run-042")


@examples(100)
@given(slugs, slugs, slugs)
def test_both_orders_read_any_names(namespace: str, space: str, episode: str) -> None:
    assert parse_space(f"{space}@{namespace}") == Space(namespace, space)
    assert parse_episode(f"{namespace}@{space}:{episode}") == Space(namespace, space, episode)


BAD_SLUGS = ["", " ", ".", "..", "-a", "_a", "a/b", "a\\b", "a b", "a\0", "a\n", "\na", "é", "a" * 101, "a%2fb", "a+b"]


@pytest.mark.parametrize("slug", BAD_SLUGS)
def test_hostile_names_of_spaces_are_refused_wherever_they_stand(slug: str) -> None:
    with pytest.raises(InvalidTargetError, match="a space"):
        check_slug(slug, "a space")
    for text in (slug, f"{slug}@alice", f"robotics@{slug}"):
        with pytest.raises(InvalidTargetError):
            parse_space(text)
    for text in (slug, f"{slug}:run-042", f"robotics:{slug}", f"{slug}@robotics:run-042", f"alice@{slug}:run-042"):
        with pytest.raises(InvalidTargetError):
            parse_episode(text)


@pytest.mark.parametrize("text", ["robotics@alice@bob", "@", "@alice", "robotics@", "robotics@alice:run-042"])
def test_what_is_not_a_space_is_refused(text: str) -> None:
    with pytest.raises(InvalidTargetError, match="space@namespace"):
        parse_space(text)


@pytest.mark.parametrize(
    "text", ["alice@robotics", "a:b:c", ":", ":run", "alice@:run", "@robotics:run", "alice@robotics:", "a@b@c:run"]
)
def test_what_is_not_an_episode_is_refused(text: str) -> None:
    with pytest.raises(InvalidTargetError, match="namespace@space:episode"):
        parse_episode(text)


@pytest.mark.parametrize("slug", ["a", "A", "0", "run-042", "v1.2_final", "a" * 100, "a..b", "a-"])
def test_names_of_spaces(slug: str) -> None:
    assert check_slug(slug, "a space") == slug


@examples(200)
@given(st.one_of(st.text(), st.text(st.characters(), max_size=300), slugs))
@example("a" * 101)
@example("e\N{COMBINING ACUTE ACCENT}" * 99 + "/-" * 9)
def test_slugify_always_gives_a_name(text: str) -> None:
    assert check_slug(slugify(text), "a namespace") == slugify(slugify(text))


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Alice Müller", "Alice-Muller"),
        ("alice", "alice"),
        ("  ", "user"),
        ("李", "user"),
        ("..", "user"),
        ("_x_", "x"),
    ],
)
def test_slugify_stays_close(text: str, slug: str) -> None:
    assert slugify(text) == slug


# -- paths


@pytest.mark.parametrize(
    ("prefix", "path", "resolved"),
    [
        ("/2026/04/run-042", "camera/front", "/2026/04/run-042/camera/front"),
        ("/2026/04/run-042", "/shared/ref.mp4", "/shared/ref.mp4"),
        ("/2026/04", "run-042", "/2026/04/run-042"),
        ("/2026/04", None, "/2026/04"),
        ("/2026/04", "", "/2026/04"),
        ("/2026/04", "/", "/"),
        ("/", None, "/"),
        ("/", "camera", "/camera"),
        ("", "camera", "/camera"),
        ("2026/04", "camera", "/2026/04/camera"),
        ("/2026/04/", "camera//front/", "/2026/04/camera/front"),
        ("/2026/04", "//shared//ref.mp4", "/shared/ref.mp4"),
    ],
)
def test_relative_paths_are_appended_and_absolute_ones_ignore_the_prefix(
    prefix: str, path: str | None, resolved: str
) -> None:
    assert join_path(prefix, path) == resolved


@examples(200)
@given(st.lists(parts, max_size=4), st.lists(parts, max_size=4), st.lists(parts, max_size=4))
def test_paths_join_part_by_part(one: list[str], two: list[str], three: list[str]) -> None:
    outer, inner = join_path("/", "/".join(one)), "/".join(two)
    assert join_path(outer, inner) == "/" + "/".join(one + two)
    assert join_path(outer, "/" + inner) == join_path("/", inner)
    assert join_path(join_path(outer, inner), "/".join(three)) == join_path(outer, "/".join(two + three))


# -- names of assets


@pytest.mark.parametrize(
    ("folder", "filename", "name"),
    [
        # The folder, and the file's own name.
        ("/2026/04/run-042/camera/front", "video.mp4", "/2026/04/run-042/camera/front/video.mp4"),
        ("/camera/front", "run01.mp4", "/camera/front/run01.mp4"),
        ("/", "video.mp4", "/video.mp4"),
        ("/camera/front", "README", "/camera/front/README"),
        # The last part carries the file's extension: it is the full name.
        ("/shared/ref.mp4", "b.mp4", "/shared/ref.mp4"),
        ("/shared/REF.MP4", "b.mp4", "/shared/REF.MP4"),
        ("/shared/ref.mp4", "B.MP4", "/shared/ref.mp4"),
        # Another extension, one in the middle, or only an extension: a folder.
        ("/shared/ref.mp4", "b.mkv", "/shared/ref.mp4/b.mkv"),
        ("/camera.mp4/front", "b.mp4", "/camera.mp4/front/b.mp4"),
        ("/runs/v1.2", "b.mp4", "/runs/v1.2/b.mp4"),
        ("/runs/.mp4", "b.mp4", "/runs/.mp4/b.mp4"),
        ("/runs/mp4", "b.mp4", "/runs/mp4/b.mp4"),
        ("/runs/ref.mp4", "README", "/runs/ref.mp4/README"),
    ],
)
def test_a_path_names_a_folder_unless_it_carries_the_extension(folder: str, filename: str, name: str) -> None:
    assert asset_name(folder, filename) == name


@examples(100)
@given(st.lists(parts, max_size=4), parts, st.sampled_from([".mp4", ".jsonl", ".wav"]))
def test_the_files_own_name_is_kept(folder: list[str], stem: str, extension: str) -> None:
    folders = [f"{part}_" for part in folder]  # none carries the extension
    name = asset_name(join_path("/", "/".join(folders)), stem + extension)
    assert name == unicodedata.normalize("NFC", "/" + "/".join([*folders, stem + extension]))


BAD_NAMES = [
    "",
    "/",
    "//",
    "video.mp4",
    "camera/front/video.mp4",
    "/camera//video.mp4",
    "/camera/",
    "/.",
    "/..",
    "/../etc/passwd",
    "/camera/../../video.mp4",
    "/camera/./video.mp4",
    "/camera/..",
    "/camera\\front.mp4",
    "/..\\video.mp4",
    "/camera/\0",
    "/camera/video.mp4\0.txt",
    "/camera/video\n.mp4",
    "/camera/video.mp4\n",
    "/camera/\x7f",
    "/camera/\x1b[2J.mp4",
    "/camera/\x85",
    "/camera/\ud800.mp4",
    "/" + "a" * 256,
    "/" + "é" * 128,
    "/camera/" + "a" * 256 + "/video.mp4",
    "/a" * 513,
    ("/" + "a" * 254) * 4 + "/aaaa",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: ascii(name)[:30])
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidTargetError):
        check_name(name)


@pytest.mark.parametrize(
    "filename", ["..", ".", "", "../up.mp4", "a\\b.mp4", "a\0.mp4", "a\n.mp4", "a" * 252 + ".mp4", "\udcff.mp4"]
)
def test_hostile_file_names_are_refused(filename: str) -> None:
    with pytest.raises(InvalidTargetError):
        asset_name("/camera/front", filename)


@pytest.mark.parametrize("folder", ["camera/front", "/camera/../front", "/camera/\0", "/..", "/../ref.mp4", "/a\\b"])
def test_hostile_folders_are_refused(folder: str) -> None:
    with pytest.raises(InvalidTargetError):
        asset_name(folder, "video.mp4")


@pytest.mark.parametrize(
    "name",
    [
        "/a",
        "/...",
        "/..a/b..",
        "/.hidden/.mp4",
        "/" + "a" * 255,
        "/a" * 512,
        ("/" + "a" * 254) * 4 + "/aaa",
        "/é/ü.mp4",
        "/a b/c%2e%2e.mp4",
        "/~/$x",
    ],
    ids=lambda name: ascii(name)[:30],
)
def test_odd_names_that_are_names(name: str) -> None:
    assert check_name(name) == name


@examples(100)
@given(st.lists(parts, min_size=1, max_size=5))
def test_composed_and_decomposed_spellings_are_one_name(named: list[str]) -> None:
    name = "/" + "/".join(named)
    spellings = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    assert {check_name(spelling) for spelling in (name, *spellings)} == {spellings[0]}
    assert check_name(check_name(name)) == check_name(name)


def test_macos_and_linux_name_one_asset() -> None:
    assert asset_name("/Caf\N{LATIN SMALL LETTER E WITH ACUTE}", "ru\N{COMBINING DIAERESIS}n.mp4") == asset_name(
        "/Cafe\N{COMBINING ACUTE ACCENT}", "r\N{LATIN SMALL LETTER U WITH DIAERESIS}n.mp4"
    )


@examples(300)
@given(st.text(st.one_of(st.sampled_from("/.\\\0\na"), st.characters()), max_size=20))
def test_a_name_that_is_taken_stays_below_its_root(text: str) -> None:
    try:
        name = check_name(text)
    except InvalidTargetError:
        return
    first, *rest = name.split("/")
    assert first == ""
    assert rest
    assert not {"", ".", ".."} & set(rest)
    assert not set(name) & {"\\", "\0", "\n", "\r"}
    assert len(name.encode()) <= 1024


# -- sources: ids, URIs and paths


def test_load_video_takes_a_resource_id() -> None:
    source = parse_source("v-BV1bW411n7fY9x01")
    assert isinstance(source, AssetUri)
    assert (source.kind, source.host) == (VIDEO, None)
    assert resource_id(source.kind, source.object_id) == "v-BV1bW411n7fY9x01"
    assert isinstance(track := parse_source("tt-3fHj7kLm0pQs5uXw"), AssetUri)
    assert track.kind is TEXT_TRACK


def test_load_video_takes_the_bss_uri_of_the_seed() -> None:
    source = parse_source("bss://localhost:10234/videos/69e7264a")
    assert isinstance(source, AssetUri)
    assert (source.kind, source.host, source.object_id[:8]) == (VIDEO, "localhost:10234", "69e7264a")


@pytest.mark.parametrize("digits", range(8, 25))
def test_a_uri_may_give_the_beginning_of_an_id(digits: int) -> None:
    source = parse_source(f"bss://localhost:10234/videos/{OBJECT_ID[:digits]}")
    assert source == AssetUri(VIDEO, OBJECT_ID[:digits], "localhost:10234")


@pytest.mark.parametrize(
    "id_", ["69e7264", "6", "69E7264A", "69e7264g", "69e7264a..", "69e7264a%2f", "-69e7264a", "x" * 24]
)
def test_what_is_no_beginning_of_an_id_is_refused(id_: str) -> None:
    with pytest.raises(InvalidTargetError):
        parse_source(f"bss://localhost:10234/videos/{id_}")


@pytest.mark.parametrize("host", ["localhost:10234", "", "lake.example.com", "[::1]:10234", "10.0.0.7:80"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_uri_of_an_asset_is_read_back(kind: Kind, host: str) -> None:
    uri = bss_uri(host, kind, OBJECT_ID)
    assert parse_source(uri) == AssetUri(kind, OBJECT_ID, host)


def test_a_bss_uri_reads_as_in_the_seed() -> None:
    assert bss_uri("localhost:10234", VIDEO, OBJECT_ID) == f"bss://localhost:10234/videos/{OBJECT_ID}"
    assert bss_uri("localhost:10234", AUDIO, OBJECT_ID) == f"bss://localhost:10234/audio/{OBJECT_ID}"
    assert bss_uri("localhost:10234", LABEL_TRACK, OBJECT_ID) == f"bss://localhost:10234/labels/{OBJECT_ID}"


@pytest.mark.parametrize(
    ("text", "scheme", "location"),
    [
        ("file:///data/video.mp4", "file", "/data/video.mp4"),
        ("file://localhost/data/video.mp4", "file", "/data/video.mp4"),
        ("file:///data/my%20video%23.mp4", "file", "/data/my video#.mp4"),
        ("s3://bucket/runs/video.mp4", "s3", "s3://bucket/runs/video.mp4"),
        ("https://example.com/video.mp4?x=1", "https", "https://example.com/video.mp4?x=1"),
        ("http://example.com/video.mp4", "http", "http://example.com/video.mp4"),
        ("./video.mp4", "file", "./video.mp4"),
        ("video.mp4", "file", "video.mp4"),
        ("/data/video.mp4", "file", "/data/video.mp4"),
        ("../video.mp4", "file", "../video.mp4"),
        ("~/video.mp4", "file", "~/video.mp4"),
        ("my video #1 100%.mp4", "file", "my video #1 100%.mp4"),
        ("C:\\videos\\a.mp4", "file", "C:\\videos\\a.mp4"),
        # A path is a path, however much of it looks like an id.
        ("./v-BV1bW411n7fY9x01", "file", "./v-BV1bW411n7fY9x01"),
        ("v-BV1bW411n7fY9x01.mp4", "file", "v-BV1bW411n7fY9x01.mp4"),
        ("v-1.mp4", "file", "v-1.mp4"),
        ("videos/v-BV1bW411n7fY9x01", "file", "videos/v-BV1bW411n7fY9x01"),
        (f"{OBJECT_ID}.mp4", "file", f"{OBJECT_ID}.mp4"),
    ],
)
def test_files_outside_of_any_lake(text: str, scheme: str, location: str) -> None:
    assert parse_source(text) == FileUri(scheme, location)


@pytest.mark.parametrize("text", ["v-typo", "v-", "v-BV1bW411n7fY9x0", "v-BV1bW411n7fY9x011", "lt-x", "a-recording"])
def test_what_looks_like_an_id_is_not_taken_for_a_path(text: str) -> None:
    with pytest.raises(InvalidIdError):
        parse_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        OBJECT_ID,
        "bss://",
        "bss://localhost:10234",
        "bss://localhost:10234/videos",
        "bss://localhost:10234/videos/",
        f"bss://localhost:10234/{OBJECT_ID}",
        f"bss://localhost:10234/films/{OBJECT_ID}",
        f"bss://localhost:10234/videos/x/{OBJECT_ID}",
        f"bss://localhost:10234/../videos/{OBJECT_ID}",
        f"bss://localhost:10234/videos/{OBJECT_ID}?a=1",
        f"bss://localhost:10234/videos/{OBJECT_ID}#a",
        f"bss://alice:secret@localhost:10234/videos/{OBJECT_ID}",
        f"bss://localhost:10234/videos/{OBJECT_ID.upper()}",
        f"bss://localhost:10234/videos/{OBJECT_ID}0",
        "bss://localhost:10234/videos/v-BV1bW411n7fY9x01",
        "bss://localhost:10234/videos/..",
        "file://",
        "file://elsewhere/data/video.mp4",
        "s3://",
        "s3:///key",
        "https:///video.mp4",
        "ftp://example.com/video.mp4",
        "concat://a|b",
        "://video.mp4",
    ],
)
def test_uris_that_name_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidTargetError) as caught:
        parse_source(text)
    assert text in str(caught.value)


@pytest.mark.parametrize(("text", "missing"), [("s3:///key", "no bucket"), ("https:///video.mp4", "no host")])
def test_a_uri_without_a_host_says_what_is_missing(text: str, missing: str) -> None:
    with pytest.raises(InvalidTargetError, match=missing):
        parse_source(text)


@pytest.mark.parametrize("text", ["bss://[/videos/x", "file://[/a", "s3://[", "https://[bad/x.mp4", "http://a\u2100b/"])
def test_a_broken_host_is_refused_like_any_other_mistake(text: str) -> None:
    with pytest.raises(InvalidTargetError):
        parse_source(text)


schemes = st.sampled_from(["bss://", "file://", "s3://", "https://", "http://", "ftp://", "", "v-", "tt-", "bss:"])


@examples(300)
@given(schemes, st.text(st.one_of(st.sampled_from("/:@?#%.\\abc019-"), st.characters()), max_size=30))
def test_any_text_is_a_source_or_refused_with_an_error_of_ours(scheme: str, rest: str) -> None:
    try:
        source = parse_source(scheme + rest)
    except UsageError:
        return
    if isinstance(source, AssetUri):
        assert parse_source(bss_uri(source.host or "", source.kind, source.object_id)) == AssetUri(
            source.kind, source.object_id, source.host or ""
        )
    else:
        assert source.location
        assert source.scheme in ("file", "s3", "http", "https")


# -- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice@robotics//camera/front/run01.mp4", Target(Space("alice", "robotics"), "/camera/front/run01.mp4")),
        ("alice@robotics:run-042//a.mp4", Target(Space("alice", "robotics", "run-042"), "/a.mp4")),
        ("robotics:run-042//a.mp4", Target(Space(None, "robotics", "run-042"), "/a.mp4")),
        ("robotics//a.mp4", Target(Space(None, "robotics"), "/a.mp4")),
        ("//a.mp4", Target(Space(None, None), "/a.mp4")),
        ("//カメラ/a b: c@d.mp4", Target(Space(None, None), "/カメラ/a b: c@d.mp4")),
        ("v-1//a", Target(Space(None, "v-1"), "/a")),
    ],
)
def test_targets(text: str, expected: Target) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "//", "///a", "//a/", "//a//b", "//../a", "//a/./b", "//a\\b", "//a\n", "a.mp4", "./a.mp4",
        "/tmp/a.mp4", "/tmp//a.mp4", "./a//b.mp4", "../a//b.mp4", "camera/front//a.mp4", "~//a", "C:\\a.mp4",
        "alice@robotics", "alice@robotics:run-042", "alice@robotics/a.mp4", "@robotics//a", "alice@//a",
        "alice@robotics:// a", ":run//a", "robotics://a", "robotics:a:b//a", "a@b@c//a", "a b//c",
        "bss://localhost:10234/videos/69e7264a", "bss:///videos/69e7264a", "s3://bucket/key",
        "https://example.com//a.mp4", "file:///a.mp4",
        "v-BV1bW411n7fY9x01", "69e7264a0123456789abcdef",
    ],
)  # fmt: skip
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(InvalidTargetError):
        parse_target(text)


@examples(100)
@given(st.none() | slugs, slugs, st.none() | slugs, st.lists(slugs, min_size=1, max_size=4))
def test_a_target_says_what_it_is_made_of(
    namespace: str | None, space: str, episode: str | None, parts: list[str]
) -> None:
    head = (f"{namespace}@" if namespace else "") + space + (f":{episode}" if episode else "")
    text = f"{head}//{'/'.join(parts)}"
    assert parse_target(text) == Target(Space(namespace, space, episode), "/" + "/".join(parts))
    if episode is not None:
        assert parse_target(text).space == parse_episode(head)  # the order of --episode
