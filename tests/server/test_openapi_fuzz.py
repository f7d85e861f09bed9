"""Any request that the description allows, and many that it does not: no failure of ours, and no undescribed answer.

Requests come from the description; some of their names are then replaced by ones that exist, and some are signed, or
hardly any would get further than a 404.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dreamlake.core.arrowrows import ARROW
from dreamlake.core.kinds import KINDS
from dreamlake.core.signing import Signer
from dreamlake.server.database import Database
from dreamlake.server.settings import Settings as ServerSettings
from dreamlake.server.signingkeys import SigningKeys
from tests.clips import X264, Clip

from ._lake import Client, Upload
from ._served import process

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "20"))  # of each operation; more look for longer
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
# The kinds share their handlers: of the routes that all have, those of two kinds stand for all.
ALIKE = r"^/(audio|image|labels|text-tracks)(/|$)|^/assets/(audio|image|text-track)(/|$)"
schemathesis.serializer.alias(ARROW, "application/octet-stream")
SLOW = "/gc"  # it looks at everything, and takes no input that could surprise it


@dataclass
class Fuzzed:
    """A server, its description, and what is in it."""

    url: str
    data: Path
    schema: Any
    asset: str
    digest: str
    stream: str
    chunk: str
    upload: Upload
    signer: Signer
    key: str  # without one, the first that is made would close the lake to the rest


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    folder = tmp_path_factory.mktemp("fuzzed")
    video = Clip(options={**X264, "g": "15"}, frames=30).make(folder / "a.mp4").read_bytes()

    async def fill(url: str) -> Fuzzed:
        async with httpx.AsyncClient(base_url=url) as http:
            client = Client(http, None, folder)  # type: ignore[arg-type]  # (the application is in another process)
            meta = await client.ready("/a/b.mp4", video)
            names = {"namespace": "alice", "space": "robotics", "name": "/a/b.mp4", "bssVideoId": meta["id"]}
            (await http.post("/assets/video", json=names)).raise_for_status()
            upload = await client.begin(b"more")
            playlist = (await http.get(f"/videos/{meta['id']}/stream/{meta['streams'][0]}.m3u8")).text
            key = (await http.post("/keys", json={"namespace": "alice", "scope": "admin"})).json()["key"]
        chunk = next(line for line in playlist.splitlines() if line.startswith("http"))
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json").exclude(path_regex=ALIKE).exclude(path=SLOW)
        database = Database(ServerSettings(folder / "lake").database_url)
        signing = SigningKeys(database, 0)
        await signing.load()
        await database.close()
        name, stream = httpx.URL(chunk).path.rsplit("/", 1)[-1], f"{meta['streams'][0]}.m3u8"
        return Fuzzed(url, folder / "lake", schema, meta["id"], meta["hash"], stream, name, upload, signing.signer, key)

    with process(folder / "lake", folder / "log", "--log-level", "error") as server:
        yield asyncio.run(fill(server.url))
        failures = [line.get("error", line["message"])[-1500:] for line in server.log()]
    assert not failures, "\n".join(failures)


def known(fuzzed: Fuzzed, case: Any) -> None:
    """Have the request ask for what is there."""
    there = {
        "asset_id": fuzzed.asset, "upload_id": "0" * 32, "number": 1, "action": "hls-split", "owner": "alice",
        "namespace": "alice", "project": "robotics", "space": "robotics", "path": "/a/b.mp4",
        **dict.fromkeys([kind.id_field for kind in KINDS], fuzzed.asset),
        "stagingHash": fuzzed.digest, "uploadId": fuzzed.upload.id, "key": fuzzed.upload.key,
        "name": fuzzed.chunk if case.path.startswith("/chunks") else fuzzed.stream,
    }  # fmt: skip
    for place in (case.path_parameters, case.query):
        for name in place or ():
            if name in there:
                place[name] = there[name]
    if isinstance(case.body, dict):
        case.body.update({name: there[name] for name in case.body if name in there and name != "name"})
        case.body.update({kind.bss_field: fuzzed.asset for kind in KINDS if kind.bss_field in case.body})


def name(fuzzed: Fuzzed, case: Any) -> None:
    """Have the request give a name that may be given."""
    if isinstance(case.body, dict) and "name" in case.body:
        case.body["name"] = "/a/c.mp4"
        case.body.pop("format", None)  # another kind's, most often


def sign(fuzzed: Fuzzed, case: Any) -> None:
    """Sign the request, whatever it asks for."""
    query = {name: str(value) for name, value in (case.query or {}).items() if name in ("target", "sha256")}
    path = case.formatted_path
    signed = fuzzed.signer.query(case.method, path, "alice", 2**31, query)
    case.query = dict(parse_qsl(signed, keep_blank_values=True))


def answers(fuzzed: Fuzzed, operation: Any, mode: GenerationMode, session: requests.Session) -> set[int]:
    """Fuzz one operation; the statuses that came."""
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES if mode is GenerationMode.POSITIVE else EXAMPLES // 2,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(operation.as_strategy(mode), st.sampled_from([(), (known,), (known, name), (known, sign), (sign,)]))
    def ask(case: Any, changes: tuple[Any, ...]) -> None:
        for change in changes:
            change(fuzzed, case)
        answer = case.call(session=session)
        case.validate_response(answer, checks=CHECKS)
        seen.add(answer.status_code)

    ask()
    return seen


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_fails_the_server(fuzzed: Fuzzed, mode: GenerationMode) -> None:
    failures: list[str] = []
    seen: set[int] = set()
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {fuzzed.key}"
        operations = [found.ok() for found in fuzzed.schema.get_all_operations()]
        for operation in sorted(operations, key=lambda one: one.method == "delete"):  # of what the others ask for
            try:
                seen |= answers(fuzzed, operation, mode, session)
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE, operation.label  # it has nothing that could be wrong
            except (Exception, FailureGroup) as error:  # noqa: BLE001 (all operations are to be heard)
                failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)
    expected = {200, 201, 202, 204, 400, 403, 404} if mode is GenerationMode.POSITIVE else {400, 403, 404}
    assert expected <= seen
