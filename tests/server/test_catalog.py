"""The catalog: one record each, however many ask for it at once, and the signed URL that starts the processing."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from dreamlake.core.targets import slugify
from dreamlake.server.schema import assets, episodes, namespaces, nodes, projects

from ._lake import Client, opened

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
