"""Vector indexes: added to, searched and changed, in each of the lakes, beside oracles that know the right answer."""

from __future__ import annotations

import math
import pickle
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import PIL.Image
import pytest
import torch

import dreamlake.aio as adl
from dreamlake.errors import InvalidVectorError, NotFoundError, RequestError, UsageError
from tests.clips import real_clip

CLIP = real_clip("carphone_distorted.mp4")
DIM = 24
VERBS = ("picks", "drops", "pushes", "lifts", "turns", "opens", "closes", "reaches", "holds", "rotates")
THINGS = [
    first + second for first in ("tea", "red", "old", "tin", "big", "oak") for second in ("cup", "box", "lid", "pan")
]
PLACES = ("table", "shelf", "floor", "sink", "bench", "bin")


def vectors(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def captions(count: int, seed: int = 0) -> list[str]:
    """Sentences of different lengths, with words that come in them more than once."""
    random = np.random.default_rng(seed)

    def word(some: Sequence[str]) -> str:
        return some[int(random.integers(len(some)))]

    made = []
    for _ in range(count):
        thing = word(THINGS)
        text = f"robot {word(VERBS)} the {thing}"
        for _ in range(int(random.integers(0, 4))):
            text += f" and {word(VERBS)} {word((thing, word(THINGS)))} near the {word(PLACES)}"
        made.append(text)
    return made


@pytest.fixture
def name(vector_lake: str) -> str:
    """Of an index that is not there yet."""
    return f"test-{secrets.token_hex(6)}"


def cosines(rows: np.ndarray[Any, Any], query: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    exact = rows.astype(np.float64)
    scores: np.ndarray[Any, Any] = (exact @ query) / np.linalg.norm(exact, axis=1) / np.linalg.norm(query)
    return scores


# -- seed 1 ----------------------------------------------------------------------------------------------------------


async def test_the_seed(name: str) -> None:
    video = await adl.upload(CLIP, prefix="/seed", progress=False)
    with adl.Prefix(space="robotics@alice", prefix="/2026/04/run-042"):
        index = adl.vec_index(name)
    assert (await index.count, await index.dim) == (0, None)
    with pytest.raises(NotFoundError, match="there is no vector index"):
        await index.search("cup")
    clip = video[0.5:1.5]
    await index.add(vector=[1.0, 0.0, 0.5], caption="robot picking up cup", source=clip)
    await index.add(
        vector=np.array([0.0, 1.0, 0.5]), caption="a door closes", source=video[[20, 3, 11]], camera="front"
    )
    await index.add(vector=torch.tensor([0.5, 0.5, -1.0], dtype=torch.bfloat16), caption="", source=video[7])
    assert (await index.count, await index.dim) == (3, 3)
    assert repr(index) == f'{type(index).__name__}("{name}", count=3, dim=3)'

    results = await index.search("robot picking up cup", limit=10)
    assert [r.caption for r in results] == ["robot picking up cup"]
    found = results[0]
    assert found.score > 0
    assert (found.video_id, found.st, found.et) == (video.id, clip.st, clip.et)
    numbers = clip._selected().numbers
    assert (found.fs, found.fe, found.matched_by) == (numbers[0], numbers[-1], ("text",))
    assert found.video is not None
    assert np.array_equal(await found.video.numpy(), await clip.numpy())
    assert await found.video.load() == clip

    [door] = await index.search("door")
    assert door.video is not None
    assert np.array_equal(await door.video.numpy(), await video[[20, 3, 11]].numpy())
    assert (door.fs, door.fe, door.extra) == (3, 20, {"camera": "front"})
    one = (await index.search([0.5, 0.5, -1.0], limit=1))[0]
    assert one.video is not None
    assert (await one.video.numpy()).shape == (await video[7].numpy()).shape
    assert one.score == pytest.approx(1.0, abs=1e-6)

    # It is where it was made, and is found there again by its full path.
    again = adl.vec_index(f"/2026/04/run-042/{name}", space="robotics@alice")
    assert await again.count == 3
    with pytest.raises(NotFoundError, match=f"there is /2026/04/run-042/{name}"):
        await adl.vec_index(name, space="robotics@alice").search("cup")
    listed = [info async for info in adl.vec_indexes("/2026/04/run-042", space="robotics@alice")]
    assert [(info.prefix, info.count) for info in listed if info.name == name] == [("/2026/04/run-042", 3)]
    await index.drop()
    assert await again.count == 0


async def test_a_file_outside_of_the_lake_is_a_source(name: str) -> None:
    video = await adl.load_video(CLIP)
    index = adl.vec_index(name)
    await index.add(vectors(1)[0], "a clip of a file", video[2:9])
    [found] = await index.search("file", where={"video": video})
    assert found.video_id == video.uri
    assert found.video is not None
    assert np.array_equal(await found.video.numpy(), await video[2:9].numpy())


# -- oracles ---------------------------------------------------------------------------------------------------------


async def test_exact_search_equals_numpy(name: str) -> None:
    rows = vectors(700) * np.random.default_rng(1).uniform(0.01, 100, (700, 1)).astype(np.float32)
    index = adl.vec_index(name)
    ids = await index.add_many(rows[:600], captions(600))
    async with index:
        ids += [await index.add(row) for row in rows[600:]]
    assert len(set(ids)) == 700
    for query in vectors(20, seed=2):
        scores = cosines(rows, query)
        best = np.argsort(-scores)[:10]
        found = await index.search(query, limit=10)
        assert [r.id for r in found] == [ids[number] for number in best]
        assert [r.score for r in found] == pytest.approx(scores[best], abs=1e-6)
        assert all(r.matched_by == ("vector",) for r in found)
    # What goes and what changes is seen at once.
    query = rows[5]
    assert await index.delete(ids[5]) == 1
    await index.update(ids[6], vector=query)
    scores = cosines(np.where(np.arange(700)[:, None] == 6, query, rows), query)
    scores[5] = -2
    best = np.argsort(-scores)[:10]
    assert [r.id for r in await index.search(query)] == [ids[number] for number in best]


def fts5(texts: list[str]) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE texts USING fts5(caption)")
    database.executemany("INSERT INTO texts (rowid, caption) VALUES (?, ?)", list(enumerate(texts)))
    return database


def bm25(database: sqlite3.Connection, query: str) -> dict[str, float]:
    """SQLite's score of each caption that has a word of the query."""
    words = " OR ".join(f'"{word}"' for word in query.split())
    found = database.execute("SELECT caption, -bm25(texts) FROM texts WHERE texts MATCH ?", (words,))
    return dict(found.fetchall())


def weighed(texts: list[str], query: str) -> dict[str, float]:
    """The same by the formula, with weights of words that never fall below zero: log(1 + (N-n+.5)/(n+.5))."""
    documents = [text.split() for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores: dict[str, float] = {}
    for word in query.split():
        having = sum(word in document for document in documents)
        weight = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
        for text, document in zip(texts, documents, strict=True):
            if count := document.count(word):
                length = 0.25 + 0.75 * len(document) / mean
                scores[text] = scores.get(text, 0.0) + weight * 2.2 * count / (count + 1.2 * length)
    return scores


QUERIES = ("oaklid", "lifts tincup", "redbox bigpan", "TEAPAN oldlid", "oakcup bigbox", "tinpan", "Téabox")


async def test_the_ranking_by_words_agrees_with_sqlite(name: str) -> None:
    texts = list(dict.fromkeys(captions(600)))
    index = adl.vec_index(name)
    await index.add_many(vectors(200), texts[:200])
    await index.search("redcup")  # from now on there is an index over captions
    rest = texts[200:]
    ids = await index.add_many(vectors(len(rest), seed=1), rest)
    for there in (texts, texts[:200] + texts[300:]):
        if there is not texts:
            assert await index.delete(ids[:100]) == 100
        with closing(fts5(there)) as database:
            for query in QUERIES:
                sqlite, formula = bm25(database, query), weighed(there, query.lower().replace("é", "e"))
                found = await index.search(query, limit=10)
                assert len(found) == min(10, len(sqlite))
                assert [r.score for r in found] == pytest.approx([formula[r.caption] for r in found], rel=0.001), query
                # In the order of SQLite's scores, but where it weighs words that many captions have a little less.
                best = sorted(sqlite.values(), reverse=True)
                assert [sqlite[r.caption] for r in found] == pytest.approx(best[: len(found)], rel=0.05), query
    assert await index.search("zeppelin") == []
    assert await index.search("!?") == []


async def test_both_legs_find_more_than_each(name: str) -> None:
    """Of a constructed set: what is right is near the top of both rankings, and first in neither."""
    random = np.random.default_rng(4)
    query = random.standard_normal(DIM)

    def turned(amount: float) -> np.ndarray[Any, Any]:
        noise = random.standard_normal(DIM)
        noise -= noise @ query / (query @ query) * query
        made: np.ndarray[Any, Any] = query / np.linalg.norm(query) + amount * noise / np.linalg.norm(noise)
        return made

    class Encoder:
        id = "tests/constructed"

        def encode_text(self, text: str) -> Any:
            assert text == "red cup"
            return query

    index = adl.vec_index(name, encoder=Encoder())  # type: ignore[arg-type]  # (it encodes no images)
    right = []
    for number in range(5):
        right.append(await index.add(turned(0.5 + number / 100), "red cup on the long wooden table beside a window"))
        await index.add(turned(0.1 + number / 100), f"a view of street {number}")  # nearer, and something else
        await index.add(turned(9.0), f"red cup {number}")  # shorter, and looks like something else
    for number in range(60):
        await index.add(turned(5.0), f"nothing {number}")
    both = await index.search("red cup", limit=5)
    by_vector = await index.search(query, limit=5)
    plain = adl.vec_index(name)
    by_text = await plain.search("red cup", limit=5)

    def recall(results: Any) -> float:
        return len({r.id for r in results} & set(right)) / len(right)

    assert recall(both) == 1.0
    assert recall(by_vector) < 0.5
    assert recall(by_text) < 0.5
    assert all(r.matched_by == ("vector", "text") for r in both)
    assert [r.score for r in both] == sorted([r.score for r in both], reverse=True)


# -- rows ------------------------------------------------------------------------------------------------------------


async def test_a_run_that_is_repeated_adds_nothing(name: str) -> None:
    rows, texts = vectors(300), captions(300)
    first = adl.vec_index(name)
    ids = await first.add_many(rows, texts, camera="front")
    again = adl.vec_index(name)
    for row, text, known in zip(rows, texts, ids, strict=True):
        assert await again.add(row, text, camera="front") == known
    assert await again.count == 300
    assert await again.add_many(rows, texts, camera="front") == ids
    assert await again.count == 300
    await again.add(rows[0], texts[0], camera="left")  # says something else
    assert await again.count == 301
    # An id that is given is kept, and what it names replaced.
    for caption in ("first", "second"):
        await again.add(rows[1], caption, id="mine")
    await again.add_many(rows[:3], ["a", "b", "third"], ids=["x", "y", "mine"])
    assert await again.count == 304
    assert [r.id for r in await again.search("third")] == ["mine"]
    assert await again.search("second") == []
    table = (await again.to_arrow()).to_pydict()
    assert len(table["id"]) == len(set(table["id"])) == 304
    kept = table["id"].index(ids[7])
    assert (table["caption"][kept], table["vector"][kept]) == (texts[7], rows[7].tolist())


async def test_what_is_added_is_seen(name: str) -> None:
    one, other = adl.vec_index(name), adl.vec_index(name)
    await one.add(vectors(1)[0], "one")
    assert await one.count == 1
    assert await other.count == 1
    await other.add(vectors(2)[1], "other")
    assert len(await other.search(vectors(1)[0])) == 2
    assert len(await one.search("other")) == 1


async def test_filters(name: str) -> None:
    video = await adl.upload(CLIP, prefix="/filters", progress=False)
    nasty = "it's \"quoted\" \\ % _ ' OR '1'='1"
    index = adl.vec_index(name)
    for number, row in enumerate(vectors(40)):
        clip = video[number * 2 : number * 2 + 2] if number < 20 else None
        extra = {"camera": "front" if number % 2 else "left", "n": number, "good": number % 4 == 0}
        if number == 30:
            extra |= {"tag": nasty, "nested": {"a": [1, 2.5, None]}, "o'hara": 1}
        await index.add(row, "robot", clip, **extra)

    async def numbers(**where: Any) -> set[int]:
        by_vector = await index.search(vectors(1)[0], limit=40, where=where)
        by_text = await index.search("robot", limit=40, where=where)
        assert {r.id for r in by_vector} == {r.id for r in by_text}
        return {r.extra["n"] for r in by_vector}

    assert await numbers(camera="left") == set(range(0, 40, 2))
    assert await numbers(camera="left", good=True) == set(range(0, 40, 4))
    assert await numbers(n=[3, 4.0, "5"]) == {3, 4}
    assert await numbers(n=True) == set()  # which is no 1
    assert await numbers(tag=nasty) == {30}
    assert await numbers(nested={"a": [[1, 2.5, None]]}) == set()
    assert await numbers(nested=[{"a": [1, 2.5, None]}]) == {30}
    assert await numbers(**{"o'hara": 1}) == {30}
    assert await numbers(tag="' OR 1=1 --") == set()
    assert await numbers(camera=[]) == set()
    assert await numbers(video=video) == set(range(20))
    assert await numbers(videoId=video.id) == set(range(20))
    assert await numbers(video=["v-0000000000000000", "' OR 1=1 --"]) == set()
    st, et = video[10:16].st, video[10:16].et
    assert await numbers(st=st, et=et) == {5, 6, 7}
    assert await numbers(video=video, et=video[4].st, camera="front") == {1}
    assert await index.delete(where={"camera": "front", "n": [1, 2, 3]}) == 2
    assert await numbers(n=[1, 2, 3]) == {2}
    with pytest.raises(UsageError, match="st and et are seconds"):
        await index.search("robot", where={"st": "now"})
    with pytest.raises(UsageError, match="which rows are to be deleted"):
        await index.delete()


async def test_a_row_is_changed(name: str) -> None:
    index = adl.vec_index(name)
    row_id = await index.add(vectors(1)[0], "before", camera="front", run=1)
    await index.add(vectors(2)[1], "another")
    await index.update(row_id, caption="after", camera="left")
    assert await index.count == 2
    [found] = await index.search("after")
    assert (found.id, found.extra) == (row_id, {"camera": "left", "run": 1})
    assert await index.search("before") == []
    for nobody in ("nobody", "o'nobody"):
        with pytest.raises(NotFoundError, match="there is no row"):
            await index.update(nobody, caption="x")
    with pytest.raises(InvalidVectorError, match="24 numbers"):
        await index.update(row_id, vector=[1, 2])
    assert await index.delete(["nobody", row_id]) == 1
    assert await index.count == 1


# -- what is refused -------------------------------------------------------------------------------------------------

BAD = {
    "empty": ([], "empty"),
    "shorter": (vectors(1)[0][:-1], "have 24 numbers"),
    "longer": ([1.0] * 25, "have 24 numbers"),
    "NaN": ([math.nan] + [1.0] * 23, "NaN"),
    "infinite": ([-math.inf] + [1.0] * 23, "infinite"),
    "beyond float32": ([1e39] + [1.0] * 23, "float32 cannot hold"),
    "zeros": ([0.0] * 24, "all zeros"),
    "too short": ([1e-30] * 24, "scale it"),
    "text": ("cup", "not a builtins.str"),
    "None": (None, "not a builtins.NoneType"),
    "words": (["a"] * 24, "this holds"),
    "complex": (np.ones(24, complex), "this holds complex128"),
    "truths": (np.ones(24, bool), "this holds bool"),
    "uneven": ([[1.0], [1.0, 2.0]], "uneven"),
    "several": (vectors(2), "add_many"),
    "an image": (PIL.Image.new("RGB", (8, 1)), "not a PIL.Image: give what an encoder makes of it"),
    "not a number in a tensor": (torch.full((24,), torch.nan), "NaN"),
}


@pytest.mark.parametrize("vector_lake", ["embedded"], indirect=True)
@pytest.mark.parametrize("what", BAD)
async def test_what_is_no_vector_is_not_added(name: str, what: str) -> None:
    index = adl.vec_index(name)
    await index.add(vectors(1)[0])
    value, message = BAD[what]
    with pytest.raises(InvalidVectorError, match=message):
        await index.add(value)
    with pytest.raises(InvalidVectorError):
        await index.add_many([*vectors(3), value])
    if what != "text":  # which is a query
        with pytest.raises(UsageError, match="through an encoder" if what == "an image" else None):
            await index.search(value)
    assert await index.count == 1


async def test_what_else_is_refused(name: str) -> None:
    video = await adl.upload(CLIP, prefix="/refused", progress=False)
    index = adl.vec_index(name)
    await index.add(vectors(1)[0], "there")
    with pytest.raises(InvalidVectorError, match="give what an encoder makes of it"):
        await index.add(video[0])
    with pytest.raises(UsageError, match="source is the clip"):
        await index.add(vectors(2)[1], source="v-0000000000000001")  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="caption is a text"):
        await index.add(vectors(2)[1], 5)  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="JSON cannot say"):
        await index.add(vectors(2)[1], score=math.nan)
    with pytest.raises(UsageError, match="at most 65536 bytes"):
        await index.add(vectors(2)[1], "x" * 70_000)
    with pytest.raises(UsageError, match="3 vectors and 2 captions"):
        await index.add_many(vectors(3), ["a", "b"])
    with pytest.raises(UsageError, match="the id of a row"):
        await index.add_many(vectors(2), ids=["a", ""])
    with pytest.raises(UsageError, match="through an encoder"):
        await index.search(PIL.Image.new("RGB", (4, 4)))
    for limit in (0, 1001, True, 2.5):
        with pytest.raises(UsageError, match="limit"):
            await index.search("there", limit)  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="empty text"):
        await index.search(" ")
    assert await index.count == 1
    for bad in ("", "/", "no such thing!", "../x"):
        with pytest.raises(UsageError):
            adl.vec_index(bad)


class Colours:
    """An encoder of images and of their names: the mean colour."""

    id = "tests/colours"
    known: ClassVar = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def encode_text(self, text: str) -> Any:
        return np.mean([self.known[word] for word in text.split() if word in self.known], axis=0)

    def encode_image(self, image: PIL.Image.Image) -> Any:
        return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)).mean((0, 1)) + 1.0


async def test_an_encoder(name: str) -> None:
    index = adl.vec_index(name, encoder=Colours())
    for colour, vector in Colours.known.items():
        await index.add(vector, f"a {colour} block")
    [first, *_] = await index.search("green block")
    assert (first.caption, first.matched_by) == ("a green block", ("vector", "text"))
    [image, *_] = await index.search(PIL.Image.new("RGB", (8, 8), "blue"))
    assert (image.caption, image.matched_by) == ("a blue block", ("vector",))
    video = await adl.upload(CLIP, prefix="/encoder", progress=False)
    wanted = cosines(np.eye(3), Colours().encode_image(await video[4:9].thumbnail).numpy())
    assert [r.score for r in await index.search(video[4:9])] == pytest.approx(sorted(wanted, reverse=True), abs=1e-5)
    assert (await index.info()).encoder == "tests/colours"

    class Other(Colours):
        id = "tests/others"

    other = adl.vec_index(name, encoder=Other())
    with pytest.raises(UsageError, match="made by tests/colours"):
        await other.search("red")
    with pytest.raises((RequestError, UsageError), match="made by tests/colours"):
        await other.add([1, 1, 1])
        await other.flush()
    await other.drop()  # with the row that nobody took
    assert await index.count == 0
    with pytest.raises(UsageError, match="an encoder has an id"):
        adl.vec_index(name, encoder=object())  # type: ignore[arg-type]  # (that is the point)


# -- a life ----------------------------------------------------------------------------------------------------------


async def test_an_approximate_index(name: str) -> None:
    random = np.random.default_rng(3)
    centres = random.standard_normal((40, DIM))
    rows = (centres[random.integers(0, 40, 3000)] + 0.3 * random.standard_normal((3000, DIM))).astype(np.float32)
    index = adl.vec_index(name)
    ids = await index.add_many(rows, captions(3000))
    assert (await index.info()).ann is None
    info = await index.optimize(ann=True)
    assert info.ann is not None
    assert info.ann.rows == 3000
    assert info.ann.recall >= 0.95
    found = 0
    queries = rows[:30] + 0.05 * random.standard_normal((30, DIM)).astype(np.float32)
    for query in queries:
        best = {ids[number] for number in np.argsort(-cosines(rows, query))[:10]}
        found += len(best & {r.id for r in await index.search(query)})
        assert {r.id for r in await index.search(query, exact=True)} == best
    assert found >= 0.95 * 300
    assert len(await index.search(queries[0], limit=1000)) == 1000
    new = await index.add(queries[0], "came after it", camera="front")  # which is found all the same
    assert (await index.search(queries[0]))[0].id == new
    assert [r.id for r in await index.search(queries[5], where={"camera": "front"})] == [new]


async def test_many_small_groups_are_few_files(name: str, vector_lake: str) -> None:
    if vector_lake == "s3":
        pytest.skip("the same work, a hundred round trips of which take long")
    index = adl.vec_index(name)
    for row, text in zip(vectors(40), captions(40), strict=True):
        await index.add(row, text)
        await index.flush()
    await index.optimize()
    assert await index.count == 40
    rows = (await index.to_arrow()).to_pydict()
    assert np.array_equal(np.array(rows["vector"], np.float32), vectors(40))
    assert rows["caption"] == captions(40)
    frame = await index.to_pandas()
    assert list(frame["caption"]) == captions(40)


async def test_an_index_is_a_small_value(name: str, tmp_path: Path) -> None:
    index = adl.vec_index(name)
    await index.add(vectors(1)[0], "packed")
    await index.flush()
    packed = pickle.dumps(index)
    assert len(packed) < 2000
    assert [r.caption for r in await pickle.loads(packed).search("packed")] == ["packed"]
