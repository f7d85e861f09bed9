"""Type auto-detected from extension, and what follows from the type (seeds 1, 2 and 4)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.kinds import (
    AUDIO,
    IMAGE,
    KINDS,
    LABEL_TRACK,
    TEXT_TRACK,
    VIDEO,
    Kind,
    content_type,
    kind_named,
    kind_of,
)
from dreamlake.errors import SourceError, UnsupportedTypeError, UsageError

from ._helpers import examples

# The tables of seed 1 ("dl.upload") and of seed 2 ("Python SDK (CLI)"), row by row.
SEED_1 = {
    ".mp4 .mkv": "video",
    ".wav .mp3 .aac": "audio",
    ".jpg .png .webp": "image",
    ".jsonl": "label-track",
    ".vtt .srt": "text-track",
}
SEED_2 = [
    (".mp4 .mov .avi .mkv .webm", "video", "/videos", "/assets/video", "hls-split"),
    (".wav .mp3 .flac .aac .ogg", "audio", "/audio", "/assets/audio", "audio-process"),
    (".vtt .srt", "text-track", "/text-tracks", "/assets/text-track", "text-process"),
    (".jsonl .csv", "label-track", "/labels", "/assets/label-track", "label-process"),
]


@pytest.mark.parametrize(("extensions", "name"), SEED_1.items())
def test_extensions_of_seed_1(extensions: str, name: str) -> None:
    assert {kind_of(f"./recording{extension}").name for extension in extensions.split()} == {name}


@pytest.mark.parametrize(("extensions", "name", "endpoint", "asset_endpoint", "action"), SEED_2)
def test_routing_of_seed_2(extensions: str, name: str, endpoint: str, asset_endpoint: str, action: str) -> None:
    for extension in extensions.split():
        kind = kind_of(f"run01{extension}")
        assert kind.name == name
        assert f"/{kind.route}" == endpoint
        assert f"/assets/{kind.name}" == asset_endpoint
        assert kind.action == action


def test_images_are_ready_as_uploaded() -> None:
    assert IMAGE.action is None
    assert IMAGE.route == "images"


def test_object_ids_are_named_as_the_contract_names_them() -> None:
    fields = {kind: (kind.id_field, kind.bss_field) for kind in KINDS}
    assert fields == {
        VIDEO: ("videoId", "bssVideoId"),
        AUDIO: ("audioId", "bssAudioId"),
        IMAGE: ("imageId", "bssImageId"),
        LABEL_TRACK: ("labelId", "bssLabelId"),
        TEXT_TRACK: ("textTrackId", "bssTextTrackId"),
    }


def test_each_kind_has_its_place_in_the_object_store() -> None:
    folders = {kind.name: kind.folder for kind in KINDS}
    assert folders == {
        "video": "videos",
        "audio": "audio",
        "image": "images",
        "label-track": "tracks/labels",
        "text-track": "tracks/text",
    }


@pytest.mark.parametrize("field", ["name", "prefix", "route", "folder", "id_field"])
def test_no_two_kinds_share_a_name(field: str) -> None:
    assert len({getattr(kind, field) for kind in KINDS}) == len(KINDS) == 5


def test_no_two_kinds_share_an_extension() -> None:
    extensions = [extension for kind in KINDS for extension in kind.extensions]
    assert len(extensions) == len(set(extensions))


@pytest.mark.parametrize(
    ("filename", "kind", "expected"),
    [
        ("video.mp4", VIDEO, "video/mp4"),
        ("VIDEO.MOV", VIDEO, "video/quicktime"),
        ("mic.wav", AUDIO, "audio/wav"),
        ("photo.jpg", IMAGE, "image/jpeg"),
        ("photo.jpeg", IMAGE, "image/jpeg"),
        ("captions.vtt", TEXT_TRACK, "text/vtt"),
        ("labels.csv", LABEL_TRACK, "text/csv"),
        ("captions.jsonl", TEXT_TRACK, "application/x-ndjson"),
        ("captions.jsonl", LABEL_TRACK, "application/x-ndjson"),
        ("sound.MP4", AUDIO, "audio/mp4"),
        ("captions.csv", TEXT_TRACK, "application/octet-stream"),
        ("video", VIDEO, "application/octet-stream"),
    ],
)
def test_content_type(filename: str, kind: Kind, expected: str) -> None:
    assert content_type(kind, filename) == expected


known = st.sampled_from([(extension, kind) for kind in KINDS for extension in kind.extensions])


@examples(100)
@given(known, st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), max_size=20), st.data())
def test_the_extension_alone_decides_in_any_case(pair: tuple[str, Kind], stem: str, data: st.DataObject) -> None:
    extension, kind = pair
    spelt = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in extension)
    assert kind_of(f"/data/run.042/a{stem}{spelt}") is kind
    assert content_type(kind, f"a{stem}{spelt}") == kind.extensions[extension]


@pytest.mark.parametrize("filename", ["notes.txt", "archive.mp4.zip", "video.mp4~", "video.mp4 ", "./a.mp4/b.doc"])
def test_an_unknown_type_is_refused_with_the_known_ones(filename: str) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        kind_of(filename)
    assert isinstance(caught.value, SourceError)
    for part in (filename, *(extension for kind in KINDS for extension in kind.extensions)):
        assert part in str(caught.value)


@pytest.mark.parametrize("filename", ["", "video", ".mp4", "dir.mp4/video", ".", ".."])
def test_a_file_without_an_extension_says_so(filename: str) -> None:
    with pytest.raises(UnsupportedTypeError, match="without an extension"):
        kind_of(filename)


# -- a type that somebody names


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_has_the_name_that_the_catalog_gives_it(kind: Kind) -> None:
    assert kind_named(kind.name) is kind


@pytest.mark.parametrize("name", ["", "videos", "Video", "labels", "track", "label_track", "text-track "])
def test_a_name_of_no_kind_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind_named(name)
    for kind in KINDS:
        assert kind.name in str(caught.value)


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("captions.jsonl", TEXT_TRACK),
        ("captions.JSONL", LABEL_TRACK),
        ("run.mp4", AUDIO),
        ("run.webm", AUDIO),
        ("run.mp4", VIDEO),
        ("boxes.csv", LABEL_TRACK),
    ],
)
def test_a_file_may_be_another_kind_than_its_extension_says(filename: str, kind: Kind) -> None:
    assert kind_of(filename, kind) is kind
    assert content_type(kind, filename) != "application/octet-stream"


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("boxes.csv", TEXT_TRACK),
        ("captions.vtt", LABEL_TRACK),
        ("photo.jpg", VIDEO),
        ("run.mp4", IMAGE),
        ("mic.wav", VIDEO),
        ("run.mp4", LABEL_TRACK),
        ("video", VIDEO),
        ("notes.txt", TEXT_TRACK),
    ],
)
def test_a_file_that_cannot_be_the_kind_that_is_wanted(filename: str, kind: Kind) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        kind_of(filename, kind)
    for part in (filename, kind.phrase, *kind.extensions, *kind.forced):
        assert part in str(caught.value)


def test_what_can_be_a_kind_is_not_taken_for_it_unasked() -> None:
    for kind in KINDS:
        assert not kind.extensions.keys() & kind.forced.keys()
        for extension in kind.forced:
            with suppress(UnsupportedTypeError):
                assert kind_of(f"a{extension}") is not kind
