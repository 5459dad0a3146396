"""Activations of other runs: a few as they are, to patch or resample from, or the mean of many, reduced in the hook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions.positions import Positions, listed
from hneurons.interventions.sites import Site, attach, by_row, check_layers, site_width
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import watch
from hneurons.models.texts import check_texts, logits_of, pad_texts
from hneurons.responses.sampling import Prompt

Asked = Sequence[Prompt] | Sequence[Sequence[int]]
"""Prompts, or the token ids of each."""


@dataclass(frozen=True, eq=False)
class Activations:
    """What a site held at some tokens of a run, one row a token; made by `activations`.

    Attributes:
        site: which.
        prompts: number of the prompt of each token, ascending.
        positions: position of each token in its prompt, ascending within a prompt.
        n_prompts: prompts of the run.
        values: by layer, in the type of the model and on the device of that layer.
    """

    site: Site
    prompts: Int64[np.ndarray, " tokens"]
    positions: Int64[np.ndarray, " tokens"]
    n_prompts: int
    values: Mapping[int, Float[Tensor, "tokens width"]]


@dataclass(frozen=True, eq=False)
class Means:
    """The mean of a site over the tokens of a reference set; made by `mean_activations`.

    Attributes:
        site: which.
        n_tokens: how many tokens.
        values: by layer, on the CPU.
    """

    site: Site
    n_tokens: int
    values: Mapping[int, Float64[Tensor, " width"]]


def activations(
    model: LanguageModel,
    prompts: Asked,
    site: Site,
    layers: Sequence[int] | None = None,
    *,
    positions: Positions = "all",
) -> Activations:
    """Read a site at given positions, in one padded batch: for a few prompts, tokens * layers * width numbers.

    What is read inside a block of an intervention is what that made.

    Args:
        model: any loaded model.
        prompts: prompts or token ids; a response may follow, to be read as it was generated.
        site: what is read.
        layers: from which layers; all if left out.
        positions: at which tokens; "generated" is refused, since nothing is.

    Raises:
        InterventionError: no prompt, or one that is empty, too long, of another vocabulary or without such a position.
        ModelError: no such layer, or values that are not finite.
    """
    layers = _layers(model, site, layers)
    ids = _token_ids(model, prompts)
    where = _positions(ids, positions)
    rows: dict[int, Tensor] = {}

    def keep(layer: int, states: Tensor) -> None:
        rows[layer] = states

    _read(model, ids, where, site, layers, keep)
    return Activations(
        site=site,
        prompts=np.repeat(np.arange(len(ids)), [len(own) for own in where]),
        positions=np.concatenate([np.array(own, dtype=np.int64) for own in where]),
        n_prompts=len(ids),
        values=rows,
    )


def mean_activations(
    model: LanguageModel,
    prompts: Asked,
    site: Site,
    layers: Sequence[int] | None = None,
    *,
    positions: Positions = "all",
    batch_size: int = 32,
) -> Means:
    """The mean of a site over all tokens at `positions`, each token weighing the same; memory for one layer's batch.

    Args:
        model: any loaded model.
        prompts: prompts or token ids of the reference set.
        site: what is read.
        layers: from which layers; all if left out.
        positions: at which tokens; "generated" is refused, since nothing is.
        batch_size: prompts in a forward pass; prompts of like length go together.

    Raises:
        InterventionError, ModelError: as of `activations`.
    """
    if batch_size < 1:
        raise InterventionError(f"a batch holds at least one prompt, not {batch_size}")
    layers = _layers(model, site, layers)
    ids = _token_ids(model, prompts)
    where = _positions(ids, positions)
    sums: dict[int, Tensor] = {}

    def add(layer: int, states: Tensor) -> None:
        total = states.sum(dim=0, dtype=torch.promote_types(states.dtype, torch.float32)).cpu().double()
        sums[layer] = sums[layer] + total if layer in sums else total

    by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    for start in range(0, len(ids), batch_size):
        batch = by_length[start : start + batch_size]
        _read(model, [ids[index] for index in batch], [where[index] for index in batch], site, layers, add)
    count = sum(map(len, where))
    return Means(site, count, {layer: total / count for layer, total in sums.items()})


@torch.no_grad()
def _read(
    model: LanguageModel,
    ids: Sequence[Sequence[int]],
    where: Sequence[Sequence[int]],
    site: Site,
    layers: Sequence[int],
    take: Callable[[int, Tensor], None],
) -> None:
    """Forward a batch and hand the states (tokens, width) at `where` on, layer by layer, prompt after prompt."""
    texts, seq = pad_texts(ids, model.pad_id), max(map(len, ids))
    flat = torch.tensor([row * seq + position for row, own in enumerate(where) for position in own], dtype=torch.long)

    def reader(layer: int) -> Callable[[Tensor], None]:
        def read(states: Tensor) -> None:
            chosen = by_row(states.detach(), passes.current).flatten(0, 1).index_select(0, flat.to(states.device))
            if not bool(chosen.isfinite().all()):
                raise ModelError(
                    f"layer {layer} of {model.name} gives values that are not finite in {model.dtype}; "
                    "load the model with dtype='float32', or check its weights"
                )
            take(layer, chosen)

        return read

    with watch(model) as passes, ExitStack() as hooks:
        for layer in layers:
            hooks.callback(attach(model, site, layer, reader(layer)).remove)
        logits_of(model, texts, [seq - 1])  # of as few as may be: only the hooks are wanted


def _layers(model: LanguageModel, site: Site, layers: Sequence[int] | None) -> list[int]:
    site_width(model, site)
    return check_layers(model, range(model.n_layers) if layers is None else layers)


def _token_ids(model: LanguageModel, prompts: Asked) -> list[tuple[int, ...]]:
    ids = [tuple(each.token_ids if isinstance(each, Prompt) else each) for each in prompts]
    check_texts(model, ids, InterventionError, "prompt")
    return ids


def _positions(ids: Sequence[Sequence[int]], positions: Positions) -> list[list[int]]:
    """The positions that are read of each prompt."""
    if isinstance(positions, str):
        if positions != "all":
            raise InterventionError(
                f"positions are {positions!r}, and nothing is generated here; give numbers or 'all'"
            )
        return [list(range(len(own))) for own in ids]
    lists, n_prompts = listed(positions)
    if n_prompts not in (None, len(ids)):
        raise InterventionError(
            f"positions are those of {n_prompts} prompts and there are {len(ids)}; give one list each"
        )
    lists = lists if n_prompts is not None else lists * len(ids)
    for number, (own, tokens) in enumerate(zip(lists, ids, strict=True)):
        if own and own[-1] >= len(tokens):
            raise InterventionError(f"prompt {number} has {len(tokens)} tokens and no position {own[-1]}; count from 0")
    return lists
