"""Many who register at the same moment: one record each, however many servers they ask, and nobody is turned away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from dreamlake.core.kinds import KINDS, LABEL_TRACK
from dreamlake.server.database import Database
from dreamlake.server.schema import metadata
from dreamlake.server.settings import Settings
from tests.clips import X264, Clip
from tests.conftest import serving
from tests.postgres import Postgres

from ._lake import Client, Http, until

AT_ONCE = 100
PLACE = {"namespace": "alice", "space": "robotics", "episodeName": "run-042"}
BSS_ID = "69e7264a0123456789abcdef"


@dataclass
class Pair:
    """Two ``dreamlake serve`` on one lake.

    Attributes:
        url: of the database.
        servers: both.
    """

    url: str
    servers: list[serving]

    async def rows(self) -> dict[str, list[Any]]:
        """All that is in the database, by table."""
        database = Database(self.url)
        found = await rows_of(database)
        await database.close()
        return found


@contextmanager
def two_servers(data: Path, url: str) -> Iterator[Pair]:
    """Start them, and end those that are left."""
    with ExitStack() as stack:
        yield Pair(url, [stack.enter_context(started(data, url)) for _ in range(2)])


@contextmanager
def started(data: Path, url: str) -> Iterator[serving]:
    server = serving(data, "--database", url)
    with server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers for all tests, which empty the lake."""
    data = tmp_path_factory.mktemp("pair")
    if request.param == "sqlite":
        url = Settings(data).database_url
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    with two_servers(data, url) as pair:
        yield pair


@pytest.fixture
async def pair(shared_pair: Pair) -> Pair:
    """Two servers on an empty lake."""
    database = Database(shared_pair.url)
    async with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(table.delete())
    await database.close()
    return shared_pair


@asynccontextmanager
async def connected(pair: Pair) -> AsyncIterator[list[Http]]:
    async with AsyncExitStack() as stack:
        limits = httpx.Limits(max_connections=AT_ONCE)
        made = [httpx.AsyncClient(base_url=server.url, limits=limits, timeout=60) for server in pair.servers]
        yield [Http(await stack.enter_async_context(client)) for client in made]


@pytest.fixture
async def clients(pair: Pair) -> AsyncIterator[list[Http]]:
    """A client of each."""
    async with connected(pair) as found:
        yield found


async def rows_of(database: Database) -> dict[str, list[Any]]:
    async with database.read() as connection:
        return {
            table.name: list((await connection.execute(table.select())).all()) for table in metadata.tables.values()
        }


def item(number: int) -> tuple[str, dict[str, Any]]:
    """A kind and a registration: every kind, in folders that all share, and each twice in a hundred."""
    kind = KINDS[number % len(KINDS)]
    name = f"/a/b{number % 2}/c/{number % 50:02}.bin"
    return kind.name, {**PLACE, "name": name, kind.bss_field: f"{number % 50:024x}"}


async def register_all(clients: list[httpx.AsyncClient]) -> list[httpx.Response]:
    async def register(number: int) -> httpx.Response:
        kind, body = item(number)
        return await clients[number % len(clients)].post(f"/assets/{kind}", json=body)

    return await asyncio.gather(*(register(number) for number in range(AT_ONCE)))


def check_one_each(answers: list[httpx.Response], found: dict[str, list[Any]]) -> None:
    assert Counter(answer.status_code for answer in answers) == {201: AT_ONCE}, {answer.text for answer in answers}
    made = [answer.json() for answer in answers]
    assert [{name: len({answer[name] for answer in made}) for name in ("projectId", "episodeId", "folderId")}] == [
        {"projectId": 1, "episodeId": 1, "folderId": 2}
    ]
    for number in range(50):  # who registered the same was told the same
        assert len({(made[n]["id"], made[n]["nodeId"]) for n in range(number, AT_ONCE, 50)}) == 1
    assert {name: len(found[name]) for name in ("namespaces", "projects", "episodes", "nodes", "assets")} == {
        "namespaces": 1, "projects": 1, "episodes": 1, "nodes": 1 + 2 + 2 + 50, "assets": 50,
    }  # fmt: skip
    tree = {node.path: node for node in found["nodes"]}
    for node in found["nodes"]:
        parent = node.path.rpartition("/")[0]
        assert node.parent_id == (tree[parent].id if parent else None)


async def test_a_hundred_at_once_make_one_record_each(lake_client: Client) -> None:
    answers = await register_all([lake_client.http])
    check_one_each(answers, await rows_of(lake_client.lake.database))


async def test_a_hundred_at_once_at_two_servers(clients: list[Http], pair: Pair) -> None:
    answers = await register_all([client.http for client in clients])
    check_one_each(answers, await pair.rows())


async def test_batches_in_all_orders(clients: list[Http], pair: Pair) -> None:
    """Transactions that make the same records in different orders do not wait for each other."""
    bodies = [{"kind": kind, **body} for kind, body in (item(number) for number in range(50))]
    turned = [bodies[n:] + bodies[:n] for n in range(0, 50, 7)]
    orders = [*turned, *(order[::-1] for order in turned)]
    answers = await asyncio.gather(
        *(clients[n % 2].http.post("/batch/assets", json={"items": order}) for n, order in enumerate(orders))
    )
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    ids: dict[str, set[str]] = {}
    for order, answer in zip(orders, answers, strict=True):
        for body, made in zip(order, answer.json()["items"], strict=True):
            assert made["created"]["filename"] == body["name"].rpartition("/")[2]  # in the order that was asked for
            ids.setdefault(body["name"], set()).add(made["created"]["id"])
    assert {len(found) for found in ids.values()} == {1}
    found = await pair.rows()
    assert (len(found["nodes"]), len(found["assets"])) == (55, 50)


async def test_a_file_or_a_folder_whoever_comes_first(clients: list[Http], pair: Pair) -> None:
    """Half want a path to be a file, half a folder: one side has it, the other is told so."""

    async def register(number: int) -> tuple[str, int]:
        name = f"/x{number // 20}/y" + ("/z.mp4" if number % 2 else "")
        body = {**PLACE, "name": name, "bssVideoId": BSS_ID}
        return name, (await clients[number // 2 % 2].http.post("/assets/video", json=body)).status_code

    answers = await asyncio.gather(*(register(number) for number in range(AT_ONCE)))
    kinds = {node.path: node.kind for node in (await pair.rows())["nodes"]}
    expected: Counter[tuple[str, int]] = Counter()
    for number in range(5):
        winner = kinds[f"/x{number}/y"]
        expected[f"/x{number}/y", 201 if winner == "video" else 409] = 10
        expected[f"/x{number}/y/z.mp4", 201 if winner == "folder" else 409] = 10
        assert (f"/x{number}/y/z.mp4" in kinds) == (winner == "folder")
    assert Counter(answers) == expected


async def test_versions_of_one_name_in_a_batch(lake_client: Client) -> None:
    """They are made in an order of their own, and the last one of the batch is the newest all the same."""
    ids = [await lake_client.add(f"/{n}.jsonl", b'{"ts": %d}\n' % n, LABEL_TRACK) for n in range(4)]
    wanted = [ids[2], ids[0], ids[3], ids[1]]
    items = [
        {"kind": "label-track", "namespace": "alice", "space": "robotics", "name": "/a.jsonl", "bssLabelId": bss_id}
        for bss_id in wanted
    ]
    (await lake_client.http.post("/batch/assets", json={"items": items})).raise_for_status()
    place = {"namespace": "alice", "space": "robotics", "path": "/a.jsonl"}
    found = await lake_client.http.get("/assets/download", params=place)
    assert found.json()["bssId"] == ids[1]


async def test_the_same_file_from_many_clients(clients: list[Http], pair: Pair) -> None:
    """Uploaded, completed and registered at once through two servers: it is staged once, and is one asset."""
    data = b"the same bytes" * 1000

    async def bring(number: int) -> str:
        client = clients[number % 2]
        digest = await client.stage(data)
        answer = await client.register("/same.mp4", digest)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])

    assert len(set(await asyncio.gather(*(bring(number) for number in range(20))))) == 1
    found = await pair.rows()
    assert (len(found["bss_assets"]), len(found["staged"])) == (1, 1)


async def test_names_of_files_that_begin_alike(clients: list[Http]) -> None:
    """Their digests share the first 16 digits: one goes by these, and all others by all 64."""
    digests = [f"{'0123456789abcdef' + f'{number:04x}' * 12}" for number in range(40)]

    async def begin(number: int) -> str:
        body = {"owner": "alice", "project": "robotics", "hash": digests[number][:16], "sha256": digests[number]}
        answer = await clients[number % 2].http.post("/videos/upload/multipart/init", json=body)
        return str(answer.raise_for_status().json()["key"].rsplit("/", 1)[1])

    names = await asyncio.gather(*(begin(number) for number in range(40)))
    assert len(set(names)) == 40
    assert sorted(map(len, names)) == [16] + [64] * 39


@pytest.mark.parametrize("shared_pair", ["postgresql"], indirect=True)
async def test_one_complete_at_a_time(clients: list[Http], pair: Pair) -> None:
    """A client asks again, at another server, before the first has answered: both say that it is done."""
    for number in range(5):
        data = bytes([number]) * 100_000
        upload = await clients[0].begin(data)
        parts = [await upload.put(1, data)]
        body = {**upload.target, "parts": parts}
        answers = await asyncio.gather(
            *(clients[n % 2].http.post("/videos/upload/multipart/complete", json=body) for n in range(8))
        )
        assert [answer.status_code for answer in answers] == [200] * 8, [answer.text for answer in answers]
    assert len((await pair.rows())["staged"]) == 5


# -- jobs of two servers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short video."""
    made = Clip(options={**X264, "g": "15"}, frames=30).make(tmp_path_factory.mktemp("clips") / "a.mp4")
    return made.read_bytes()


async def test_a_job_is_done_once(clients: list[Http], pair: Pair, recording: bytes) -> None:
    """However often it is triggered, and whichever servers are looking for work."""
    made = await asyncio.gather(*(clients[n % 2].add(f"/{n}.mp4", recording) for n in range(6)))
    await asyncio.gather(*(client.trigger(asset) for asset in made for client in clients for _ in range(3)))
    for asset in made:
        assert (await clients[0].finished(asset))["status"] == "ready"

    async def done() -> bool:
        return {row.state for row in (await pair.rows())["jobs"]} == {"done"}

    await until(done, "the queue to be empty")
    found = (await pair.rows())["jobs"]
    assert [(row.attempts, row.lease_owner) for row in found] == [(1, None)] * 6


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_server_that_is_killed_loses_its_leases(tmp_path: Path, database: str, recording: bytes) -> None:
    """The other one takes its jobs over, and has them done."""
    with two_servers(tmp_path / "lake", database) as pair:
        async with connected(pair) as clients:
            await hand_over(pair, clients, recording)


def children(pid: int) -> Iterator[int]:
    """The processes that a process has started."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


async def hand_over(pair: Pair, clients: list[Http], recording: bytes) -> None:
    doomed, other = (server.process for server in pair.servers)
    ids = [await clients[0].add(f"/{n}.mp4", recording) for n in range(2)]

    async def worker() -> int | None:  # which the upload has started
        return next(children(doomed.pid), None)

    stopped: int = await until(worker, "a worker of the first server")
    os.kill(stopped, signal.SIGSTOP)  # so that what it is given stays undone
    try:
        for asset in ids:  # the first server has two workers, or one
            (await clients[0].trigger(asset)).raise_for_status()

        async def begun() -> bool:
            holders = [row.lease_owner for row in (await pair.rows())["jobs"] if row.state == "running"]
            return any(f"/{doomed.pid}/" in holder for holder in holders)

        await until(begun, "the first server to work")
        doomed.kill()
        doomed.wait(10)
    finally:
        with suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGKILL)
    await clients[1].trigger(ids[0])  # which makes the other one look what there is to do
    for asset in ids:
        assert (await clients[1].finished(asset))["status"] == "ready"
    found = (await pair.rows())["jobs"]
    assert {row.state for row in found} == {"done"}
    assert max(row.attempts for row in found) == 2
    assert other.poll() is None
