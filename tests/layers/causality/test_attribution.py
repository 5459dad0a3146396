"""Attribution patching against finite differences, in float64 and in every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import hooks_of
from tests.layers.causality.naive import doubled

from hneurons.errors import InterventionError
from hneurons.interventions.sites import SITES, site_parts
from hneurons.layers.causality.attribution import attribute
from hneurons.layers.causality.inputs import Input, Noise
from hneurons.layers.causality.patching import Patch, Place, Runs, patched
from hneurons.models.language_model import LanguageModel

CLEAN = [Input((5, 17, 40, 41, 9, 30, 77)), Input((8, 3, 100))]
CORRUPT = [Input((5, 90, 91, 41, 9, 30, 12)), Input((8, 3, 100), Noise((1,), 0.5, "a"))]
ANSWERS = [(7, 20), (11, 12)]
STEP = 2e-2
"""Wide, and the differences of fourth order: some families compute their norms in float32 whatever the model is."""
CLOSE = {"rtol": 1e-3, "atol": 5e-5}
Make = Callable[..., LanguageModel]


def estimates(model: LanguageModel, **options: Any) -> dict[tuple[str, int], np.ndarray]:
    found: dict[tuple[str, int], np.ndarray] = {}

    def take(site: str, layer: int, scores: torch.Tensor) -> None:
        found[site, layer] = scores.cpu().numpy()

    attribute(model, CORRUPT, CLEAN, ANSWERS, take, **options)
    return found


def derivatives(
    model: LanguageModel,
    corrupt: list[Input],
    clean: list[Input],
    asked: list[tuple[int, str, int, int, Any]],
    size: float = STEP,
) -> np.ndarray:
    """d metric / d s at s = 0, where `part` of one token is corrupt + s (clean - corrupt)."""
    inputs, answers = corrupt + clean, ANSWERS * 2
    runs = Runs(model, inputs, {(site, layer) for _, site, layer, _, _ in asked})  # type: ignore[misc]
    patches = []
    for pair, site, layer, position, part in asked:
        held = runs.values[site, layer]  # type: ignore[index]
        ours, theirs = held[pair, position], held[pair + len(corrupt), position]
        for step in (-2 * size, -size, size, 2 * size):
            value = ours + step * (theirs - ours)
            patches.append(Patch(pair, (Place(site, layer, (position,), values=value, part=part),)))  # type: ignore[arg-type]
    made = patched(model, inputs, patches, answers).difference.reshape(-1, 4)
    return made @ np.array([1.0, -8.0, 8.0, -1.0]) / (12 * size)


ASKED: list[tuple[int, str, int, int, Any]] = [
    (pair, site, layer, position, None)
    for pair, layer, position in ((0, 0, 2), (1, 1, 2))
    for site in ("residual", "attention", "ffn")
]
ASKED += [(0, "heads", 0, 2, (3,)), (1, "heads", 0, 2, (0,)), (0, "neurons", 0, 2, (31,)), (0, "neurons", 1, 6, (5,))]


def picked(found: dict[tuple[str, int], np.ndarray]) -> np.ndarray:
    return np.array([found[s, k][pair, position, part[0] if part else 0] for pair, s, k, position, part in ASKED])


def test_estimates_are_derivatives_in_every_family(tiny_family: str, tiny_model: Make) -> None:
    model = doubled(tiny_model(tiny_family))
    before = hooks_of(model)
    found = estimates(model)
    assert set(found) == {(site, layer) for site in SITES for layer in range(model.n_layers)}
    narrow = tiny_family.startswith("opt")  # whose neurons have a kink, and whose norms keep the type
    expected = derivatives(model, CORRUPT, CLEAN, ASKED, 1e-5 if narrow else STEP)
    np.testing.assert_allclose(picked(found), expected, **CLOSE)
    assert np.abs(expected).max() > 1e-2
    assert hooks_of(model) == before


def test_the_other_run_s_gradient_and_wrong_variants(tiny_model: Make) -> None:
    model = doubled(tiny_model("gemma2"))
    at_clean = picked(estimates(model, at="clean"))
    expected = -derivatives(model, CLEAN, CORRUPT, ASKED)  # there, s goes the other way
    np.testing.assert_allclose(at_clean, expected, **CLOSE)
    at_corrupt = picked(estimates(model))
    assert not np.allclose(at_clean, at_corrupt, **CLOSE)
    shifted = [(pair, site, 1 - layer, position, part) for pair, site, layer, position, part in ASKED]
    assert np.isclose(at_corrupt, derivatives(model, CORRUPT, CLEAN, shifted), **CLOSE).mean() < 0.2


def test_parts_sum_to_the_whole_and_padding_counts_for_nothing(tiny_model: Make) -> None:
    model = doubled(tiny_model("llama"))
    found = estimates(model)
    for layer in range(model.n_layers):
        for part, whole in (("heads", "attention"), ("neurons", "ffn")):  # what follows them is linear, without a bias
            np.testing.assert_allclose(found[part, layer].sum(-1), found[whole, layer][..., 0], atol=1e-10)
        for site in SITES:
            assert found[site, layer].shape == (2, 7, site_parts(model, site))
            assert not found[site, layer][1, 3:].any()
            assert not found[site, layer][0, :1].any(), "what both runs share has no effect"


def test_a_patch_at_the_end_of_a_linear_tail_is_estimated_exactly(tiny_model: Make) -> None:
    model = doubled.__wrapped__(tiny_model("llama"))

    class Same(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states

    model.hf.model.norm = Same()
    found = estimates(model, sites=("residual",))
    place = Place("residual", 1, (6,), source=1)
    made = patched(model, [CORRUPT[0], CLEAN[0]], [Patch(0, (place,))], [ANSWERS[0]] * 2)
    assert found["residual", 1][0, 6, 0] == pytest.approx(made.difference[0] - made.input_difference[0], rel=1e-9)


def test_runs_that_do_not_go_together_are_refused(tiny_llama: LanguageModel) -> None:
    with pytest.raises(InterventionError, match="same lengths"):
        attribute(tiny_llama, CORRUPT, CLEAN[::-1], ANSWERS, lambda site, layer, scores: None)
    with pytest.raises(InterventionError, match="'corrupt' or 'clean'"):
        attribute(tiny_llama, CORRUPT, CLEAN, ANSWERS, lambda site, layer, scores: None, at="both")
