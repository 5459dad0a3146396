from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hneurons.responses import noise
from hneurons.responses.noise import gumbel, philox, question_keys, uniform

N = 20_000
AXES = ("question", "sample", "position", "token")


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_known_answers(counter: str, key: str, expected: str) -> None:
    low, high = words(key)
    keys = np.array([low | high << 32], dtype=np.uint64)
    counters = np.array(words(counter), dtype=np.uint64)[:, None]
    assert philox(keys, counters)[:, 0].tolist() == words(expected)
    assert philox(keys, counters, rounds=9)[:, 0].tolist() != words(expected)


def test_noise_is_what_it_was() -> None:
    """Samples must stay the same from version to version."""
    keys = question_keys(0, ["question", "another"])
    ones = np.ones(2, dtype=np.int64)
    assert keys.tolist() == [8885159976081651191, 14335804339316217427]
    assert uniform(keys, 2 * ones, 3 * ones, 4 * ones).tolist() == [0.7855017470488909, 0.7509093069168974]


def test_noise_of_an_element_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    keys = question_keys(1, [f"q{n}" for n in range(50)])
    samples, positions, tokens = rng.integers(0, 1000, (3, 50))
    together = gumbel(keys, samples, positions, tokens)
    alone = [gumbel(*(a[n : n + 1] for a in (keys, samples, positions, tokens)))[0] for n in range(50)]
    assert together.tolist() == alone
    assert len(set(together)) == 50


@pytest.mark.parametrize("axis", AXES)
def test_uniform_is_uniform_along_every_axis(axis: str) -> None:
    assert stats.kstest(along(axis), "uniform").pvalue > 1e-3


def test_gumbel_is_gumbel() -> None:
    keys, index = question_keys(0, ["q"]).repeat(N), np.arange(N)
    assert stats.kstest(gumbel(keys, 0 * index, 0 * index, index), "gumbel_r").pvalue > 1e-3


@pytest.mark.parametrize("axis", AXES)
def test_neighbours_are_independent(axis: str) -> None:
    assert dependence(along(axis)) > 1e-3


def test_a_weak_generator_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(dependence(along(axis)) for axis in AXES) > 1e-3
    monkeypatch.setattr(noise, "philox", lambda keys, counters: philox(keys, counters, rounds=4))
    assert min(dependence(along(axis)) for axis in AXES) < 1e-9


def test_different_axes_do_not_repeat_each_other() -> None:
    """Sample 1 at position 0 is not sample 0 at position 1, a seed is not a question, and so on."""
    assert len(set(np.concatenate([along(axis, n=1000, start=1) for axis in AXES]))) == 4000
    assert question_keys(1, ["2"]) != question_keys(2, ["1"])
    assert question_keys(1, ["1\n2"]) != question_keys(11, ["2"])


def test_uniform_is_never_0_or_1(monkeypatch: pytest.MonkeyPatch) -> None:
    one = np.zeros(1, dtype=np.int64)
    for bits in (0, 0xFFFFFFFF):
        monkeypatch.setattr(noise, "philox", lambda keys, counters, bits=bits: np.full((4, 1), bits, dtype=np.uint64))
        assert 0 < uniform(question_keys(0, ["q"]), one, one, one)[0] < 1
        assert np.isfinite(gumbel(question_keys(0, ["q"]), one, one, one)).all()


def test_uniform_has_53_bits() -> None:
    scaled = along("token", n=1000) * 2.0**53
    assert (scaled == np.floor(scaled)).all()
    assert set(scaled % 2) == {1.0}, "odd multiples of 2**-53"
    assert {0, 1} == set((scaled // 2) % 2), "the next bit is random"


def along(axis: str, n: int = N, start: int = 0) -> np.ndarray:
    """Uniform noise along one axis, the others fixed."""
    index = {name: np.zeros(n, dtype=np.int64) for name in AXES}
    index[axis] = np.arange(start, start + n)
    keys = question_keys(7, [f"q{number}" for number in index["question"]])
    return uniform(keys, index["sample"], index["position"], index["token"])


def dependence(values: np.ndarray) -> float:
    """p-value of each value being independent of the next and the one after: chi-square over 16 x 16 cells."""
    cells = (values * 16).astype(int)
    pairs = (16 * cells[:-lag] + cells[lag:] for lag in (1, 2))
    return min(float(stats.chisquare(np.bincount(pair, minlength=256)).pvalue) for pair in pairs)
