"""What a class has to have to be served, and what is said of one that has it not."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamlake.errors import ConfigError, DreamlakeError, UsageError
from dreamlake.server.engine.app import create_engine
from dreamlake.server.engine.models import load_model, serve_model
from dreamlake.server.engine.reference import ReferenceCamera
from dreamlake.server.engine.settings import EngineSettings

from ._engine import Small

MODULE = """
class Fine:
    slug, action_dim, resolution, price = "fine", 3, (32, 32), 0.1
    def predict(self, frames, actions, seeds): ...

class Half:
    slug, action_dim = "half", 3

class Raises:
    def __init__(self):
        raise RuntimeError("no weights")

ready = Fine()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"models_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_class_and_an_object(module: str) -> None:
    for name in ("Fine", "ready"):
        served = serve_model(load_model(f"{module}:{name}"))
        assert (served.slug, served.price_micros, served.max_batch, served.fps) == ("fine", 100_000, 4, 10)
        assert served.facts.name == "fine"
        assert served.device is None
    renamed = serve_model(load_model(f"{module}:Fine"), slug="dreamdojo-2b-gr1", price=0.0005)
    assert (renamed.slug, renamed.facts.price_per_frame_usd) == ("dreamdojo-2b-gr1", 0.0005)
    del sys.modules[module]


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("{}", UsageError, "package.module:Class"),
        (":Fine", UsageError, "package.module:Class"),
        ("{}:", UsageError, "package.module:Class"),
        ("{}:Nobody", UsageError, "has no Nobody"),
        ("nothing.of.this:Name", UsageError, "no module nothing.of.this"),
        ("{}_broken:Fine", ConfigError, "nothing_of_this_name"),
        ("{}:Raises", ConfigError, "no weights"),
    ],
)
def test_names_of_none(module: str, name: str, error: type[DreamlakeError], said: str) -> None:
    with pytest.raises(error, match=said):
        load_model(name.format(module))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slug": ""}, "slug"),
        ({"slug": "a b"}, "slug"),
        ({"slug": "ä"}, "slug"),
        ({"action_dim": 0}, "action_dim"),
        ({"action_dim": "4"}, "action_dim"),
        ({"resolution": (0, 32)}, "resolution"),
        ({"resolution": (32,)}, "values"),
        ({"resolution": (10_000, 32)}, "resolution"),
        ({"price": -1.0}, "price"),
        ({"price": float("nan")}, "price"),
        ({"price": 0.00000001}, "six decimals"),
        ({"max_batch": 0}, "max_batch"),
        ({"chunk_size": 1.5}, "chunk_size"),
        ({"fps": 0}, "fps"),
    ],
)
def test_facts_that_cannot_be(change: dict[str, Any], said: str) -> None:
    model = type("Changed", (Small,), change)()
    with pytest.raises(ConfigError, match=said):
        serve_model(model)


def test_what_is_missing_is_named(module: str) -> None:
    with pytest.raises(ConfigError, match="no resolution, price, predict"):
        serve_model(load_model(f"{module}:Half"))


def test_models_that_an_engine_cannot_serve(tmp_path: Path) -> None:
    def engine(*models: Any, **settings: Any) -> Callable[[], object]:
        served = [serve_model(model) for model in models]
        return lambda: create_engine(EngineSettings(tmp_path, **settings), served)

    odd = type("Odd", (Small,), {"resolution": (31, 31)})()
    with pytest.raises(UsageError, match="even height and width"):
        engine(odd)()
    engine(odd, encoding="exact")()
    with pytest.raises(ConfigError, match="two models are called small"):
        engine(Small(), Small())()
    with pytest.raises(UsageError, match="has a model"):
        engine()()
    with pytest.raises(UsageError, match="no such folder"):
        engine(Small(), jobs_roots=(str(tmp_path / "nowhere"),))()


def test_the_reference_says_what_it_is() -> None:
    facts = serve_model(ReferenceCamera()).facts
    assert "not a learned model" in facts.name
    assert (facts.spec.action_dim, facts.spec.resolution, facts.price_per_frame_usd) == (384, (480, 640), 0.0005)
