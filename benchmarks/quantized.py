"""What quantizing a run's model changes: its contributions, and how well the run's probe tells hallucinations.

    python benchmarks/quantized.py RUN                          # every kind, on the first evaluation set
    python benchmarks/quantized.py RUN --set in-domain --limit 200

The answers of RUN, as its own model gave them, are passed through the model again, as it is and in each kind. Of the
contributions of each answer a line prints the relative difference, ||a - b|| / ||b|| over all neurons, and its rank
correlation over neurons; of the run's probe its AUROC on them. RUN is only read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import hneurons
from figures import Figure, add_json, save
from hneurons.contributions import Item, Recording, collect
from hneurons.models.language_model import LanguageModel
from hneurons.models.quantized import KINDS
from hneurons.probes.probe import Probe
from hneurons.progress import track
from hneurons.study.judging import read_judged
from hneurons.study.measuring import plan
from hneurons.study.run import Run


def main() -> None:
    args = parse()
    run = Run.open(args.run)
    name = args.set or next(iter(run.config.evaluate))
    probe, settings = Probe.load(run.probe), run.config.model
    truth = {answer.key: answer.hallucinated for answer in read_judged(run).answers[name]}
    plain = hneurons.load(settings.name, **settings.arguments)
    batches = plan(run, name, plain)
    items = [item for batch in batches for item in batch][: args.limit]
    expected = recorded(plain, items, run.config.recording, "as it is")
    labels = np.array([truth[item.key] for item in items])
    print(f"{len(items)} answers of {name}, {labels.mean():.0%} hallucinated, {settings.name} in {plain.dtype}")
    print("kind              difference   rank correlation   AUROC")
    print(f"{'as it is':16}  {0:10.4f}   {1:16.4f}   {auroc(probe, expected, labels):.4f}")
    figures = []
    for kind in KINDS:
        model = hneurons.load(settings.name, **{**settings.arguments, "quantize": kind})
        found = recorded(model, items, run.config.recording, kind)
        flat = [(a.ravel(), b.ravel()) for a, b in zip(found, expected, strict=True)]
        away = np.median([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in flat])
        ranks = np.median([spearmanr(a, b).statistic for a, b in flat[:100]])
        print(f"{kind:16}  {away:10.4f}   {ranks:16.4f}   {auroc(probe, found, labels):.4f}", flush=True)
        shown = {"against": f"{settings.name} in {str(plain.dtype).removeprefix('torch.')}", "unit": ""}
        shown["settings"] = {"model": settings.name, "set": name, "answers": len(items)}
        note = f"rank correlation over neurons {ranks:.4f}"
        figures += [
            Figure(what=f"{kind}: relative difference of contributions", value=away, note=note, **shown),
            Figure(
                what=f"{kind}: AUROC of the run's probe",
                value=auroc(probe, found, labels),
                note=f"as it is {auroc(probe, expected, labels):.4f}",
                **shown,
            ),
        ]
    save(args.json, figures)


def recorded(model: LanguageModel, items: list[Item], recording: Recording, what: str) -> np.ndarray:
    """Answer contributions, (answers, layers, neurons); one answer a pass, for LLM.int8() looks at the whole batch."""
    return np.concatenate([collect(model, [item], recording).answer for item in track(items, what, total=len(items))])


def auroc(probe: Probe, contributions: np.ndarray, labels: np.ndarray) -> float:
    return float(roc_auc_score(labels, probe.score(contributions)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run, which is only read")
    parser.add_argument("--set", help="one of its sets; the first that it evaluates on, if left out")
    parser.add_argument("--limit", type=int, default=400, help="at most so many answers")
    add_json(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
