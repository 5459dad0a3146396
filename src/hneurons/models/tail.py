"""What a model does with its residual stream after the last layer: final norm, unembedding, what is done to logits.

Every step is the model's own module, or the one number that its configuration gives to it, named by its row; whether
that is the whole way from the stream to the logits is for the caller to hold against the model's own (`difference`).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hneurons.errors import AnatomyMismatchError, ModelError
from hneurons.models.language_model import LanguageModel

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Largest difference of logits, relative to the largest of them, that rounding may explain in a type."""


class Tail:
    """The way from a residual stream to logits, to be walked from any layer; gradients flow through it.

    Attributes:
        modules: the final norm and whatever else stands before the unembedding, in order.
        vocabulary: how many logits come out.
    """

    def __init__(self, model: LanguageModel) -> None:
        """Find the modules.

        Raises:
            AnatomyMismatchError: a module is not where the model's row says.
            ModelError: the model has no output embedding.
        """
        self._model = model
        self.modules = tuple(module for path in model.anatomy.tail if (module := _at(model, path)) is not None)
        self._head: Any = model.hf.get_output_embeddings()
        if self._head is None:
            raise ModelError(f"{model.name} has no output embedding, so that no lens can look through it")
        self._cap, self._factor = _on_logits(model)
        self.vocabulary: int = self._head.weight.shape[0]

    def __call__(self, states: Float[Tensor, "reads hidden"]) -> Float[Tensor, "reads vocab"]:
        """Logits of residual streams, in float32 or wider, where `states` lie; the modules may lie on other devices."""
        device = states.device
        states = states.to(self._model.dtype).unsqueeze(0)
        for module in self.modules:
            states = module(states)
        logits: Tensor = self._head(states)[0]
        logits = logits * self._factor if self._factor is not None else logits
        if self._cap is not None:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits.to(device, torch.promote_types(logits.dtype, torch.float32))

    def check(self, states: Float[Tensor, "reads hidden"], own: Float[Tensor, "reads vocab"]) -> float:
        """Hold the tail of the last layer's states against the model's own logits; the largest relative difference.

        Raises:
            ModelError: they differ by more than the type of the model explains.
        """
        found = difference(self(states), own)
        tolerance = TOLERANCE[self._model.dtype]
        if not found <= tolerance:  # NaN too
            raise ModelError(
                f"what the rows of {self._model.anatomy.model_type!r} models say of their final norm and unembedding "
                f"does not lead from the last layer of {self._model.name} to its logits (relative difference "
                f"{found:.2g}, tolerance {tolerance:.2g}); no lens can look through them"
            )
        return found


def difference(found: Float[Tensor, "reads vocab"], own: Float[Tensor, "reads vocab"]) -> float:
    """Largest |found - own| of one position over its largest |own|; NaN where a value is not finite."""
    own = own.to(found.device, found.dtype)
    size = own.abs().amax(dim=-1).clamp_min(torch.finfo(own.dtype).tiny)
    return float(((found - own).abs().amax(dim=-1) / size).max())


def _on_logits(model: LanguageModel) -> tuple[float | None, float | None]:
    """The cap on logits (Gemma 2: c tanh(x / c)) and the factor before it (Cohere multiplies, Granite divides)."""
    config = model.config
    cap = getattr(config, "final_logit_softcapping", None)
    factor = getattr(config, "logit_scale", None)
    divisor = getattr(config, "logits_scaling", None)
    return cap, factor if divisor is None else 1 / divisor


def _at(model: LanguageModel, path: str) -> nn.Module | None:
    """The module; None where the model leaves it out, as OPT does with a norm or a projection."""
    *parents, name = path.split(".")
    try:
        owner = model.hf.get_submodule(".".join(parents))
        module = getattr(owner, name)
    except AttributeError:
        raise AnatomyMismatchError(
            f"this is not what a {model.anatomy.model_type!r} model should be: there is no module {path}; "
            "it cannot be looked at through a lens"
        ) from None
    if module is not None and not isinstance(module, nn.Module):
        raise AnatomyMismatchError(f"{path} of {model.name} is {type(module).__name__} and no module")
    return module
