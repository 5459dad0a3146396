"""Two sets of answers as one: every row with all that is known of it, first the one's, then the other's."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from hneurons.errors import ProbeError
from hneurons.probes.answers import Answers
from hneurons.probes.rows import dense
from hneurons.study.measuring import joined


def make(name: str, n: int, seed: int) -> Answers:
    rng = np.random.default_rng(seed)
    return Answers(
        name=name,
        hallucinated=rng.random(n) < 0.5,
        groups=np.array([f"{name} {i}" for i in range(n)]),
        contributions=rng.random((n, 12)),
        hidden=rng.random((n, 2, 3)),
        n_answer=rng.integers(1, 9, n),
        n_response=rng.integers(9, 20, n),
        log_prob=-rng.random(n),
        entropy=rng.random(n),
        questions=tuple(f"What is {name} {i}?" for i in range(n)),
    )


def column(answers: Answers, field: str) -> Any:
    value = getattr(answers, field)
    return dense(value) if field == "contributions" else value


@pytest.mark.parametrize(("n", "m"), [(4, 3), (1, 1), (0, 3), (4, 0)])
def test_every_row_is_there_with_all_that_is_known_of_it(n: int, m: int) -> None:
    first, second = make("a", n, 1), make("longer name", m, 2)
    both = joined("both", first, second)
    assert both.name == "both"
    assert len(both) == n + m
    for field in fields(Answers):
        if field.name == "name":
            continue
        for row in range(n + m):
            source, own = (first, row) if row < n else (second, row - n)
            assert np.array_equal(column(both, field.name)[row], column(source, field.name)[own]), field.name


def test_taken_apart_again_they_are_the_two() -> None:
    first, second = make("a", 4, 1), make("b", 3, 2)
    both = joined("both", first, second)
    for rows, expected in ((np.arange(4), first), (np.arange(4, 7), second)):
        taken = both.take(rows, expected.name)
        for field in fields(Answers):
            assert np.array_equal(column(taken, field.name), column(expected, field.name)), field.name
    turned = joined("both", second, first)
    assert not np.array_equal(dense(turned.contributions), dense(both.contributions))


@pytest.mark.parametrize("field", ["hidden", "n_answer", "n_response", "log_prob", "entropy", "questions"])
def test_what_one_of_them_lacks_is_left_out(field: str) -> None:
    """Half a column would be read as if it were whole."""
    first, second = make("a", 4, 1), make("b", 3, 2)
    without = replace(second, **{field: None})
    for both in (joined("both", first, without), joined("both", without, first)):
        assert getattr(both, field) is None
        assert len(both) == 7
    assert getattr(joined("both", first, second), field) is not None


def test_sets_of_another_model_are_refused() -> None:
    first, second = make("a", 4, 1), make("b", 3, 2)
    with pytest.raises(ProbeError, match="11 and 12 neurons"):
        joined("both", first, replace(second, contributions=np.zeros((3, 11))))
