"""Vector indexes under stress: many processes at once, processes that are killed, hostile bodies, both databases."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

import dreamlake as dl
from dreamlake.config import connect
from dreamlake.core.arrowrows import make_row, wire_schema, write_rows
from dreamlake.core.vectors import SourceColumns
from dreamlake.server.app import LakeApp
from dreamlake.server.gc import collect
from dreamlake.server.vectors.rows import read_body
from tests.s3server import S3Store

from ._lake import Client, lake_settings, until

PLACE = "/indexes/alice/robotics/test"
DIM = 8

ADDING = """
import sys
import numpy as np
import dreamlake as dl
url, data, storage, name, first, count = sys.argv[1:]
dl.connect(url) if url else dl.connect(data=data, storage=storage or None)
index = dl.vec_index(name, space="robotics@alice")
rows = np.random.default_rng(7).standard_normal((20_000, 8)).astype(np.float32)
for number in range(int(first), int(first) + int(count)):
    index.add(rows[number], caption=f"row {number}", n=number)
    if (number + 1) % 500 == 0:
        index.flush()
        print(number + 1, flush=True)
"""


def adding(where: dict[str, str], name: str, first: int, count: int) -> subprocess.Popen[str]:
    """A process that adds rows one by one, and commits the last of them only by ending."""
    lake = [where.get(one, "") for one in ("url", "data", "storage")]
    arguments = [*lake, name, str(first), str(count)]
    command = [sys.executable, "-c", ADDING, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.fixture(scope="module", params=["embedded", "served", "s3"])
def reached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """How other processes reach a lake; the tests below share one of each kind, and have an index each."""
    data = tmp_path_factory.mktemp("stressed") / "lake"
    if request.param == "served":
        yield {"url": request.getfixturevalue("served")}
    elif request.param == "s3":
        store: S3Store = request.getfixturevalue("juicefs")
        with pytest.MonkeyPatch.context() as patch:
            store.authorize(patch)
            yield {"data": str(data), "storage": store.location("stress")}
    else:
        yield {"data": str(data)}


@pytest.fixture
def where(reached: dict[str, str]) -> Any:
    """The same, in use."""
    connect(**reached)
    yield reached
    connect()
    dl.close()


def test_four_processes_add_to_one_index(where: dict[str, str]) -> None:
    count = 600 if "storage" in where else 2500
    # Each two add some of the same rows.
    firsts = [0, count // 2, 2 * count, 2 * count + count // 2]
    processes = [adding(where, "many", first, count) for first in firsts]
    for process in processes:
        process.communicate(timeout=110)
        assert process.returncode == 0
    wanted = {number for first in firsts for number in range(first, first + count)}
    index = dl.vec_index("many", space="robotics@alice")
    assert index.count == len(wanted)
    rows = index.to_arrow().to_pydict()
    assert sorted(rows["caption"]) == sorted(f"row {number}" for number in wanted)
    assert len(set(rows["id"])) == len(wanted)


def test_what_was_flushed_outlives_a_kill(where: dict[str, str]) -> None:
    flushed = 500 if "storage" in where else 1500
    process = adding(where, "killed", 0, 20_000)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= flushed:
            process.kill()  # in the midst of the rows after these
            break
    process.communicate(timeout=30)
    assert process.returncode == -9
    index = dl.vec_index("killed", space="robotics@alice")
    numbers = sorted(int(text.removeprefix("row ")) for text in index.to_arrow()["caption"].to_pylist())
    assert numbers[:flushed] == list(range(flushed))
    assert len(set(numbers)) == len(numbers) == index.count
    # Groups are whole or not there, in their order.
    assert numbers == list(range(len(numbers)))
    rows = np.random.default_rng(7).standard_normal((20_000, 8)).astype(np.float32)
    for number in numbers:  # as the same program does it, when it is run again
        index.add(rows[number], caption=f"row {number}", n=number)
    assert index.count == len(numbers)


FORKED = """
import os
import sys
import warnings
warnings.simplefilter("error")
import dreamlake as dl
from dreamlake.errors import RequestError
dl.connect(data=sys.argv[1])
index = dl.vec_index("forked")
index.add([1, 2, 3], "before")
assert index.count == 1
index.add([1, 2, 4], "waits in the parent")
if (child := os.fork()) == 0:
    try:
        index.search([1, 2, 3])
    except RequestError as error:
        os._exit(7 if "spawn" in str(error) else 8)
    os._exit(9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert index.count == 2
"""

SPAWNED = """
import multiprocessing
import sys
import dreamlake as dl

def find(index):
    return [one.caption for one in index.search([1, 2, 3])]

if __name__ == "__main__":
    dl.connect(data=sys.argv[1])
    index = dl.vec_index("spawned")
    index.add([1, 2, 3], "before")
    index.flush()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(find, (index,)) == ["before"]
"""


@pytest.mark.parametrize("code", [FORKED, SPAWNED], ids=["forked", "spawned"])
def test_processes_that_are_made_of_one_that_uses_it(code: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(code)
    subprocess.run([sys.executable, str(script), str(tmp_path / "lake")], check=True, timeout=100)


# -- the route -------------------------------------------------------------------------------------------------------


def body(*vectors: list[float], **more: Any) -> bytes:
    rows = [
        make_row(np.array(vector, np.float32), more.get("caption", "robot"), SourceColumns(), {}, None)
        for vector in vectors
    ]
    return write_rows(rows)


def table(**columns: Any) -> pa.Table:
    """A good row, but for some of its columns."""
    schema = wire_schema(2)
    row: dict[str, Any] = {"id": "a", "vector": [1.0, 2.0], "caption": "", "extra": "{}"}
    arrays = [pa.array([row.get(field.name)], field.type) for field in schema]
    made = pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))
    for name, column in columns.items():
        place = made.schema.get_field_index(name)
        made = made.set_column(place, name, column) if place >= 0 else made.append_column(name, column)
    return made


def stream(made: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(made)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_a_good_body_is_what_the_bad_ones_are_made_of() -> None:
    assert read_body(stream(table())).num_rows == 1
    assert read_body(body([1, 2], [3, 4])).num_rows == 2


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "not an Arrow IPC stream"),
    "text": (lambda: b"hello" * 100, "not an Arrow IPC stream"),
    "cut": (lambda: stream(table())[:-120], "not an Arrow IPC stream"),
    "no rows": (lambda: stream(table().slice(0, 0)), "no row"),
    "compressed": (lambda: stream(table(), compression="zstd"), "compressed"),
    "other columns": (lambda: stream(pa.table({"id": ["a"]})), "fixed-size list"),
    "one more column": (lambda: stream(table(seq=pa.array([1]))), "the columns of a row"),
    "another type": (lambda: stream(table(st=pa.array(["x"]))), "the columns of a row"),
    "a dictionary": (lambda: stream(table(caption=pa.array(["x"]).dictionary_encode())), "the columns of a row"),
    "doubles": (
        lambda: stream(table(vector=pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)))),
        "the columns of a row",
    ),
    "no id": (lambda: stream(table(id=pa.array([None], pa.string()))), "id is missing"),
    "no vector": (lambda: stream(table(vector=pa.array([None], pa.list_(pa.float32(), 2)))), "missing"),
    "a hole in it": (
        lambda: stream(table(vector=pa.array([[1.0, None]], pa.list_(pa.float32(), 2)))),
        "NaN|missing|not an Arrow",
    ),
    "an odd id": (lambda: stream(table(id=pa.array(["a\nb"]))), "the id of a row"),
    "zeros": (lambda: stream(table(vector=pa.array([[0.0, 0.0]], pa.list_(pa.float32(), 2)))), "all zeros"),
    "no JSON": (lambda: stream(table(extra=pa.array(["{"]))), "JSON object"),
    "a JSON list": (lambda: stream(table(extra=pa.array(["[1]"]))), "JSON object"),
    "no time": (lambda: stream(table(st=pa.array([float("nan")]))), "finite"),
    "a long caption": (lambda: stream(table(caption=pa.array(["x" * 70_000]))), "65536"),
    "bytes for a text": (
        lambda: stream(table(caption=pa.array([b"\xff\xfe"], pa.binary()).view(pa.string()))),
        "not an Arrow IPC stream",
    ),
}


async def test_hostile_bodies(lake_client: Client) -> None:
    for what, (make, message) in HOSTILE.items():
        answer = await lake_client.http.post(f"{PLACE}/vectors", content=make())
        assert answer.status_code == 400, (what, answer.text)
        assert re.search(message, answer.json()["detail"]), (what, answer.text)
        assert (await lake_client.http.get(PLACE)).status_code == 404, what  # nothing was made


async def test_what_the_routes_answer(lake_client: Client) -> None:
    http = lake_client.http
    answer = await http.post(f"{PLACE}/vectors?encoder=one", content=body([1, 2], [2, 1]))
    assert (answer.status_code, answer.json()) == (200, {"count": 2, "dim": 2})
    assert (await http.post(f"{PLACE}/vectors", content=body([1, 2]))).json()["count"] == 2
    other = await http.post(f"{PLACE}/vectors", content=body([1, 2, 3]))
    assert (other.status_code, "2 numbers" in other.json()["detail"]) == (409, True)
    other = await http.post(f"{PLACE}/vectors?encoder=two", content=body([4, 2]))
    assert (other.status_code, "made by one" in other.json()["detail"]) == (409, True)
    info = (await http.get(PLACE)).raise_for_status().json()
    assert (info["count"], info["dim"], info["encoder"], info["ann"]) == (2, 2, "one", None)
    listed = (await http.get("/indexes/alice/robotics")).json()
    assert listed["items"] == [info]
    found = (await http.post(f"{PLACE}/search", json={"vector": [1, 2], "limit": 1})).json()["items"]
    assert found[0]["score"] == pytest.approx(1.0)
    assert found[0]["matchedBy"] == ["vector"]
    for bad in ({}, {"vector": [1]}, {"vector": [0, 0]}, {"vector": []}, {"text": ""}, {"text": "x", "limit": 0}):
        assert (await http.post(f"{PLACE}/search", json=bad)).status_code == 400, bad
    for bad in ({"vector": [1, 2, 3]}, {"vector": [0, 0]}, {"vector": [1e300, 1]}, {"extra": {"x": "y" * 20_000}}):
        changed = await http.patch(f"{PLACE}/vectors", json={"id": found[0]["id"], **bad})
        assert changed.status_code == 400, bad
    assert (await http.patch(f"{PLACE}/vectors", json={"id": "nobody", "caption": ""})).status_code == 404
    rows = await http.get(f"{PLACE}/vectors")
    assert rows.headers["content-type"].startswith("application/vnd.apache.arrow.stream")
    assert pa.ipc.open_stream(rows.content).read_all().num_rows == 2
    assert (await http.post(f"{PLACE}/delete", json={})).status_code == 400
    gone = await http.post(f"{PLACE}/delete", json={"ids": [found[0]["id"]]})
    assert gone.json() == {"deleted": 1, "count": 1}
    assert (await http.delete(PLACE)).status_code == 204
    assert (await http.get(PLACE)).status_code == 404
    assert (await http.get("/indexes/alice/robotics")).json()["items"] == []


async def test_a_body_has_a_limit(lake_client: Client) -> None:
    answer = await lake_client.http.post(
        f"{PLACE}/vectors", content=b"x" * (lake_client.lake.settings.max_rows_bytes + 1)
    )
    assert answer.status_code == 413


async def test_lists_come_in_pages(lake_client: Client) -> None:
    http = lake_client.http
    names = [f"index-{number}" for number in range(5)]
    for name in names:
        place = f"/indexes/alice/robotics/{name}/vectors"
        (await http.post(place, params={"prefix": "/a/b"}, content=body([1, 2]))).raise_for_status()
    seen: list[str] = []
    query = {"limit": "2", "prefix": "/a"}
    while True:
        page = (await http.get("/indexes/alice/robotics", params=query)).raise_for_status().json()
        seen += [item["name"] for item in page["items"]]
        assert all(item["prefix"] == "/a/b" for item in page["items"])
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]
    assert seen == names
    assert (await http.get("/indexes/alice/robotics", params={"prefix": "/a/c"})).json()["items"] == []


async def test_gc_leaves_indexes_alone(lake_client: Client) -> None:
    http = lake_client.http
    (await http.post(f"{PLACE}/vectors", content=body([1, 2], caption="kept"))).raise_for_status()
    before = {path for path in (lake_client.data / "vectors").rglob("*") if path.is_file()}
    await collect(lake_client.lake, now=2e10)
    assert {path for path in (lake_client.data / "vectors").rglob("*") if path.is_file()} == before
    assert (await http.post(f"{PLACE}/search", json={"text": "kept"})).json()["items"][0]["caption"] == "kept"


async def test_a_large_index_gets_an_approximate_one(lake_data: Path) -> None:
    app = LakeApp(lake_settings(lake_data, exact_rows=500, vector_bytes=10_000))  # nor may they be in memory
    rows = np.random.default_rng(0).standard_normal((900, DIM)).astype(np.float32)
    routes: dict[str, Any] = {"transport": httpx.ASGITransport(app)}
    async with app.lifespan(), httpx.AsyncClient(base_url="http://lake.test", **routes) as http:

        async def search(number: int, **more: Any) -> list[str]:
            asked = {"vector": rows[number].tolist(), "limit": 5, **more}
            items = (await http.post(f"{PLACE}/search", json=asked)).raise_for_status().json()["items"]
            return [item["id"] for item in items]

        (await http.post(f"{PLACE}/vectors", content=body(*rows[:400].tolist()))).raise_for_status()
        assert (await http.get(PLACE)).json()["ann"] is None
        (await http.post(f"{PLACE}/vectors", content=body(*rows[400:].tolist()))).raise_for_status()

        async def measured() -> Any:
            return (await http.get(PLACE)).json()["ann"]

        ann = await until(measured, "the approximate index")
        assert ann["rows"] == 900
        assert ann["recall"] >= 0.95
        found = 0
        for number in range(0, 900, 45):
            approximate = await search(number)
            assert len(approximate) == 5
            found += len({*approximate} & {*await search(number, exact=True)})
        assert found >= 0.9 * 20 * 5  # by a few of the nearest it may be wrong
