from __future__ import annotations

import numpy as np
import pytest
from tests.report.artists import marks, only

from hneurons.report.calibration import bins
from hneurons.report.figures import illustrations
from hneurons.report.reading import Scores, detection, scores
from hneurons.study.results import Results


def error(found: Scores) -> float:
    """The calibration error by its definition, from the bins that are drawn."""
    drawn = bins(found)
    return sum(each.n * abs(each.share - each.mean) for each in drawn) / sum(each.n for each in drawn)


def test_the_bins_drawn_are_those_of_the_calibration_error(results: Results) -> None:
    for name in ("in-domain", "long-tail", "cross-domain"):
        found = scores(results, name)
        assert error(found) == pytest.approx(detection(results, name).ece.value)
        flipped = Scores(1 - found.p, found.hallucinated)
        assert error(flipped) != pytest.approx(detection(results, name).ece.value)


def test_every_answer_is_drawn_once_in_the_colour_of_its_kind(results: Results) -> None:
    found = scores(results, "in-domain")
    figure = illustrations(results)["calibration-in-domain"].figure()
    edges = np.linspace(0, 1, 21)
    for kind, flag, sign in (("hallucinated", True, 1), ("right", False, -1)):
        heights = [only(figure, f"{kind}:{k}").get_height() for k in range(20)]
        naive = [
            int(((found.p >= edges[k]) & (found.p < edges[k + 1]) & (found.hallucinated == flag)).sum())
            for k in range(20)
        ]
        assert [sign * height for height in heights] == naive
    dots = marks(figure, "bin")
    assert len(dots) == len(bins(found))
    assert sorted(float(dot.get_ydata()[0]) for dot in dots) == pytest.approx(sorted(b.share for b in bins(found)))
