"""What an upload that ended half way leaves behind, and how it is put right."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamlake.core.kinds import LABEL_TRACK, VIDEO
from dreamlake.server.catalog import orphans

from ._lake import Client, opened

LINE = b'{"ts": 0, "dt": 1}\n'


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "SETTLED_SECONDS", -60.0)


async def found(client: Client) -> dict[str, list[str]]:
    answer = (await client.http.get("/orphans")).raise_for_status().json()
    return {what: [item["name"] for item in items] for what, items in answer.items()}


async def repair(client: Client) -> dict[str, object]:
    answer = await client.http.post("/orphans/repair")
    repaired: dict[str, object] = answer.raise_for_status().json()
    return repaired


async def name(client: Client, path: str, bss_id: str) -> None:
    body = {"namespace": "alice", "space": "robotics", "name": path, "bssLabelId": bss_id}
    (await client.http.post("/assets/label-track", json=body)).raise_for_status()


async def looked_up(client: Client, path: str) -> int:
    where = {"namespace": "alice", "space": "robotics", "path": path}
    return (await client.http.get("/assets/download", params=where)).status_code


async def test_assets_without_a_name_and_names_without_an_asset(lake_client: Client) -> None:
    assert await found(lake_client) == {"unnamed": [], "empty": []}
    one = await lake_client.add("/run/one.jsonl", LINE, LABEL_TRACK)
    two = await lake_client.add("/run/two.jsonl", LINE * 2, LABEL_TRACK)
    await name(lake_client, "/run/two.jsonl", two)
    await name(lake_client, "/run/gone.jsonl", "0" * 24)
    assert await found(lake_client) == {"unnamed": ["/run/one.jsonl"], "empty": ["/run/gone.jsonl"]}
    assert await repair(lake_client) == {"named": 1, "forgotten": 1, "problems": []}
    assert await found(lake_client) == {"unnamed": [], "empty": []}
    assert await repair(lake_client) == {"named": 0, "forgotten": 0, "problems": []}
    assert [await looked_up(lake_client, f"/run/{name}.jsonl") for name in ("one", "two", "gone")] == [200, 200, 404]
    assert one != two
    # The place of what is gone is free again, also for another kind.
    body = {"namespace": "alice", "space": "robotics", "name": "/run/gone.jsonl", "bssVideoId": "1" * 24}
    assert (await lake_client.http.post("/assets/video", json=body)).status_code == 201


async def test_a_name_that_is_taken_is_told_of(lake_client: Client) -> None:
    label = await lake_client.add("/run", LINE, LABEL_TRACK)
    other = await lake_client.add("/run/a.jsonl", LINE * 2, LABEL_TRACK)
    await name(lake_client, "/run/a.jsonl", other)
    done = await repair(lake_client)
    assert (done["named"], done["forgotten"]) == (0, 0)
    assert "/run is a folder" in str(done["problems"])
    assert (await lake_client.meta(label, LABEL_TRACK))["name"] == "/run"


async def test_what_was_just_made_is_left_alone(lake_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "SETTLED_SECONDS", 600.0)
    await lake_client.add("/a.jsonl", LINE, LABEL_TRACK)
    await name(lake_client, "/b.jsonl", "0" * 24)
    assert await found(lake_client) == {"unnamed": [], "empty": []}
    assert await repair(lake_client) == {"named": 0, "forgotten": 0, "problems": []}


async def test_the_catalog_of_another_storage_service_forgets_nothing(lake_client: Client) -> None:
    await name(lake_client, "/b.jsonl", "0" * 24)
    assert await found(lake_client) == {"unnamed": [], "empty": []}


async def test_a_key_sees_and_mends_what_is_its_own(lake_data: Path) -> None:
    async with opened(lake_data) as client:
        await client.add("/a.mp4", LINE, VIDEO)
        made = [await client.http.post("/keys", json={"namespace": who}) for who in ("alice", "mallory")]
    async with opened(lake_data, keys="always") as client:
        seen = []
        for answer in reversed(made):
            client.http.headers["Authorization"] = f"Bearer {answer.json()['key']}"
            seen.append((await found(client), await repair(client)))
    assert seen == [
        ({"unnamed": [], "empty": []}, {"named": 0, "forgotten": 0, "problems": []}),
        ({"unnamed": ["/a.mp4"], "empty": []}, {"named": 1, "forgotten": 0, "problems": []}),
    ]
