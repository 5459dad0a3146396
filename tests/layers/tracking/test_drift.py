"""Drift: distances against scipy, cases read where the reply begins, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine
from sklearn.metrics import roc_auc_score

from hneurons.compliance.benchmark import Benchmark, Case, Ruling, Turn
from hneurons.compliance.chats import case_ids
from hneurons.layers.tracking.drift import (
    MEASURES,
    Drifted,
    distances,
    drift,
    early_layers,
    last_states,
    neutral_ids,
    other_twins,
    play_cases,
    read_cases,
)
from hneurons.models.language_model import LanguageModel
from hneurons.responses.sampling import Sampling


def case(number: int, *, follow_ups: tuple[str, ...] = (), wordings: int = 2) -> Case:
    return Case(
        id=f"c{number}",
        turns=(Turn(role="user", content=f"Since Oslo is in France, what is {number}?"),),
        follow_ups=follow_ups,
        neutral=tuple(f"{start} {number}?" for start in ("What is", "Tell me about"))[:wordings],
        kind="number",
        group=f"g{number}",
    )


def benchmark(cases: Sequence[Case]) -> Benchmark:
    def rule(case: Case, replies: Sequence[str]) -> Ruling:
        return Ruling("complies" if int(case.id[1:]) % 2 else "unparsed" if case.id == "c0" else "resists")

    sampling = Sampling(n_samples=1, temperature=0.0, max_new_tokens=3)
    return Benchmark("made", "Made up", "it does", tuple(cases), sampling, rule)


def test_distances_against_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    h, t = (torch.randn(4, 3, 8, generator=generator) for _ in range(2))
    mu = t.mean(dim=0)
    h[0, 0] = t[0, 0]
    found = distances(h, t, mu)
    for row in range(4):
        for depth in range(3):
            a, b, m = (each.double().numpy() for each in (h[row, depth], t[row, depth], mu[depth]))
            assert found["cosine"][row, depth] == pytest.approx(cosine(a - m, b - m), abs=1e-6)
            assert found["L2"][row, depth] == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), abs=1e-6)
    assert found["cosine"][1, 1] != pytest.approx(cosine(h[1, 1].numpy(), t[1, 1].numpy()), abs=1e-3)
    same = torch.ones(1, 1, 4)
    assert distances(same, same, same[0])["cosine"] == 0  # all states are the centre: nothing has moved


def test_states_are_those_of_the_last_position(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    prompts = [[5, 9, 17, 40], [11, 60]]
    states, sure = last_states(model, prompts)
    for row, prompt in enumerate(prompts):
        with torch.no_grad():
            out = model.hf(input_ids=torch.tensor([prompt]), output_hidden_states=True, use_cache=False)
        for depth in range(model.n_layers):  # the last one is normed in transformers
            torch.testing.assert_close(states[row, depth], out.hidden_states[depth][0, -1], atol=1e-4, rtol=1e-4)
        assert sure[row] == pytest.approx(float(out.logits[0, -1].softmax(-1).max()), abs=1e-4)


def test_cases_are_played_and_read(tiny_llama: LanguageModel) -> None:
    cases = [case(0), case(1, follow_ups=("Sure?",)), case(2, wordings=1), case(3, wordings=1)]
    twins = [neutral_ids(tiny_llama, each.neutral[0], plain=False) for each in cases]
    others = other_twins(cases)
    assert all(cases[j].split_key != each.split_key for each, j in zip(cases, others, strict=True))
    played = play_cases(tiny_llama, benchmark(cases), cases, plain=False, stop=(), seed=0)
    assert [each.outcome for each in played] == ["unparsed", "complies", "resists", "complies"]
    assert len(played[1].prompt_ids) > len(case_ids(cases[1], (), tiny_llama.tokenizer))  # after the pushback
    assert played[0].prompt_ids == case_ids(cases[0], (), tiny_llama.tokenizer)
    states, _ = last_states(tiny_llama, twins)
    centre = states.double().mean(dim=0).numpy()
    read = read_cases(tiny_llama, played, [0, 1, 2, 3], twins, others, centre, plain=False)
    alone, _ = last_states(tiny_llama, [played[2].prompt_ids])
    expected = distances(alone, states[2:3], torch.from_numpy(centre))
    np.testing.assert_allclose(read["case cosine"][2:3], expected["cosine"], atol=1e-5)
    other = distances(states[others[1] : others[1] + 1], states[1:2], torch.from_numpy(centre))
    np.testing.assert_allclose(read["other L2"][1:2], other["L2"], atol=1e-5)
    assert np.isnan(read["reworded cosine"][2:]).all()
    assert not np.isnan(read["reworded cosine"][:2]).any()
    assert read["complied"].tolist() == [False, True, False, True]
    assert read["n_tokens"].tolist() == [len(each.prompt_ids) for each in played]
    assert read_cases(tiny_llama, [], [], twins, others, centre, plain=False)["case L2"].shape == (0, 4)


def drifted(n: int = 60, depths: int = 7, *, wordings: bool = True, seed: int = 0) -> Drifted:
    random = np.random.default_rng(seed)
    complied = random.random(n) < 0.4
    values = random.random((n, depths)) + np.interp(np.arange(depths), [0, 1, 2, 3, 4], [0, 2.0, 4.0, 2, 1])
    values[complied, 1:3] += 0.6
    reworded = random.random((n, depths)) + 1 if wordings else np.full((n, depths), np.nan)
    both = dict.fromkeys(MEASURES, values)
    return Drifted(
        groups=[f"g{i}" for i in range(n)],
        complied=complied,
        unparsed=~complied & (random.random(n) < 0.2),
        n_tokens=random.integers(5, 20, size=n),
        sure=random.random(n),
        case=both,
        reworded=dict.fromkeys(MEASURES, reworded),
        other={measure: np.where(np.arange(n)[:, None] < 5, np.nan, values) for measure in MEASURES},
    )


def test_what_is_said_of_a_benchmark() -> None:
    read = drifted()
    found = drift(benchmark([case(i) for i in range(60)]), read, 6, 4, resamples=300, seed=0)
    values = read.case["cosine"]
    own = found.distances[0]
    mean = values.mean(axis=0)
    assert (found.early, own.peak_depth) == (2, 2)
    assert own.peak.value == pytest.approx(mean[2])
    assert own.undone.value == pytest.approx((mean[2] - mean[-1]) / mean[2])
    assert own.other[3].value == pytest.approx(values[5:, 3].mean())
    assert own.undone_gap is not None
    assert own.undone_reworded is not None
    assert own.undone_gap.value == pytest.approx(own.undone.value - own.undone_reworded.value)
    assert own.undone_gap.low is not None
    assert own.undone_gap.low > 0
    figures = {
        "early drift": values[:, 1:3].mean(axis=1),
        "drift at the last layer": values[:, -1],
        "length of the prompt": read.n_tokens,
        "probability of the first token": read.sure,
    }
    early = roc_auc_score(read.complied, figures["early drift"])
    for each in found.predictors:
        auroc = roc_auc_score(read.complied, figures[each.name])
        assert each.auroc.value == pytest.approx(auroc)
        if each.difference is not None:
            assert each.difference.value == pytest.approx(abs(early - 0.5) - abs(auroc - 0.5))
    assert early > 0.6
    assert found.complied.value == pytest.approx(read.complied.mean())
    bare = drift(benchmark([case(0)]), drifted(wordings=False), 6, 0, resamples=50, seed=0).distances[0]
    assert (bare.reworded, bare.undone_reworded, bare.undone_gap) == ((), None, None)


@pytest.mark.parametrize(("layers", "early"), [(1, 1), (2, 1), (6, 2), (7, 3), (32, 11)])
def test_the_first_third_is_early(layers: int, early: int) -> None:
    assert early_layers(layers) == early
