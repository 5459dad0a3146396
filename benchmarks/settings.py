"""What reading position, labelling scheme and scale of the penalty do to the probe, on held-out training questions.

    python benchmarks/settings.py runs/demo

Takes the judged responses of a run; records contributions anew for each reading position, in a temporary directory. The
evaluation sets of the run are not looked at. Against: as many random neurons, ten draws.
"""

from __future__ import annotations

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from figures import Figure, add_json, save
from hneurons.contributions import ContributionStore, Layout, Recording, extract_batch
from hneurons.engine import Here
from hneurons.probes import metrics
from hneurons.probes.answers import Answers
from hneurons.probes.controls import random_neurons, refit
from hneurons.probes.detectors import Detector
from hneurons.probes.labels import training_rows
from hneurons.probes.path import c_grid, fit_path
from hneurons.probes.select import choose
from hneurons.study.measuring import plan, read_measured
from hneurons.study.run import Run
from hneurons.study.work import Work


def auroc(detector: Detector, answers: Answers) -> float:
    return float(metrics.auroc(answers.hallucinated, detector.scores(answers), np.ones((1, len(answers))))[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"))
    add_json(parser)
    args = parser.parse_args()
    run = Run.open(args.run)
    found = []
    model = Work(run, Here()).model
    print("positions scheme   penalty on       H   probe  refit  random (mean, best)")
    for positions in ("at", "before"):
        with tempfile.TemporaryDirectory() as folder:
            recording = Recording(other=run.config.recording.other, positions=positions, hidden=False)
            other = Run(Path(folder), run.config.model_copy(update={"recording": recording}))
            for name in ("questions", "responses", "judged.json"):
                (other.path / name).symlink_to((run.path / name).resolve())
            planned = plan(other, "train", model)
            store = ContributionStore.create(other.contributions("train"), Layout.plan(model, planned, recording))
            for batch in store.pending_batches():
                extract_batch(model, planned[batch], store, batch)
            fit, dev = read_measured(other, "train", "fit"), read_measured(other, "train", "dev").answers
            train = fit.answers
            for scheme, scale in product(("3-vs-1", "1-vs-1"), ("none", "std")):
                rows = training_rows(scheme, train.hallucinated, train.groups, fit.has_other)
                X = rows.matrix(train.contributions, fit.other)
                span = 100.0 if scale == "none" else 20.0
                path = fit_path(X, rows.y, c_grid(X, rows.y, 7, span, scale=scale), scale=scale)
                choice = choose(path.solutions, dev.contributions, dev.hallucinated, model.n_neurons)
                H, point = choice.solution.positive, choice.curve[choice.index]
                drawn = [auroc(each, dev) for each in random_neurons(H, model.n_neurons, train, dev, draws=10)]
                print(
                    f"{positions:9} {scheme:8} {'raw' if scale == 'none' else 'standardised':13} {len(H):4} "
                    f"{point.heldout_auroc:6.3f} {auroc(refit(H, train, dev), dev):6.3f}  "
                    f"{np.mean(drawn):.3f} {max(drawn):.3f}",
                    flush=True,
                )
                read = "at the tokens" if positions == "at" else "before them"
                penalty = "raw values" if scale == "none" else "standardised values"
                refitted = f"{len(H)} H-Neurons; refitted {auroc(refit(H, train, dev), dev):.3f}"
                randomly = f"as many random neurons: {np.mean(drawn):.3f}, best of {len(drawn)} draws {max(drawn):.3f}"
                found.append(
                    Figure(
                        what=f"AUROC, {scheme}, read {read}, penalty on {penalty}",
                        against=randomly,
                        value=point.heldout_auroc,
                        unit="",
                        note=refitted,
                        settings={"model": run.config.model.name, "held out": len(dev), "fitted on": len(train)},
                    )
                )
    save(args.json, found)


if __name__ == "__main__":
    main()
