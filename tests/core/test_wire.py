"""What goes over the wire: camelCase names, unknown fields ignored, wrong types refused (CONTRACT.md)."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dreamlake.core import wire, wireassets, wirecatalog, wirekeys, wireupkeep, wireuploads, wirevectors
from dreamlake.core.ids import is_object_id
from dreamlake.core.parts import CompletedPart
from dreamlake.core.targets import check_slug
from dreamlake.core.wire import Problem, Success, decode_json
from dreamlake.core.wireassets import AssetPage, VideoMeta
from dreamlake.core.wirecatalog import AssetCreated, CreateAsset
from dreamlake.core.wirekeys import Me
from dreamlake.core.wireuploads import (
    CompleteUpload,
    InitUpload,
    PartsDone,
    RegisterAsset,
    Registered,
    SignedParts,
    SignParts,
    UploadStarted,
    UploadTarget,
)
from dreamlake.errors import InvalidTargetError

from ._helpers import examples

OBJECT_ID = "69e7264a0123456789abcdef"
UPLOAD = {"uploadId": "s3-multipart-upload-id", "key": "alice/robotics/staging/abc123def4567890"}
ASSET = {"namespace": "alice", "space": "robotics", "name": "/camera/front/run01.mp4"}
META = {
    "id": OBJECT_ID,
    "owner": "alice",
    "project": "robotics",
    "name": "/camera/front/run01.mp4",
    "status": "ready",
    "hash": "abc123def4567890",
    "sha256": "ab" * 32,
    "size": 123,
    "createdAt": "2026-04-15T00:00:00Z",
    "updatedAt": "2026-04-15T00:00:00Z",
}

# For each struct a document with what CONTRACT.md requires, and what it allows besides.
DOCUMENTS: list[tuple[type[msgspec.Struct], dict[str, Any], dict[str, Any]]] = [
    (
        InitUpload,
        {"owner": "alice", "project": "robotics", "hash": "abc123def4567890"},
        {"contentType": "video/mp4", "sha256": "0f" * 32, "size": 125829120, "partSize": 10485760},
    ),
    (UploadStarted, UPLOAD, {"exists": True}),
    (UploadTarget, UPLOAD, {}),
    (
        SignParts,
        UPLOAD | {"partNumbers": [1, 2, 12]},
        {"checksums": {"1": "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek="}},
    ),
    (SignedParts, {"parts": {"1": "https://s3.example.com/1", "2": "https://s3.example.com/2"}}, {}),
    (PartsDone, {"expired": False, "parts": [{"partNumber": 1, "etag": '"abc"', "size": 10485760}]}, {}),
    (CompleteUpload, UPLOAD | {"parts": [{"partNumber": 1, "etag": '"abc..."'}, {"partNumber": 2, "etag": "def"}]}, {}),
    (Success, {}, {"success": True}),
    (
        RegisterAsset,
        {"name": "/camera/front/run01.mp4", "owner": "alice", "project": "robotics", "stagingHash": "abc123def4567890"},
        {"episodeId": OBJECT_ID, "format": "jsonl", "fileSize": 125829120},
    ),
    (Registered, {"id": OBJECT_ID, "status": "processing"}, {}),
    (
        VideoMeta,
        META,
        {
            "error": "not a video",
            "fps": 30.0,
            "duration": 60.0,
            "durationSec": 60.0,
            "width": 1920,
            "height": 1080,
            "frames": 1800,
            "codec": "h264",
            "rotation": 90,
            "hasAudio": True,
            "streams": ["da2321b20fbcf81e"],
            "index": "frames.npz",
        },
    ),
    (AssetPage, {"items": []}, {"nextCursor": "abc"}),
    (
        CreateAsset,
        ASSET,
        {
            "episodeName": "run-042",
            "bssVideoId": OBJECT_ID,
            "bssAudioId": OBJECT_ID,
            "bssImageId": OBJECT_ID,
            "bssLabelId": OBJECT_ID,
            "bssTextTrackId": OBJECT_ID,
        },
    ),
    (
        AssetCreated,
        {
            "id": OBJECT_ID,
            "nodeId": OBJECT_ID,
            "projectId": OBJECT_ID,
            "episodeId": OBJECT_ID,
            "folderId": OBJECT_ID,
            "filename": "run01.mp4",
            "lambdaUrl": "http://localhost:10234/lambdas/hls-split?signature=0",
        },
        {},
    ),
    (Me, {"namespace": "alice"}, {}),
    (Problem, {"title": "Not Found", "status": 404, "detail": "no such video"}, {"type": "about:blank"}),
]

documents = pytest.mark.parametrize(
    ("kind", "needed", "allowed"), DOCUMENTS, ids=[kind.__name__ for kind, _, _ in DOCUMENTS]
)


def decode(document: Any, kind: Any) -> Any:
    return decode_json(json.dumps(document).encode(), kind)


def written(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


@documents
def test_the_fields_have_the_names_of_the_contract(
    kind: type[msgspec.Struct], needed: dict[str, Any], allowed: dict[str, Any]
) -> None:
    document = needed | allowed
    back = written(decode(document, kind))
    assert {name: back[name] for name in document} == document


@documents
def test_what_the_contract_leaves_optional_can_be_left_out(
    kind: type[msgspec.Struct], needed: dict[str, Any], allowed: dict[str, Any]
) -> None:
    back = written(decode(needed, kind))
    assert {name: back[name] for name in needed} == needed
    assert decode(needed, kind) == decode(back, kind)


@documents
def test_what_the_contract_requires_cannot_be_left_out(
    kind: type[msgspec.Struct], needed: dict[str, Any], allowed: dict[str, Any]
) -> None:
    for name in needed:
        without = {other: value for other, value in needed.items() if other != name}
        with pytest.raises(msgspec.ValidationError, match=name):
            decode(without, kind)


def wrong(value: Any) -> Any:
    """A value of another type."""
    match value:
        case bool():
            return "yes"
        case int() | float():
            return "12"
        case str():
            return 7
        case list():
            return {}
    return []


@documents
def test_wrong_types_are_refused(kind: type[msgspec.Struct], needed: dict[str, Any], allowed: dict[str, Any]) -> None:
    document = needed | allowed
    for name, value in document.items():
        with pytest.raises(msgspec.ValidationError, match=re.escape(f"$.{name}")):
            decode(document | {name: wrong(value)}, kind)
    for whole in ([], "text", 7, None, True):
        with pytest.raises(msgspec.ValidationError):
            decode(whole, kind)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)),
    max_leaves=4,
)


@documents
@examples(25)
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
def test_unknown_fields_are_ignored(
    kind: type[msgspec.Struct], needed: dict[str, Any], allowed: dict[str, Any], more: dict[str, Any]
) -> None:
    assume(not more.keys() & {field.encode_name for field in msgspec.structs.fields(kind)})
    assert decode(more | needed | allowed, kind) == decode(needed | allowed, kind)


def test_every_name_on_the_wire_is_camel_case() -> None:
    modules = (wire, wireassets, wirecatalog, wirekeys, wireupkeep, wireuploads, wirevectors)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    structs = [value for value in known if issubclass(value, msgspec.Struct)]
    names = [
        field.encode_name
        for struct in structs
        if struct is not msgspec.Struct
        for field in msgspec.structs.fields(struct)
    ]
    assert len(names) > 60
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)*", name)] == []


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b'{"id":}', b"\xff\xfe", b'{"namespace": "alice"'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_json(body, Me)


# -- answers


def test_nothing_need_be_sent_only_when_the_lake_says_so() -> None:
    assert decode(UPLOAD, UploadStarted).exists is False
    assert written(Success()) == {"success": True}


def test_what_is_not_known_yet_is_null_in_a_sidecar() -> None:
    meta = written(decode(META | {"status": "uploaded"}, VideoMeta))
    unknown = {
        "error",
        "fps",
        "duration",
        "durationSec",
        "width",
        "height",
        "frames",
        "codec",
        "rotation",
        "hasAudio",
        "index",
    }
    assert {name: meta[name] for name in unknown} == dict.fromkeys(unknown)
    assert meta["streams"] == []


def test_a_page_of_a_listing_holds_sidecars() -> None:
    page = decode({"items": [META, META | {"id": "0" * 24}]}, AssetPage)
    assert [meta.id for meta in page.items] == [OBJECT_ID, "0" * 24]
    assert page.next_cursor is None
    with pytest.raises(msgspec.ValidationError, match=r"\$\.items\[0\]\.status"):
        decode({"items": [META | {"status": "done"}]}, AssetPage)


def test_two_sidecars_never_share_their_streams() -> None:
    one, other = decode(META, VideoMeta), decode(META, VideoMeta)
    one.streams.append("da2321b20fbcf81e")
    assert other.streams == []


def test_lambda_url_and_episode_may_be_null() -> None:
    document = {"id": OBJECT_ID, "nodeId": OBJECT_ID, "projectId": OBJECT_ID, "filename": "photo.jpg"}
    created = decode(document | {"episodeId": None, "folderId": None, "lambdaUrl": None}, AssetCreated)
    assert (created.episode_id, created.folder_id, created.lambda_url) == (None, None, None)


def test_an_error_is_a_problem_detail() -> None:
    assert written(Problem("Not Found", 404, "no such video")) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "no such video",
    }


@pytest.mark.parametrize("status", ["uploaded", "processing", "ready", "failed"])
def test_the_four_states_of_an_asset(status: str) -> None:
    assert decode({"id": OBJECT_ID, "status": status}, Registered).status == status


# -- limits

INIT = DOCUMENTS[0][1]
REGISTER = next(needed for kind, needed, _ in DOCUMENTS if kind is RegisterAsset)
SIGN = UPLOAD | {"partNumbers": [1]}
TB = 1024**4


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (InitUpload, INIT | {"size": 0, "hash": "0" * 16}),
        (InitUpload, INIT | {"size": 5 * TB, "partSize": 5 * 1024**3}),
        (InitUpload, INIT | {"owner": "a" * 100, "project": "0"}),
        (SignParts, UPLOAD | {"partNumbers": [1, 10_000]}),
        (SignParts, UPLOAD | {"partNumbers": list(range(1, 1001))}),
        (CompleteUpload, UPLOAD | {"parts": [{"partNumber": n, "etag": "x"} for n in range(1, 10_001)]}),
        (RegisterAsset, REGISTER | {"name": "/" + "a" * 1023}),
        (RegisterAsset, REGISTER | {"format": None, "fileSize": None, "episodeId": None}),
        (CreateAsset, ASSET | {"episodeName": None, "bssVideoId": None}),
    ],
)
def test_at_the_limits(kind: Any, document: dict[str, Any]) -> None:
    assert isinstance(decode(document, kind), kind)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (InitUpload, INIT | {"size": -1}),
        (InitUpload, INIT | {"size": 5 * TB + 1}),
        (InitUpload, INIT | {"partSize": -1}),
        (InitUpload, INIT | {"size": 1.5}),
        (InitUpload, INIT | {"size": True}),
        (SignParts, UPLOAD | {"partNumbers": [0]}),
        (SignParts, UPLOAD | {"partNumbers": [10_001]}),
        (SignParts, UPLOAD | {"partNumbers": [-1]}),
        (SignParts, UPLOAD | {"partNumbers": [1] * 1001}),
        (SignParts, SIGN | {"uploadId": ""}),
        (SignParts, SIGN | {"key": ""}),
        (SignParts, SIGN | {"key": "a" * 1025}),
        (SignParts, SIGN | {"checksums": {"1": 7}}),
        (CompleteUpload, UPLOAD | {"parts": []}),
        (CompleteUpload, UPLOAD | {"parts": [{"partNumber": 1, "etag": "x"}] * 10_001}),
        (CompleteUpload, UPLOAD | {"parts": [{"partNumber": 1}]}),
        (RegisterAsset, REGISTER | {"name": ""}),
        (RegisterAsset, REGISTER | {"name": "/" + "a" * 1024}),
        (RegisterAsset, REGISTER | {"format": "mp4"}),
        (Registered, {"id": OBJECT_ID, "status": "done"}),
    ],
)
def test_beyond_the_limits(kind: Any, document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(document, kind)


HASHES = [
    (InitUpload, INIT, "hash", 16),
    (InitUpload, INIT, "sha256", 64),
    (RegisterAsset, REGISTER, "stagingHash", 16),
]
IDS = [(CreateAsset, ASSET, f"bss{kind}Id", 24) for kind in ("Video", "Audio", "Image", "Label", "TextTrack")]


@pytest.mark.parametrize(("kind", "document", "field", "digits"), HASHES + IDS, ids=[row[2] for row in HASHES + IDS])
def test_hashes_and_ids_are_lower_case_hex_and_nothing_else(
    kind: Any, document: dict[str, Any], field: str, digits: int
) -> None:
    good = "0123456789abcdef" * 4
    assert isinstance(decode(document | {field: good[:digits]}, kind), kind)
    hostile = ["", good[: digits - 1], good[: digits - 1] + "g", good[:digits].upper(), " " + good[: digits - 1]]
    hostile += [
        good[:digits] + "0",
        good[:digits] + "\n",
        "\n" + good[:digits],
        "../" + good[: digits - 3],
        "\0" * digits,
    ]
    for value in hostile:
        with pytest.raises(msgspec.ValidationError):
            decode(document | {field: value}, kind)


SLUGS = [
    (InitUpload, INIT, "owner"),
    (InitUpload, INIT, "project"),
    (RegisterAsset, REGISTER, "owner"),
    (RegisterAsset, REGISTER, "project"),
    (CreateAsset, ASSET, "namespace"),
    (CreateAsset, ASSET, "space"),
    (CreateAsset, ASSET, "episodeName"),
]


@pytest.mark.parametrize(("kind", "document", "field"), SLUGS)
def test_names_that_become_paths_are_checked_before_they_do(kind: Any, document: dict[str, Any], field: str) -> None:
    for value in ("alice", "run-042", "a.b_c-d", "A" * 100):
        assert isinstance(decode(document | {field: value}, kind), kind)
    hostile = ["", ".", "..", "../bob", "alice/..", "alice/bob", "alice\\bob", "/etc", "al ice", "alice\0", "a" * 101]
    hostile += ["alice\n", "\nalice", "alice\r", "al\nice", "-alice", "%2e%2e", "alice@bob", "\u00e9", "a:b"]
    for value in hostile:
        with pytest.raises(msgspec.ValidationError):
            decode(document | {field: value}, kind)


@examples(200)
@given(st.one_of(st.text(max_size=8), st.text("ab-._/\n\0 ", max_size=5), st.text("0a\n", min_size=23, max_size=26)))
@example("alice\n")
@example("0" * 24 + "\n")
def test_the_wire_takes_exactly_the_names_and_ids_that_the_sdk_takes(text: str) -> None:
    for pattern, known in ((wire.Slug, is_slug), (wire.ObjectId, is_object_id)):
        try:
            taken = decode(text, pattern) == text
        except msgspec.ValidationError:
            taken = False
        assert taken == known(text)


def is_slug(text: str) -> bool:
    try:
        return check_slug(text, "a space") == text
    except InvalidTargetError:
        return False


def test_an_etag_is_kept_as_it_came() -> None:
    for etag in ('"abc..."', "abc", ""):
        assert decode(UPLOAD | {"parts": [{"partNumber": 1, "etag": etag}]}, CompleteUpload).parts == [
            CompletedPart(1, etag)
        ]
