"""Who may do what: every route, every place that a credential can be put, and other people's things."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.routes import HTTPRoute

from dreamlake.core.arrowrows import make_row, write_rows
from dreamlake.core.keys import ApiKey
from dreamlake.core.kinds import AUDIO, IMAGE, LABEL_TRACK, VIDEO
from dreamlake.core.vectors import SourceColumns
from dreamlake.server.app import routes
from tests.clips import Clip
from tests.recordings import make_image, make_sound

from ._lake import Client, opened

OPEN = {"/healthz", "/readyz", "/openapi.json"}
DATA = b'{"ts": 0, "dt": 1}\n'
NOWHERE = "0" * 24
VECTOR = write_rows([make_row(np.array([1, 2], np.float32), "", SourceColumns(), {}, "first")])


def _routes() -> list[tuple[str, str]]:
    """Every method and path that a lake answers."""
    answered = [route for route in routes(0).routes if isinstance(route, HTTPRoute)]
    return sorted((method, route.path) for route in answered for method in route.methods if method != "OPTIONS")


ROUTES = _routes()
ASKING = [route for route in ROUTES if route[1] not in OPEN]


@dataclass
class Keys:
    """The keys of the tests, as their holders have them."""

    admin: str  # of alice
    write: str
    read: str
    revoked: str
    mallory: str  # may do everything in another namespace


@dataclass
class Closed:
    """A lake that wants a key, and what is alice's there."""

    client: Client
    keys: Keys
    video: str
    label: str
    image: str
    sound: str
    staged: str
    upload: dict[str, str]  # one that is under way
    node: str  # of the video
    folder: str
    signed: str  # a URL that alice was given for a chunk
    stream: str
    key_id: str
    track_stream: str

    async def ask(self, method: str, path: str, key: str | None, **more: Any) -> Any:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return await self.client.http.request(method, path, headers=headers, **more)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Clip(options={"preset": "veryfast"}, frames=10).make(tmp_path_factory.mktemp("clips") / "a.mp4").read_bytes()


@pytest.fixture
async def closed(lake_data: Path, clip: bytes, tmp_path: Path) -> AsyncIterator[Closed]:
    async with opened(lake_data) as client:
        video = (await client.ready("/run/a.mp4", clip, VIDEO))["id"]
        meta = await client.meta(video)
        track = await client.ready("/run/a.jsonl", DATA, LABEL_TRACK)
        label = track["id"]
        image = await client.add("/run/a.png", make_image(tmp_path / "a.png").read_bytes(), IMAGE)
        sound = (await client.ready("/run/a.wav", make_sound(tmp_path / "a.wav", seconds=0.1).read_bytes(), AUDIO))[
            "id"
        ]
        for kind, asset in ((VIDEO, video), (LABEL_TRACK, label), (IMAGE, image), (AUDIO, sound)):
            body = {"namespace": "alice", "space": "robotics", "name": f"/run/{kind.name}", kind.bss_field: asset}
            (await client.http.post(f"/assets/{kind.name}", json=body)).raise_for_status()
        where = {"namespace": "alice", "space": "robotics"}
        nodes = [
            (await client.http.get("/nodes/lookup", params={**where, "path": path})).raise_for_status().json()["id"]
            for path in ("/run/video", "/run")
        ]
        staged = await client.stage(b"not registered yet", LABEL_TRACK.route)
        under_way = (await client.begin(b"under way")).target
        stream = f"/videos/{video}/stream/{meta['streams'][0]}.m3u8"
        playlist = (await client.http.get(stream)).text
        signed = next(line for line in playlist.splitlines() if line.startswith("http"))

        async def make(namespace: str, scope: str) -> str:
            answer = await client.http.post("/keys", json={"namespace": namespace, "scope": scope})
            text: str = answer.raise_for_status().json()["key"]
            return text

        alices = [await make("alice", scope) for scope in ("admin", "write", "read", "admin")]
        keys = Keys(*alices, await make("mallory", "admin"))
        (await client.http.delete(f"/keys/{ApiKey.parse(keys.revoked).id}")).raise_for_status()
    async with opened(lake_data, keys="always") as client:
        key_id = ApiKey.parse(keys.read).id
        named = (*nodes, signed, stream, key_id, track["streams"][0])
        yield Closed(client, keys, video, label, image, sound, staged, under_way, *named)


def _path(path: str, closed: Closed | None = None) -> str:
    """A route's path with something in the place of its parameters."""
    asset = closed.video if closed is not None else NOWHERE
    named = {"asset_id": asset, "node_id": NOWHERE, "upload_id": "0" * 32, "number": "1", "action": "hls-split"}
    return re.sub(r"\{(\w+):\w+\}", lambda match: named.get(match[1], "0" * 16), path)


# -- every route, every place --------------------------------------------------------------------------------------


def _forged(key: str) -> str:
    """A key with the id of a real one, a secret of its own, and the checksum that goes with them."""
    return ApiKey(ApiKey.parse(key).id, "A" * 32).text


def _credentials(keys: Keys) -> dict[str, dict[str, Any]]:
    """Ways to come without a good key in the one place where it belongs."""
    good, other = keys.admin, ApiKey.make(bytes(32)).text
    basic = base64.b64encode(f"alice:{good}".encode()).decode()

    def header(*values: str) -> dict[str, Any]:
        return {"headers": [("Authorization", value) for value in values]}

    return {
        "none": {},
        "empty": header(""),
        "no scheme": header(good),
        "no key": header("Bearer"),
        "blank": header("Bearer "),
        "another scheme": header(f"Token {good}"),
        "basic": header(f"Basic {basic}"),
        "cut": header(f"Bearer {good[:-1]}"),
        "longer": header(f"Bearer {good}A"),
        "in quotes": header(f'Bearer "{good}"'),
        "mistyped": header(f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}"),
        "only its id": header(f"Bearer {good[:12]}"),
        "of nobody": header(f"Bearer {other}"),
        "forged": header(f"Bearer {_forged(good)}"),
        "revoked": header(f"Bearer {keys.revoked}"),
        "twice": header(f"Bearer {good}", f"Bearer {good}"),
        "twice in one": header(f"Bearer {good}, Bearer {good}"),
        "a bad one first": header(f"Bearer {other}", f"Bearer {good}"),
        "cookie": {"headers": [("Cookie", f"api_key={good}; Authorization=Bearer {good}")]},
        "another header": {"headers": [("X-Api-Key", good), ("Proxy-Authorization", f"Bearer {good}")]},
        **{
            f"query {name}": {"params": {name: value}}
            for name, value in (
                ("key", good), ("api_key", good), ("apiKey", good), ("access_token", good), ("token", good),
                ("authorization", f"Bearer {good}"), ("X-Amz-Credential", good), ("namespace", "alice"),
            )
        },
    }  # fmt: skip


async def test_no_route_answers_without_a_key(closed: Closed) -> None:
    tried = 0
    for method, path in ASKING:
        for name, credential in _credentials(closed.keys).items():
            answer = await closed.client.http.request(method, _path(path, closed), **credential)
            assert answer.status_code == 401, (method, path, name, answer.text)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert closed.keys.admin not in answer.text
            tried += 1
    assert tried >= 1000


async def test_a_signature_opens_only_what_it_was_made_for(closed: Closed) -> None:
    """One that is wrong, or is for something else, is no better than none."""
    query = closed.signed.partition("?")[2]
    assert (await closed.client.http.get(closed.signed)).status_code == 200
    for method, path in ASKING:
        there = _path(path, closed)
        for signature in ("signature=x", query, f"{query}&{query}", f"{query}&namespace=mallory"):
            answer = await closed.client.http.request(method, f"{there}?{signature}")
            assert answer.status_code in (401, 403), (method, path, signature, answer.text)


async def test_what_is_open(closed: Closed) -> None:
    for path in OPEN:
        assert (await closed.ask("GET", path, None)).status_code == 200


# -- scopes --------------------------------------------------------------------------------------------------------

INDEX = "/indexes/{namespace:str}/{space:str}/{name:str}"
READING = {("POST", "/batch/statuses"), ("POST", f"{INDEX}/search")}
GOVERNING = {("GET", "/keys"), ("HEAD", "/keys"), ("POST", "/keys"), ("DELETE", "/keys/{key_id:str}")}
GOVERNING |= {("POST", "/keys/signing"), ("POST", "/gc"), ("GET", "/metrics"), ("HEAD", "/metrics")}


async def test_what_a_scope_does_not_reach(closed: Closed) -> None:
    for method, path in ASKING:
        reads = method in ("GET", "HEAD") or (method, path) in READING
        refused = {
            "read": not reads or (method, path) in GOVERNING,
            "write": (method, path) in GOVERNING,
        }
        for scope, no in refused.items():
            answer = await closed.ask(method, _path(path), getattr(closed.keys, scope))
            said = "the key dlk_" in answer.text and answer.status_code == 403
            assert said == no or (method == "HEAD" and no == (answer.status_code == 403)), (method, path, scope, answer)


# -- other people's things -----------------------------------------------------------------------------------------


def _alices(closed: Closed) -> dict[tuple[str, str], tuple[str, dict[str, Any]]]:
    """What alice may do with what is hers, on every route: a path, and what goes with it."""
    video, label, digest = closed.video, closed.label, sha256(b"new").hexdigest()
    where = {"owner": "alice", "project": "robotics"}
    named = {"namespace": "alice", "space": "robotics"}
    init = {**where, "hash": digest[:16]}
    asset = {**where, "name": "/new.jsonl", "stagingHash": closed.staged}
    table: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
        ("POST", "/batch/begin"): ("/batch/begin", {"json": {"items": [init]}}),
        ("POST", "/batch/finish"): (
            "/batch/finish",
            {"json": {"items": [{"kind": "label-track", "asset": asset}]}},
        ),
        ("POST", "/batch/statuses"): ("/batch/statuses", {"json": {"ids": [video, label]}}),
        ("POST", "/batch/assets"): (
            "/batch/assets",
            {"json": {"items": [{**named, "kind": "video", "name": "/b.mp4", "bssVideoId": video}]}},
        ),
        ("GET", "/assets/download"): ("/assets/download", {"params": {**named, "path": "/run/video"}}),
        ("GET", "/assets"): ("/assets", {"params": named}),
        ("GET", "/assets/video"): ("/assets/video", {"params": named}),
        ("GET", "/nodes"): ("/nodes", {"params": named}),
        ("GET", "/nodes/lookup"): ("/nodes/lookup", {"params": {**named, "path": "/run"}}),
        ("GET", "/nodes/{node_id:str}"): (f"/nodes/{closed.node}", {}),
        ("GET", "/nodes/{node_id:str}/children"): (f"/nodes/{closed.folder}/children", {}),
        ("POST", "/nodes"): (
            "/nodes",
            {"json": {**named, "kind": "video", "name": "/c.mp4", "metadata": {"bssId": video}}},
        ),
        ("GET", "/namespaces/{namespace:str}/spaces"): ("/namespaces/alice/spaces", {}),
        ("POST", "/namespaces"): ("/namespaces", {"json": {"name": "alice"}}),
        ("POST", "/namespaces/{namespace:str}/spaces"): ("/namespaces/alice/spaces", {"json": {"name": "new"}}),
        ("GET", "/namespaces/{namespace:str}/spaces/{space:str}/episodes"): (
            "/namespaces/alice/spaces/robotics/episodes",
            {},
        ),
        ("POST", "/namespaces/{namespace:str}/spaces/{space:str}/episodes"): (
            "/namespaces/alice/spaces/robotics/episodes",
            {"json": {"name": "run-1"}},
        ),
        ("POST", "/lambdas/{action:str}"): ("/lambdas/hls-split", {"json": {"videoId": video}}),
        ("GET", "/videos/{asset_id:str}/stream/{name:str}"): (closed.stream, {}),
        ("HEAD", "/videos/{asset_id:str}/stream/{name:str}"): (closed.stream, {}),
        ("GET", "/videos/{asset_id:str}/frames.npz"): (f"/videos/{video}/frames.npz", {}),
        ("HEAD", "/videos/{asset_id:str}/frames.npz"): (f"/videos/{video}/frames.npz", {}),
        ("GET", "/audio/{asset_id:str}/samples.npz"): (f"/audio/{closed.sound}/samples.npz", {}),
        ("HEAD", "/audio/{asset_id:str}/samples.npz"): (f"/audio/{closed.sound}/samples.npz", {}),
    }
    of_kinds = {"videos": video, "labels": label, "images": closed.image, "image": closed.image, "audio": closed.sound}
    for route, one in of_kinds.items():
        table |= {
            ("GET", f"/{route}/{{asset_id:str}}"): (f"/{route}/{one}", {}),
            ("GET", f"/{route}/{{asset_id:str}}/metadata"): (f"/{route}/{one}/metadata", {}),
            ("GET", f"/{route}/{{asset_id:str}}/raw"): (f"/{route}/{one}/raw", {}),
            ("HEAD", f"/{route}/{{asset_id:str}}/raw"): (f"/{route}/{one}/raw", {}),
        }
    for route in ("videos", "audio", "images", "image", "labels", "text-tracks"):
        uploads = f"/{route}/upload/multipart"
        table |= {
            ("GET", f"/{route}"): (f"/{route}", {"params": where}),
            ("POST", f"{uploads}/init"): (f"{uploads}/init", {"json": init}),
            ("POST", f"{uploads}/parts"): (f"{uploads}/parts", {"json": {**closed.upload, "partNumbers": [1]}}),
            ("GET", f"{uploads}/parts-done"): (f"{uploads}/parts-done", {"params": closed.upload}),
        }
    track = f"/labels/{label}/stream/{closed.track_stream}.m3u8"
    version = {"stagingHash": closed.staged, "expected": sha256(DATA).hexdigest()}
    table |= {
        ("GET", "/labels/{asset_id:str}/stream/{name:str}"): (track, {}),
        ("HEAD", "/labels/{asset_id:str}/stream/{name:str}"): (track, {}),
        ("POST", "/labels/{asset_id:str}/versions"): (f"/labels/{label}/versions", {"json": version}),
    }
    for kind, one in ((VIDEO, video), (LABEL_TRACK, label), (IMAGE, closed.image), (AUDIO, closed.sound)):
        path = f"/assets/{kind.name}"
        table[("POST", path)] = (path, {"json": {**named, "name": f"/again/{kind.name}", kind.bss_field: one}})
        query = {"params": {**named, "path": f"/run/{kind.name}"}}
        table[("GET", f"{path}/download")] = (f"{path}/download", query)
    mine, rows = "/indexes/alice/robotics/clips", f"{INDEX}/vectors"
    table |= {
        ("GET", "/indexes/{namespace:str}/{space:str}"): ("/indexes/alice/robotics", {}),
        ("POST", rows): (f"{mine}/vectors", {"content": VECTOR}),
        ("GET", INDEX): (mine, {}),
        ("GET", rows): (f"{mine}/vectors", {}),
        ("PATCH", rows): (f"{mine}/vectors", {"json": {"id": "first", "caption": "new"}}),
        ("POST", f"{INDEX}/search"): (f"{mine}/search", {"json": {"vector": [1, 2]}}),
        ("POST", f"{INDEX}/optimize"): (f"{mine}/optimize", {}),
    }
    # What takes something away comes last.
    table |= {
        ("POST", f"{INDEX}/delete"): (f"{mine}/delete", {"json": {"ids": ["first"]}}),
        ("DELETE", INDEX): (mine, {}),
        ("POST", "/labels"): ("/labels", {"json": asset}),
        ("POST", "/videos/upload/multipart/complete"): (
            "/videos/upload/multipart/complete",
            {"json": {**closed.upload, "parts": [{"partNumber": 1, "etag": "x"}]}},
        ),
        ("POST", "/videos/upload/multipart/abort"): ("/videos/upload/multipart/abort", {"json": closed.upload}),
        ("PATCH", "/nodes/{node_id:str}"): (f"/nodes/{closed.node}", {"json": {"name": "/moved/video"}}),
        ("DELETE", "/keys/{key_id:str}"): (f"/keys/{closed.key_id}", {}),
        ("DELETE", "/nodes/{node_id:str}"): (f"/nodes/{closed.folder}?recursive=true", {}),
        ("DELETE", "/labels/{asset_id:str}"): (f"/labels/{label}", {}),
        ("DELETE", "/videos/{asset_id:str}"): (f"/videos/{video}", {}),
    }
    return table


# What shows nobody more than is his, or is nobody's with a key: tested by itself.
APART = {
    "/auth/me", "/keys", "/keys/signing", "/gc", "/metrics", "/batch/lambdas", "/namespaces", "/orphans",
    "/orphans/repair", "/chunks/{name:str}", "/uploads/{upload_id:str}/{number:int}",
}  # fmt: skip
# Each kind has the same handlers below its own prefix: one of them is tried.
_KINDS = re.compile(r"^/(assets/)?(videos|audio|images|image|labels|text-tracks|video|label-track|text-track)(?=/|$)")


def _shape(route: tuple[str, str]) -> tuple[str, str]:
    return route[0].replace("HEAD", "GET"), _KINDS.sub(r"/\g<1>{kind}", route[1])


def test_the_table_has_every_route(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Closed(None, None, *["0" * 24] * 5, {}, *["0" * 24] * 6)  # type: ignore[arg-type]  # (only paths are asked)
    tried = {_shape(route) for route in _alices(nothing)}
    missing = {
        _shape(route) for route in ASKING if route[1] not in APART and not route[1].startswith("/schema")
    } - tried
    assert not missing


async def test_what_is_in_another_namespace_is_not_there(closed: Closed) -> None:
    table = _alices(closed)
    for route, (path, more) in table.items():
        assert route in ROUTES, route
        answer = await closed.ask(route[0], path, closed.keys.mallory, **more)
        problem = _problem(answer)
        assert problem == 404, (route, answer.status_code, answer.text)
    # All of it is there, and was right: its owner may.
    for route, (path, more) in table.items():
        answer = await closed.ask(route[0], path, closed.keys.admin, **more)
        wanted = (400,) if "complete" in path else (200, 201, 202, 204)
        assert answer.status_code in wanted, (route, answer.status_code, answer.text)
        assert _problem(answer) in (None, 400), (route, answer.text)


def _problem(answer: Any) -> int | None:
    """The status of a refusal: of the whole, or of its items; what is not told of at all is not there either."""
    if answer.status_code >= 400:
        return int(answer.status_code)
    if answer.headers.get("content-type", "").startswith("application/json"):
        items = answer.json().get("items")
        if isinstance(items, list) and "batch" in answer.request.url.path:
            if not items:
                return 404
            return next((item["problem"]["status"] for item in items if item.get("problem")), None)
    return None


async def test_what_is_hidden_and_what_does_not_exist_look_alike(closed: Closed) -> None:
    pairs = [
        (f"/nodes/{closed.node}", f"/nodes/{NOWHERE}"),
        (f"/nodes/{closed.folder}/children", f"/nodes/{NOWHERE}/children"),
        ("/nodes?namespace=alice&space=robotics", "/nodes?namespace=nobody&space=robotics"),
        ("/namespaces/alice/spaces", "/namespaces/nobody/spaces"),
        ("/indexes/alice/robotics", "/indexes/nobody/robotics"),
        ("/indexes/alice/robotics/clips", "/indexes/nobody/robotics/clips"),
        (f"/videos/{closed.video}", f"/videos/{NOWHERE}"),
        (f"/videos/{closed.video}/raw", f"/videos/{NOWHERE}/raw"),
        (f"/videos/{closed.video[:12]}", f"/videos/{NOWHERE[:12]}"),
        (closed.stream, closed.stream.replace(closed.video, NOWHERE)),
        (f"/audio/{closed.sound}/samples.npz", f"/audio/{NOWHERE}/samples.npz"),
        (f"/videos/{closed.video}/samples.npz", f"/videos/{NOWHERE}/samples.npz"),
        (f"/audio/{closed.sound}/stream/{'0' * 16}.m3u8", f"/audio/{NOWHERE}/stream/{'0' * 16}.m3u8"),
        ("/videos?owner=alice&project=robotics", "/videos?owner=nobody&project=robotics"),
        (
            "/assets/download?namespace=alice&space=robotics&path=/run/video",
            "/assets/download?namespace=nobody&space=robotics&path=/run/video",
        ),
    ]
    for hidden, absent in pairs:
        answers = [await closed.ask("GET", path, closed.keys.mallory) for path in (hidden, absent)]
        said = [re.sub(r"[0-9a-f]{12,24}|alice|nobody", "…", answer.text) for answer in answers]
        assert said[0] == said[1], (hidden, said)
        assert [answer.status_code for answer in answers] == [404, 404]
        assert {*answers[0].headers} == {*answers[1].headers}


async def test_bytes_are_no_ticket(closed: Closed, clip: bytes) -> None:
    """Who knows what alice has stored learns neither that she has, nor gets it for a name of his own."""
    for data in (clip, b"not registered yet"):
        digest = sha256(data).hexdigest()
        body = {"owner": "mallory", "project": "robotics", "hash": digest[:16], "sha256": digest, "size": len(data)}
        answer = await closed.ask("POST", "/videos/upload/multipart/init", closed.keys.mallory, json=body)
        assert answer.status_code == 200
        assert not answer.json().get("exists")
        asset = {"owner": "mallory", "project": "robotics", "name": "/a.mp4", "stagingHash": digest[:16]}
        assert (await closed.ask("POST", "/videos", closed.keys.mallory, json=asset)).status_code == 404
        asset["owner"] = "alice"
        assert (await closed.ask("POST", "/videos", closed.keys.mallory, json=asset)).status_code == 404
    taken = {"namespace": "mallory", "space": "s", "name": "/stolen.mp4", "bssVideoId": closed.video}
    answer = await closed.ask("POST", "/assets/video", closed.keys.mallory, json=taken)
    assert (answer.status_code, "lambdaUrl" in answer.text) == (404, False)


async def test_a_key_sees_the_keys_of_its_namespace(closed: Closed) -> None:
    ids = {name: ApiKey.parse(getattr(closed.keys, name)).id for name in vars(closed.keys)}
    seen = await closed.ask("GET", "/keys", closed.keys.mallory)
    assert [item["id"] for item in seen.json()["items"]] == [ids["mallory"]]
    seen = await closed.ask("GET", "/keys", closed.keys.admin)
    assert {item["id"] for item in seen.json()["items"]} == set(ids.values()) - {ids["mallory"]}
    for secret in vars(closed.keys).values():
        assert ApiKey.parse(secret).secret not in seen.text
        assert ApiKey.parse(secret).digest not in seen.text
    answer = await closed.ask("POST", "/keys", closed.keys.mallory, json={"namespace": "alice"})
    assert answer.status_code == 404
    for path in ("/gc", "/keys/signing"):
        answer = await closed.ask("POST", path, closed.keys.admin, json={})
        assert answer.status_code == 403


async def test_a_revoked_key_ends(closed: Closed) -> None:
    assert (await closed.ask("GET", "/auth/me", closed.keys.write)).json()["scope"] == "write"
    key_id = ApiKey.parse(closed.keys.write).id
    assert (await closed.ask("DELETE", f"/keys/{key_id}", closed.keys.admin)).status_code == 204
    assert (await closed.ask("GET", "/auth/me", closed.keys.write)).status_code == 401
    assert (await closed.ask("DELETE", f"/keys/{key_id}", closed.keys.admin)).status_code == 404


async def test_no_secret_is_kept(closed: Closed) -> None:
    for secret in vars(closed.keys).values():
        for path in closed.client.data.rglob("*"):
            if path.is_file():
                assert ApiKey.parse(secret).secret.encode() not in path.read_bytes(), path
