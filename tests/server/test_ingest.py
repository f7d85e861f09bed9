"""What an ingest must never do, whatever it is given: touch the original, wait for ever, answer for strangers."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from tests.clips import Clip

from ._lake import Client, opened

TS = Clip(options={"preset": "veryfast", "g": "10"}, frames=30)


@pytest.mark.parametrize("name", ["/0.ts", "/a/0.m4s", "/work", "/rewritten.mp4", "/source", "/" + "n" * 255])
async def test_no_name_leads_to_the_original(lake_client: Client, tmp_path: Path, name: str) -> None:
    data = TS.make(tmp_path / "a.mp4").read_bytes()
    meta = await lake_client.ready(name, data)
    assert meta["frames"] == 30
    staged = lake_client.data / "objects/alice/robotics/staging" / sha256(data).hexdigest()[:16]
    assert staged.read_bytes() == data
    assert not list((lake_client.data / "scratch").iterdir())


async def test_a_result_that_is_lost_is_made_again(lake_client: Client, tmp_path: Path) -> None:
    data = TS.make(tmp_path / "a.mp4").read_bytes()
    meta = await lake_client.ready("/a.mp4", data)
    (lake_client.data / "objects/alice/robotics/videos" / meta["id"] / "meta.json").unlink()
    assert (await lake_client.http.get(f"/videos/{meta['id']}")).json()["status"] == "uploaded"
    again = await lake_client.ready("/a.mp4", data)
    assert {**again, "updatedAt": ""} == {**meta, "updatedAt": ""}


async def test_nobody_else_reads_the_secrets_of_a_lake(tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir(mode=0o755)
    async with opened(folder) as client:
        assert client.lake.signer.query("GET", "/", "alice", 0)
        for name in ("lake.db", "lake.db-wal", "lake.db-shm"):
            assert (folder / name).stat().st_mode & 0o077 == 0, name


def test_a_served_lake_answers_for_itself_only(served: str) -> None:
    port = served.rsplit(":", 1)[-1]
    for host, status in ((f"127.0.0.1:{port}", 200), ("localhost", 200), (f"[::1]:{port}", 200), ("evil.example", 421)):
        assert httpx.get(f"{served}/auth/me", headers={"Host": host}).status_code == status, host


async def test_the_lake_s_own_folder_is_no_namespace(lake_client: Client) -> None:
    body = {"owner": "chunks", "project": "p", "hash": "0" * 16}
    assert (await lake_client.http.post("/videos/upload/multipart/init", json=body)).status_code == 400
