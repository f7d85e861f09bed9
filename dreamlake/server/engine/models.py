"""World models: what a class has to have to be served, and what is checked of it before and while it is."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamlake.core.wireengine import Model, ModelSpec
from dreamlake.errors import ConfigError, UsageError

__all__ = ["BadRollout", "Served", "WorldModel", "check_slugs", "load_model", "serve_model"]

MAX_SIDE = 8192  # pixels


@runtime_checkable
class WorldModel(Protocol):
    """A model that predicts what a camera will see.

    A class of your own needs these and no base class. It is made once, without arguments, and ``predict`` is called by
    one thread at a time. What else it may have, with what it is taken for otherwise: ``name`` (the slug), ``provider``
    ("local"), ``chunk_size`` (48, actions at once), ``max_batch`` (4, rollouts at once), ``fps`` (10),
    ``default_num_steps`` (1) and ``default_guidance`` (1.0). If ``predict`` has a parameter ``num_steps`` or
    ``guidance``, it is given what the request says, or the default; if it has none, requests may not say it.

    A ``torch.nn.Module`` is moved to the GPU when there is one, set to ``eval()``, run in ``inference_mode()``, and
    given tensors on its device instead of arrays; it may return a tensor.

    Attributes:
        slug: what requests call it.
        action_dim: A, numbers of one action.
        resolution: height and width of its frames, pixels.
        price: USD for each frame of a rollout.
    """

    slug: str
    action_dim: int
    resolution: tuple[int, int]
    price: float

    def predict(self, frames: Any, actions: Any, seeds: Any) -> Any:
        """Predict rollouts.

        Args:
            frames: (B, H, W, 3) uint8 RGB, to start from.
            actions: (B, T, A) float32, with 1 <= T <= ``chunk_size``.
            seeds: (B,) int64, of the noise: the same seed and input are the same rollout, whatever else is in the
                batch.

        Returns:
            (B, T, H, W, 3) uint8 RGB: what follows, without the frame that it started from.
        """
        ...


class BadRollout(Exception):
    """A model returned what is no rollout."""


@dataclass(frozen=True)
class Served:
    """A model that is being served, and its facts, checked.

    Attributes:
        model: the object itself.
        slug: what requests call it.
        price_micros: millionths of a dollar for each frame.
        facts: as ``GET /v1/models`` has them.
        fps: frames per second of its videos.
        max_batch: rollouts that it predicts at once.
        takes: which of ``num_steps`` and ``guidance`` it takes.
        device: of a torch module; None for others.
    """

    model: WorldModel
    slug: str
    price_micros: int
    facts: Model
    fps: int
    max_batch: int
    takes: frozenset[str]
    device: str | None

    @property
    def spec(self) -> ModelSpec:
        """What it takes and gives."""
        return self.facts.spec

    def options(self, num_steps: int | None, guidance: float | None) -> dict[str, Any]:
        """What ``predict`` is called with besides its input.

        Raises:
            UsageError: something that it does not take.
        """
        given = {"num_steps": num_steps, "guidance": guidance}
        for name, value in given.items():
            if value is not None and name not in self.takes:
                raise UsageError(f"{self.slug} has no {name}: leave it out")
        defaults = {"num_steps": self.spec.default_num_steps, "guidance": self.spec.default_guidance}
        return {name: defaults[name] if given[name] is None else given[name] for name in sorted(self.takes)}

    def predict(
        self,
        frames: NDArray[np.uint8],
        actions: NDArray[np.float32],
        seeds: NDArray[np.int64],
        options: Mapping[str, Any],
    ) -> NDArray[np.uint8]:
        """Predict one chunk; blocking.

        Raises:
            BadRollout: the model returned something else than (B, T, H, W, 3) uint8.
        """
        height, width = self.spec.resolution
        with self._inference():
            found = self.model.predict(self._given(frames), self._given(actions), self._given(seeds), **options)
            if hasattr(found, "detach"):
                found = found.detach().cpu().numpy()
        wanted = (len(frames), actions.shape[1], height, width, 3)
        if not isinstance(found, np.ndarray) or found.shape != wanted or found.dtype != np.uint8:
            shape = f"{found.shape} {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
            raise BadRollout(f"{self.slug} returned {shape} instead of {wanted} uint8")
        return found

    def _given(self, array: NDArray[Any]) -> Any:
        if self.device is None:
            return array
        import torch

        return torch.from_numpy(array).to(self.device)

    def _inference(self) -> AbstractContextManager[Any]:
        if self.device is None:
            return nullcontext()
        import torch

        return torch.inference_mode()


def load_model(name: str) -> Any:
    """A model by the name of its class, made.

    Args:
        name: ``package.module:Class``, importable from here.

    Raises:
        UsageError: there is no such class.
        ConfigError: it cannot be made.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise UsageError(f"a model is package.module:Class, and not {name!r}")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {module_name}; is it on PYTHONPATH, or in this folder?") from None
        raise ConfigError(f"{module_name} cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigError(f"{module_name} cannot be imported: {error}") from error
    try:
        make = getattr(module, attribute)
    except AttributeError:
        raise UsageError(f"{module_name} has no {attribute}") from None
    try:
        return make() if callable(make) else make
    except Exception as error:
        raise ConfigError(f"{name} cannot be made: {str(error) or type(error).__name__}") from error


def serve_model(model: Any, *, slug: str | None = None, price: float | None = None) -> Served:
    """Check a model, and move it to where it is to run.

    Args:
        model: an object with what ``WorldModel`` says.
        slug: to serve it under; None for its own.
        price: USD for each frame; None for its own.

    Raises:
        ConfigError: it has not what a model has.
    """
    if not isinstance(model, WorldModel):
        missing = [
            name for name in ("slug", "action_dim", "resolution", "price", "predict") if not hasattr(model, name)
        ]
        raise ConfigError(f"{type(model).__name__} is no world model: it has no {', '.join(missing)}")
    try:
        facts = _facts(model, slug or model.slug, model.price if price is None else price)
        fps, max_batch = _count(model, "fps", 10), _count(model, "max_batch", 4)
    except (TypeError, ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"{type(model).__name__} is no world model: {error}") from None
    device = _to_device(model)
    takes = _takes(model)
    micros = round(facts.price_per_frame_usd * 1_000_000)
    return Served(model, facts.slug, micros, facts, fps, max_batch, takes, device)


def _facts(model: WorldModel, slug: str, price: float) -> Model:
    height, width = (int(side) for side in model.resolution)
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ValueError(f"its resolution is (height, width), each from 1 to {MAX_SIDE}, and not {model.resolution}")
    if not slug or not all(letter.isalnum() or letter in "-_." for letter in slug) or not slug.isascii():
        raise ValueError(f"its slug has letters, digits, '-', '_' and '.', and is not {slug!r}")
    if not math.isfinite(price) or round(price * 1_000_000, 3) % 1:
        raise ValueError(f"its price is a number of USD with at most six decimals, and not {price}")
    spec = ModelSpec(
        action_dim=model.action_dim,
        resolution=(height, width),
        chunk_size=_count(model, "chunk_size", 48),
        default_num_steps=_count(model, "default_num_steps", 1),
        default_guidance=float(getattr(model, "default_guidance", 1.0)),
    )
    name, provider = str(getattr(model, "name", slug)), str(getattr(model, "provider", "local"))
    facts = Model(slug=slug, name=name, provider=provider, price_per_frame_usd=float(price), active=True, spec=spec)
    return msgspec.convert(msgspec.to_builtins(facts), Model)  # the limits that the wire has


def _count(model: Any, name: str, default: int) -> int:
    value = getattr(model, name, default)
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"its {name} is a whole number from 1, and not {value!r}")
    return value


def _takes(model: WorldModel) -> frozenset[str]:
    parameters = inspect.signature(model.predict).parameters
    return frozenset(name for name in ("num_steps", "guidance") if name in parameters)


def _to_device(model: Any) -> str | None:
    torch = sys.modules.get("torch")  # who has a torch module has imported it
    if torch is None or not isinstance(model, torch.nn.Module):
        return None
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    model.to(device).eval()
    return device


def check_slugs(models: Sequence[Served]) -> dict[str, Served]:
    """Models by their slugs.

    Raises:
        ConfigError: two have the same.
    """
    found: dict[str, Served] = {}
    for model in models:
        if model.slug in found:
            raise ConfigError(f"two models are called {model.slug}")
        found[model.slug] = model
    return found
