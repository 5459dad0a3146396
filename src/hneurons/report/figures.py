"""Every figure of a study, each with a sentence that says what it shows."""

from __future__ import annotations

from functools import partial

from hneurons.report.calibration import draw_calibration
from hneurons.report.depth import draw_depth
from hneurons.report.detection import draw_detection, draw_overview
from hneurons.report.illustration import Illustration
from hneurons.report.layers.parts import parts_shown
from hneurons.report.origin.figures import origin_illustrations
from hneurons.report.path import draw_path
from hneurons.report.reading import eval_sets, ranked
from hneurons.report.sentences import (
    calibration_sentence,
    depth_sentence,
    detection_sentence,
    overview_sentence,
    path_sentence,
    stability_sentence,
)
from hneurons.report.steadiness import draw_stability
from hneurons.report.sweep.figures import sweep_illustrations
from hneurons.study.results import Results


def illustrations(results: Results) -> dict[str, Illustration]:
    """The figures of a study by name.

    `depth`, `path`, `overview` (all sets side by side), `detection-SET` for every evaluation set, `stability`, and
    `calibration-SET` for every set that holds both kinds of answers; and those of the sweep, of the
    comparison with the base model, of growth and of the layers, where there are any.
    """
    found = [
        Illustration(
            "depth",
            "Where the H-Neurons sit",
            depth_sentence(results),
            "A line for every layer with a stem for every H-Neuron on it, and a bar chart of H-Neurons per layer.",
            partial(draw_depth, results),
        ),
        Illustration(
            "path",
            "The choice of C",
            path_sentence(results),
            "Held-out accuracy, accuracy on known questions at alpha 0, and the number of H-Neurons, over C.",
            partial(draw_path, results),
        ),
        Illustration(
            "overview",
            "Detection on every set",
            overview_sentence(results),
            "A panel for every evaluation set, in it every detector as a dot with its interval, and what chance gives.",
            partial(draw_overview, results),
        ),
        Illustration(
            "stability",
            "How stable the list is",
            stability_sentence(results),
            "Each H-Neuron's share of resamples that select it, with intervals; size and overlap of selections over C.",
            partial(draw_stability, results),
        ),
    ]
    for name in eval_sets(results):
        found.append(
            Illustration(
                f"detection-{name}",
                f"Detection on {name}",
                detection_sentence(results, name),
                "Every detector as a dot with its interval, best first, and the spread of every control.",
                partial(draw_detection, results, name),
            )
        )
        if ranked(results, name):
            found.append(
                Illustration(
                    f"calibration-{name}",
                    f"Calibration on {name}",
                    calibration_sentence(results, name),
                    "The share of hallucinated answers over the probe's probability, and a histogram of either kind.",
                    partial(draw_calibration, results, name),
                )
            )
    if results.sweep is not None:
        found += sweep_illustrations(results.sweep)
    found += origin_illustrations(results)
    if results.layers is not None:
        found += [each for part in parts_shown(results.layers) for each in part.illustrations]
    return {each.name: each for each in found}
