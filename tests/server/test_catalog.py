"""The catalog: one record each, however many ask for it at once, and the signed URL that starts the processing."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from dreamlake.core.kinds import IMAGE, KINDS, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind
from dreamlake.core.targets import slugify
from dreamlake.server.schema import assets, episodes, namespaces, nodes, projects

from ._lake import Client, on_sqlite, opened

BSS_ID = "69e7264a0123456789abcdef"
BODY = {"namespace": "alice", "space": "robotics", "name": "/camera/front/run01.mp4", "bssVideoId": BSS_ID}


async def create(client: Client, **changes: Any) -> dict[str, Any]:
    answer = await client.http.post("/assets/video", json={**BODY, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_video_gets_its_folders(lake_client: Client) -> None:
    made = await create(lake_client, episodeName="run-042")
    assert made["filename"] == "run01.mp4"

    [namespace] = await lake_client.rows(namespaces)
    [project] = await lake_client.rows(projects)
    [episode] = await lake_client.rows(episodes)
    [asset] = await lake_client.rows(assets)
    assert (namespace.slug, project.slug, project.namespace_id) == ("alice", "robotics", namespace.id)
    assert (episode.id, episode.name, episode.project_id) == (made["episodeId"], "run-042", made["projectId"])
    assert (asset.id, asset.node_id, asset.folder_id) == (made["id"], made["nodeId"], made["folderId"])
    assert (asset.kind, asset.filename, asset.bss_id) == ("video", "run01.mp4", BSS_ID)

    tree = {node.path: node for node in await lake_client.rows(nodes)}
    assert sorted(tree) == ["/camera", "/camera/front", "/camera/front/run01.mp4"]
    assert [tree[path].kind for path in sorted(tree)] == ["folder", "folder", "video"]
    assert tree["/camera"].parent_id is None
    assert tree["/camera/front"].parent_id == tree["/camera"].id
    assert tree["/camera/front/run01.mp4"].parent_id == tree["/camera/front"].id == made["folderId"]
    assert tree["/camera/front/run01.mp4"].id == made["nodeId"]


async def test_a_video_in_the_root_has_no_folder(lake_client: Client) -> None:
    made = await create(lake_client, name="/run01.mp4")
    assert (made["folderId"], made["episodeId"], made["filename"]) == (None, None, "run01.mp4")


async def test_the_same_again_gives_the_same_records(lake_client: Client) -> None:
    first = await create(lake_client, episodeName="run-042")
    again = await create(lake_client, episodeName="run-042")
    for answer in (first, again):
        answer.pop("lambdaUrl")  # says until when it is good
    assert again == first
    assert len(await lake_client.rows(nodes)) == 3
    assert len(await lake_client.rows(assets)) == 1


async def test_a_name_is_unique_within_its_episode(lake_client: Client) -> None:
    made = [
        await create(lake_client),
        await create(lake_client, episodeName="one"),
        await create(lake_client, episodeName="two"),
        await create(lake_client, space="other"),
        await create(lake_client, namespace="bob"),
    ]
    assert len({answer["nodeId"] for answer in made}) == 5
    assert len({answer["folderId"] for answer in made}) == 5
    assert len({answer["projectId"] for answer in made}) == 3


async def test_fifty_at_once_make_one_record_each(lake_client: Client) -> None:
    made = await asyncio.gather(
        *(create(lake_client, episodeName="run", name=f"/a/b/c/{n % 2}.mp4") for n in range(50))
    )
    assert len({answer["nodeId"] for answer in made}) == 2
    assert len({answer["folderId"] for answer in made}) == 1
    counts = {
        table.name: len(await lake_client.rows(table)) for table in (namespaces, projects, episodes, nodes, assets)
    }
    assert counts == {"namespaces": 1, "projects": 1, "episodes": 1, "nodes": 5, "assets": 2}


async def test_two_lakes_on_one_folder_make_one_record_each(lake_client: Client) -> None:
    async with opened(lake_client.data) as other:
        made = await asyncio.gather(*(create(client) for client in (lake_client, other) for _ in range(10)))
    assert len({answer["id"] for answer in made}) == 1
    assert len(await lake_client.rows(nodes)) == 3


async def test_other_fields_are_kept_as_metadata(lake_client: Client) -> None:
    extra = {"robot": "GR-1", "tags": ["a", "ü"], "calibration": {"fx": 1.5, "ok": None}, "bssvideoid": "lower case"}
    await create(lake_client, **extra)
    [asset] = await lake_client.rows(assets)
    assert asset.metadata == extra


async def test_a_file_is_no_folder_and_a_folder_no_file(lake_client: Client) -> None:
    await create(lake_client, name="/a/b.mp4")
    for name in ("/a", "/a/b.mp4/c.mp4"):
        answer = await lake_client.http.post("/assets/video", json={**BODY, "name": name})
        assert answer.status_code in (400, 409), (name, answer.text)
    assert sorted(node.path for node in await lake_client.rows(nodes)) == ["/a", "/a/b.mp4"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (
            "name",
            ["", "a.mp4", "/", "//a", "/a/", "/../a", "/a/./b", "/a\0", "/a\n", "/a\\b", "/" + "a" * 256, 7, None],
        ),
        ("namespace", ["", "..", "a/b", "a b", "a\n", "a" * 101, 7, None]),
        ("space", ["", "..", "a/b", "a b", "a\n", "a" * 101, 7, None]),
        ("episodeName", ["", "..", "a/b", "a\n", 7]),
        ("bssVideoId", ["", "..", BSS_ID[:-1], BSS_ID.upper(), BSS_ID + "\n", 7, None]),
    ],
)
@on_sqlite
async def test_hostile_values(lake_client: Client, field: str, values: list[Any]) -> None:
    taken = []
    for value in values:
        answer = await lake_client.http.post("/assets/video", json={**BODY, field: value})
        if answer.status_code != 400 or answer.headers["content-type"] != "application/problem+json":
            taken.append((value, answer.status_code))
    assert taken == []
    assert await lake_client.rows(namespaces) == []


async def test_a_video_must_be_named(lake_client: Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "bssVideoId"}
    answer = await lake_client.http.post("/assets/video", json={**body, "bssAudioId": BSS_ID})
    assert answer.status_code == 400
    assert "bssVideoId" in answer.json()["detail"]


async def test_the_lambda_url_starts_the_processing_without_a_key(lake_client: Client) -> None:
    asset = await lake_client.add("/a.mp4", b"not a video")
    url = (await create(lake_client, bssVideoId=asset))["lambdaUrl"]
    assert url.startswith("http://lake.test/lambdas/hls-split?")
    answer = await lake_client.http.post(url)
    assert answer.status_code == 202
    assert answer.json() == {"id": asset, "status": "processing"}
    assert (await lake_client.finished(asset))["status"] == "failed"  # which shows that it ran


async def test_an_altered_lambda_url_is_refused(lake_client: Client) -> None:
    asset = await lake_client.add("/a.mp4", b"one")
    other = await lake_client.add("/b.mp4", b"two")
    url = (await create(lake_client, bssVideoId=asset))["lambdaUrl"]
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))

    def changed(**changes: str) -> str:
        return parts._replace(query=urlencode({**query, **changes})).geturl()

    refused = [
        changed(videoId=other),
        changed(expires=str(int(query["expires"]) + 1)),
        changed(namespace="bob"),
        changed(signature="0" * 64),
        changed(more="1"),
        url + "&videoId=" + other,
        *(changed(**{name: ""}) for name in query),
    ]
    for wrong in refused:
        answer = await lake_client.http.post(wrong)
        assert answer.status_code == 403, wrong
        assert answer.headers["content-type"] == "application/problem+json"
    for video in (asset, other):
        assert (await lake_client.meta(video))["status"] == "uploaded"


async def test_who_am_i(lake_client: Client) -> None:
    answer = await lake_client.http.get("/auth/me", headers={"Authorization": "Bearer whatever"})
    namespace = answer.raise_for_status().json()["namespace"]
    assert namespace == lake_client.lake.settings.namespace
    assert slugify(namespace) == namespace


# -- all kinds -----------------------------------------------------------------------------------------------------


async def test_each_kind_has_its_route_and_its_field(lake_client: Client) -> None:
    for number, kind in enumerate(KINDS):
        body = {"namespace": "alice", "project": "robotics", "name": f"/{number}", kind.bss_field: BSS_ID}
        answer = await lake_client.http.post(f"/assets/{kind.name}", json=body)
        assert answer.status_code == 201, answer.text
        url = answer.json()["lambdaUrl"]
        if kind == IMAGE:
            assert url is None
        else:
            assert url.startswith(f"http://lake.test/lambdas/{kind.action}?")
            assert f"{kind.id_field}={BSS_ID}" in url
        for other in KINDS:
            if other != kind:
                wrong = await lake_client.http.post(f"/assets/{other.name}", json={**body, "name": "/x"})
                assert wrong.status_code == 400
                assert other.bss_field in wrong.json()["detail"]
    assert [asset.kind for asset in await lake_client.rows(assets)] == [kind.name for kind in KINDS]
    assert len(await lake_client.rows(projects)) == 1  # project is the older name of space
    assert (await lake_client.http.post("/assets/folder", json=BODY)).status_code == 404


async def test_a_space_must_be_named(lake_client: Client) -> None:
    body = {name: value for name, value in BODY.items() if name != "space"}
    for more in ({}, {"space": ""}, {"project": ""}, {"space": None}):
        answer = await lake_client.http.post("/assets/video", json={**body, **more})
        assert answer.status_code == 400, more
    answer = await lake_client.http.post("/assets/video", json={**body, "space": "robotics", "project": "other"})
    assert answer.status_code == 201
    assert [project.slug for project in await lake_client.rows(projects)] == ["robotics"]


# -- finding by path -----------------------------------------------------------------------------------------------

LABELS = b'{"ts": 0, "dt": 1}\n'


async def place(client: Client, data: bytes, name: str = "/a/b.jsonl", kind: Kind = LABEL_TRACK, **more: str) -> str:
    """Store something and give it a name in the catalog; returns its id."""
    bss_id = await client.add(name, data, kind)
    body = {"namespace": "alice", "space": "robotics", "name": name, kind.bss_field: bss_id, **more}
    (await client.http.post(f"/assets/{kind.name}", json=body)).raise_for_status()
    return bss_id


async def find(client: Client, route: str = "label-track/", **query: str) -> dict[str, Any] | int:
    """What is at a path, or the status of the refusal."""
    query = {"namespace": "alice", "space": "robotics", "path": "/a/b.jsonl", **query}
    answer = await client.http.get(
        f"/assets/{route}download", params={name: text for name, text in query.items() if text}
    )
    if not answer.is_success:
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code
    found: dict[str, Any] = answer.json()
    return found


async def test_an_asset_is_found_by_its_path(lake_client: Client) -> None:
    bss_id = await place(lake_client, LABELS)
    found = await find(lake_client)
    assert found == {
        "url": f"http://lake.test/labels/{bss_id}/raw",
        "filename": "b.jsonl",
        "bssId": bss_id,
        "kind": "label-track",
        "sha256": sha256(LABELS).hexdigest(),
        "size": len(LABELS),
    }
    assert (await lake_client.http.get(f"http://lake.test/labels/{bss_id}/raw")).content == LABELS
    assert await find(lake_client, "") == found
    assert await find(lake_client, space="", project="robotics") == found
    assert await find(lake_client, path="a//b.jsonl") == found

    assert await find(lake_client, path="/a") == 404
    assert await find(lake_client, path="/a/b") == 404
    assert await find(lake_client, "text-track/") == 404
    assert await find(lake_client, namespace="bob") == 404
    assert await find(lake_client, space="other") == 404
    assert await find(lake_client, episode="run-042") == 404
    assert await find(lake_client, "folder/") == 404
    assert await find(lake_client, space="") == 400
    assert await find(lake_client, path="") == 400
    assert await find(lake_client, path="/") == 400
    assert await find(lake_client, path="/../a") == 400
    assert await find(lake_client, path="/a\0") == 400


async def test_an_episode_has_paths_of_its_own(lake_client: Client) -> None:
    plain = await place(lake_client, LABELS)
    inside = await place(lake_client, LABELS * 2, episodeName="run-042")
    for episode, bss_id in (("", plain), ("run-042", inside)):
        for route in ("label-track/", ""):
            found = await find(lake_client, route, episode=episode)
            assert isinstance(found, dict)
            assert found["bssId"] == bss_id
    assert await find(lake_client, episode="run-043") == 404


async def test_the_newest_asset_is_found(lake_client: Client) -> None:
    """Also where the newest is an earlier one that was brought back, and where newer ones were deleted."""

    async def newest() -> str | int:
        found = await find(lake_client)
        return found if isinstance(found, int) else str(found["bssId"])

    one = await place(lake_client, LABELS)
    two = await place(lake_client, LABELS * 2)
    assert await newest() == two
    assert await place(lake_client, LABELS) == one
    assert await newest() == one
    assert len(await lake_client.rows(assets)) == 2
    for gone, left in ((one, two), (two, 404)):
        assert (await lake_client.http.delete(f"/labels/{gone}")).status_code == 204
        assert await newest() == left


async def test_what_is_another_owner_s_is_not_found(lake_client: Client) -> None:
    """Whoever guesses an id and gives it a name learns nothing of what it names."""
    digest = await lake_client.stage(LABELS, "labels", owner="bob")
    registered = await lake_client.register("/b.jsonl", digest, LABEL_TRACK, owner="bob")
    body = {"namespace": "alice", "space": "robotics", "name": "/a/b.jsonl", "bssLabelId": registered.json()["id"]}
    assert (await lake_client.http.post("/assets/label-track", json=body)).status_code == 201
    assert await find(lake_client) == 404
    as_text = {**body, "name": "/a/c.jsonl", "bssTextTrackId": await place(lake_client, LABELS)}
    assert (await lake_client.http.post("/assets/text-track", json=as_text)).status_code == 201
    assert await find(lake_client, path="/a/c.jsonl", route="") == 404  # a label track is no text track


async def test_a_path_is_found_in_any_script_and_form(lake_client: Client) -> None:
    bss_id = await place(lake_client, LABELS, "/カメラ/a b%2F#?.jsonl", TEXT_TRACK)
    found = await find(lake_client, "", path="/カメラ/a b%2F#?.jsonl")
    assert isinstance(found, dict)
    assert (found["bssId"], found["filename"]) == (bss_id, "a b%2F#?.jsonl")
    composed, apart = "/\N{LATIN SMALL LETTER U WITH DIAERESIS}.mp4", "/u\N{COMBINING DIAERESIS}.mp4"
    bss_id = await place(lake_client, b"not a video", apart, VIDEO)
    for path in (composed, apart):
        found = await find(lake_client, "video/", path=path)
        assert isinstance(found, dict)
        assert found["bssId"] == bss_id


@on_sqlite
async def test_urls_begin_as_the_lake_is_reached(lake_client: Client) -> None:
    await place(lake_client, LABELS)
    async with opened(lake_client.data, public_url="https://lake.example/base") as public:
        found = await find(public)
        assert isinstance(found, dict)
        assert found["url"] == f"https://lake.example/base/labels/{found['bssId']}/raw"
