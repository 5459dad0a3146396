"""What a model looks at: shares of attention by what tokens stand for, reduced in the hook, and one layer's weights.

Of head h in layer l at position t, with weights a_{t,s} that sum to 1 over the visible tokens s:

    share(S) = sum of a_{t,s} over s in S          uniform(S) = visible tokens in S / visible tokens
    lift(S) = share(S) - uniform(S)                entropy = - sum of a_{t,s} log a_{t,s}, in nats

A share grows with the length of its segment; the lift does not, where attention is spread evenly. All are means over
the positions that are read of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from hneurons.errors import ModelError, ResponseError
from hneurons.interventions.sites import check_layers
from hneurons.layers.answered import SEGMENTS, Answered, Segment
from hneurons.layers.attention.handing import Implementation, Reader, check_alike, handed, run
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import check_texts

Attended = Segment | Literal["response"]
"""What a token stands for; "response": what was said before, the token at the position itself included."""
ATTENDED: tuple[Attended, ...] = (*SEGMENTS, "response")
ROUNDING = 1e-4
"""How far from 1 weights may sum, beside what the type of the model rounds off."""


@dataclass(frozen=True)
class Reading:
    """A text, what each of its tokens stands for, and where it is read: ascending positions in it."""

    token_ids: tuple[int, ...]
    segments: tuple[Attended, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Shares:
    """What was looked at in some texts; each number is the mean over the positions that were read of a text.

    Attributes:
        layers: those that were read, ascending.
        implementation: of the attention.
        share: of the attention on each of `ATTENDED`; sums to 1.
        uniform: what uniform attention over the visible tokens would give; differs by layer where windows do.
        entropy: of the attention, in nats.
        uniform_entropy: that of uniform attention, the logarithm of the number of visible tokens.
    """

    layers: tuple[int, ...]
    implementation: Implementation
    share: Float64[np.ndarray, "rows layers heads segments"]
    uniform: Float64[np.ndarray, "rows layers segments"]
    entropy: Float64[np.ndarray, "rows layers heads"]
    uniform_entropy: Float64[np.ndarray, "rows layers"]

    @property
    def lift(self) -> Float64[np.ndarray, "rows layers heads segments"]:
        """Share less uniform: positive where a segment gets more than its length would give it."""
        lift: Float64[np.ndarray, "rows layers heads segments"] = self.share - self.uniform[:, :, None]
        return lift

    @property
    def spread(self) -> Float64[np.ndarray, "rows layers heads"]:
        """Entropy over that of uniform attention: 0 is on one token, 1 on all alike; 0 where one token is visible."""
        most = self.uniform_entropy[:, :, None]
        return np.asarray(np.divide(self.entropy, most, out=np.zeros_like(self.entropy), where=most > 0))


def reading(answered: Answered) -> Reading:
    """An answer as it is read: at the positions that predict its answer tokens."""
    said: list[Attended] = ["response"] * len(answered.response_ids)
    return Reading(
        token_ids=answered.token_ids,
        segments=(*answered.segments, *said),
        positions=tuple(answered.predicts(index) for index in answered.answer),
    )


def attention_pattern(
    model: LanguageModel, token_ids: Sequence[int], layer: int
) -> Float32[np.ndarray, "heads queries keys"]:
    """The attention weights of one layer for one text, as the model's own module hands them out.

    Args:
        model: any loaded model.
        token_ids: the text, with the special tokens that belong to it.
        layer: counted from 0.

    Returns:
        Weights [head, query, key]; each query's sum to 1, and are 0 for keys after it.

    Raises:
        ModelError: no such layer, or the model hands out no weights, or such as are not its own.
        ResponseError: the text is empty, too long, or of another vocabulary.
    """
    (layer,) = check_layers(model, [layer])
    ids = tuple(token_ids)
    unnamed: list[Attended] = ["template"] * len(ids)
    _check(model, [Reading(ids, tuple(unnamed), tuple(range(len(ids))))])
    check_alike(model, ids)
    kept: list[Float32[np.ndarray, "heads queries keys"]] = []

    def keep(weights: Tensor) -> None:
        rows = weights[0].transpose(0, 1).float()
        _check_weights(model, layer, rows, torch.arange(len(ids), device=rows.device))
        kept.append(weights[0].float().cpu().numpy().copy())

    with handed(model, {layer: keep}, 1, len(ids)):
        run(model, [ids])
    return kept[0]


def attention_shares(
    model: LanguageModel,
    texts: Sequence[Answered | Reading],
    layers: Sequence[int] | None = None,
    *,
    batch_rows: int = 64,
) -> Shares:
    """Shares of attention by segment, layer and head, and its entropy; batched, one layer's weights at a time.

    Memory is that of one layer's weights for one batch: rows * heads * tokens^2 numbers.

    Args:
        model: any loaded model.
        texts: answers, read where their answer tokens are predicted, or readings of any text.
        layers: from which layers; all if left out.
        batch_rows: texts in a forward pass, at most; texts of like length go together.

    Raises:
        ModelError: no such layer; the model hands out no weights, or such as do not sum to 1 (a learned sink), see the
            future, or are not those it computes with.
        ResponseError: a text that is empty, too long, of another vocabulary, without a segment for each token or
            without a position.
    """
    chosen = check_layers(model, range(model.n_layers) if layers is None else layers)
    readings = [each if isinstance(each, Reading) else reading(each) for each in texts]
    _check(model, readings)
    if not chosen or batch_rows < 1:
        raise ResponseError(f"there is nothing to read from {len(chosen)} layers in batches of {batch_rows}")
    check_alike(model, readings[0].token_ids)
    n, heads, width = len(readings), model.n_heads, len(ATTENDED)
    made = {
        "share": np.empty((n, len(chosen), heads, width)),
        "uniform": np.empty((n, len(chosen), width)),
        "entropy": np.empty((n, len(chosen), heads)),
        "uniform_entropy": np.empty((n, len(chosen))),
    }
    by_length = sorted(range(n), key=lambda index: len(readings[index].token_ids))
    for start in range(0, n, batch_rows):
        rows = by_length[start : start + batch_rows]
        batch = [readings[index] for index in rows]
        reduced = _Reduced(model, batch)

        def reader(place: int, layer: int, rows: list[int] = rows, reduced: _Reduced = reduced) -> Reader:
            def read(weights: Tensor) -> None:
                for name, values in reduced.of(layer, weights).items():
                    made[name][rows, place] = values

            return read

        readers = {layer: reader(place, layer) for place, layer in enumerate(chosen)}
        seq = max(len(each.token_ids) for each in batch)
        with handed(model, readers, len(batch), seq) as used:
            run(model, [each.token_ids for each in batch])
    return Shares(tuple(chosen), used, **made)


class _Reduced:
    """Where one batch is read, and what becomes of a layer's weights there."""

    def __init__(self, model: LanguageModel, batch: Sequence[Reading]) -> None:
        self.model = model
        self.n = len(batch)
        seq = max(len(each.token_ids) for each in batch)
        number = {name: place for place, name in enumerate(ATTENDED)}
        self.rows = torch.tensor([row for row, each in enumerate(batch) for _ in each.positions])
        self.queries = torch.tensor([position for each in batch for position in each.positions])
        self.counts = torch.tensor([len(each.positions) for each in batch], dtype=torch.float64)
        marks = torch.zeros(self.n, seq, len(ATTENDED))
        for row, each in enumerate(batch):
            places = torch.tensor([number[name] for name in each.segments])
            marks[row, torch.arange(len(places)), places] = 1.0
        self.marks = marks[self.rows]  # a segment for each key of each read; none for padding

    def of(self, layer: int, weights: Float[Tensor, "rows heads seq seq"]) -> dict[str, np.ndarray]:
        """Means over the positions of each text; the weights themselves are let go."""
        device = weights.device
        queries, marks = self.queries.to(device), self.marks.to(device)
        read = weights[self.rows.to(device), :, queries].to(torch.promote_types(weights.dtype, torch.float32))
        _check_weights(self.model, layer, read, queries)
        read = read / read.sum(dim=-1, keepdim=True)
        visible = _visible(read, queries)
        n_visible = visible.sum(dim=-1)
        return {
            "share": self._means(torch.einsum("nhk,nks->nhs", read, marks.to(read.dtype))),
            "uniform": self._means((visible.to(marks.dtype)[:, None] @ marks)[:, 0] / n_visible[:, None]),
            "entropy": self._means(torch.special.entr(read).sum(dim=-1)),
            "uniform_entropy": self._means(n_visible.double().log()),
        }

    def _means(self, reads: Float[Tensor, "reads ..."]) -> Float64[np.ndarray, "rows ..."]:
        sums = torch.zeros(self.n, *reads.shape[1:], dtype=torch.float64)
        sums.index_add_(0, self.rows, reads.cpu().double())
        means: Float64[np.ndarray, "rows ..."] = (sums / self.counts.reshape(-1, *[1] * (sums.ndim - 1))).numpy()
        return means


def _visible(read: Float[Tensor, "reads heads keys"], queries: Int64[Tensor, " reads"]) -> Tensor:
    """Whether a query could see each key: from the first key that any head looks at up to the query itself.

    A window cuts off what is far back, and masked keys weigh exactly 0; a visible key may round to 0 in some head, but
    not the first of all in every one.
    """
    looked = (read > 0).any(dim=1)
    keys = torch.arange(read.shape[-1], device=read.device)
    first = looked.int().argmax(dim=-1, keepdim=True)
    return (keys >= first) & (keys <= queries[:, None])


def _check_weights(
    model: LanguageModel, layer: int, read: Float[Tensor, "reads heads keys"], queries: Int64[Tensor, " reads"]
) -> None:
    """Refuse what cannot be attention weights of a causal model."""
    sums = read.sum(dim=-1)
    off = (sums - 1).abs().nan_to_num(torch.inf)
    if bool((off > ROUNDING + 2 * torch.finfo(model.dtype).eps).any()):
        raise ModelError(
            f"the attention weights of layer {layer} of {model.name} sum to {float(sums.flatten()[off.argmax()]):.3g}, "
            "not to 1: part of its attention goes to no token (a learned sink), or they are not finite; "
            "shares of it would not be comparable"
        )
    keys = torch.arange(read.shape[-1], device=read.device)
    ahead = read.masked_fill((keys <= queries[:, None])[:, None], 0.0)
    if bool((ahead != 0).any()):
        raise ModelError(
            f"the attention weights of layer {layer} of {model.name} lie on tokens that come later "
            f"(up to {float(ahead.max()):.2g}); they are not those of a causal model"
        )


def _check(model: LanguageModel, readings: Sequence[Reading]) -> None:
    check_texts(model, [each.token_ids for each in readings], ResponseError)
    for number, each in enumerate(readings):
        ids, where = each.token_ids, each.positions
        if len(each.segments) != len(ids) or not set(each.segments) <= set(ATTENDED):
            raise ResponseError(
                f"text {number} has {len(ids)} tokens and {len(each.segments)} segments; "
                f"give one of {', '.join(ATTENDED)} for each token"
            )
        if not where or list(where) != sorted(set(where)) or where[0] < 0 or where[-1] >= len(ids):
            raise ResponseError(
                f"text {number} is to be read at {where}; give ascending positions from 0 to {len(ids) - 1}"
            )
