"""The figures of this part."""

from __future__ import annotations

from functools import partial

from hneurons.layers.mitigation.record import Mitigation
from hneurons.report.illustration import Illustration
from hneurons.report.layers.mitigation.depth import draw_steering
from hneurons.report.layers.mitigation.pareto import draw_pareto
from hneurons.report.numbers import counted


def illustrations(found: Mitigation) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    asked = counted(sum(found.questions.values()), "question")
    made = [
        Illustration(
            name="layers-mitigation-pareto",
            title="What every method gains and costs",
            sentence=(
                f"Changes against the unchanged model, where the dashed lines cross, on {asked}, the same for all "
                "methods; on the right on the cases that mislead and on held-out text. The line on the left joins the "
                "methods that no other one beats in both figures. Methods without a perplexity are left out on the "
                "right."
            ),
            alt=(
                "Two panels with a numbered dot for each method and intervals across it: hallucinated against right "
                "answers, and compliance against perplexity."
            ),
            draw=partial(draw_pareto, found),
        )
    ]
    if found.steering:
        draws = len(found.steering[0].random_hallucinated)
        made.append(
            Illustration(
                name="layers-mitigation-steering",
                title="Steering towards factual answers, layer by layer",
                sentence=(
                    f"Changes against the unchanged model on {counted(found.layered, 'question')}, steered by "
                    f"{found.steering[0].strength:g} of the stream's length in every layer; bars are 95% intervals, "
                    f"dots {draws} random directions in each layer, steered along as far."
                ),
                alt=(
                    "Two panels over the layers, hallucinated answers and right ones: a line with intervals for the "
                    "direction of factuality, and dots for random directions."
                ),
                draw=partial(draw_steering, found),
            )
        )
    return made
