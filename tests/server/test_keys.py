"""The keys of a lake, in whatever database: when one is asked for, and how those that sign are changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamlake.server import signingkeys
from tests.clips import Clip

from ._lake import Client, opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Clip(options={"preset": "veryfast"}, frames=10).make(tmp_path_factory.mktemp("clips") / "a.mp4").read_bytes()


async def test_the_first_key_closes_a_served_lake_for_good(lake_data: Path) -> None:
    async with opened(lake_data, keys="if there are keys") as client:
        assert (await client.http.get("/auth/me")).status_code == 200
        made = (await client.http.post("/keys", json={"scope": "admin"})).json()
        assert (await client.http.get("/auth/me")).status_code == 401
        headers = {"Authorization": f"Bearer {made['key']}"}
        assert (await client.http.get("/auth/me", headers=headers)).json()["keyId"] == made["id"]
        assert (await client.http.delete(f"/keys/{made['id']}", headers=headers)).status_code == 204
        assert (await client.http.get("/auth/me")).status_code == 401
    async with opened(lake_data) as client:  # who has the folder has the lake
        assert (await client.http.get("/auth/me", headers={"Authorization": "nonsense"})).status_code == 200


async def test_rotation(lake_data: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(lake_data) as client, opened(lake_data) as other:
        video = await client.ready("/a.mp4", clip)
        stream = f"/videos/{video['id']}/stream/{video['streams'][0]}.m3u8"

        async def chunk(at: Client) -> str:
            playlist = (await at.http.get(stream)).text
            return next(line for line in playlist.splitlines() if line.startswith("http"))

        async def status(at: Client, url: str) -> int:
            return (await at.http.get(url)).status_code

        first = await chunk(client)
        answer = await client.http.post("/keys/signing", json={})
        assert answer.json() == {"keys": 2}
        # The new one does not sign before the other server knows it.
        assert await chunk(client) == first
        monkeypatch.setattr(signingkeys, "DELAY_SECONDS", -1.0)
        await client.lake.signing.load()
        second = await chunk(client)
        assert second != first
        assert [await status(client, url) for url in (first, second)] == [200, 200]
        assert await status(other, second) == 403
        await other.lake.signing.load()  # as it does by itself twice a minute
        assert [await status(other, url) for url in (first, second)] == [200, 200]

        assert (await client.http.post("/keys/signing", json={"atOnce": True})).json() == {"keys": 1}
        assert [await status(client, url) for url in (first, second)] == [403, 403]
        assert await status(client, await chunk(client)) == 200
