"""Samples as a detector: AUROC against scikit-learn, permutations, and what a fit leaves over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from hneurons.errors import NotEnoughDataError
from hneurons.layers.confidence.meaning import AGREEMENT, SEMANTIC, cluster, figures
from hneurons.layers.confidence.record import Chance
from hneurons.layers.confidence.sampled import (
    ALL,
    LEFT_OVER,
    Drawn,
    corrected,
    permuted_aurocs,
    permuted_labels,
    sampled,
    two_sided,
)

NAMES = ("Oslo", "Rome", "Bern", "Kiev")


def questions(n: int = 120) -> list[Drawn]:
    """Hallucinated answers waver; a third of them does not, and those are the ones that a fit has used."""
    random = np.random.default_rng(0)
    found = []
    for i in range(n):
        wrong = i % 2 == 0
        steady = wrong and i % 3 == 0
        share = [0.5, 0.2, 0.2, 0.1] if wrong and not steady else [0.97, 0.01, 0.01, 0.01]
        texts = ["Oslo", *random.choice(NAMES, 5, p=share)]
        found.append(Drawn(f"g{i // 2}", wrong, cluster("Which city?", texts), not steady, {"doubt": random.random()}))
    return found


def test_aurocs_are_scikit_learns_and_samples_are_counted() -> None:
    drawn = questions()
    found = sampled(drawn, resamples=20, permutations=20)
    y = [each.hallucinated for each in drawn]
    everything = found.pools[0]
    assert (everything.name, everything.n, everything.n_hallucinated) == (ALL, 120, 60)
    by_name = {each.name: each for each in everything.signals}
    for name in (SEMANTIC, AGREEMENT):
        p = [figures(each.samples)[name] for each in drawn]
        assert by_name[name].auroc.value == pytest.approx(roc_auc_score(y, p))
    assert by_name["doubt"].reads == "answer"
    assert by_name[SEMANTIC].over_entropy.value == 0
    assert found.samples == 6
    assert [each.k for each in found.growing] == [2, 3, 4, 5, 6]
    assert found.growing[-1].semantic_entropy.value == by_name[SEMANTIC].auroc.value
    two = [figures(each.samples.first(2))[SEMANTIC] for each in drawn]
    assert found.growing[0].semantic_entropy.value == pytest.approx(roc_auc_score(y, two))


def test_a_fit_that_took_the_steady_ones_leaves_easier_questions() -> None:
    found = sampled(questions(), resamples=20, permutations=20)
    everything, left = found.pools
    assert left.name == LEFT_OVER
    values = [next(each.auroc.value for each in pool.signals if each.name == SEMANTIC) for pool in (everything, left)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[1] > values[0] + 0.05
    assert (everything.always_wrong.value or 0) > (left.always_wrong.value or 0)


def test_permuted_labels_give_chance_and_keep_groups_together() -> None:
    random = np.random.default_rng(1)
    y, groups = np.repeat(random.random(40) < 0.5, 2), np.repeat(np.arange(40), 2)
    labels = permuted_labels(y, groups, 30)
    assert (labels[:, ::2] == labels[:, 1::2]).all()
    p = y + random.normal(0, 1, 80)
    draws = permuted_aurocs(labels, p)
    np.testing.assert_allclose(draws, [roc_auc_score(each, p) for each in labels])
    found = two_sided(draws, float(roc_auc_score(y, p)))
    far = sum(abs(each - 0.5) >= abs(roc_auc_score(y, p) - 0.5) for each in draws)
    assert found.p == pytest.approx((1 + far) / 31)
    assert two_sided(draws, 0.5).p == 1


def test_many_tests_are_corrected() -> None:
    chances = [Chance(mean=0.5, low=0.4, high=0.6, draws=99, p=p) for p in (0.01, 0.04, 0.5)]
    found = corrected([chances[0], None, *chances[1:]])
    assert found[1] is None
    q = [each.q for each in found if each is not None]
    np.testing.assert_allclose(q, false_discovery_control([0.01, 0.04, 0.5]))
    assert q != [0.01, 0.04, 0.5]


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="ask more questions"):
        sampled(questions(20))
    with pytest.raises(NotEnoughDataError, match="0 training questions"):
        sampled([])
