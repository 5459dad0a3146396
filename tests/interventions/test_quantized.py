"""Turning neurons of quantized models: exactly what the dequantized weights give, up to the kernel's own rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from hneurons.interventions import Scaling, ablate, scale, scale_rows, steer
from hneurons.models.language_model import LanguageModel
from hneurons.models.quantized import KINDS

Model = Callable[[str, str], LanguageModel]

IDS = torch.tensor([[5, 17, 40, 41, 9, 30], [8, 2, 100, 55, 60, 61]])
NEURONS = [(0, 3), (1, 0), (1, 47), (0, 121)]


@torch.no_grad()
def logits(model: LanguageModel) -> Tensor:
    found: Tensor = model.hf(input_ids=IDS, use_cache=False).logits
    return found.double()


def apart(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def edited(model: LanguageModel, neurons: Sequence[tuple[int, int]], alpha: float) -> Tensor:
    """Logits of an ordinary model with scaled columns of W_down, which are put back."""
    before = {layer: model.down_weight(layer).clone() for layer in range(model.n_layers)}
    for layer, index in neurons:
        model.down_weight(layer)[:, index] *= alpha
    found = logits(model)
    for layer, weight in before.items():
        model.down_weight(layer).copy_(weight)
    return found


WEIGHTS_ONLY = [("llama", kind) for kind in KINDS if kind != "int8"] + [("gpt2", "nf4"), ("gemma3", "fp4")]


@pytest.mark.parametrize(("family", "kind"), WEIGHTS_ONLY)
def test_scaling_is_exact_where_only_weights_are_rounded(
    family: str, kind: str, quantized_model: Model, dequantized_model: Model
) -> None:
    model, exact = quantized_model(family, kind), dequantized_model(family, kind)
    plain = logits(model)
    for alpha in (0.0, 2.5):
        with scale(model, NEURONS, alpha):
            scaled = logits(model)
        expected = edited(exact, NEURONS, alpha)
        assert apart(scaled, expected) < 1e-5
        assert apart(plain, expected) > 1e-4
        with scale_rows(model, [Scaling(tuple(NEURONS), alpha), Scaling((), 1.0)]):
            rows = logits(model)
        assert apart(rows[0], expected[0]) < 1e-5
        assert apart(rows[1], plain[1]) < 1e-5
    assert torch.equal(logits(model), plain)


def test_llm_int8_adds_only_the_rounding_that_it_has_anyway(quantized_model: Model) -> None:
    """At the output of one down-projection, against float64 on its dequantized weights: alpha makes no further error.

    The change itself is exact to the rounding of what is turned, unless the largest value of a token is turned: then
    the steps in which all others are rounded change with it.
    """
    model = quantized_model("llama", "int8")
    down, weight = model.down(0), model.down_weight(0).double()
    z = torch.randn(200, model.n_neurons, generator=torch.Generator().manual_seed(1))
    least = z.abs().argmin(dim=-1)

    def errors(index: Tensor, alpha: float) -> tuple[float, float]:
        """Of the output, and of the change that alpha makes of it, both relative to the output."""
        turned = z.clone()
        turned[torch.arange(len(z)), index] *= alpha
        with torch.no_grad():
            found, before = down(turned).double(), down(z).double()
        expected, exact_before = turned.double() @ weight.T, z.double() @ weight.T
        size = expected.norm(dim=-1)
        change = (found - before) - (expected - exact_before)
        return float(((found - expected).norm(dim=-1) / size).mean()), float((change.norm(dim=-1) / size).mean())

    plain, _ = errors(least, 1.0)
    assert 2e-3 < plain < 2e-2
    for alpha in (0.0, 3.0):
        whole, change = errors(least, alpha)
        assert whole == pytest.approx(plain, rel=0.05)
        assert change < plain / 5
    _, change = errors(z.abs().argmax(dim=-1), 0.0)
    assert change > plain / 2


@pytest.mark.parametrize("kind", KINDS)
def test_other_interventions_run_and_restore(kind: str, quantized_model: Model) -> None:
    model = quantized_model("llama", kind)
    plain = logits(model)
    direction = torch.randn(model.hidden_size, generator=torch.Generator().manual_seed(0))
    for block in (ablate(model, "neurons", NEURONS), steer(model, 0, direction, 2.0)):
        with block:
            assert apart(logits(model), plain) > 1e-3
    assert torch.equal(logits(model), plain)
