"""What a gate is given: threshold, alphas, neurons, scaling around it; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.interventions.naive_gate import PROMPTS, TURNED, batch, between, logits, said, untouched

from hneurons.errors import InterventionError, ModelError, NotEnoughDataError, ProbeMismatchError
from hneurons.interventions import GateCount, gate, gate_threshold, scale
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.responses.sampling import Prompt, Sampling, sample


def test_above_every_score_nothing_happens(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    plain, before = logits(tiny_llama), said(tiny_llama)
    with gate(tiny_llama, probe_of(tiny_llama), threshold=1.0, alpha=0.0) as count:
        assert np.isnan(count.share)
        assert torch.equal(logits(tiny_llama), plain)
        assert said(tiny_llama) == before
    assert (count.repeated, count.share) == (0, 0.0)
    assert count.tokens[0] == 15 + 15 + 3 * 5


@pytest.mark.parametrize("family", ["llama", "opt", "gpt2"])
@pytest.mark.parametrize("alpha", [0.0, 1.1])
def test_below_every_score_it_is_plain_scaling(
    family: str, alpha: float, tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    model = tiny_model(family)
    probe = probe_of(model)
    with scale(model, probe.hneurons, alpha):
        scaled, words = logits(model), said(model)
    with gate(model, probe, threshold=-0.1, alpha=alpha) as count:
        real = batch()["attention_mask"].bool()
        assert torch.equal(logits(model)[real], scaled[real])
        assert said(model) == words
    assert count.share == 1.0
    assert count.repeated == count.passes == 7
    assert not torch.equal(logits(model)[real], scaled[real])


def test_alpha_one_and_no_neurons_are_scored_and_cost_no_second_pass(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    plain = logits(tiny_llama)
    for alpha, neurons in ((1.0, TURNED), (0.0, []), ([1.0, 1.0, 1.0], None)):
        with gate(tiny_llama, probe_of(tiny_llama), threshold=-0.1, alpha=alpha, neurons=neurons) as count:
            assert torch.equal(logits(tiny_llama), plain)
        assert (count.share, count.repeated) == (1.0, 0)


def test_every_prompt_by_its_own_alpha(tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]) -> None:
    probe = probe_of(tiny_llama)
    threshold, alphas = between(tiny_llama, probe), (0.0, 1.0, 3.0)
    prompts = [Prompt(f"q{n}", tuple(ids), variant=str(alpha)) for n, ids in enumerate(PROMPTS) for alpha in alphas]
    sampling = Sampling(n_samples=4, max_new_tokens=6, seed=1)
    with gate(tiny_llama, probe, threshold=threshold, alpha=alphas * 3, neurons=TURNED) as together:
        found = sample(tiny_llama, prompts, sampling)
    for place, alpha in enumerate(alphas):
        with gate(tiny_llama, probe, threshold=threshold, alpha=alpha, neurons=TURNED) as alone:
            expected = sample(tiny_llama, prompts[place::3], sampling)
        assert found[place::3] == expected
        assert together.tokens[place::3].sum() == alone.tokens[0]
        assert together.turned[place::3].sum() == alone.turned[0]
    assert found[0::3] != found[1::3] != found[2::3]
    with (
        pytest.raises(InterventionError, match="batch of 3 prompts runs in a block that was set up for 2"),
        gate(tiny_llama, probe, threshold=threshold, alpha=[0.0, 2.0]),
    ):
        said(tiny_llama)
    assert untouched(tiny_llama)


def test_the_probes_own_neurons_are_turned_unless_others_are_named(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)
    threshold = between(tiny_llama, probe)
    found = []
    for neurons in (None, probe.hneurons, probe.neurons):
        with gate(tiny_llama, probe, threshold=threshold, alpha=0.0, neurons=neurons):
            found.append(logits(tiny_llama))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_scaling_inside_and_outside_of_the_gate_is_the_same(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)
    settings: dict[str, Any] = {"threshold": between(tiny_llama, probe), "alpha": 2.0, "neurons": TURNED}
    other = [(0, 17), (1, 5), (0, 3)]
    with scale(tiny_llama, other, 3.0):
        alone = logits(tiny_llama)
        with gate(tiny_llama, probe, **settings) as inside:
            found = logits(tiny_llama)
    with gate(tiny_llama, probe, **settings) as outside, scale(tiny_llama, other, 3.0):
        assert torch.equal(logits(tiny_llama), found)
    assert not torch.equal(found, alone)
    assert inside.share == outside.share
    with gate(tiny_llama, probe, threshold=-0.1, alpha=2.0, neurons=TURNED), scale(tiny_llama, TURNED, 3.0):
        six = logits(tiny_llama)
    with scale(tiny_llama, TURNED, 6.0):
        real = batch()["attention_mask"].bool()
        assert torch.allclose(logits(tiny_llama)[real], six[real], atol=1e-5)


def test_what_makes_no_sense_is_refused(
    tiny_llama: LanguageModel, tiny_model: Callable[..., LanguageModel], probe_of: Callable[[LanguageModel], Probe]
) -> None:
    probe = probe_of(tiny_llama)

    def enter(model: LanguageModel = tiny_llama, **settings: Any) -> GateCount:
        with gate(model, probe, **({"threshold": 0.5, "alpha": 0.0} | settings)) as count:
            return count

    for alpha in (-0.1, float("nan"), [0.0, float("inf")]):
        with pytest.raises(InterventionError, match="alpha is"):
            enter(alpha=alpha)
    with pytest.raises(InterventionError, match="no alpha"):
        enter(alpha=[])
    with pytest.raises(InterventionError, match="threshold is not a number"):
        enter(threshold=float("nan"))
    with pytest.raises(ModelError, match="has no neuron"):
        enter(neurons=[(0, 48)])
    with pytest.raises(ProbeMismatchError):
        enter(tiny_model("llama", layers=3, seed=1))
    with gate(tiny_llama, probe, threshold=0.5, alpha=0.0), pytest.raises(InterventionError, match="gated already"):
        enter()
    assert enter().passes == 0
    assert untouched(tiny_llama)


def test_the_threshold_is_a_quantile_of_all_tokens() -> None:
    scores = [np.array([0.1, 0.7]), np.array([]), np.array([0.3]), np.array([0.5, 0.9, 0.2, 0.4])]
    assert gate_threshold(scores, 0.5) == 0.4
    assert gate_threshold(scores) == gate_threshold(scores, 1.0) == 0.9
    assert gate_threshold(iter(scores), 0.0) == 0.1
    draw = np.random.default_rng(0).random(1000)
    assert (draw <= gate_threshold([draw])).mean() == pytest.approx(0.9, abs=2e-3)
    with pytest.raises(NotEnoughDataError, match="no token score"):
        gate_threshold([np.array([])])
    with pytest.raises(InterventionError, match="quantile is 90"):
        gate_threshold(scores, 90.0)
