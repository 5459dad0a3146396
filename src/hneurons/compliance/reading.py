"""How well a model reads held-out text with its neurons turned: every alpha in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from hneurons.compliance.turning import NeuronSet, turn
from hneurons.errors import ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import logits_of, longest_text, pad_texts
from hneurons.questions.prompts import plain_ids

LONGEST = 1024
"""Tokens of a passage that are read, at most."""

VALUES = 1 << 28
"""Logits held at once, at most, unless one passage alone has more: what limits how many passages are read together."""


@dataclass(frozen=True)
class Loss:
    """How well one passage was read at one alpha: the sum of -log p(token | before it) in nats, over `n_tokens` tokens.

    The first token of a passage has nothing before it and does not count, unless the tokenizer begins texts with a
    token of its own. `seen` and `turned` are the tokens that passed the gate, and those it turned; 0 without a gate.
    """

    passage: int
    alpha: float
    nll: float
    n_tokens: int
    seen: int = 0
    turned: int = 0


def passage_ids(passages: Sequence[str], model: LanguageModel) -> list[tuple[int, ...]]:
    """Passages as token ids, each with what begins a text in front, and none longer than `LONGEST` or than the model
    can read."""
    longest = min(LONGEST, longest_text(model) or LONGEST)
    return [tuple(plain_ids(passage, model.tokenizer)[:longest]) for passage in passages]


def passages_at_once(model: LanguageModel, longest: int, n_alphas: int, batch_rows: int) -> int:
    """How many passages are read together."""
    vocabulary: int = model.hf.get_input_embeddings().num_embeddings
    return max(1, min(batch_rows // n_alphas, VALUES // (longest * n_alphas * vocabulary)))


@torch.no_grad()
def read(
    model: LanguageModel,
    passages: Sequence[tuple[int, Sequence[int]]],
    chosen: NeuronSet | None,
    alphas: Sequence[float],
) -> list[Loss]:
    """Teacher-forced loss of passages at every alpha, all of them in one batch, summed in float64.

    Args:
        model: the model.
        passages: number and token ids of each.
        chosen: the neurons; None for the intact model.
        alphas: each different.

    Returns:
        In the order of passages, then alphas.

    Raises:
        ModelError: the logits are not numbers.
    """
    rows = [(number, ids, alpha) for number, ids in passages for alpha in alphas]
    texts = pad_texts([ids for _, ids, _ in rows], model.pad_id)
    with turn(model, chosen, [alpha for _, _, alpha in rows]) as count:
        logits = logits_of(model, texts)
    found = []
    for row, (number, ids, alpha) in enumerate(rows):
        nll = float(negative_log_likelihoods(logits[row, : len(ids) - 1], torch.tensor(ids[1:])).sum())
        if nll != nll:
            raise ModelError(f"the logits of {model.name} are not numbers; load it with dtype float32 or bfloat16")
        found.append(Loss(number, alpha, nll, len(ids) - 1, int(count.tokens[row]), int(count.turned[row])))
    return found


def negative_log_likelihoods(
    logits: Float[Tensor, "tokens vocabulary"], targets: Int64[Tensor, " tokens"]
) -> Float64[Tensor, " tokens"]:
    """-log p of each target under the logits at its place, in nats."""
    wide = logits.double()
    chosen = wide.gather(-1, targets.to(wide.device)[:, None])[:, 0]
    return (wide.logsumexp(dim=-1) - chosen).cpu()
