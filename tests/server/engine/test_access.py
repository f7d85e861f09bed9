"""Who is let in, route by route."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar.routes import HTTPRoute

from dreamlake.server.engine.app import create_engine
from dreamlake.server.engine.models import serve_model
from dreamlake.server.engine.settings import EngineSettings

from ._engine import Small, engine, moves, npy, picture, png

PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/openapi.json")}
CLOSED = {
    ("GET", "/v1/status"),
    ("GET", "/v1/models"),
    ("GET", "/v1/specs"),
    ("GET", "/metrics"),
    ("POST", "/v1/predict"),
    ("POST", "/v1/predict/batch"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("POST", "/v1/jobs/{job_id}/cancel"),
}
KEY = "dre_a-key-that-nobody-guesses"


def routes(tmp_path: Path) -> set[tuple[str, str]]:
    app = create_engine(EngineSettings(tmp_path), [serve_model(Small())])
    return {
        (str(method), route.path_format)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method != "OPTIONS" and not route.path.startswith("/schema")  # the framework's, which are closed
    }


def test_every_route_is_tried_here(tmp_path: Path) -> None:
    assert routes(tmp_path) == PUBLIC | CLOSED


async def test_a_key_opens_all(tmp_path: Path) -> None:
    headers: list[tuple[dict[str, str] | list[tuple[str, str]], int]] = [
        ({}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer another"}, 401),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        ([("Authorization", f"Bearer {KEY}"), ("Authorization", "Bearer x")], 401),
    ]
    async with engine(tmp_path, keys=(KEY, "dre_second")) as client:
        for method, path in sorted(CLOSED):
            for given, status in headers:
                answer = await client.http.request(method, path.format(job_id="x"), headers=given)
                assert answer.status_code == status, (method, path, given)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["status"] == status
            answer = await client.http.request(
                method, path.format(job_id="x"), headers={"Authorization": f"Bearer {KEY}"}
            )
            assert answer.status_code not in (401, 403, 500), (method, path)
        assert (await client.http.get("/schema/openapi.json")).status_code in (401, 404)
        for method, path in PUBLIC:
            assert (await client.http.request(method, path)).status_code == 200
        client.http.headers["Authorization"] = f"Bearer {KEY}"
        answer = await client.predict(png(picture()), npy(moves()))
        assert answer.status_code == 200
        assert answer.headers["x-dreamengine-customer-id"].startswith("cus_")
        assert KEY not in str(answer.headers)


async def test_pages_of_other_sites(tmp_path: Path) -> None:
    """A form that a browser sends without asking, and a name that leads here, are not whoever sits before it."""
    async with engine(tmp_path, hosts=frozenset({"127.0.0.1"})) as client:

        async def status(**headers: str) -> int:
            return (await client.http.get("/v1/models", headers=headers)).status_code

        assert await status(Origin="https://example.com") == 403
        assert await status(Origin="null") == 403
        assert await status(Origin=client.url) == 200
        assert await status(Host="example.com") == 421
        assert await status() == 200
        assert await status(Authorization="Bearer whatever") == 200


async def test_every_answer_has_its_request_id(tmp_path: Path) -> None:
    async with engine(tmp_path) as client:
        for path in ("/v1/models", "/nowhere", "/v1/jobs/nothing", "/v1/predict"):
            answer = await client.http.get(path, headers={"X-Request-Id": "mine-1"})
            assert answer.headers.get_list("x-dreamengine-request-id") == ["mine-1"], path
            assert answer.status_code == 200 or answer.json()["status"] == answer.status_code


async def test_what_it_answers_is_described(tmp_path: Path) -> None:
    async with engine(tmp_path) as client:
        document: dict[str, Any] = (await client.http.get("/openapi.json")).json()
        page = (await client.http.get("/metrics")).text
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == (CLOSED | PUBLIC) - {("GET", "/openapi.json")}
    predict = document["paths"]["/v1/predict"]["post"]
    assert {"200", "401", "402", "404", "422", "429", "503"} <= set(predict["responses"])
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["required"]) == {"frame", "actions"}
    schemas = document["components"]["schemas"]
    names = {reference.rpartition("/")[2] for reference in _references(document)}
    assert names <= set(schemas)
    assert {"Job", "CreateJob", "ModelPage", "SpecPage", "EngineProblem"} <= names
    assert 'dreamlake_rollouts_waiting{model="small"} 0.0' in page


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_references, value.values()))
    if isinstance(value, list):
        return set().union(*map(_references, value))
    return set()
