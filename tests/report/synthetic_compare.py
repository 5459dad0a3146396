"""Invented runs of several models, to put side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from tests.report.synthetic import make_results
from tests.report.synthetic_sweep import make_sweep

from hneurons.compliance.record import Sweep
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.labels import Neuron
from hneurons.study.comparing import side_by_side
from hneurons.study.evaluating import H_NEURONS
from hneurons.study.results import Results
from hneurons.study.side_by_side import SideBySide

WIDTH = 1024
NEURONS: Mapping[str, tuple[Neuron, ...]] = {
    "one": ((0, 3), (1, 9), (2, 4), (2, 8)),
    "two": ((0, 1), (2, 7), (3, 1), (3, 2), (3, 900), (1, 11)),
    "three": ((4, 5), (4, 6), (5, 1)),
}
LAYERS: Mapping[str, int] = {"one": 3, "two": 4, "three": 6}
PARAMETERS: Mapping[str, int] = {"one": 1_100_000, "two": 3_460_000, "three": 7_100_000}
SLOPES: Mapping[str, tuple[float, float, float]] = {
    "one": (0.031, 0.020, 0.042),
    "two": (0.026, 0.016, 0.036),
    "three": (0.022, 0.012, 0.032),
}


@cache
def _made() -> tuple[Results, Sweep]:
    return make_results(), make_sweep()


def make_run(
    model: str,
    parameters: int | None,
    *,
    neurons: Sequence[Neuron],
    layers: int,
    slope: tuple[float, float, float] | None = None,
    auroc: float = 0.0,
) -> Results:
    """Results of one model: its neurons, its average slope with interval, and by how much its AUROC is another."""
    results, sweep = _made()

    def moved(found: Estimate) -> Estimate:
        if found.value is None or found.low is None or found.high is None:
            return found
        return Estimate(value=found.value + auroc, low=found.low + auroc, high=found.high + auroc)

    rows = tuple(row.model_copy(update={"auroc": moved(row.auroc)}) for row in results.evaluation.detection)
    turned = None
    if slope is not None:
        average = Estimate(value=slope[0], low=slope[1], high=slope[2])
        turned = sweep.model_copy(update={"average_slope": {**sweep.average_slope, H_NEURONS: average}})
    total = layers * WIDTH
    update = {
        "model": results.model.model_copy(update={"name": model, "n_layers": layers, "weights_digest": f"{model}-w"}),
        "parameters": parameters,
        "probe": results.probe.model_copy(
            update={
                "neurons": tuple(neurons),
                "weights": (1.0,) * len(neurons),
                "n_hneurons": len(neurons),
                "n_neurons": total,
                "per_mille": 1000 * len(neurons) / total,
            }
        ),
        "evaluation": results.evaluation.model_copy(update={"detection": rows}),
        "sweep": turned,
    }
    return results.model_copy(update=update)


def make_three(**changes: object) -> list[Results]:
    """Three models of growing size: the share of H-Neurons and the slope fall, AUROC rises."""
    return [
        make_run(
            f"org/{name}",
            PARAMETERS[name],
            neurons=NEURONS[name],
            layers=LAYERS[name],
            slope=SLOPES[name],
            auroc=0.01 * place,
        ).model_copy(update=changes)
        for place, name in enumerate(NEURONS)
    ]


def compared(found: Sequence[Results], labels: Sequence[str] = ()) -> SideBySide:
    """The runs side by side, by default under the last parts of their models' names."""
    names = list(labels) or [each.model.name.rpartition("/")[2] for each in found]
    return side_by_side(found, names, [f"runs/{name}" for name in names])
