"""What is run: token sequences, some of them with noise on a few embeddings, in one padded batch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import check_texts, logits_at, pad_texts

ROWS = 4096
"""Embeddings that are measured at a time."""


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on the embeddings of some tokens (ROME: Meng et al. 2022, arXiv 2202.05262, section 2.1).

    A draw belongs to `key`, `draw` and `seed`, whatever else is in the batch.

    Attributes:
        positions: of the tokens.
        sigma: standard deviation, in the units of the embeddings; see `embedding_spread`.
        key: what the noise is for, such as a question.
        draw: which of several draws.
        seed: of all of them.
    """

    positions: tuple[int, ...]
    sigma: float
    key: str
    draw: int = 0
    seed: int = 0

    def values(self, width: int) -> Float[np.ndarray, "positions width"]:
        """The noise of each token, in float64."""
        named = hashlib.sha256(self.key.encode()).digest()[:16]
        random = np.random.default_rng([self.seed, self.draw, int.from_bytes(named)])
        drawn: np.ndarray = random.normal(0.0, self.sigma, (len(self.positions), width))
        return drawn


@dataclass(frozen=True)
class Input:
    """A run: tokens that are forced on the model, and noise; what it says next is predicted at the last of them."""

    token_ids: tuple[int, ...]
    noise: Noise | None = None

    def __len__(self) -> int:
        return len(self.token_ids)


def embedding_spread(model: LanguageModel) -> float:
    """Standard deviation of all entries of the token embeddings, as the model's embedding module puts them out."""
    module = model.hf.get_input_embeddings()
    count, total, squares = 0, 0.0, 0.0
    with torch.no_grad():
        for start in range(0, module.num_embeddings, ROWS):
            ids = torch.arange(start, min(start + ROWS, module.num_embeddings), device=model.device)
            values = module(ids).double()
            count += values.numel()
            total += float(values.sum())
            squares += float(values.square().sum())
    return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))


@contextmanager
def noisy(model: LanguageModel, inputs: Sequence[Input]) -> Iterator[None]:
    """Add each row's noise to what the embedding module puts out for it, until the block ends."""
    noises = [(row, own.noise) for row, own in enumerate(inputs) if own.noise is not None]
    if not noises:
        yield
        return

    def add(_module: Any, _arguments: Any, output: Tensor) -> Tensor:
        wide = torch.promote_types(output.dtype, torch.float32)
        found = output.to(wide)  # a copy only where the type changes
        found = found.clone() if found is output else found
        for row, noise in noises:
            drawn = torch.from_numpy(noise.values(output.shape[-1])).to(wide).to(output.device)
            found[row, list(noise.positions)] += drawn
        return found.to(output.dtype)

    handle = model.hf.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def last_logits(model: LanguageModel, inputs: Sequence[Input]) -> Float[Tensor, "inputs vocab"]:
    """The logits at the last token of each input, from one batch padded on the right; only these columns are computed.

    Raises:
        ModelError: they are not finite.
    """
    texts = pad_texts([own.token_ids for own in inputs], model.pad_id)
    with noisy(model, inputs):
        found = logits_at(model, texts, [(row, len(own) - 1) for row, own in enumerate(inputs)])
    if not bool(found.isfinite().all()):
        raise ModelError(
            f"{model.name} gives logits that are not finite in {model.dtype}; load it with dtype='float32'"
        )
    return found


def check_inputs(model: LanguageModel, inputs: Sequence[Input]) -> None:
    """Refuse what cannot be run.

    Raises:
        InterventionError: no input, one that is empty, too long or of another vocabulary, or noise beyond its end.
    """
    check_texts(model, [own.token_ids for own in inputs], InterventionError, "input")
    for number, own in enumerate(inputs):
        if own.noise is not None:
            check_positions(own.noise.positions, len(own), f"the noise of input {number}")


def check_positions(positions: Sequence[int], length: int, what: str) -> None:
    """Refuse positions that are not there, or there twice.

    Raises:
        InterventionError: such a one, or none at all.
    """
    if not positions or min(positions) < 0 or max(positions) >= length or len(set(positions)) < len(positions):
        raise InterventionError(f"{what} has positions {tuple(positions)}; give some of 0 to {length - 1}, each once")
