from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hneurons.report import views
from hneurons.study.results import Results


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(-2, 22), st.integers(-2, 22)), max_size=4))
def test_pieces_joined_are_the_text_and_marked_where_a_span_is(text: str, spans: list[tuple[int, int]]) -> None:
    found = list(views.pieces(text, spans))
    assert "".join(piece for piece, _ in found) == text
    flags = [flag for piece, flag in found for _ in piece]
    assert flags == [any(start <= place < end for start, end in spans) for place in range(len(text))]
    assert all(a[1] != b[1] for a, b in pairwise(found))


def test_counts_add_up_over_the_parts(results: Results) -> None:
    training = results.counts["train"]
    assert (views.used(training, "faithful"), views.used(training, "hallucinated")) == (598, 600)
    parts = views.outcomes(training)
    assert sum(part.n for part in parts) == 4000
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert parts[0].code == "hallucinated"
    assert parts[0].n == sum(report.outcomes["hallucinated"] for report in (training.selection or {}).values())


@pytest.mark.parametrize(
    ("hallucinated", "probability", "words"),
    [
        (True, 0.5, "hallucinated, flagged"),
        (True, 0.49, "hallucinated, missed"),
        (False, 0.5, "right, flagged all the same"),
        (False, 0.49, "right, not flagged"),
    ],
)
def test_examples_say_what_came_of_them(results: Results, hallucinated: bool, probability: float, words: str) -> None:
    one = results.examples[0].model_copy(update={"hallucinated": hallucinated, "probability": probability})
    (found,) = views.shown(results.model_copy(update={"examples": (one,)}), one.eval_set)
    assert found.came_to == words


def test_on_a_set_of_one_kind_the_threshold_column_is_the_share_flagged(results: Results) -> None:
    row = next(
        each for each in results.evaluation.detection if (each.eval_set, each.detector) == ("invented", "length")
    )
    changed = row.model_copy(update={"flagged_at_threshold": row.flagged.model_copy(update={"value": 0.123})})
    detection = tuple(changed if each is row else each for each in results.evaluation.detection)
    evaluation = results.evaluation.model_copy(update={"detection": detection})
    found = views.lines(results.model_copy(update={"evaluation": evaluation}), "invented")
    assert next(line for line in found if line.name == "length").at_threshold.value == "12.3%"
