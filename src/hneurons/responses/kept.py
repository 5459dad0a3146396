"""Which tokens may be sampled, and with what logits: temperature, then top-k, then top-p.

The rules are those of `transformers` (`TemperatureLogitsWarper`, `TopKLogitsWarper`, `TopPLogitsWarper`, in this
order), and so are the kept tokens and their logits; only the work differs: a handful of candidates is sorted, not the
vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

_FEW = 1024  # candidates a row: up to so many are picked on the host


@dataclass(frozen=True)
class Kept:
    """The tokens that may be sampled, a row each, as one flat list.

    Attributes:
        logits: of the kept tokens of the first row, then of the second, and so on, after the temperature.
        tokens: their ids.
        counts: how many tokens each row keeps; at least one.
    """

    logits: Float32[np.ndarray, " kept"]
    tokens: Int64[np.ndarray, " kept"]
    counts: Int64[np.ndarray, " rows"]


def keep(logits: Float[Tensor, "rows vocabulary"], temperature: float, top_k: int, top_p: float) -> Kept:
    """The tokens of each row that survive temperature, top-k and top-p, in this order.

    Args:
        logits: of the next token, straight from the model; computed with in float32.
        temperature: divides the logits; 0 keeps the largest alone (greedy decoding).
        top_k: keep the k largest, and all that tie with the k-th; 0 keeps all.
        top_p: then drop the least likely tokens while they add up to at most `1 - top_p`, never the last one; where
            tokens tie, the smaller id is dropped first. 1 drops nothing.
    """
    scores = logits.float()
    if temperature == 0:
        best = scores.argmax(dim=-1, keepdim=True)
        return _on_host(scores.gather(1, best), best, torch.ones_like(best, dtype=torch.bool))
    scores = scores / temperature
    candidates, tokens = _top_k(scores, top_k)
    kept = candidates > -torch.inf
    if top_p < 1:
        candidates, order = candidates.sort(dim=-1, stable=True)
        tokens = tokens.gather(1, order)
        kept = kept.gather(1, order) & (candidates.softmax(dim=-1).cumsum(dim=-1) > 1 - top_p)
        kept[:, -1] = True
    return _on_host(candidates, tokens, kept)


def _top_k(
    scores: Float32[Tensor, "rows vocabulary"], k: int
) -> tuple[Float32[Tensor, "rows candidates"], Int64[Tensor, "rows candidates"]]:
    """The k largest scores of each row and all that tie with the k-th, by ascending token id; the others as -inf."""
    n_rows, n_tokens = scores.shape
    if not 0 < k < n_tokens:
        return scores, torch.arange(n_tokens, device=scores.device).expand(n_rows, -1)
    best = scores.topk(k + 1, dim=-1)
    smallest = best.values[:, k - 1 : k]
    tokens = best.indices
    if bool((best.values[:, k:] == smallest).any()):  # ties may go on
        tokens = scores.topk(int((scores >= smallest).sum(dim=-1).max()), dim=-1).indices
    tokens = tokens.sort(dim=-1).values
    candidates = scores.gather(1, tokens)
    return candidates.masked_fill(candidates < smallest, -torch.inf), tokens


def _on_host(
    candidates: Float32[Tensor, "rows candidates"],
    tokens: Int64[Tensor, "rows candidates"],
    kept: Tensor,
) -> Kept:
    """What is kept, as numpy arrays. A few candidates are moved as they are: picking them on a GPU takes longer."""
    if candidates.shape[-1] > _FEW:
        logits, chosen, counts = candidates[kept].cpu(), tokens[kept].cpu(), kept.sum(dim=-1).cpu()
        return Kept(logits.numpy(), chosen.numpy(), counts.numpy())
    rows = kept.cpu().numpy()
    return Kept(candidates.cpu().numpy()[rows], tokens.cpu().numpy()[rows], rows.sum(axis=-1, dtype=np.int64))
