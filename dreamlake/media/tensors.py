"""Between numpy and torch, which is imported only here, and only when a tensor is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dreamlake.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["as_array", "to_tensor"]


def as_array(out: torch.Tensor | None) -> NDArray[Any] | None:
    """The memory of a tensor as an array, to be written to.

    Raises:
        UsageError: not a tensor, or not in main memory.
    """
    if out is None:
        return None
    try:
        array: NDArray[Any] = out.detach().numpy()
    except (AttributeError, RuntimeError, TypeError) as error:
        raise UsageError(f"out has to be a tensor in main memory, not {type(out).__name__} ({error})") from None
    return array


def to_tensor(pixels: NDArray[Any], device: Any, out: torch.Tensor | None) -> torch.Tensor:
    """An array as a tensor, without a copy unless it moves to another device.

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "tensor()") from error
    tensor = torch.from_numpy(pixels) if out is None else out
    return tensor if device is None else tensor.to(device)
