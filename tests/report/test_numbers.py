from __future__ import annotations

import pytest

from hneurons.probes.bootstrap import Estimate
from hneurons.report import numbers

HERE = Estimate(value=-0.0042, low=-0.0214, high=0.01)
NOWHERE = Estimate(value=None, low=None, high=None, reason="all 4 answers are faithful")


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0.84349, 3, "0.843"),
        (-0.5, 1, "−0.5"),
        (-0.0001, 3, "0.000"),
        (0.0, 2, "0.00"),
        (None, 3, "–"),
        (1.0, 3, "1.000"),
    ],
)
def test_decimals_have_a_true_minus_and_no_negative_zero(value: float | None, digits: int, written: str) -> None:
    assert numbers.decimal(value, digits) == written


@pytest.mark.parametrize(
    ("value", "written"), [(0.0214, "+0.021"), (-0.0042, "−0.004"), (0.0001, "0.000"), (None, "–")]
)
def test_differences_carry_their_sign(value: float | None, written: str) -> None:
    assert numbers.signed(value) == written


def test_estimates_with_and_without_an_interval() -> None:
    assert numbers.difference(HERE) == "−0.004 [−0.021, 0.010]"
    assert numbers.estimate(NOWHERE) == "–"
    assert numbers.percent_estimate(Estimate(value=0.784, low=0.7512, high=0.816)) == "78.4% [75.1, 81.6]"
    assert numbers.estimate(Estimate(value=0.5, low=None, high=None, reason="no interval")) == "0.500"
    assert numbers.spread(0.5, None) == "–"
    assert numbers.percent_spread(0.5123, 0.64) == "51.2 to 64.0%"


def test_counts_lists_and_ordinals() -> None:
    assert [numbers.counted(n, "neuron") for n in (0, 1, 6144)] == ["0 neurons", "1 neuron", "6,144 neurons"]
    assert [numbers.listed(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [numbers.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th",
    ]  # fmt: skip
    assert numbers.address((3, 511)) == "L3 · 511"
    assert [numbers.regular(C) for C in (0.0123456, 12.3, 1.2e-05)] == ["0.0123", "12.3", "1.2e-05"]
