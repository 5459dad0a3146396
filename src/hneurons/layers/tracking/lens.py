"""Logit lens: what a model would say if it stopped after each layer (nostalgebraist 2020).

    p_d = softmax(tail(h_d)),   d = 0 ... layers        tail: the model's own final norm, unembedding, scaling of logits

h_0 enters the first layer, h_d leaves layer d - 1; p_d at the last depth is the model's own distribution, which is
checked in every batch. A tuned lens puts an affine map before the tail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hneurons.errors import ResponseError
from hneurons.layers.tracking.states import States, by_length, read_states
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail

SLAB = 1 << 22
"""Logits that exist at a time: 16 MiB in float32, however large the vocabulary."""


@runtime_checkable
class Translators(Protocol):
    """Maps a state to what stands for it at the last depth."""

    def translate(self, depth: int, states: Float[Tensor, "reads hidden"]) -> Float[Tensor, "reads hidden"]: ...


@dataclass(frozen=True, eq=False)
class LensReading:
    """What a lens shows at every position that was read, and how far it is from the model's own distribution.

    Attributes:
        tokens: the tokens that were followed: those asked for, then the competitor, the likeliest of all others at the
            last depth. -1 where none was asked for.
        log_prob: of these tokens, in nats; NaN where there is none.
        rank: of these tokens: 1 + how many tokens are likelier; 0 where there is none.
        top: the likeliest token.
        entropy: of the distribution, in nats.
        kl: KL(model's own distribution, lens) in nats.
    """

    tokens: Int64[np.ndarray, "reads followed"]
    log_prob: Float[np.ndarray, "reads depths followed"]
    rank: Int64[np.ndarray, "reads depths followed"]
    top: Int64[np.ndarray, "reads depths"]
    entropy: Float[np.ndarray, "reads depths"]
    kl: Float[np.ndarray, "reads depths"]


def logit_lens(
    model: LanguageModel,
    token_ids: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    tokens: Sequence[Sequence[int]] | None = None,
    lens: Translators | None = None,
    *,
    apart: int | None = None,
    batch_rows: int = 64,
) -> LensReading:
    """What a model would say after each layer, at some positions of some texts.

    A position tells of the token after it: read answer token i of a response at `len(prompt) + i - 1`. Depth 0 is the
    embedding, depth d what layer d - 1 puts out; the last one is checked against the model's own logits.

    Args:
        model: any loaded model.
        token_ids: texts, prompt and response.
        positions: of each text, ascending, counted from 0.
        tokens: for every position that is read (text after text) the tokens to follow, as many for each; -1 for none.
        lens: a tuned lens; the plain one if left out.
        apart: the competitor is none of the first so many tokens of each; of all, if left out.
        batch_rows: texts of a forward pass.

    Returns:
        Rows in the order of texts, then positions.

    Raises:
        ResponseError: texts, positions or tokens do not fit each other, or the model cannot read them.
        ModelError: the lens of the last layer is not the model's own distribution, or values are not finite.
    """
    if not token_ids or len(token_ids) != len(positions):
        raise ResponseError(f"there are {len(token_ids)} texts and positions of {len(positions)}; give each its own")
    counts = [len(own) for own in positions]
    ends = np.cumsum([0, *counts])
    followed = _followed(tokens, int(ends[-1]), model)
    tail = Tail(model)
    parts: list[LensReading] = []
    order: list[int] = []
    for batch in by_length([len(own) for own in token_ids], batch_rows):
        batch = [number for number in batch if counts[number]]
        if not batch:
            continue
        rows = [row for number in batch for row in range(ends[number], ends[number + 1])]
        states = read_states(model, [token_ids[number] for number in batch], [positions[number] for number in batch])
        parts.append(look(tail, states, followed[rows], lens, apart=apart))
        order += rows
    if not parts:
        raise ResponseError("there is no position to read; give each text its positions")
    back = np.argsort(np.array(order))
    return LensReading(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])[back]
            for field in fields(LensReading)
        }
    )


@torch.no_grad()
def look(
    tail: Tail,
    states: States,
    tokens: Int64[np.ndarray, "reads asked"],
    lens: Translators | None = None,
    *,
    apart: int | None = None,
) -> LensReading:
    """A lens on states that were read, of all depths.

    Raises:
        ModelError: the tail of the last depth does not lead to the model's own logits.
    """
    values = states.values
    tail.check(values[states.ends, -1], states.own)
    made = []
    step = max(1, SLAB // tail.vocabulary)
    for start in range(0, len(values), step):
        slab = slice(start, start + step)
        made.append(_look(tail, values[slab], torch.from_numpy(tokens[slab]).to(values.device), lens, apart))
    joined = [torch.cat(column).cpu() for column in zip(*made, strict=True)]
    followed, log_prob, rank, top, entropy, kl = (column.numpy() for column in joined)
    return LensReading(followed, log_prob, rank, top, entropy, kl)


def _look(
    tail: Tail, values: Tensor, asked: Tensor, lens: Translators | None, apart: int | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    last = values.shape[1] - 1
    own = log_softmax(tail(values[:, last]))
    others = own.clone()
    barred = asked[:, :apart] if apart is not None else asked
    others.scatter_(1, barred.clamp_min(0), -torch.inf)
    none = (barred < 0).any(dim=-1)  # token 0 was barred in the place of none
    if bool(none.any()):
        others[none, 0] = torch.where((barred[none] == 0).any(dim=-1), -torch.inf, own[none, 0])
    followed = torch.cat([asked, others.argmax(dim=-1, keepdim=True)], dim=1)
    columns: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
    for depth in range(last + 1):
        state = values[:, depth]
        if lens is not None and depth < last:
            state = lens.translate(depth, state)
        logits = tail(state) if depth < last else own
        log = log_softmax(logits) if depth < last else own
        place = followed.clamp_min(0)
        at, absent = log.gather(1, place), followed < 0
        rank = torch.stack([1 + (log > at[:, i : i + 1]).sum(dim=-1) for i in range(at.shape[1])], dim=1)
        columns.append(
            (
                at.masked_fill(absent, torch.nan),
                rank.masked_fill(absent, 0),
                log.argmax(dim=-1),
                expected(log, -log),
                expected(own, own - log),
            )
        )
    return (followed, *(torch.stack(column, dim=1) for column in zip(*columns, strict=True)))  # type: ignore[return-value]


def log_softmax(logits: Float[Tensor, "reads vocab"]) -> Float[Tensor, "reads vocab"]:
    """Log-probabilities in float32 or wider."""
    return logits.log_softmax(dim=-1)


def expected(log: Float[Tensor, "reads vocab"], values: Float[Tensor, "reads vocab"]) -> Float[Tensor, " reads"]:
    """The mean of `values` under a distribution; a token that is ruled out adds nothing."""
    weight = log.exp()
    return torch.where(weight > 0, weight * values, 0.0).sum(dim=-1)


def _followed(
    tokens: Sequence[Sequence[int]] | None, reads: int, model: LanguageModel
) -> Int64[np.ndarray, "reads asked"]:
    if tokens is None:
        return np.zeros((reads, 0), dtype=np.int64)
    if len(tokens) != reads or len({len(own) for own in tokens}) > 1:
        raise ResponseError(
            f"{reads} positions are read and tokens are given for {len(tokens)}; give as many tokens for each position"
        )
    found = np.array([list(own) for own in tokens], dtype=np.int64).reshape(reads, -1)
    vocabulary = model.hf.get_output_embeddings().weight.shape[0]
    if found.size and not (found.min() >= -1 and found.max() < vocabulary):
        raise ResponseError(f"tokens to follow lie outside the {vocabulary} of {model.name}; -1 stands for none")
    return found
