"""Layers that need not be computed again: their output is known from an earlier pass, and handed on instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.models.language_model import LanguageModel

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far logits may differ from those of a full pass, relative to the largest; batches of other shapes round apart."""
COARSE = 5e-2
"""The same in types of 16 bits."""

_NOTHING = object()
_EXACT: WeakKeyDictionary[LanguageModel, bool] = WeakKeyDictionary()


class Skipper:
    """Hands the residual stream on below a layer.

    A pass with skipped layers is held against a full one the first time for each model; where the two differ, or a
    layer puts out more than the residual stream, nothing is skipped.
    """

    def __init__(self, model: LanguageModel, extras: Sequence[int | None], wanted: bool = True) -> None:
        """`extras` are those of `form`, for every layer."""
        self._model = model
        self._extras = extras
        self.on = wanted and _EXACT.get(model, True) and all(extra is not None for extra in extras)

    def run(
        self,
        start: int,
        residual: Callable[[], Float[Tensor, "rows seq hidden"]],
        forward: Callable[[], Float[Tensor, "rows vocab"]],
    ) -> Float[Tensor, "rows vocab"]:
        """`forward`, with the layers below `start` replaced by the `residual` stream after them."""
        if not self.on or start == 0:
            return forward()
        with handed_on(self._model, start, residual(), self._extras):
            found = forward()
        if self._model not in _EXACT:
            full = forward()
            scale = float(full.abs().max())
            tolerance = TOLERANCE.get(full.dtype, COARSE) * max(1.0, scale)
            self.on = _EXACT[self._model] = float((full - found).abs().max()) <= tolerance
            return found if self.on else full  # what every later pass gives, to the last bit
        return found


def form(output: Any) -> int | None:
    """How a layer puts out its residual stream: -1 as a tensor, n as the first of a tuple with n times None after it.

    None where there is more in it, which cannot be handed on.
    """
    if not isinstance(output, tuple):
        return -1 if isinstance(output, Tensor) else None
    return len(output) - 1 if all(each is None for each in output[1:]) else None


@contextmanager
def handed_on(
    model: LanguageModel, start: int, residual: Float[Tensor, "rows seq hidden"], extras: Sequence[int | None]
) -> Iterator[None]:
    """The first `start` layers hand `residual` on instead of computing anything, until the block ends."""
    before = []
    try:
        for layer in range(start):
            block = model.block(layer)
            before.append((block, block.__dict__.get("forward", _NOTHING)))
            block.forward = _giving(residual, extras[layer])
        yield
    finally:
        for block, own in before:
            if own is _NOTHING:
                del block.forward
            else:
                block.forward = own


def _giving(residual: Tensor, extra: int | None) -> Callable[..., Any]:
    def forward(hidden_states: Tensor, *_arguments: Any, **_options: Any) -> Any:
        given = residual.to(hidden_states.device)
        return given if extra is None or extra < 0 else (given, *[None] * extra)

    return forward
