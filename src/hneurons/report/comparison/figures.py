"""The figures of a comparison, each with a sentence that says what it shows."""

from __future__ import annotations

from functools import partial

from hneurons.report.comparison.panels import draw_auroc, draw_ratio, draw_slopes
from hneurons.report.comparison.profile import draw_profile
from hneurons.report.comparison.reading import set_names, sizes, swept
from hneurons.report.comparison.sentences import auroc_sentence, depth_sentence, ratio_sentence, slope_sentence
from hneurons.report.illustration import Illustration
from hneurons.study.side_by_side import SideBySide


def comparison_illustrations(found: SideBySide) -> dict[str, Illustration]:
    """By name: `ratio`, `auroc` where it is defined, `slopes` where a run was swept, and `profile`."""
    against = "over the number of parameters" if len(sizes(found.runs)) > 1 else "side by side"
    shown = [
        Illustration(
            "ratio",
            "How many H-Neurons there are",
            ratio_sentence(found),
            f"The share of H-Neurons, and the overlap of selections from two halves of the questions, {against}.",
            partial(draw_ratio, found),
        )
    ]
    if set_names(found):
        shown.append(
            Illustration(
                "auroc",
                "How well they tell",
                auroc_sentence(found),
                "A panel for every evaluation set: AUROC of the probe and of its refit with intervals, before the band "
                f"of random neurons, {against}.",
                partial(draw_auroc, found),
            )
        )
    if swept(found):
        shown.append(
            Illustration(
                "slopes",
                "What turning them does",
                slope_sentence(found),
                "A panel for the average slope of compliance and one for every benchmark, with intervals, before the "
                f"slopes of the control sets, {against}.",
                partial(draw_slopes, found),
            )
        )
    shown.append(
        Illustration(
            "profile",
            "Where they sit",
            depth_sentence(found),
            "A row for every run: bars for its H-Neurons layer by layer over relative depth, and their mean.",
            partial(draw_profile, found),
        )
    )
    return {each.name: each for each in shown}
