# Generated from tests/_async/test_vectors.py by scripts/unasync.py. Edit that file, then run it.
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

import dreamlake as dl
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


def test_the_seed(name: str) -> None:
    video = dl.upload(CLIP, prefix="/seed", progress=False)
    with dl.Prefix(space="robotics@alice", prefix="/2026/04/run-042"):
        index = dl.vec_index(name)
    assert (index.count, index.dim) == (0, None)
    with pytest.raises(NotFoundError, match="there is no vector index"):
        index.search("cup")
    clip = video[0.5:1.5]
    index.add(vector=[1.0, 0.0, 0.5], caption="robot picking up cup", source=clip)
    index.add(vector=np.array([0.0, 1.0, 0.5]), caption="a door closes", source=video[[20, 3, 11]], camera="front")
    index.add(vector=torch.tensor([0.5, 0.5, -1.0], dtype=torch.bfloat16), caption="", source=video[7])
    assert (index.count, index.dim) == (3, 3)
    assert repr(index) == f'{type(index).__name__}("{name}", count=3, dim=3)'

    results = index.search("robot picking up cup", limit=10)
    assert [r.caption for r in results] == ["robot picking up cup"]
    found = results[0]
    assert found.score > 0
    assert (found.video_id, found.st, found.et) == (video.id, clip.st, clip.et)
    numbers = clip._selected().numbers
    assert (found.fs, found.fe, found.matched_by) == (numbers[0], numbers[-1], ("text",))
    assert found.video is not None
    assert np.array_equal(found.video.numpy(), clip.numpy())
    assert found.video.load() == clip

    [door] = index.search("door")
    assert door.video is not None
    assert np.array_equal(door.video.numpy(), video[[20, 3, 11]].numpy())
    assert (door.fs, door.fe, door.extra) == (3, 20, {"camera": "front"})
    one = index.search([0.5, 0.5, -1.0], limit=1)[0]
    assert one.video is not None
    assert one.video.numpy().shape == video[7].numpy().shape
    assert one.score == pytest.approx(1.0, abs=1e-6)

    # It is where it was made, and is found there again by its full path.
    again = dl.vec_index(f"/2026/04/run-042/{name}", space="robotics@alice")
    assert again.count == 3
    with pytest.raises(NotFoundError, match=f"there is /2026/04/run-042/{name}"):
        dl.vec_index(name, space="robotics@alice").search("cup")
    listed = [info for info in dl.vec_indexes("/2026/04/run-042", space="robotics@alice")]
    assert [(info.prefix, info.count) for info in listed if info.name == name] == [("/2026/04/run-042", 3)]
    index.drop()
    assert again.count == 0


def test_a_file_outside_of_the_lake_is_a_source(name: str) -> None:
    video = dl.load_video(CLIP)
    index = dl.vec_index(name)
    index.add(vectors(1)[0], "a clip of a file", video[2:9])
    [found] = index.search("file", where={"video": video})
    assert found.video_id == video.uri
    assert found.video is not None
    assert np.array_equal(found.video.numpy(), video[2:9].numpy())


# -- oracles ---------------------------------------------------------------------------------------------------------


def test_exact_search_equals_numpy(name: str) -> None:
    rows = vectors(700) * np.random.default_rng(1).uniform(0.01, 100, (700, 1)).astype(np.float32)
    index = dl.vec_index(name)
    ids = index.add_many(rows[:600], captions(600))
    with index:
        ids += [index.add(row) for row in rows[600:]]
    assert len(set(ids)) == 700
    for query in vectors(20, seed=2):
        scores = cosines(rows, query)
        best = np.argsort(-scores)[:10]
        found = index.search(query, limit=10)
        assert [r.id for r in found] == [ids[number] for number in best]
        assert [r.score for r in found] == pytest.approx(scores[best], abs=1e-6)
        assert all(r.matched_by == ("vector",) for r in found)
    # What goes and what changes is seen at once.
    query = rows[5]
    assert index.delete(ids[5]) == 1
    index.update(ids[6], vector=query)
    scores = cosines(np.where(np.arange(700)[:, None] == 6, query, rows), query)
    scores[5] = -2
    best = np.argsort(-scores)[:10]
    assert [r.id for r in index.search(query)] == [ids[number] for number in best]


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


def test_the_ranking_by_words_agrees_with_sqlite(name: str) -> None:
    texts = list(dict.fromkeys(captions(600)))
    index = dl.vec_index(name)
    index.add_many(vectors(200), texts[:200])
    index.search("redcup")  # from now on there is an index over captions
    rest = texts[200:]
    ids = index.add_many(vectors(len(rest), seed=1), rest)
    for there in (texts, texts[:200] + texts[300:]):
        if there is not texts:
            assert index.delete(ids[:100]) == 100
        with closing(fts5(there)) as database:
            for query in QUERIES:
                sqlite, formula = bm25(database, query), weighed(there, query.lower().replace("é", "e"))
                found = index.search(query, limit=10)
                assert len(found) == min(10, len(sqlite))
                assert [r.score for r in found] == pytest.approx([formula[r.caption] for r in found], rel=0.001), query
                # In the order of SQLite's scores, but where it weighs words that many captions have a little less.
                best = sorted(sqlite.values(), reverse=True)
                assert [sqlite[r.caption] for r in found] == pytest.approx(best[: len(found)], rel=0.05), query
    assert index.search("zeppelin") == []
    assert index.search("!?") == []


def test_both_legs_find_more_than_each(name: str) -> None:
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

    index = dl.vec_index(name, encoder=Encoder())  # type: ignore[arg-type]  # (it encodes no images)
    right = []
    for number in range(5):
        right.append(index.add(turned(0.5 + number / 100), "red cup on the long wooden table beside a window"))
        index.add(turned(0.1 + number / 100), f"a view of street {number}")  # nearer, and something else
        index.add(turned(9.0), f"red cup {number}")  # shorter, and looks like something else
    for number in range(60):
        index.add(turned(5.0), f"nothing {number}")
    both = index.search("red cup", limit=5)
    by_vector = index.search(query, limit=5)
    plain = dl.vec_index(name)
    by_text = plain.search("red cup", limit=5)

    def recall(results: Any) -> float:
        return len({r.id for r in results} & set(right)) / len(right)

    assert recall(both) == 1.0
    assert recall(by_vector) < 0.5
    assert recall(by_text) < 0.5
    assert all(r.matched_by == ("vector", "text") for r in both)
    assert [r.score for r in both] == sorted([r.score for r in both], reverse=True)


# -- rows ------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_repeated_adds_nothing(name: str) -> None:
    rows, texts = vectors(300), captions(300)
    first = dl.vec_index(name)
    ids = first.add_many(rows, texts, camera="front")
    again = dl.vec_index(name)
    for row, text, known in zip(rows, texts, ids, strict=True):
        assert again.add(row, text, camera="front") == known
    assert again.count == 300
    assert again.add_many(rows, texts, camera="front") == ids
    assert again.count == 300
    again.add(rows[0], texts[0], camera="left")  # says something else
    assert again.count == 301
    # An id that is given is kept, and what it names replaced.
    for caption in ("first", "second"):
        again.add(rows[1], caption, id="mine")
    again.add_many(rows[:3], ["a", "b", "third"], ids=["x", "y", "mine"])
    assert again.count == 304
    assert [r.id for r in again.search("third")] == ["mine"]
    assert again.search("second") == []
    table = again.to_arrow().to_pydict()
    assert len(table["id"]) == len(set(table["id"])) == 304
    kept = table["id"].index(ids[7])
    assert (table["caption"][kept], table["vector"][kept]) == (texts[7], rows[7].tolist())


def test_what_is_added_is_seen(name: str) -> None:
    one, other = dl.vec_index(name), dl.vec_index(name)
    one.add(vectors(1)[0], "one")
    assert one.count == 1
    assert other.count == 1
    other.add(vectors(2)[1], "other")
    assert len(other.search(vectors(1)[0])) == 2
    assert len(one.search("other")) == 1


def test_filters(name: str) -> None:
    video = dl.upload(CLIP, prefix="/filters", progress=False)
    nasty = "it's \"quoted\" \\ % _ ' OR '1'='1"
    index = dl.vec_index(name)
    for number, row in enumerate(vectors(40)):
        clip = video[number * 2 : number * 2 + 2] if number < 20 else None
        extra = {"camera": "front" if number % 2 else "left", "n": number, "good": number % 4 == 0}
        if number == 30:
            extra |= {"tag": nasty, "nested": {"a": [1, 2.5, None]}, "o'hara": 1}
        index.add(row, "robot", clip, **extra)

    def numbers(**where: Any) -> set[int]:
        by_vector = index.search(vectors(1)[0], limit=40, where=where)
        by_text = index.search("robot", limit=40, where=where)
        assert {r.id for r in by_vector} == {r.id for r in by_text}
        return {r.extra["n"] for r in by_vector}

    assert numbers(camera="left") == set(range(0, 40, 2))
    assert numbers(camera="left", good=True) == set(range(0, 40, 4))
    assert numbers(n=[3, 4.0, "5"]) == {3, 4}
    assert numbers(n=True) == set()  # which is no 1
    assert numbers(tag=nasty) == {30}
    assert numbers(nested={"a": [[1, 2.5, None]]}) == set()
    assert numbers(nested=[{"a": [1, 2.5, None]}]) == {30}
    assert numbers(**{"o'hara": 1}) == {30}
    assert numbers(tag="' OR 1=1 --") == set()
    assert numbers(camera=[]) == set()
    assert numbers(video=video) == set(range(20))
    assert numbers(videoId=video.id) == set(range(20))
    assert numbers(video=["v-0000000000000000", "' OR 1=1 --"]) == set()
    st, et = video[10:16].st, video[10:16].et
    assert numbers(st=st, et=et) == {5, 6, 7}
    assert numbers(video=video, et=video[4].st, camera="front") == {1}
    assert index.delete(where={"camera": "front", "n": [1, 2, 3]}) == 2
    assert numbers(n=[1, 2, 3]) == {2}
    with pytest.raises(UsageError, match="st and et are seconds"):
        index.search("robot", where={"st": "now"})
    with pytest.raises(UsageError, match="which rows are to be deleted"):
        index.delete()


def test_a_row_is_changed(name: str) -> None:
    index = dl.vec_index(name)
    row_id = index.add(vectors(1)[0], "before", camera="front", run=1)
    index.add(vectors(2)[1], "another")
    index.update(row_id, caption="after", camera="left")
    assert index.count == 2
    [found] = index.search("after")
    assert (found.id, found.extra) == (row_id, {"camera": "left", "run": 1})
    assert index.search("before") == []
    for nobody in ("nobody", "o'nobody"):
        with pytest.raises(NotFoundError, match="there is no row"):
            index.update(nobody, caption="x")
    with pytest.raises(InvalidVectorError, match="24 numbers"):
        index.update(row_id, vector=[1, 2])
    assert index.delete(["nobody", row_id]) == 1
    assert index.count == 1


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
def test_what_is_no_vector_is_not_added(name: str, what: str) -> None:
    index = dl.vec_index(name)
    index.add(vectors(1)[0])
    value, message = BAD[what]
    with pytest.raises(InvalidVectorError, match=message):
        index.add(value)
    with pytest.raises(InvalidVectorError):
        index.add_many([*vectors(3), value])
    if what != "text":  # which is a query
        with pytest.raises(UsageError, match="through an encoder" if what == "an image" else None):
            index.search(value)
    assert index.count == 1


def test_what_else_is_refused(name: str) -> None:
    video = dl.upload(CLIP, prefix="/refused", progress=False)
    index = dl.vec_index(name)
    index.add(vectors(1)[0], "there")
    with pytest.raises(InvalidVectorError, match="give what an encoder makes of it"):
        index.add(video[0])
    with pytest.raises(UsageError, match="source is the clip"):
        index.add(vectors(2)[1], source="v-0000000000000001")  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="caption is a text"):
        index.add(vectors(2)[1], 5)  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="JSON cannot say"):
        index.add(vectors(2)[1], score=math.nan)
    with pytest.raises(UsageError, match="at most 65536 bytes"):
        index.add(vectors(2)[1], "x" * 70_000)
    with pytest.raises(UsageError, match="3 vectors and 2 captions"):
        index.add_many(vectors(3), ["a", "b"])
    with pytest.raises(UsageError, match="the id of a row"):
        index.add_many(vectors(2), ids=["a", ""])
    with pytest.raises(UsageError, match="through an encoder"):
        index.search(PIL.Image.new("RGB", (4, 4)))
    for limit in (0, 1001, True, 2.5):
        with pytest.raises(UsageError, match="limit"):
            index.search("there", limit)  # type: ignore[arg-type]  # (that is the point)
    with pytest.raises(UsageError, match="empty text"):
        index.search(" ")
    assert index.count == 1
    for bad in ("", "/", "no such thing!", "../x"):
        with pytest.raises(UsageError):
            dl.vec_index(bad)


class Colours:
    """An encoder of images and of their names: the mean colour."""

    id = "tests/colours"
    known: ClassVar = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def encode_text(self, text: str) -> Any:
        return np.mean([self.known[word] for word in text.split() if word in self.known], axis=0)

    def encode_image(self, image: PIL.Image.Image) -> Any:
        return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)).mean((0, 1)) + 1.0


def test_an_encoder(name: str) -> None:
    index = dl.vec_index(name, encoder=Colours())
    for colour, vector in Colours.known.items():
        index.add(vector, f"a {colour} block")
    [first, *_] = index.search("green block")
    assert (first.caption, first.matched_by) == ("a green block", ("vector", "text"))
    [image, *_] = index.search(PIL.Image.new("RGB", (8, 8), "blue"))
    assert (image.caption, image.matched_by) == ("a blue block", ("vector",))
    video = dl.upload(CLIP, prefix="/encoder", progress=False)
    wanted = cosines(np.eye(3), Colours().encode_image(video[4:9].thumbnail).numpy())
    assert [r.score for r in index.search(video[4:9])] == pytest.approx(sorted(wanted, reverse=True), abs=1e-5)
    assert index.info().encoder == "tests/colours"

    class Other(Colours):
        id = "tests/others"

    other = dl.vec_index(name, encoder=Other())
    with pytest.raises(UsageError, match="made by tests/colours"):
        other.search("red")
    with pytest.raises((RequestError, UsageError), match="made by tests/colours"):
        other.add([1, 1, 1])
        other.flush()
    other.drop()  # with the row that nobody took
    assert index.count == 0
    with pytest.raises(UsageError, match="an encoder has an id"):
        dl.vec_index(name, encoder=object())  # type: ignore[arg-type]  # (that is the point)


# -- a life ----------------------------------------------------------------------------------------------------------


def test_an_approximate_index(name: str) -> None:
    random = np.random.default_rng(3)
    centres = random.standard_normal((40, DIM))
    rows = (centres[random.integers(0, 40, 3000)] + 0.3 * random.standard_normal((3000, DIM))).astype(np.float32)
    index = dl.vec_index(name)
    ids = index.add_many(rows, captions(3000))
    assert index.info().ann is None
    info = index.optimize(ann=True)
    assert info.ann is not None
    assert info.ann.rows == 3000
    assert info.ann.recall >= 0.95
    found = 0
    queries = rows[:30] + 0.05 * random.standard_normal((30, DIM)).astype(np.float32)
    for query in queries:
        best = {ids[number] for number in np.argsort(-cosines(rows, query))[:10]}
        found += len(best & {r.id for r in index.search(query)})
        assert {r.id for r in index.search(query, exact=True)} == best
    assert found >= 0.95 * 300
    assert len(index.search(queries[0], limit=1000)) == 1000
    new = index.add(queries[0], "came after it", camera="front")  # which is found all the same
    assert index.search(queries[0])[0].id == new
    assert [r.id for r in index.search(queries[5], where={"camera": "front"})] == [new]


def test_many_small_groups_are_few_files(name: str, vector_lake: str) -> None:
    if vector_lake == "s3":
        pytest.skip("the same work, a hundred round trips of which take long")
    index = dl.vec_index(name)
    for row, text in zip(vectors(40), captions(40), strict=True):
        index.add(row, text)
        index.flush()
    index.optimize()
    assert index.count == 40
    rows = index.to_arrow().to_pydict()
    assert np.array_equal(np.array(rows["vector"], np.float32), vectors(40))
    assert rows["caption"] == captions(40)
    frame = index.to_pandas()
    assert list(frame["caption"]) == captions(40)


def test_an_index_is_a_small_value(name: str, tmp_path: Path) -> None:
    index = dl.vec_index(name)
    index.add(vectors(1)[0], "packed")
    index.flush()
    packed = pickle.dumps(index)
    assert len(packed) < 2000
    assert [r.caption for r in pickle.loads(packed).search("packed")] == ["packed"]
