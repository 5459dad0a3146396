"""The figures of this part."""

from __future__ import annotations

from functools import partial

from hneurons.layers.tracking.record import Tracking
from hneurons.report.illustration import Illustration
from hneurons.report.layers.tracking.decisions import draw_decisions
from hneurons.report.layers.tracking.drifts import draw_drift
from hneurons.report.layers.tracking.trajectories import draw_trajectories

READ = (
    "Read where the token is predicted at which the given and the right answer part; 0 layers passed is the embedding. "
    "Bands are 95% intervals over questions."
)


def illustrations(found: Tracking) -> list[Illustration]:
    """Its figures, each with a sentence that says what it shows."""
    drawn = [
        Illustration(
            name="layers-tracking-trajectories",
            title="What the model would say if it stopped after each layer",
            sentence=(
                "Mean probability of the answer given, of the right one and of the likeliest third, after each layer, "
                f"through the logit lens and the tuned lens. {READ}"
            ),
            alt="Lines of probability over layers for each evaluation set, one row for each lens.",
            draw=partial(draw_trajectories, found),
        ),
        Illustration(
            name="layers-tracking-decisions",
            title="From which layer the answer given leads for good",
            sentence=(
                "Share of answers by how many layers they have passed when the given token becomes the likeliest of "
                "all for good; never: it was sampled though another was likelier. Over each panel: how many layers "
                "later hallucinated answers are decided than faithful ones of the same kind of question and length of "
                "prompt. Below: how often the right answer led before, against the right answer to another question "
                "of the same kind."
            ),
            alt="Bars of shares over layers for faithful and hallucinated answers, and rows of shares with a control.",
            draw=partial(draw_decisions, found),
        ),
    ]
    if found.drifts:
        drawn.append(
            Illustration(
                name="layers-tracking-drift",
                title="How far misleading prompts move the state, and who complies",
                sentence=(
                    "Distance between the states that the reply to a misleading prompt and to its neutral twin begin "
                    "from; the early third of the layers is shaded. Below: how well early drift tells whether the "
                    "model complies, beside other figures of the prompt (0.5 is chance)."
                ),
                alt="Lines of distance over layers for each benchmark with two controls, and rows of AUROC.",
                draw=partial(draw_drift, found),
            )
        )
    return drawn
