"""Where a model can be read and turned: the sites of a decoder layer, all as (rows, tokens, width)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from hneurons.errors import InterventionError, ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Pass, watch
from hneurons.probes.labels import Neuron

Site = Literal["neurons", "ffn", "heads", "attention", "residual"]
"""What is turned in a layer.

"neurons": the input of the down-projection; a layer with experts has many of these, and no such site as a whole: its
neurons are scaled, and ablated to zero, but not read or replaced. "ffn": its output, bias included, before whatever
follows it (the norm of Gemma 2 and 3 and OLMo 2, the multiplier of Granite); all experts together. "heads": the input
of the attention's output projection, in which each head has its slice. "attention": the output of that projection, bias
included, before whatever follows it. "residual": the output of the decoder layer, the residual stream after it.
"""
SITES: tuple[Site, ...] = get_args(Site)

Which = Sequence[Neuron] | Sequence[int]
"""Pairs (layer, neuron) or (layer, head); of the other sites, which are whole vectors, layers."""

Edit = Callable[[Float[Tensor, "rows seq width"], Pass], Float[Tensor, "rows seq width"]]
"""Makes a new tensor of the states of one layer in one forward pass."""


def site_width(model: LanguageModel, site: Site) -> int:
    """Length of a token's vector at `site`.

    Raises:
        InterventionError: there is no such site.
    """
    widths = {
        "neurons": model.n_neurons,
        "ffn": model.hidden_size,
        "heads": model.n_heads * model.head_size,
        "attention": model.hidden_size,
        "residual": model.hidden_size,
    }
    if site not in widths:
        raise InterventionError(f"there is no site {site!r}; choose one of {', '.join(SITES)}")
    return widths[site]


def site_parts(model: LanguageModel, site: Site) -> int:
    """Neurons or heads of a layer at `site`, each with as many numbers of the vector; 1 where it is a whole."""
    return {"neurons": model.n_neurons, "heads": model.n_heads}.get(site, 1)


def by_layer(
    pairs: Which, part: str, count: int, n_layers: int, name: str, within: Callable[[int], int] | None = None
) -> dict[int, list[int]]:
    """Pairs (layer, index) by layer, ascending, each once, where a layer of model `name` has `count` of a `part`.

    `within` says how many a layer has where some have fewer.

    Raises:
        ModelError: the model has no such layer or part.
        InterventionError: there are other things than pairs.
    """
    found: dict[int, set[int]] = {}
    for pair in pairs:
        try:
            layer, index = map(operator.index, pair)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InterventionError(f"{pair!r} does not name a {part}; give pairs (layer, {part})") from None
        if not (0 <= layer < n_layers and 0 <= index < count):
            raise ModelError(
                f"{name} has no {part} ({layer}, {index}): its layers are 0 to {n_layers - 1}, "
                f"with {part}s 0 to {count - 1} each"
            )
        if within is not None and index >= within(layer):
            raise ModelError(
                f"{name} has no {part} ({layer}, {index}): layer {layer} is narrower than others, with {part}s 0 to "
                f"{within(layer) - 1}"
            )
        found.setdefault(layer, set()).add(index)
    return {layer: sorted(indices) for layer, indices in sorted(found.items())}


def check_layers(model: LanguageModel, layers: Which) -> list[int]:
    """Layers, ascending, each once.

    Raises:
        ModelError: the model has no such layer.
        InterventionError: there are other things than layers.
    """
    found = set()
    for layer in layers:
        try:
            found.add(operator.index(layer))  # type: ignore[arg-type]
        except TypeError:
            raise InterventionError(f"{layer!r} does not name a layer; give a number from 0") from None
    for layer in found:
        if not 0 <= layer < model.n_layers:
            raise ModelError(f"{model.name} has no layer {layer}: its layers are 0 to {model.n_layers - 1}")
    return sorted(found)


def columns_by_layer(
    model: LanguageModel, site: Site, which: Which, *, whole: bool = False
) -> dict[int, Bool[Tensor, " width"]]:
    """By layer, which numbers of a token's vector belong to `which`.

    Where `whole`, `which` are layers at any site, and all numbers belong to them.

    Raises:
        ModelError: the model has no such layer, neuron or head.
        InterventionError: there is no such site, or `which` is not of its form.
    """
    width = site_width(model, site)
    narrower = model.neurons_in if site == "neurons" else None
    if whole or site not in ("neurons", "heads"):
        widths = {layer: narrower(layer) if narrower else width for layer in check_layers(model, which)}
        return {layer: torch.ones(own, dtype=torch.bool) for layer, own in widths.items()}
    part, count = site.removesuffix("s"), site_parts(model, site)
    columns = {}
    for layer, indices in by_layer(which, part, count, model.n_layers, model.name, narrower).items():
        chosen = torch.zeros(narrower(layer) if narrower else count, dtype=torch.bool)
        chosen[indices] = True
        columns[layer] = chosen.repeat_interleave(width // count)
    return columns


def attach(model: LanguageModel, site: Site, layer: int, change: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Hook `change` to a site; it gets the states as they are there, and returns new ones, or None to leave them.

    Hooks act in the order in which they were attached, each on what the last one made. A model may flatten its batch
    (OPT: row after row), and may write into a tensor later on (Falcon), so that `change` must not keep it.

    Raises:
        UnsupportedModelError: the site is "neurons" and the layer has experts.
    """
    if site in ("neurons", "heads"):
        module = model.down(layer) if site == "neurons" else model.attention_out(layer)

        def before(_module: Any, arguments: tuple[Any, ...]) -> Any:
            changed = change(arguments[0])
            return None if changed is None else (changed, *arguments[1:])

        return module.register_forward_pre_hook(before)

    def after(_module: Any, _arguments: Any, output: Any) -> Any:
        if not isinstance(output, tuple):
            return change(output)
        changed = change(output[0])
        return None if changed is None else (changed, *output[1:])

    if site == "attention":
        return model.attention_out(layer).register_forward_hook(after)
    if site == "residual":
        return model.block(layer).register_forward_hook(after)
    return (model.down(layer) if model.mixture(layer) is None else model.ffn(layer)).register_forward_hook(after)


@contextmanager
def edit(
    model: LanguageModel, site: Site, edits: Mapping[int, Edit], *, n_prompts: int | None = None
) -> Iterator[None]:
    """Apply an edit at each layer in every forward pass of the block; `n_prompts` is that of `watch`."""
    with watch(model, n_prompts) as passes, ExitStack() as hooks:

        def changing(function: Edit) -> Callable[[Tensor], Tensor]:
            def change(states: Tensor) -> Tensor:
                return function(by_row(states, passes.current), passes.current).reshape(states.shape)

            return change

        for layer, function in edits.items():
            hooks.callback(attach(model, site, layer, changing(function)).remove)
        yield


class Moved:
    """A tensor on the device and in the type of the states it is used with; moved there once."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._moved: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def to(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The tensor there; converted first, for not every device has every type."""
        key = device, dtype
        if key not in self._moved:
            self._moved[key] = self._tensor.to(dtype).to(device)
        return self._moved[key]


def by_row(states: Tensor, current: Pass) -> Float[Tensor, "rows seq width"]:
    """States as (rows, tokens, width), also where the model flattens its batch.

    Raises:
        ModelError: there are not as many as the pass has tokens.
    """
    rows, seq = current.shape
    if states.numel() != rows * seq * states.shape[-1]:
        raise ModelError(
            f"a layer gets {states.numel() // states.shape[-1]} tokens in a pass of {rows} rows of {seq}; "
            "they cannot be told apart"
        )
    return states.reshape(rows, seq, states.shape[-1])
