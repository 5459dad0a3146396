"""CETT, recorded in one forward pass: reduced over tokens inside the hook, and handed on layer by layer.

    CETT_{j,t} = |z_{j,t}| * ||W_down[:, j]||_2 / ||W_down z_t||_2                   (H-Neurons, arXiv 2512.01797)

z is what enters the down-projection; W_down z is what leaves it, less its bias. A norm that follows the FFN comes after
both, so the denominator is taken before that norm. Of layers with experts, `hneurons.contributions.mixture` says what
both are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.mixture import MixtureStates, read_mixture
from hneurons.contributions.padding import PaddedBatch, pad
from hneurons.contributions.row import Row
from hneurons.errors import ModelError, ResponseError
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import Side, check_texts, logits_of

LOGIT_SLAB = 1 << 22
"""Logits that are turned into log-probabilities at a time: 16 MiB in float32, however large the vocabulary."""


@runtime_checkable
class Sink(Protocol):
    """Takes a batch layer by layer, in the order in which the forward pass meets them.

    Both methods get one row for every item of the batch, and one for every item that has other tokens (item order).
    Whoever keeps the tensors decides on the memory; `record` keeps none.
    """

    def contributions(
        self, layer: int, answer: Float[Tensor, "items neurons"], other: Float[Tensor, "others neurons"]
    ) -> None:
        """Mean CETT over the answer tokens and over the other tokens."""

    def hidden(self, layer: int, answer: Float[Tensor, "items hidden"], other: Float[Tensor, "others hidden"]) -> None:
        """Mean residual stream after block `layer` over the same positions; called only where it is recorded."""


@torch.no_grad()
def record(
    model: LanguageModel, items: Sequence[Item], recording: Recording, sink: Sink, *, padding: Side = "right"
) -> tuple[Row, ...]:
    """Pass `items` through `model` once, as one padded batch, and hand their mean contributions to `sink`.

    Sums run in float32 whatever the dtype of the model (float64 where the model is). A position whose FFN output is
    exactly zero contributes zero (there is nothing to have a share in), and still counts as a token. Beyond the forward
    pass this takes the memory of the read positions of one layer.

    Args:
        model: any loaded model.
        items: one batch; see `plan_batches`.
        recording: which positions are read.
        sink: takes the rows, layer by layer.
        padding: the side on which shorter items are padded; the numbers do not depend on it.

    Returns:
        What is known of each row, in the order of the rows: the answer row of every item, then the other row of every
        item that has one.

    Raises:
        ResponseError: no item, an item longer than the model can read, or token ids that the model does not have.
        ModelError: the forward pass gives values that are not finite, or does not use each layer exactly once.
    """
    check_items(model, items)
    batch = pad(items, recording, model.pad_id, padding)
    recorder = _Recorder(model, batch, sink)
    with ExitStack() as hooks:
        for layer in range(model.n_layers):
            if model.mixture(layer) is not None:
                read_mixture(model, layer, recorder.at_mixture(layer), recorder.places, hooks)
            else:
                handle = model.down(layer).register_forward_hook(recorder.at_down(layer))
                hooks.callback(handle.remove)
            if recording.hidden:
                handle = model.block(layer).register_forward_hook(recorder.at_block(layer))
                hooks.callback(handle.remove)
        logits = forward(model, batch)
    recorder.check_complete(recording.hidden)
    logprobs, entropies = _confidence(logits, batch)
    if not (np.isfinite(logprobs).all() and np.isfinite(entropies).all()):
        raise ModelError(
            f"{model.name} gives logits that are not finite in {model.dtype} at an answer token; "
            "load the model with dtype='float32', or check its weights"
        )
    return tuple(_rows(items, batch, logprobs, entropies))


def forward(model: LanguageModel, batch: PaddedBatch) -> Float[Tensor, "batch columns vocab"]:
    """The model's own forward pass; logits of `batch.columns`, see `hneurons.models.texts.logits_of`."""
    return logits_of(model, batch, batch.columns.tolist())


def output_norms(output: Float[Tensor, "*positions hidden"], bias: Tensor | None) -> Float[Tensor, "*positions"]:
    """||h|| of what a down-projection puts out, its bias taken off, in float32 (float64 of float64)."""
    wide = torch.promote_types(output.dtype, torch.float32)
    if bias is not None:
        output = output.to(wide) - bias.to(output.device, wide)
    norms: Tensor = torch.linalg.vector_norm(output, dim=-1, dtype=wide)
    return norms


def inverted(norms: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1 / ||h||, but 0 where h is zero, and NaN where it overflows.

    h = 0 contributes 0 by definition; an overflow must not look like it.
    """
    return torch.where(norms == 0, 0.0, norms.reciprocal()).masked_fill_(norms.isinf(), torch.nan)


class _Recorder:
    """The hooks of one batch."""

    def __init__(self, model: LanguageModel, batch: PaddedBatch, sink: Sink) -> None:
        self.model = model
        self.sink = sink
        self.norms = model.column_norms()
        self.n_positions = batch.input_ids.numel()
        self.on_device: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}
        self.batch = batch
        self.seen_down: list[int] = []
        self.seen_block: list[int] = []

    def at_down(self, layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        bias = self.model.down_bias(layer)

        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            z = self._gather(arguments[0]).abs_()
            inverse = inverted(output_norms(self._gather(output), bias))
            self.seen_down.append(layer)
            own = self.norms[layer, : z.shape[-1]].to(z)
            self._reduce(layer, z, inverse, own, self.sink.contributions, self.model.n_neurons)

        return hook

    def at_mixture(self, layer: int) -> Callable[[MixtureStates], None]:
        def take(states: MixtureStates) -> None:
            self.seen_down.append(layer)
            weights = self._by_place(states.norms.device).to(states.norms.dtype)  # (batch * 2, places)
            sums = torch.zeros(len(weights), self.model.n_neurons, dtype=weights.dtype, device=weights.device)
            weights = weights * inverted(states.norms)
            of_pairs = weights.index_select(1, states.routed.tokens) * states.routed.weights.abs().to(weights.dtype)
            width = states.z.shape[-1]
            for expert, own in states.routed.segments():
                z = states.z[own].to(weights.dtype).abs()
                sums[:, expert * width : (expert + 1) * width] = of_pairs[:, own] @ z
            if states.shared is not None:
                last = self.model.neurons_in(layer)
                sums[:, last - states.shared.shape[-1] : last] = weights @ states.shared.abs()
            sums *= self.norms[layer].to(sums)
            self._hand_on(layer, sums.view(-1, 2, sums.shape[-1]), self.sink.contributions)

        return take

    def places(self, device: torch.device, n_tokens: int) -> Int[Tensor, " tokens"]:
        """The place of each token among those that are read, ascending; -1 where it is not."""
        if n_tokens != self.n_positions:
            raise self._unmatched(n_tokens)
        reads = self._moved(device)[0]
        places = torch.full((n_tokens,), -1, device=device)
        read = torch.unique(reads)
        places[read] = torch.arange(len(read), device=device)
        return places

    def _by_place(self, device: torch.device) -> Float[Tensor, "rows places"]:
        """What each place weighs in the answer row and in the other row of each item, row after row."""
        reads, weights, _ = self._moved(device)
        n_items = len(reads)
        places = self.places(device, self.n_positions)[reads].unsqueeze(1).expand(-1, 2, -1)  # (batch, 2, reads)
        table = torch.zeros(n_items, 2, int(places.max()) + 1, dtype=weights.dtype, device=device)
        table.scatter_add_(2, places, weights)  # spare reads repeat a place, and add 0 to it
        return table.flatten(0, 1)

    def at_block(self, layer: int) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            stream = self._gather(output[0] if isinstance(output, tuple) else output)
            self.seen_block.append(layer)
            self._reduce(layer, stream, None, None, self.sink.hidden)

        return hook

    def check_complete(self, hidden: bool) -> None:
        """Refuse a model whose forward pass skips a layer or runs one twice: its rows would be someone else's."""
        every = list(range(self.model.n_layers))
        if self.seen_down != every or (hidden and self.seen_block != every):
            raise ModelError(
                f"a forward pass of {self.model.name} does not run its {len(every)} layers once each, in order "
                f"(down-projections seen: {self.seen_down}); contributions cannot be recorded"
            )

    def _gather(self, states: Tensor) -> Float[Tensor, "batch reads width"]:
        """A float32 copy (float64 of float64) of the read positions of (batch, seq, width) or (batch * seq, width)."""
        flat = states.detach().reshape(-1, states.shape[-1])
        if flat.shape[0] != self.n_positions:
            raise self._unmatched(flat.shape[0])
        reads, _, _ = self._moved(flat.device)
        gathered = flat.index_select(0, reads.flatten()).reshape(*reads.shape, flat.shape[-1])
        return gathered.to(torch.promote_types(flat.dtype, torch.float32))

    def _unmatched(self, found: int) -> ModelError:
        return ModelError(
            f"{self.model.name} gives its layers {found} positions for a batch of {self.n_positions}; "
            "contributions cannot be matched to tokens"
        )

    def _reduce(
        self,
        layer: int,
        values: Float[Tensor, "batch reads width"],
        inverse: Float[Tensor, "batch reads"] | None,
        scale: Float[Tensor, " width"] | None,
        sink: Callable[[int, Tensor, Tensor], None],
        width: int = 0,
    ) -> None:
        """Weighted sums over the reads as one batched matrix product, with zeros up to `width`; then the sink."""
        _, weights, _ = self._moved(values.device)
        weights = weights.to(values.dtype)
        if inverse is not None:
            weights = weights * inverse.unsqueeze(1)
        sums = torch.bmm(weights, values)
        if scale is not None:
            sums *= scale
        if sums.shape[-1] < width:
            sums = torch.nn.functional.pad(sums, (0, width - sums.shape[-1]))
        self._hand_on(layer, sums, sink)

    def _hand_on(
        self, layer: int, sums: Float[Tensor, "batch 2 width"], sink: Callable[[int, Tensor, Tensor], None]
    ) -> None:
        if not bool(sums.sum().isfinite()):
            raise ModelError(
                f"layer {layer} of {self.model.name} gives values that are not finite in {self.model.dtype}; "
                "load the model with dtype='float32', or check its weights"
            )
        with_other = self._moved(sums.device)[2]
        sink(layer, sums[:, 0], sums[:, 1].index_select(0, with_other))

    def _moved(
        self, device: torch.device
    ) -> tuple[Int[Tensor, "batch reads"], Float[Tensor, "batch 2 reads"], Int[Tensor, " others"]]:
        """Reads, weights and with_other on `device`: layers may lie on different ones."""
        if device not in self.on_device:
            batch = self.batch
            self.on_device[device] = (batch.reads.to(device), batch.weights.to(device), batch.with_other.to(device))
        return self.on_device[device]


def _confidence(
    logits: Float[Tensor, "batch columns vocab"], batch: PaddedBatch
) -> tuple[Float[np.ndarray, " items"], Float[np.ndarray, " items"]]:
    """Mean log-probability of each item's answer tokens, and mean entropy of their distributions (nats, float32)."""
    flat = logits.flatten(0, 1)
    predictions, targets = batch.predictions.to(flat.device), batch.targets.to(flat.device)
    logprobs, entropies = [], []
    step = max(1, LOGIT_SLAB // flat.shape[1])
    for start in range(0, len(targets), step):
        slab = flat.index_select(0, predictions[start : start + step])
        log = slab.to(torch.promote_types(slab.dtype, torch.float32)).log_softmax(dim=-1)
        logprobs.append(log.gather(1, targets[start : start + step, None])[:, 0])
        # a token that a model rules out (-inf) adds nothing: 0 * log 0 = 0
        entropies.append(-(log.exp() * log.clamp_min(torch.finfo(log.dtype).min)).sum(dim=-1))
    ends = np.cumsum(batch.n_answer)[:-1]

    def means(parts: list[Tensor]) -> Float[np.ndarray, " items"]:
        tokens = torch.cat(parts).double().cpu().numpy()
        return np.array([part.mean() for part in np.split(tokens, ends)])

    return means(logprobs), means(entropies)


def _rows(
    items: Sequence[Item],
    batch: PaddedBatch,
    logprobs: Float[np.ndarray, " items"],
    entropies: Float[np.ndarray, " items"],
) -> list[Row]:
    answers = [
        Row(
            key=item.key,
            role="answer",
            n_tokens=batch.n_answer[b],
            n_prompt=len(item.prompt_ids),
            n_response=len(item.response_ids),
            has_other=batch.n_other[b] > 0,
            logprob=float(logprobs[b]),
            entropy=float(entropies[b]),
        )
        for b, item in enumerate(items)
    ]
    others = [
        Row(
            key=item.key,
            role="other",
            n_tokens=batch.n_other[b],
            n_prompt=len(item.prompt_ids),
            n_response=len(item.response_ids),
            has_other=True,
            logprob=None,
            entropy=None,
        )
        for b, item in enumerate(items)
        if batch.n_other[b]
    ]
    return answers + others


def check_items(model: LanguageModel, items: Sequence[Item]) -> None:
    """Refuse items that the model cannot read.

    Raises:
        ResponseError: no item, an item longer than the model can read, or token ids that the model does not have.
    """
    texts = [item.prompt_ids + item.response_ids for item in items]
    check_texts(model, texts, ResponseError, "item", [item.key for item in items])
