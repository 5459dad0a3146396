"""The figures of this part."""

from __future__ import annotations

from functools import partial

from hneurons.layers.confidence.record import Confidence
from hneurons.report.illustration import Illustration
from hneurons.report.layers.confidence.coverage import draw_coverage
from hneurons.report.layers.confidence.reading import target
from hneurons.report.layers.confidence.reliability import draw_reliability, shown_sets
from hneurons.report.layers.confidence.trade import draw_trade
from hneurons.report.numbers import listed, percent


def illustrations(found: Confidence) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    sets = listed(shown_sets(found))
    drawn = [
        Illustration(
            name="layers-confidence-reliability",
            title="Whether a probability of hallucination means what it says",
            sentence=(
                f"Share of hallucinated answers over the probability that each source gives, on {sets}, each dot a "
                "tenth of the answers. ECE is the mean distance from the diagonal; chance is where 95% of the ECEs lie "
                "that the same probabilities would show if each were exactly right. The sets hold as many faithful as "
                "hallucinated answers by selection, and calibration is about that balance."
            ),
            alt="Panels of dots with intervals about a diagonal, a column for each source and a row for each set.",
            draw=partial(draw_reliability, found),
        ),
        Illustration(
            name="layers-confidence-coverage",
            title="How often what is still answered is wrong",
            sentence=(
                "Risk over coverage: the share of hallucinations among the answers that a detector doubts least. "
                "Below, the area under the curve of every detector with its 95% interval; lower is better, and the "
                "dashed line is what answering at random gives. Grey: detectors that read as many random neurons."
            ),
            alt="Curves of risk over coverage for each set, and rows of areas under them.",
            draw=partial(draw_coverage, found),
        ),
    ]
    if found.abstaining.outcomes:
        risk = percent(target(found), 0)
        drawn.append(
            Illustration(
                name="layers-confidence-trade",
                title="Saying “I don't know” in place of a doubtful answer",
                sentence=(
                    f"Thresholds chosen on held-out training answers for a risk of {risk}, and what they do on each "
                    "set: with a bound on the risk, and as the risk was found there. Below, what the latter hold back. "
                    "Bars are 95% intervals over groups of questions."
                ),
                alt="Rows of dots with intervals for each detector about the target risk, one panel for each set.",
                draw=partial(draw_trade, found),
            )
        )
    return drawn
