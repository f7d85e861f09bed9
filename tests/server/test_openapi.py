"""The description of the interface: valid OpenAPI 3.1, and nothing that is served is missing from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ._lake import Client

MULTIPART = {("post", "init"), ("post", "parts"), ("get", "parts-done"), ("post", "complete"), ("post", "abort")}
ASSETS = {
    ("post", ""), ("get", ""), ("get", "/{}"), ("delete", "/{}"), ("get", "/{}/metadata"), ("get", "/{}/raw"),
    ("head", "/{}/raw"),
}  # fmt: skip
CATALOG = ("video", "audio", "image", "label-track", "text-track")
OPERATIONS = {
    ("get", "/healthz"),
    ("get", "/auth/me"),
    *(
        (method, f"/{kind}/upload/multipart/{name}")
        for kind in ("videos", "audio", "images", "image", "labels", "text-tracks")
        for method, name in MULTIPART
    ),
    ("put", "/uploads/{}/{}"),
    *(
        (method, f"/{kind}{path}")
        for kind in ("videos", "audio", "images", "image", "labels", "text-tracks")
        for method, path in ASSETS
    ),
    *(("get", f"/{kind}/{{}}/stream/{{}}") for kind in ("videos", "labels", "text-tracks")),
    *(("post", f"/{kind}/{{}}/versions") for kind in ("labels", "text-tracks")),
    ("get", "/videos/{}/frames.npz"),
    ("get", "/videos/{}/samples.npz"),
    ("get", "/audio/{}/samples.npz"),
    ("get", "/audio/{}/stream/{}"),
    ("get", "/chunks/{}"),
    ("post", "/lambdas/{}"),
    ("post", "/gc"),
    *(("post", f"/assets/{kind}") for kind in CATALOG),
    *(("get", f"/assets/{kind}/download") for kind in CATALOG),
    ("get", "/assets/download"),
    *(("get", f"/assets/{kind}") for kind in CATALOG),
    ("get", "/assets"),
    ("get", "/nodes"),
    ("post", "/nodes"),
    ("get", "/nodes/lookup"),
    *((method, "/nodes/{}") for method in ("get", "patch", "delete")),
    ("get", "/nodes/{}/children"),
    ("get", "/indexes/{}/{}"),
    *((method, "/indexes/{}/{}/{}") for method in ("get", "delete")),
    *((method, "/indexes/{}/{}/{}/vectors") for method in ("get", "post", "patch")),
    *(("post", f"/indexes/{{}}/{{}}/{{}}/{what}") for what in ("search", "delete", "optimize")),
    *(
        (method, f"/namespaces{path}")
        for method in ("get", "post")
        for path in ("", "/{}/spaces", "/{}/spaces/{}/episodes")
    ),
}


@pytest.fixture
async def schema(lake_client: Client) -> dict[str, Any]:
    answer = await lake_client.http.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method in {"get", "put", "post", "delete", "head", "patch", "options"} & item.keys():
            yield method, path, item[method]


async def test_it_names_every_route(schema: dict[str, Any]) -> None:
    found = {(method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path, _ in operations(schema)}
    assert found >= OPERATIONS


async def test_it_is_openapi(schema: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", schema["openapi"])
    assert schema["info"]["title"]
    assert schema["info"]["version"]
    for method, path, operation in operations(schema):
        where = f"{method} {path}"
        assert path.startswith("/"), where
        assert operation["responses"], where
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5](\d\d|XX)|default", status), where
            assert response["description"], where
        parameters = operation.get("parameters", [])
        assert len({(one["in"], one["name"]) for one in parameters}) == len(parameters), where
        in_path = {one["name"] for one in parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{([^}]*)\}", path)), where
        for parameter in parameters:
            assert parameter["in"] in ("query", "path", "header", "cookie"), where
            assert "schema" in parameter or "content" in parameter, where
            assert parameter["in"] != "path" or parameter["required"] is True, where


async def test_operations_have_ids_of_their_own(schema: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(set(ids)) == len(ids)


async def test_references_lead_somewhere(schema: dict[str, Any]) -> None:
    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    found = set(references(schema))
    assert found
    for reference in found:
        at: Any = schema
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
        assert at


async def test_bodies_are_camel_case(schema: dict[str, Any]) -> None:
    structs = schema["components"]["schemas"]
    assert {"uploadId", "key", "partNumbers"} <= structs["SignParts"]["properties"].keys()
    assert structs["RegisterAsset"]["properties"].keys() >= {"name", "owner", "project", "stagingHash"}
    assert "_" not in "".join(name for struct in structs.values() for name in struct.get("properties", {}))


async def test_each_kind_answers_with_its_own_sidecar(schema: dict[str, Any]) -> None:
    fields = {
        "videos": "frames", "audio": "sampleRate", "images": "format", "image": "format", "labels": "entryCount",
        "text-tracks": "entryCount",
    }  # fmt: skip
    structs = schema["components"]["schemas"]

    def properties(described: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = structs[described["$ref"].rsplit("/", 1)[-1]]["properties"]
        return found

    for kind, field in fields.items():
        for path, of_items in ((f"/{kind}", True), (f"/{kind}/{{asset_id}}", False)):
            content = schema["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            sidecar = properties(properties(content)["items"]["items"] if of_items else content)
            assert {"id", "status", field} <= sidecar.keys(), path
            assert ("streams" in sidecar) == ("image" not in kind), path
