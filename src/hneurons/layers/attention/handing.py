"""Attention weights as the model's own modules hand them out, one layer at a time.

Only the eager implementation of attention makes weights at all; fused ones (sdpa, flash) never hold them. So the model
is switched to it for the time of a block, and gets back what it had. A layer's weights are given to a reader while that
layer runs, and are dropped there: those of two layers are never in memory together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hneurons.errors import ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import logits_of, pad_texts

EAGER = "eager"
"""The implementation that makes weights."""
CLOSE, CLOSE_IN_HALF = 0.01, 0.1
"""How far, relatively, the logits of two implementations may lie apart, in float32 and in 16 bits; those of another
mask lie much farther."""

Reader = Callable[[Float[Tensor, "rows heads seq seq"]], None]
"""Reads the weights of a layer, [row, head, query, key]; it must not keep them."""


@dataclass(frozen=True)
class Implementation:
    """What computed the attention: `before` is what the model had, `used` what handed the weights out."""

    before: str
    used: str


@contextmanager
def eager(model: LanguageModel) -> Iterator[Implementation]:
    """Compute attention in a way that makes weights, until the block ends, also by an exception.

    Where the model computes it so anyway, nothing is touched.
    """
    before = _name(model.config)
    if before == EAGER:
        yield Implementation(before, before)
        return
    # As transformers' set_attn_implementation does in the end, but also for a model whose class it leaves alone
    # (Falcon reads the name in every pass), and each configuration gets its own back: a vision tower may have another.
    had = [(config, config._attn_implementation) for config in _configs(model)]
    hooks = ExitStack()
    try:
        for config, _ in had:
            config._attn_implementation = EAGER
        if model.anatomy.model_type == "falcon":
            for layer in range(model.n_layers):
                hook = model.parts(layer).attention.register_forward_pre_hook(_alibi_once, with_kwargs=True)
                hooks.callback(hook.remove)
        yield Implementation(before, EAGER)
    finally:
        hooks.close()
        for config, own in had:  # those of the whole first: setting one sets its parts
            config._attn_implementation = own


@contextmanager
def handed(model: LanguageModel, readers: Mapping[int, Reader], rows: int, seq: int) -> Iterator[Implementation]:
    """Give the weights of some layers to readers in every forward pass of the block, each of `rows` rows of `seq`.

    Raises:
        ModelError: in the pass, where a layer hands out no weights, or something of another shape.
    """
    with eager(model) as used, ExitStack() as hooks:
        for layer in range(model.n_layers):
            hook = _hook(model, layer, readers.get(layer), (rows, model.n_heads, seq, seq))
            hooks.callback(model.parts(layer).attention.register_forward_hook(hook).remove)
        yield used


def run(model: LanguageModel, ids: Sequence[Sequence[int]]) -> Float[Tensor, "rows vocab"]:
    """The forward pass of texts, padded on the right, which no token of a causal model sees.

    Returns:
        Logits of the last column: of the longest texts, their last; of others, padding's.
    """
    with torch.no_grad():
        return logits_of(model, pad_texts(ids, model.pad_id), [max(map(len, ids)) - 1])[:, 0]


def check_alike(model: LanguageModel, ids: Sequence[int]) -> None:
    """Refuse a model that computes something else where its weights are handed out: they would be another model's.

    Raises:
        ModelError: the logits after a text differ between the implementation that the model has and the eager one.
    """
    if _name(model.config) == EAGER:
        return
    own = run(model, [ids]).double()
    with eager(model) as used:
        other = run(model, [ids]).double()
    apart = float((own - other).norm() / own.norm())
    if not apart <= (CLOSE_IN_HALF if model.dtype.itemsize < 4 else CLOSE):
        raise ModelError(
            f"{model.name} computes something else with {used.used} attention than with its own, {used.before} "
            f"(logits are {apart:.0%} apart), so that the weights handed out are not those it uses; "
            "what it looks at cannot be read"
        )


def _configs(model: LanguageModel) -> list[Any]:
    """Every configuration that modules of the model read, each once, wholes before their parts."""
    found: dict[int, Any] = {}
    waiting = [module.config for module in model.hf.modules() if hasattr(module, "config")]
    while waiting:
        config = waiting.pop(0)
        if hasattr(config, "_attn_implementation") and id(config) not in found:
            found[id(config)] = config
            waiting += [part for key in config.sub_configs if (part := getattr(config, key, None)) is not None]
    return list(found.values())


def _alibi_once(_module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Falcon's mask holds the position biases (ALiBi) for sdpa; its eager attention would add them a second time."""
    alibi, mask = named.get("alibi"), named.get("attention_mask")
    if isinstance(alibi, Tensor) and isinstance(mask, Tensor) and mask.ndim == 4:
        return arguments, {**named, "alibi": torch.zeros_like(alibi)}
    return None


def _name(config: Any) -> str:
    return str(getattr(config, "_attn_implementation", None))


def _hook(
    model: LanguageModel, layer: int, reader: Reader | None, shape: tuple[int, ...]
) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
    def hook(_module: nn.Module, _arguments: tuple[Any, ...], output: Any) -> Any:
        weights = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if reader is not None:
            if not isinstance(weights, Tensor):
                raise ModelError(
                    f"the attention of layer {layer} of {model.name} hands out no weights "
                    f"({_name(model.config)} implementation); what it looks at cannot be read"
                )
            if tuple(weights.shape) != shape:
                raise ModelError(
                    f"the attention of layer {layer} of {model.name} hands out {tuple(weights.shape)}, where weights "
                    f"are {shape} (rows, heads, queries, keys); what it looks at cannot be read"
                )
            reader(weights.detach())
        if not isinstance(weights, Tensor):
            return None
        return (output[0], None, *output[2:])  # else the block holds them until the next layer has made its own

    return hook
