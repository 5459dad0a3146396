"""Where the H-Neurons sit: every layer a line, every H-Neuron a stem on it."""

from __future__ import annotations

from matplotlib.figure import Figure

from hneurons.report.look import Palette, head, quiet, sheet
from hneurons.report.reading import weights
from hneurons.study.results import Results

STEM = 0.74
"""Height of the stem of the heaviest neuron, as a share of the distance between layers."""


def draw_depth(results: Results, palette: Palette) -> Figure:
    """Stems by layer and index, as tall as their weight; at the right counts per layer, and an even spread's."""
    model, counts = results.model, results.fit.per_layer
    step = 0.4 if model.n_layers <= 12 else 0.22 if model.n_layers <= 32 else 0.13
    figure = sheet(0.75 + step * model.n_layers)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3.2, 1))

    quiet(left, palette)
    left.hlines(range(model.n_layers), 0, model.n_neurons, color=palette.line, linewidth=0.9).set_gid("layers")
    heaviest = max(results.probe.weights, default=1.0)
    for (layer, index), weight in weights(results).items():
        top = layer + STEM * weight / heaviest
        (stem,) = left.plot([index, index], [layer, top], color=palette.data, linewidth=1.5, solid_capstyle="butt")
        stem.set_gid(f"neuron:{layer}:{index}")
        left.plot([index], [top], "o", color=palette.data, markersize=3)
    left.set_xlim(0, model.n_neurons)
    left.set_ylim(-0.35, model.n_layers - 0.05)
    every = max(1, round(model.n_layers / 16))
    left.set_yticks(range(0, model.n_layers, every))
    left.set_xlabel("neuron of the layer (index); a stem is as tall as the neuron's weight")
    left.set_ylabel("layer")
    head(left, "H-Neurons by layer and index", palette)

    quiet(right, palette)
    bars = right.barh(range(model.n_layers), counts, height=0.5, color=palette.data, linewidth=0)
    for layer, bar in enumerate(bars.patches):
        bar.set_gid(f"count:{layer}")
        if counts[layer] and layer % every == 0:
            right.annotate(
                str(counts[layer]), (counts[layer], layer), xytext=(4, 0), textcoords="offset points", va="center",
                color=palette.ink,
            )  # fmt: skip
    even = sum(counts) / model.n_layers
    right.axvline(even, color=palette.soft, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0).set_gid("even")
    right.set_xlim(0, 1.15 * max(*counts, 1))
    right.locator_params(axis="x", nbins=4, integer=True)
    right.set_xlabel("H-Neurons")
    right.tick_params(labelleft=False)
    head(right, "per layer", palette)
    return figure
