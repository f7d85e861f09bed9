"""The catalog as a tree: listing, finding, moving and deleting, against a model of it in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamlake.core.kinds import KINDS, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind
from dreamlake.server.schema import assets, bss_assets, nodes

from ._lake import Client

LABELS = b'{"ts": 0, "dt": 1}\n'
PLACE = {"namespace": "alice", "space": "robotics"}


async def put(client: Client, name: str, data: bytes = LABELS, kind: Kind = LABEL_TRACK, **more: str) -> dict[str, Any]:
    """Store something and give it a name; returns what the catalog answers, with the id in the storage."""
    owner = more.get("namespace", "alice")
    digest = await client.stage(data, kind.route, owner=owner)
    bss_id = (await client.register(name, digest, kind, owner=owner)).raise_for_status().json()["id"]
    body = {**PLACE, "name": name, kind.bss_field: bss_id, **more}
    made = (await client.http.post(f"/assets/{kind.name}", json=body)).raise_for_status().json()
    return {**made, "bssId": bss_id}


async def pages(client: Client, path: str, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
    query = {**PLACE, **query} if path.startswith(("/assets", "/nodes")) and "children" not in path else query
    cursor: dict[str, str] = {}
    while True:
        answer = await client.http.get(path, params={**query, **cursor})
        page = answer.raise_for_status().json()
        yield page["items"]
        if page["nextCursor"] is None:
            return
        cursor = {"cursor": page["nextCursor"]}


async def names(client: Client, path: str = "/nodes", **query: Any) -> list[str]:
    return [item["name"] async for page in pages(client, path, **query) for item in page]


async def lookup(client: Client, path: str, **query: str) -> dict[str, Any]:
    answer = await client.http.get("/nodes/lookup", params={**PLACE, "path": path, **query})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def status(client: Client, path: str, **query: str) -> int:
    return (await client.http.get("/nodes/lookup", params={**PLACE, "path": path, **query})).status_code


async def move(client: Client, node: str, name: str, **more: str) -> int:
    return (await client.http.patch(f"/nodes/{node}", json={"name": name, **more})).status_code


# -- what is said of nodes -------------------------------------------------------------------------------------------


async def test_an_asset_is_described(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl", robot="GR-1", episodeName="run-042")
    found = await lookup(lake_client, "/a/b.jsonl", episode="run-042")
    assert (found["id"], found["assetId"], found["parentId"]) == (made["nodeId"], made["id"], made["folderId"])
    assert (found["kind"], found["name"], found["bssId"]) == ("label-track", "/a/b.jsonl", made["bssId"])
    assert (found["namespace"], found["space"], found["episode"]) == ("alice", "robotics", "run-042")
    assert (found["projectId"], found["episodeId"]) == (made["projectId"], made["episodeId"])
    assert (found["size"], found["metadata"]) == (len(LABELS), {"robot": "GR-1"})
    assert found["resourceId"].startswith("lt-")
    assert (await lake_client.http.get(f"/nodes/{found['id']}")).json() == found
    [item] = (await lake_client.http.get("/assets/label-track", params=PLACE)).json()["items"]
    assert item == {
        "id": made["id"], "nodeId": made["nodeId"], "name": "/a/b.jsonl", "type": "label-track", "size": len(LABELS),
        "resourceId": found["resourceId"], "bssId": made["bssId"], "createdAt": found["createdAt"],
        "metadata": {"robot": "GR-1"}, "episode": "run-042",
    }  # fmt: skip


async def test_folders_and_episodes_are_described(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl", episodeName="run-042")
    folder = await lookup(lake_client, "/a", episode="run-042")
    assert (folder["id"], folder["kind"], folder["bssId"], folder["size"]) == (made["folderId"], "folder", None, None)
    episode = (await lake_client.http.get(f"/nodes/{made['episodeId']}")).json()
    assert (episode["kind"], episode["name"], episode["episode"]) == ("episode", "run-042", "run-042")
    children = f"/nodes/{made['episodeId']}/children"
    assert await names(lake_client, children) == ["/a"]
    assert await names(lake_client, f"/nodes/{made['folderId']}/children") == ["/a/b.jsonl"]
    assert await names(lake_client, f"/nodes/{made['nodeId']}/children") == []
    for gone in (PLACE, {**PLACE, "episode": "run-043"}, {**PLACE, "space": "other"}, {**PLACE, "namespace": "bob"}):
        assert (await lake_client.http.get("/nodes/lookup", params={**gone, "path": "/a"})).status_code == 404


async def test_the_newer_form_makes_the_same(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl", episodeName="run-042")
    made["lambdaUrl"] = None
    body = {"namespace": "alice", "project": "robotics", "episode": "run-042"}
    metadata = {"bssId": made.pop("bssId"), "hash": "0" * 16, "size": 19, "contentType": "application/x-ndjson"}
    asset = {**body, "kind": "label-track", "name": "/a/b.jsonl", "metadata": metadata}
    again = await lake_client.http.post("/nodes", json=asset)
    assert again.status_code == 201
    assert "/lambdas/label-process?" in again.json()["lambdaUrl"]
    assert {**again.json(), "lambdaUrl": None} == made
    [row] = await lake_client.rows(assets)
    assert row.metadata == {"hash": "0" * 16, "size": 19, "contentType": "application/x-ndjson"}

    folder = (await lake_client.http.post("/nodes", json={**body, "kind": "folder", "name": "/a/c/d"})).json()
    again = (await lake_client.http.post("/nodes", json={**body, "kind": "folder", "name": "/a/c/d"})).json()
    assert folder == again
    assert (folder["id"], folder["filename"], folder["lambdaUrl"]) == (folder["nodeId"], "d", None)
    assert (await lookup(lake_client, "/a/c", episode="run-042"))["id"] == folder["folderId"]
    episode = {"namespace": "alice", "space": "robotics", "kind": "episode", "name": "run-042"}
    assert (await lake_client.http.post("/nodes", json=episode)).json()["id"] == made["episodeId"]

    for wrong, expected in (
        ({**asset, "metadata": {}}, 400),
        ({**asset, "metadata": None}, 400),
        ({**asset, "kind": "movie"}, 400),
        ({**asset, "name": "b.jsonl"}, 400),
        ({**asset, "kind": "text-track"}, 409),
        ({**body, "kind": "folder", "name": "/a/b.jsonl"}, 409),
        ({**body, "kind": "folder", "name": "/"}, 400),
        ({**body, "kind": "episode", "name": "a/b"}, 400),
        ({**body, "kind": "episode", "name": "run-043"}, 400),
    ):
        assert (await lake_client.http.post("/nodes", json=wrong)).status_code == expected, wrong


async def test_namespaces_spaces_and_episodes(lake_client: Client) -> None:
    for path in ("/namespaces", "/namespaces/alice/spaces", "/namespaces/alice/spaces/robotics/episodes"):
        assert await names(lake_client, path) == []
        made = [await lake_client.http.post(path, json={"name": name}) for name in ("c", "a", "b", "a")]
        assert [answer.status_code for answer in made] == [201, 201, 201, 200]
        assert made[3].json() == made[1].json()
        found = [item async for page in pages(lake_client, path, limit=2) for item in page]
        assert [item["name"] for item in found if item["name"] in "abc"] == ["a", "b", "c"]
        assert found[0] == made[1].json()
        for wrong in ("", "a/b", "..", "a\n", 7):
            assert (await lake_client.http.post(path, json={"name": wrong})).status_code == 400
    assert await names(lake_client, "/namespaces") == ["a", "alice", "b", "c"]
    assert await names(lake_client, "/namespaces/bob/spaces") == []
    assert (await lake_client.http.get("/namespaces/a%20b/spaces")).status_code == 400


async def test_what_cannot_be_asked(lake_client: Client) -> None:
    wrong: list[dict[str, str]] = [
        {"cursor": "x"}, {"cursor": "WzFd"}, {"cursor": "WyJhIl0"}, {"cursor": "é"}, {"prefix": "/../a"},
        {"prefix": "/a\0"}, {"namespace": "a\0"}, {"space": "a b"}, {"episode": "a/b"}, {"pattern": "\0"},
        {"pattern": "a" * 256}, {"limit": "many"},
    ]  # fmt: skip
    for query in wrong:
        for path in ("/assets", "/assets/video", "/nodes"):
            answer = await lake_client.http.get(path, params={**PLACE, **query})
            assert answer.status_code == 400, (path, query)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_ids_that_are_none(lake_client: Client) -> None:
    for node, expected in (("0" * 24, 404), ("x", 400), ("0" * 23 + "%0A", 400)):
        for answer in (
            await lake_client.http.get(f"/nodes/{node}"),
            await lake_client.http.get(f"/nodes/{node}/children"),
            await lake_client.http.delete(f"/nodes/{node}"),
            await lake_client.http.patch(f"/nodes/{node}", json={"name": "/a"}),
        ):
            assert answer.status_code == expected


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_a_prefix_is_one_of_parts_and_not_of_letters(lake_client: Client) -> None:
    there = ["/a/b.jsonl", "/a/b_c/d.jsonl", "/a/bXc/d.jsonl", "/A/b.jsonl", "/a-b.jsonl", "/a0.jsonl", "/%/x.jsonl"]
    for name in there:
        await put(lake_client, name)
    for prefix, expected in (
        ("/", sorted(there)),
        ("/a", ["/a/b.jsonl", "/a/bXc/d.jsonl", "/a/b_c/d.jsonl"]),
        ("a/b_c/", ["/a/b_c/d.jsonl"]),
        ("/%", ["/%/x.jsonl"]),
        ("/a/b.jsonl", ["/a/b.jsonl"]),
        ("/a/b", []),
    ):
        assert await names(lake_client, "/assets", prefix=prefix) == expected, prefix
        assert await names(lake_client, "/assets/label-track", prefix=prefix, limit=1) == expected, prefix
        assert await names(lake_client, "/assets/video", prefix=prefix) == []
    assert await names(lake_client, prefix="/a") == ["/a/b.jsonl", "/a/bXc", "/a/b_c"]
    assert await names(lake_client, prefix="/a", kind="folder", recursive=True) == ["/a/bXc", "/a/b_c"]
    assert await names(lake_client, prefix="/a/b.jsonl") == ["/a/b.jsonl"]


async def test_patterns(lake_client: Client) -> None:
    for name in ("/camera/Front_1.jsonl", "/camera/front-2.jsonl", "/100%/back.jsonl"):
        await put(lake_client, name)
    for pattern, expected in (
        ("front", ["/camera/Front_1.jsonl", "/camera/front-2.jsonl"]),
        ("camera", ["/camera"]),
        ("/camera/", ["/camera/Front_1.jsonl", "/camera/front-2.jsonl"]),
        ("front?1*", ["/camera/Front_1.jsonl"]),
        ("*-2.jsonl", ["/camera/front-2.jsonl"]),
        ("_", ["/camera/Front_1.jsonl"]),
        ("%", ["/100%"]),
        ("/*/back*", ["/100%/back.jsonl"]),
        ("nothing", []),
    ):
        assert await names(lake_client, pattern=pattern, recursive=True, limit=1) == expected, pattern


async def test_episodes_are_listed_with_their_space_or_alone(lake_client: Client) -> None:
    await put(lake_client, "/a.jsonl")
    await put(lake_client, "/b.jsonl", episodeName="one")
    await put(lake_client, "/a.jsonl", episodeName="two")
    assert await names(lake_client, "/assets", limit=1) == ["/a.jsonl", "/b.jsonl", "/a.jsonl"]
    assert await names(lake_client, "/assets", limit=1, prefix="/a.jsonl") == ["/a.jsonl", "/a.jsonl"]
    assert await names(lake_client, "/assets", episode="") == ["/a.jsonl"]
    assert await names(lake_client, "/assets", episode="one") == ["/b.jsonl"]
    assert await names(lake_client, "/assets", episode="three") == []
    assert await names(lake_client, "/nodes") == ["/a.jsonl"]
    assert await names(lake_client, "/nodes", recursive=True) == ["/a.jsonl", "/b.jsonl", "/a.jsonl"]


async def test_pages_hold_while_others_write(lake_client: Client) -> None:
    before = {f"/{number:02}/x.jsonl" for number in range(0, 20, 2)}
    for name in before:
        await put(lake_client, name)
    seen: list[str] = []
    more = count(1, 2)
    async for page in pages(lake_client, "/assets", limit=3):
        seen += [item["name"] for item in page]
        await put(lake_client, f"/{next(more):02}/x.jsonl")
    assert len(seen) == len(set(seen))
    assert before <= set(seen)
    assert seen == sorted(seen)


async def test_what_is_another_owner_s_is_in_no_list(lake_client: Client) -> None:
    theirs = await put(lake_client, "/b.jsonl", namespace="bob")
    body = {**PLACE, "name": "/a/b.jsonl", "bssLabelId": theirs["bssId"]}
    stolen = (await lake_client.http.post("/assets/label-track", json=body)).raise_for_status().json()
    assert await names(lake_client, "/assets") == []
    assert await names(lake_client, recursive=True) == ["/a"]
    assert (await lake_client.http.get(f"/nodes/{stolen['nodeId']}")).status_code == 404
    folder = f"/nodes/{stolen['folderId']}"
    assert (await lake_client.http.delete(folder)).status_code == 409
    assert (await lake_client.http.delete(folder, params={"recursive": "true"})).status_code == 204
    assert await lake_client.meta(theirs["bssId"], LABEL_TRACK)  # still theirs


async def test_the_names_of_an_asset(lake_client: Client) -> None:
    one = await put(lake_client, "/a.jsonl", episodeName="one")
    await put(lake_client, "/a.jsonl", episodeName="two")
    await put(lake_client, "/c.jsonl")
    found = [item async for page in pages(lake_client, "/assets", bssId=one["bssId"], limit=1) for item in page]
    assert [(item["name"], item["episode"]) for item in found] == [("/a.jsonl", "one"), ("/a.jsonl", "two")]


# -- moving ----------------------------------------------------------------------------------------------------------


async def test_an_asset_is_renamed(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl")
    answer = await lake_client.http.patch(f"/nodes/{made['nodeId']}", json={"name": "/c/d/e.jsonl"})
    assert answer.status_code == 200
    moved = answer.json()
    assert (moved["name"], moved["bssId"], moved["assetId"]) == ("/c/d/e.jsonl", made["bssId"], made["id"])
    assert moved == await lookup(lake_client, "/c/d/e.jsonl")
    assert await status(lake_client, "/a/b.jsonl") == 404
    assert await names(lake_client, recursive=True) == ["/a", "/c", "/c/d", "/c/d/e.jsonl"]
    [asset] = await lake_client.rows(assets)
    assert (asset.filename, asset.folder_id) == ("e.jsonl", moved["parentId"])
    found = await lake_client.http.get("/assets/download", params={**PLACE, "path": "/c/d/e.jsonl"})
    assert found.json()["filename"] == "e.jsonl"
    assert await move(lake_client, made["nodeId"], "/c/d/e.jsonl") == 200
    assert await put(lake_client, "/a/b.jsonl") != made  # the old name is free


async def test_what_cannot_be_moved(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl", episodeName="run")
    await put(lake_client, "/c.jsonl", episodeName="run")
    folder = made["folderId"]
    before = await names(lake_client, recursive=True)
    for node, name, expected in (
        (folder, "/a/b", 400), (folder, "/a/b/c", 400), (folder, "/c.jsonl", 409), (folder, "/c.jsonl/d", 409),
        (folder, "/", 400), (folder, "b", 400), (folder, "/../b", 400), (folder, "/" + "a" * 256, 400),
        (made["nodeId"], "/a", 409), (made["nodeId"], "/c.jsonl", 409), (made["nodeId"], "/a/b.jsonl/c", 400),
        (made["episodeId"], "/x", 400),
    ):  # fmt: skip
        assert await move(lake_client, node, name) == expected, name
    long = "/" + "/".join(["a" * 250] * 4)
    assert await move(lake_client, folder, long) == 200
    too_long = "/" + "/".join(["ü" * 125] * 4 + ["a" * 15])  # not in letters, but in bytes, and for b.jsonl
    assert await move(lake_client, folder, too_long) == 400
    assert await move(lake_client, folder, "/a") == 200
    assert [name for name in await names(lake_client, recursive=True) if not name.startswith(long[:251])] == before


async def test_to_another_episode(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b.jsonl")
    assert await move(lake_client, made["folderId"], "/a", episode="run") == 200
    assert await names(lake_client, recursive=True, episode="") == []
    assert await names(lake_client, recursive=True, episode="run") == ["/a", "/a/b.jsonl"]
    assert (await lookup(lake_client, "/a/b.jsonl", episode="run"))["episode"] == "run"
    assert await move(lake_client, made["nodeId"], "/b.jsonl", episode="") == 200
    assert (await lookup(lake_client, "/b.jsonl"))["episodeId"] is None
    assert await move(lake_client, made["nodeId"], "/b.jsonl", episode="a b") == 400


async def test_one_of_many_movers_wins(lake_client: Client) -> None:
    made = [await put(lake_client, f"/from/{number}.jsonl") for number in range(6)]
    answers = await asyncio.gather(*(move(lake_client, one["nodeId"], "/to/x.jsonl") for one in made))
    assert sorted(answers) == [200] + [409] * 5
    assert len(await lake_client.rows(nodes)) == 8


async def test_a_folder_moves_while_it_is_filled(lake_client: Client) -> None:
    first = await put(lake_client, "/a/0.jsonl")
    body = {**PLACE, "bssLabelId": first["bssId"]}

    async def add(number: int) -> None:
        (
            await lake_client.http.post("/assets/label-track", json={**body, "name": f"/a/{number}.jsonl"})
        ).raise_for_status()

    await asyncio.gather(*map(add, range(1, 10)), move(lake_client, first["folderId"], "/b"))
    tree = {node.id: node for node in await lake_client.rows(nodes)}
    assert sum(node.kind != "folder" for node in tree.values()) == 10
    for node in tree.values():
        parent = tree[node.parent_id].path if node.parent_id else ""
        assert node.path == f"{parent}/{node.name}"


# -- deleting --------------------------------------------------------------------------------------------------------


async def test_a_name_goes_with_its_versions_and_their_bytes(lake_client: Client) -> None:
    made = [await put(lake_client, "/a/b.jsonl", LABELS * times) for times in (1, 2)]
    kept = await put(lake_client, "/a/c.jsonl", LABELS)
    assert (await lake_client.http.delete(f"/nodes/{made[0]['nodeId']}")).status_code == 204
    for one in made:
        assert (await lake_client.http.get(f"/labels/{one['bssId']}")).status_code == 404
    assert await names(lake_client, recursive=True) == ["/a", "/a/c.jsonl"]
    assert [row.id for row in await lake_client.rows(bss_assets)] == [kept["bssId"]]
    assert (await lake_client.http.delete(f"/nodes/{made[0]['nodeId']}")).status_code == 404
    again = await put(lake_client, "/a/b.jsonl", LABELS, VIDEO)  # nor is the name bound to its kind
    assert (await lookup(lake_client, "/a/b.jsonl"))["bssId"] == again["bssId"]


async def test_an_asset_with_two_names_keeps_its_bytes(lake_client: Client) -> None:
    one, two = [await put(lake_client, "/a.jsonl", episodeName=name) for name in ("one", "two")]
    assert one["bssId"] == two["bssId"]
    for node, expected in ((one["nodeId"], 200), (two["nodeId"], 404)):
        assert (await lake_client.http.delete(f"/nodes/{node}")).status_code == 204
        assert (await lake_client.http.get(f"/labels/{one['bssId']}/raw")).status_code == expected


async def test_folders_go_when_they_are_empty_or_recursively(lake_client: Client) -> None:
    made = await put(lake_client, "/a/b/c.jsonl")
    await put(lake_client, "/a-b.jsonl")
    folder = await lookup(lake_client, "/a")
    for node in (folder["id"], made["folderId"]):
        assert (await lake_client.http.delete(f"/nodes/{node}")).status_code == 409
    assert (await lake_client.http.delete(f"/nodes/{folder['id']}?recursive=true")).status_code == 204
    assert await names(lake_client, recursive=True) == ["/a-b.jsonl"]
    assert len(await lake_client.rows(bss_assets)) == 1
    empty = {**PLACE, "kind": "folder", "name": "/x/y"}
    node = (await lake_client.http.post("/nodes", json=empty)).json()["id"]
    assert (await lake_client.http.delete(f"/nodes/{node}")).status_code == 204
    assert await names(lake_client, recursive=True) == ["/a-b.jsonl", "/x"]


async def test_a_large_folder_goes_in_several_transactions(
    lake_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamlake.server.catalog.removal.PAGE", 2)
    for number in range(5):
        await put(lake_client, f"/a/{number}/x.jsonl", LABELS * (number + 1))
    folder = await lookup(lake_client, "/a")
    assert (await lake_client.http.delete(f"/nodes/{folder['id']}?recursive=true")).status_code == 204
    assert [await lake_client.rows(table) for table in (nodes, assets, bss_assets)] == [[], [], []]


async def test_a_deleted_asset_has_no_name(lake_client: Client) -> None:
    made = [await put(lake_client, "/a/b.jsonl", LABELS * times) for times in (1, 2)]
    assert (await lake_client.http.delete(f"/labels/{made[1]['bssId']}")).status_code == 204
    assert (await lookup(lake_client, "/a/b.jsonl"))["bssId"] == made[0]["bssId"]
    assert (await lake_client.http.delete(f"/labels/{made[0]['bssId']}")).status_code == 204
    assert await names(lake_client, recursive=True) == ["/a"]
    assert await lake_client.rows(assets) == []


# -- against a model -------------------------------------------------------------------------------------------------

SEGMENTS = st.sampled_from(["a", "A", "b", "a-b", "a0", "%", "_", "ü", "x.mp4"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
ASSETS = st.lists(st.tuples(PATHS, st.sampled_from([VIDEO, LABEL_TRACK, TEXT_TRACK])), max_size=12)
STEPS = st.lists(st.tuples(st.sampled_from(["move", "delete", "delete all"]), PATHS, PATHS), max_size=8)
_spaces = count()
_quick = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def parents(path: str) -> list[str]:
    return [path[:at] for at, letter in enumerate(path) if letter == "/" and at]


def is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")


async def grow(client: Client, wanted: list[tuple[str, Kind]]) -> tuple[dict[str, str], dict[str, Any]]:
    """A space of these assets, as far as they go together: the kinds by their paths, and where it is."""
    place = {"namespace": "alice", "space": f"s{next(_spaces)}"}
    tree: dict[str, str] = {}
    for path, kind in wanted:
        fits = all(tree.get(one, "folder") == "folder" for one in parents(path)) and tree.get(path) in (None, kind.name)
        digest = await client.stage(LABELS, project=place["space"])
        made = await client.register(path, digest, kind, project=place["space"])
        body = {**place, "name": path, kind.bss_field: made.json()["id"]}
        answer = await client.http.post(f"/assets/{kind.name}", json=body)
        assert answer.status_code == (201 if fits else 409), (path, tree)
        if fits:
            tree.update(dict.fromkeys(parents(path), "folder"))
            tree[path] = kind.name
    return tree, place


@_quick
@given(wanted=ASSETS, prefix=PATHS | st.just("/"), limit=st.integers(1, 5))
async def test_lists_are_those_of_a_model(
    lake_client: Client, wanted: list[tuple[str, Kind]], prefix: str, limit: int
) -> None:
    tree, place = await grow(lake_client, wanted)
    query = {**place, "prefix": prefix, "limit": limit}

    def found(*kinds: str) -> list[str]:
        return sorted(
            path
            for path, kind in tree.items()
            if kind in kinds and (is_below(path, prefix) or (path == prefix and kind != "folder"))
        )

    kinds = [kind.name for kind in KINDS]
    assert await names(lake_client, "/assets", **query) == found(*kinds)
    assert await names(lake_client, "/assets/video", **query) == found("video")
    everything = found("folder", *kinds)
    assert await names(lake_client, "/nodes", **query, recursive=True) == everything
    inside = [path for path in everything if path == prefix or path.rpartition("/")[0] == prefix.rstrip("/")]
    assert await names(lake_client, "/nodes", **query) == inside
    assert await status(lake_client, prefix, **place) == (200 if prefix in tree else 404)


@_quick
@given(wanted=ASSETS, steps=STEPS)
async def test_moves_and_deletions_are_those_of_a_model(
    lake_client: Client, wanted: list[tuple[str, Kind]], steps: list[tuple[str, str, str]]
) -> None:
    tree, place = await grow(lake_client, wanted)
    for step, path, to in steps:
        if path not in tree:
            assert await status(lake_client, path, **place) == 404
            continue
        node = (await lookup(lake_client, path, **place))["id"]
        inside = [other for other in tree if is_below(other, path)]
        if step == "move":
            answer = await move(lake_client, node, to)
            taken = to in tree or any(tree.get(one, "folder") != "folder" for one in parents(to))
            expected = 200 if to == path else 400 if is_below(to, path) else 409 if taken else 200
            if expected == 200 and to != path:
                moved = {to + other[len(path) :]: tree.pop(other) for other in [path, *inside]}
                tree.update({**dict.fromkeys(parents(to), "folder"), **moved})
        else:
            query = {"recursive": str(step == "delete all").lower()}
            answer = (await lake_client.http.delete(f"/nodes/{node}", params=query)).status_code
            expected = 409 if inside and step == "delete" else 204
            if expected == 204:
                for other in [path, *inside]:
                    del tree[other]
        assert answer == expected, (step, path, to)
        assert await names(lake_client, **place, recursive=True) == sorted(tree)
    stored = [row for row in await lake_client.rows(bss_assets) if row.project == place["space"]]
    assert len(stored) >= sum(kind != "folder" for kind in tree.values())
