"""What a card says of a run is what the run found, also where it found little, or nothing was measured."""

from __future__ import annotations

import pytest
from tests.report.synthetic_sweep import make_sweep

from hneurons.compliance.record import Sweep
from hneurons.probes.probe import Probe
from hneurons.report.export_notes import card_notes
from hneurons.study.results import Results
from hneurons.study.run import Run


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return make_sweep()


@pytest.fixture
def probe(finished_run: Run) -> Probe:
    return Probe.load(finished_run.probe)


@pytest.fixture
def ours(results: Results, probe: Probe) -> Results:
    """The results of that probe."""
    summary = results.probe.model_copy(update={"neurons": probe.hneurons, "weights": (1.0, 0.5)})
    return results.model_copy(update={"probe": summary})


def of(sweep: Sweep, probe: Probe) -> Sweep:
    return sweep.model_copy(update={"sets": {**sweep.sets, "H-Neurons": probe.hneurons}})


def test_how_they_were_found(probe: Probe, ours: Results) -> None:
    notes = card_notes(probe, ours, 2.0)
    assert notes.weights == {(0, 7): 1.0, (2, 952): 0.5}
    why = "\n".join(notes.why)
    assert "C 0.0316, rows 3-vs-1" in why
    assert "2 neurons of 6,144" in why
    assert "| `train` | `d1` |" in why
    row = next(row for row in ours.evaluation.detection if (row.detector, row.eval_set) == ("H-Neurons", "in-domain"))
    band = next(
        each.auroc
        for each in ours.evaluation.controls
        if (each.control, each.eval_set) == ("random neurons", "in-domain")
    )
    line = next(line for line in why.splitlines() if line.startswith("| `in-domain` | 400"))
    assert f"{row.auroc.value:.3f} [{row.auroc.low:.3f}, {row.auroc.high:.3f}]" in line
    assert f"{band.low:.3f} to {band.high:.3f}" in line
    assert "is NOT above" in why  # cross-domain
    assert notes.effect == ()


def test_without_results_or_with_another_probe_s_nothing_is_claimed(probe: Probe, results: Results) -> None:
    for found in (None, results):
        notes = card_notes(probe, found, 2.0)
        assert notes.why[-1] == "How well they tell has not been evaluated."
        assert "AUROC" not in "\n".join(notes.why)
        assert notes.effect == ()


def test_what_turning_does_and_costs(probe: Probe, ours: Results, swept: Sweep) -> None:
    sweep = of(swept, probe)
    effect = "\n".join(card_notes(probe, ours.model_copy(update={"sweep": sweep}), 2.0).effect)
    curve = next(each for each in sweep.curves if (each.benchmark, each.kind) == ("atlas/premise", "hneurons"))
    point = next(each for each in curve.points if each.alpha == 2.0)
    line = next(line for line in effect.splitlines() if line.startswith("| False premises"))
    assert f"{100 * point.rate.value:.1f}%" in line
    assert f"+{100 * point.difference.value:.1f} [" in line
    drawn = [
        each.difference.value
        for other in sweep.curves
        if other.benchmark == "atlas/premise" and other.kind in ("random", "layer-matched")
        for each in other.points
        if each.alpha == 2.0
    ]
    assert f"{100 * min(drawn):+.1f} to {100 * max(drawn):+.1f}".replace("-", "−") in line
    assert "Its cost at alpha 2: accuracy on 200 questions" in effect
    assert "NOT been measured" not in effect


def test_an_alpha_that_was_not_swept_is_said_to_be(probe: Probe, ours: Results, swept: Sweep) -> None:
    found = ours.model_copy(update={"sweep": of(swept, probe)})
    effect = card_notes(probe, found, 2.5).effect
    assert effect[0].startswith("Alpha 2.5 itself has NOT been measured.")
    assert not any(line.startswith("| False premises") for each in effect for line in each.splitlines())


def test_a_sweep_of_other_neurons_is_not_used(probe: Probe, ours: Results, swept: Sweep) -> None:
    assert card_notes(probe, ours.model_copy(update={"sweep": swept}), 2.0).effect == ()
