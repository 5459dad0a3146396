"""The figures of the comparison: how far apart the kinds are by layer, and how alike their states are arranged."""

from __future__ import annotations

from functools import partial

from hneurons.layers.comparison.record import Comparison
from hneurons.report.illustration import Illustration
from hneurons.report.layers.comparison.alike import draw_alike
from hneurons.report.layers.comparison.apart import draw_apart
from hneurons.report.numbers import counted


def illustrations(found: Comparison) -> list[Illustration]:
    """How far apart, and how alike in structure; the second only where answers could be matched."""
    names, layers = ", ".join(each.eval_set for each in found.sets), counted(found.n_layers, "layer")
    made = [
        Illustration(
            "layers-comparison",
            "How far apart faithful and hallucinated answers are, layer by layer",
            "Effect size (Hedges' g along the direction of other questions) and separability (AUROC of a linear model "
            "fitted on other questions) of the states at the answer, with 95% intervals, on answers matched for length "
            "and kind of question. Full marks: more than permuted labels give (above; false discovery rate 5%), and "
            "more than length and kind give (below). Dotted: the same read before matching.",
            f"For each of {names}: curves over {layers} of residual stream, attention output and FFN output.",
            partial(draw_apart, found),
        )
    ]
    if any(each.across for each in found.sets):
        made.append(
            Illustration(
                "layers-comparison-similarity",
                "How alike the layers arrange faithful and hallucinated answers",
                "Debiased linear CKA with 95% intervals. Upper rows: each layer with the next, within faithful and "
                "within hallucinated answers; full marks: the two differ more than where pairs are exchanged at "
                "random. Lowest: faithful with hallucinated answers at the same layer, over matched pairs; a bar is "
                "what it is where pairs are exchanged, full marks lie below it. Grey: partners drawn anew.",
                f"For each of {names}: curves over {layers}, for three reads.",
                partial(draw_alike, found),
            )
        )
    return made
