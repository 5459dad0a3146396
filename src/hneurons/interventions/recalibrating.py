"""Attention recalibration: what is looked at more, or less, than the model would of itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from hneurons.errors import InterventionError
from hneurons.interventions.positions import Places, listed
from hneurons.interventions.sites import by_layer, check_layers
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Pass, Passes, watch
from hneurons.probes.labels import Neuron

KNOWN = ("eager", "sdpa")
"""Implementations of attention that take an additive mask, so that a number can be added to a score."""


@contextmanager
def recalibrate(
    model: LanguageModel,
    factor: float,
    positions: Sequence[int] | Sequence[Sequence[int]],
    *,
    layers: Sequence[int] | None = None,
    heads: Sequence[Neuron] | None = None,
) -> Iterator[None]:
    """Multiply the attention to chosen tokens by `factor`, and renormalise, until the block ends.

    w'_k = w_k f_k / sum_j w_j f_j with f = `factor` at `positions` and 1 elsewhere, at every token that attends: log f
    is added to the scores before their softmax, behind whatever caps them (Gemma 2). Later layers see what that makes
    of their input. 1 leaves every bit alone. In 16-bit models log f is rounded as the scores are.

    Args:
        model: any loaded model whose attention runs as "eager" or "sdpa".
        factor: positive and finite; more than 1 looks there more.
        positions: of what is looked at, as ascending positions without padding, in every prompt; or a list for each
            prompt, which may be empty.
        layers: in which layers; in all if left out.
        heads: pairs (layer, head), instead of whole layers.

    Raises:
        ModelError: the model has no such layer or head.
        InterventionError: the factor or a position makes no sense, or the attention takes no additive mask; later, in
            the block, a batch of another number of prompts, or a cache that is not as long as what it holds.
    """
    if not (math.isfinite(factor) and factor > 0):
        raise InterventionError(f"the factor is {factor}; it must be a finite number above 0 (1 changes nothing)")
    given: Any = positions
    if isinstance(given, str):
        raise InterventionError(f"positions are {positions!r}; give numbers: attention to all tokens is what it is")
    if layers is not None and heads is not None:
        raise InterventionError("give layers or heads, not both")
    lists, n_prompts = listed(positions)
    chosen: dict[int, Tensor | None]
    if heads is None:
        chosen = dict.fromkeys(check_layers(model, range(model.n_layers) if layers is None else layers))
    else:
        pairs = by_layer(heads, "head", model.n_heads, model.n_layers, model.name)
        chosen = {layer: torch.tensor(own) for layer, own in pairs.items()}
    implementation = getattr(model.config, "_attn_implementation", None)
    if implementation not in KNOWN:
        raise InterventionError(
            f"the attention of {model.name} runs as {implementation!r}, to which no mask of numbers can be given; "
            "set it to 'sdpa' or 'eager' with model.hf.set_attn_implementation"
        )
    places = Places(lists, n_prompts)
    with watch(model, n_prompts) as passes, ExitStack() as hooks:
        if factor != 1:
            shift = _Shift(model, places, passes, math.log(factor))
            for layer, own in chosen.items():
                module = model.parts(layer).attention
                hooks.callback(module.register_forward_pre_hook(shift.hook(module, own), with_kwargs=True).remove)
        yield


class _Shift:
    """Adds a number to the scores of chosen keys, through the mask that a layer's attention is given."""

    def __init__(self, model: LanguageModel, places: Places, passes: Passes, added: float) -> None:
        self._model = model
        self._places = places
        self._passes = passes
        self._added = added
        self._last: tuple[Pass, Tensor] | None = None

    def hook(self, module: nn.Module, heads: Tensor | None) -> Callable[..., Any]:
        """The pre-hook of one layer's attention, in all heads or in some.

        Raises:
            InterventionError: it takes no mask.
        """
        names = list(inspect.signature(module.forward).parameters)
        if "attention_mask" not in names:
            raise InterventionError(f"the attention of {self._model.name} takes no mask; it cannot be recalibrated")
        place = names.index("attention_mask")

        def before(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if place < len(args):
                return (*args[:place], self._masked(args[place], heads), *args[place + 1 :]), kwargs
            return args, kwargs | {"attention_mask": self._masked(kwargs.get("attention_mask"), heads)}

        return before

    def _masked(self, mask: Tensor | None, heads: Tensor | None) -> Tensor:
        current = self._passes.current
        tokens, dtype = current.shape[1], self._model.dtype
        keys = self._keys(current)
        if mask is None:  # the plain causal one: every token sees itself and what is before it
            total = keys.shape[1]
            mask = torch.ones(1, 1, tokens, total, dtype=torch.bool, device=keys.device).tril(total - tokens)
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            raise InterventionError(f"the attention of {self._model.name} runs with a mask that is no table of scores")
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
        columns = mask.shape[-1]
        if columns > keys.shape[1]:
            raise InterventionError(
                f"the cache has room for {columns} tokens and holds {keys.shape[1]}, so that its places cannot be told "
                "apart; generate with an ordinary DynamicCache, or without a cache"
            )
        kept = keys[:, None, None, -columns:].to(mask.device)  # a window drops what is oldest
        if heads is not None:
            of_head = torch.zeros(self._model.n_heads, dtype=torch.bool)
            of_head[heads] = True
            kept = kept & of_head.to(mask.device)[None, :, None, None]
        # masked places stay at the least number that there is: lower, they would be no numbers
        return (mask + self._added * kept.to(mask.dtype)).clamp(min=torch.finfo(mask.dtype).min)

    def _keys(self, current: Pass) -> Bool[Tensor, "rows total"]:
        """Which of all tokens so far, cached ones included, are chosen; found once for all layers of a pass."""
        if self._last is None or self._last[0] is not current:
            rows, tokens = current.shape
            every = torch.empty(rows, current.n_cached + tokens, device=current.tokens.device)
            self._last = current, self._places.of(replace(current, n_cached=0, tokens=every)) >= 0
        return self._last[1]
