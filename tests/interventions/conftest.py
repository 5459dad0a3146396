"""What the tests of turning neurons share: a few prompts, batches of them, logits, and a probe to gate with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jaxtyping
import pytest
import torch
from tests.hooks import n_hooks
from tests.interventions.naive_gate import WEIGHTS
from torch import Tensor

from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe


@pytest.fixture(scope="session")
def prompts() -> list[tuple[int, ...]]:
    """Token ids of three prompts of different lengths."""
    return [(5, 17, 40, 41, 9, 30, 77), (8, 3, 100), (55, 60, 61, 9, 12)]


@pytest.fixture(scope="session")
def logits() -> Callable[..., list[Tensor]]:
    """`logits(model, prompts, side=None)`: those of each prompt alone, or in one batch padded on a side."""

    def compute(model: LanguageModel, prompts: Sequence[Sequence[int]], side: str | None = None) -> list[Tensor]:
        if side is None:
            return [forward(model, [prompt], "right")[0] for prompt in prompts]
        found = forward(model, prompts, side)
        return [
            row[len(row) - len(prompt) :] if side == "left" else row[: len(prompt)]
            for row, prompt in zip(found, prompts, strict=True)
        ]

    return compute


@pytest.fixture(scope="session")
def batch() -> Callable[..., dict[str, Any]]:
    """`batch(model, prompts, side)`: arguments of a forward pass."""
    return padded


def padded(model: LanguageModel, prompts: Sequence[Sequence[int]], side: str) -> dict[str, Any]:
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), model.pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        columns = slice(width - len(prompt), None) if side == "left" else slice(len(prompt))
        ids[row, columns], mask[row, columns] = torch.tensor(prompt), 1
    arguments = {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
    known = inspect.signature(model.hf.forward).parameters
    return {name: value for name, value in arguments.items() if name in known}


def forward(model: LanguageModel, prompts: Sequence[Sequence[int]], side: str) -> Tensor:
    found: Tensor = model.hf(**padded(model, prompts, side), use_cache=False).logits
    return found


@pytest.fixture(scope="session")
def hooks() -> Callable[[LanguageModel], int]:
    """`hooks(model)`: how many are attached to it."""
    return n_hooks


@pytest.fixture
def probe_of(hand_probe: Callable[..., Probe]) -> Callable[[LanguageModel], Probe]:
    """`probe_of(model)`: a probe of a few neurons of the first two layers, some of positive weight."""
    return lambda model: hand_probe(model, WEIGHTS, -1.0)


@pytest.fixture
def as_a_user_calls() -> Iterator[None]:
    """Without the tests' type checks, so that what users meet are our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
