"""Vector indexes, 100,000 x 768 in clusters: exact and approximate search, BM25, both, and adding, beside four peers.

Noise would mislead: approximate indexes live from neighbourhoods, and so do real vectors. The peers hold nothing but
vectors in memory and are called directly; ours goes through a lake, with captions, sources and filters, and keeps all
of it on disk. What peers need before they can search, and the recall of all, is in the lines' names.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dreamlake as dl
from benchmarks.bench import Bench
from benchmarks.measure import MILLISECONDS, Contender, Row, Unit, compare, interleave
from dreamlake.core.arrowrows import wire_schema

__all__ = ["measure"]

Floats = NDArray[np.float32]

DIM, CLUSTERS, NEAREST = 768, 1000, 10
ROWS = Unit("rows/s", "higher")
WORDS = 3000


def measure(bench: Bench) -> list[Row]:
    """All of it over the same vectors."""
    count = bench.pick(100_000, 20_000)
    random = np.random.default_rng(0)
    centres = random.standard_normal((CLUSTERS, DIM), dtype=np.float32)
    vectors = centres[random.integers(0, CLUSTERS, count)]
    vectors += 0.5 * random.standard_normal((count, DIM), dtype=np.float32)
    captions = [" ".join(f"word{number}" for number in numbers) for numbers in _numbers(random, count)]
    queries = vectors[random.integers(0, count, 32)] + 0.05 * random.standard_normal((32, DIM), dtype=np.float32)
    dl.connect(data=bench.folder / "vectors")
    dl.vec_index("warm").add_many(vectors[:10], captions[:10])  # what is loaded once is not part of the work
    rows = [*_adding(bench, vectors, captions), _one_by_one(bench, vectors, captions)]
    index = dl.vec_index("bench")
    index.drop()
    ids = index.add_many(vectors, captions)
    return [*rows, *_searching(bench, index, ids, vectors, queries)]


def _numbers(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Words of captions: some come in many of them, and most in few."""
    return np.minimum(random.zipf(1.3, (count, 8)), WORDS).astype(np.int64)


# -- adding ------------------------------------------------------------------------------------------------------------


def _adding(bench: Bench, vectors: Floats, captions: list[str]) -> list[Row]:
    lance = "raw LanceDB"

    def ours() -> None:
        dl.vec_index("bulk").add_many(vectors, captions)

    contenders = [
        Contender("ours", ours, before=lambda: dl.vec_index("bulk").drop()),
        Contender(lance, _lance(bench, vectors, captions)),
    ]
    seconds = interleave(contenders, bench.pick(3, 2), warmup=0)
    return [compare("add_many of all", ROWS, len(vectors), seconds, "ours", lance, 0.8)]


def _lance(bench: Bench, vectors: Floats, captions: list[str]) -> Callable[[], object]:
    """The same rows in the same groups, into a table of the same columns."""
    import lancedb
    import pyarrow as pa

    group = 16 * 1024**2 // (4 * DIM + 300)
    schema = wire_schema(DIM)

    def run() -> None:
        shutil.rmtree(bench.folder / "raw", ignore_errors=True)
        table = lancedb.connect(str(bench.folder / "raw")).create_table("raw", schema=schema)
        for at in range(0, len(vectors), group):
            some = vectors[at : at + group]
            columns: dict[str, Any] = {
                "id": [f"{number:032x}" for number in range(at, at + len(some))],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(some.reshape(-1)), DIM),
                "caption": captions[at : at + len(some)],
                "extra": ["{}"] * len(some),
            }
            arrays = [
                pa.nulls(len(some), field.type)
                if field.name not in columns
                else columns[field.name]
                if field.name == "vector"
                else pa.array(columns[field.name], field.type)
                for field in schema
            ]
            table.add(pa.Table.from_arrays(arrays, schema=schema))

    return run


def _one_by_one(bench: Bench, vectors: Floats, captions: list[str]) -> Row:
    count = bench.pick(10_000, 3000)

    def run() -> None:
        with dl.vec_index("single") as index:
            for vector, caption in zip(vectors[:count], captions[:count], strict=True):
                index.add(vector, caption)

    seconds = interleave([Contender("ours", run, before=lambda: dl.vec_index("single").drop())], bench.pick(3, 2), 0)
    rates = [count / taken for taken in seconds["ours"]]
    rate = float(np.median(rates))
    work = "add one by one, to the commit of the last"
    return Row(work, ROWS.text(rate), "2,000 rows/s", better="higher", goal="≥ 2,000", met=rate >= 2000)


# -- searching ---------------------------------------------------------------------------------------------------------


def _searching(bench: Bench, index: Any, ids: list[str], vectors: Floats, queries: Floats) -> list[Row]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = [set(_numpy(unit, query)) for query in queries]
    numbers = {row_id: number for number, row_id in enumerate(ids)}

    def ours(query: Floats, **more: Any) -> list[int]:
        return [numbers[found.id] for found in index.search(query, NEAREST, **more)]

    def recall(search: Callable[[Floats], Any]) -> float:
        found = [set(search(query)) & wanted for query, wanted in zip(queries, nearest, strict=True)]
        return sum(map(len, found)) / (len(queries) * NEAREST)

    def row(work: str, searches: dict[str, Callable[[Floats], Any]], peer: str, goal: float | None = None) -> Row:
        contenders = [Contender(name, partial(_all, search, queries)) for name, search in searches.items()]
        seconds = interleave(contenders, bench.pick(5, 3))
        return compare(work, MILLISECONDS, len(queries), seconds, "ours", peer, goal)

    exact = {"ours": partial(ours, exact=True), "numpy": partial(_numpy, unit), **_flat_peers(unit, index)}
    whole = recall(exact["ours"])
    rows = [_reached("exact search, recall@10", whole, 1.0)]
    rows += [row("exact search", {"ours": exact["ours"], peer: exact[peer]}, peer, 2.0 if peer == "numpy" else None)
             for peer in exact if peer != "ours"]  # fmt: skip

    texts = ["word7 word50 word400", "word3 word90", "word20"]
    rows.append(_alone("BM25, p50", lambda number: index.search(texts[number % 3]), bench))
    both = dl.vec_index("bench", encoder=_Given(queries))  # type: ignore[arg-type]  # (it encodes no images)
    rows.append(_alone("BM25 and exact search as one, p50", lambda number: both.search(texts[number % 3]), bench))

    info = index.optimize(ann=True)
    rows.append(_reached("approximate search, recall@10", recall(ours), 0.95))
    rows.append(_reached("recall@10 that the lake has measured", info.ann.recall, 0.95))
    near = {"ours": ours, "numpy": partial(_numpy, unit), **_near_peers(unit)}
    for peer in [name for name in near if name != "ours"]:
        label = "approximate search" if peer == "numpy" else f"approximate search (recall {recall(near[peer]):.2f})"
        rows.append(row(label, {"ours": ours, peer: near[peer]}, peer, 0.2 if peer == "numpy" else None))
    rows.append(_alone("BM25 and approximate search as one, p50", lambda number: both.search(texts[number % 3]), bench))
    return rows


def _numpy(unit: Floats, query: Floats) -> list[int]:
    scores = unit @ (query / np.linalg.norm(query))
    best = np.argpartition(-scores, NEAREST)[:NEAREST]
    found: list[int] = best[np.argsort(-scores[best])].tolist()
    return found


def _all(search: Callable[[Floats], Any], queries: Floats) -> None:
    for query in queries:
        search(query)


def _flat_peers(unit: Floats, index: Any) -> dict[str, Callable[[Floats], Any]]:
    import faiss
    import lancedb
    import usearch.index

    flat = faiss.IndexFlatIP(DIM)
    flat.add(unit)
    folder = next((dl.config.current_lake().data / "vectors").glob("*.lance")).parent  # type: ignore[operator]  # (embedded)
    names = sorted(folder.glob("*.lance"), key=lambda path: path.stat().st_ctime)
    tables = [lancedb.connect(str(folder)).open_table(path.stem) for path in names]
    table = next(one for one in tables if one.count_rows() == len(unit) and one.schema.names[-1] == "tags")
    return {
        "faiss IndexFlatIP": lambda query: flat.search(query[None] / np.linalg.norm(query), NEAREST)[1][0].tolist(),
        "usearch exact": lambda query: usearch.index.search(unit, query, NEAREST, "cos", exact=True).keys.tolist(),
        "raw LanceDB": lambda query: (
            table.search(query).distance_type("cosine").bypass_vector_index().limit(NEAREST).to_arrow()
        ),
    }


def _near_peers(unit: Floats) -> dict[str, Callable[[Floats], Any]]:
    import faiss
    from usearch.index import Index

    faiss_index = faiss.index_factory(DIM, "IVF256,Flat", faiss.METRIC_INNER_PRODUCT)
    faiss_index.train(unit[:: max(1, len(unit) // 20_000)])
    faiss_index.add(unit)
    faiss_index.nprobe = 8
    graph = Index(ndim=DIM, metric="cos", dtype="f16", expansion_add=32, expansion_search=64)
    graph.add(np.arange(len(unit)), unit)
    return {
        "faiss IVF256": lambda q: faiss_index.search(q[None] / np.linalg.norm(q), NEAREST)[1][0].tolist(),
        "usearch HNSW f16": lambda query: graph.search(query, NEAREST).keys.tolist(),
    }


class _Given:
    """An encoder that has the vectors already: what a model takes is not ours."""

    id = "benchmarks/given"

    def __init__(self, vectors: Floats) -> None:
        self._vectors = vectors

    def encode_text(self, text: str) -> Floats:
        vector: Floats = self._vectors[len(text) % len(self._vectors)]
        return vector


def _alone(work: str, search: Callable[[int], Any], bench: Bench) -> Row:
    """A time without a peer, as the median of single searches."""
    search(0)
    taken = [Contender("ours", partial(search, number)).seconds() for number in range(bench.pick(60, 20))]
    return Row(work, MILLISECONDS.text(float(np.median(taken)) * 1e3), "", better="lower")


def _reached(work: str, value: float, goal: float) -> Row:
    return Row(work, f"{value:.3f}", "", better="higher", goal=f"≥ {goal:g}", met=value >= goal)
