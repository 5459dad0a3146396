"""Patching as anyone would write it down: one patch, one pass without padding, plain hooks, float64."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hneurons.models.language_model import LanguageModel


@functools.cache
def doubled(model: LanguageModel) -> LanguageModel:
    """The same model in float64, made once; `doubled.__wrapped__` makes another one, to be changed."""
    return LanguageModel(copy.deepcopy(model.hf).double(), model.tokenizer, model.anatomy, name=model.name)


def module_of(model: LanguageModel, site: str, layer: int) -> tuple[Any, bool]:
    """The module of a site, and whether its input is meant."""
    return {
        "residual": (model.block(layer), False),
        "attention": (model.attention_out(layer), False),
        "ffn": (model.down(layer), False),
        "heads": (model.attention_out(layer), True),
        "neurons": (model.down(layer), True),
    }[site]


def run(
    model: LanguageModel,
    tokens: Sequence[int],
    edits: Sequence[tuple[str, int, dict[int, Tensor], Any]] = (),
    noise: dict[int, Tensor] | None = None,
) -> tuple[Tensor, dict[tuple[str, int], Tensor]]:
    """Logits at the last token, and what every site held; `edits` are (site, layer, {position: vector}, columns)."""
    held: dict[tuple[str, int], Tensor] = {}
    handles = []

    def one(site: str, layer: int) -> None:
        module, at_input = module_of(model, site, layer)

        def touch(states: Tensor) -> Tensor:
            shape = states.shape
            found = states.reshape(-1, shape[-1]).clone()
            for own, where, vectors, columns in edits:
                if (own, where) == (site, layer):
                    for position, vector in vectors.items():
                        found[position, columns] = vector[columns]
            held[site, layer] = found.clone()
            return found.reshape(shape)

        if at_input:
            handles.append(module.register_forward_pre_hook(lambda _m, given: (touch(given[0]), *given[1:])))
        else:
            handles.append(
                module.register_forward_hook(
                    lambda _m, _a, out: (touch(out[0]), *out[1:]) if isinstance(out, tuple) else touch(out)
                )
            )

    def disturb(_module: Any, _arguments: Any, output: Tensor) -> Tensor:
        found = output.clone()
        for position, vector in (noise or {}).items():
            found[0, position] += vector
        return found

    handles.append(model.hf.get_input_embeddings().register_forward_hook(disturb))
    for layer in range(model.n_layers):
        for site in ("residual", "attention", "ffn", "heads", "neurons"):
            one(site, layer)
    try:
        with torch.no_grad():
            logits = model.hf(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits.double(), held
