"""A run without a model: made-up contributions on disk, judged, so that fitting and evaluating have all they need.

    python -m tests.study.made_run DIRECTORY

fits and evaluates one that was made, and prints by how many bytes the peak memory of the process grew while it did.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch

from hneurons.contributions import ContributionStore, Layout, Recording
from hneurons.contributions.row import Row
from hneurons.files import read_json, write_json, write_text
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.language_model import LanguageModel
from hneurons.questions.question import Question
from hneurons.study import fitting
from hneurons.study.config import StudyConfig
from hneurons.study.evaluating import evaluate
from hneurons.study.judging import Judged, JudgedAnswer, Part
from hneurons.study.run import Run

LAYERS, HIDDEN, BATCH = 10, 32, 10
PARTS: dict[str, dict[Part, int]] = {"train": {"fit": 100, "dev": 50}, "in-domain": {"test": 60}}


def make_run(path: Path, n_neurons: int, in_memory_mb: int, seed: int = 0) -> Run:
    """Every tenth answer is all answer; one neuron in two hundred of layer 3 tells."""
    config = StudyConfig.model_validate(
        {
            "train": {"questions": "made/up"},
            "evaluate": {"in-domain": {"questions": "made/up"}},
            "probe": {"n_grid": 4, "span": 10.0},
            "controls": {"n_random": 3, "n_layer_matched": 3, "n_permuted": 2, "n_stability": 4, "n_bootstrap": 50},
            "in_memory_mb": in_memory_mb,
        }
    )
    run = Run.start(path, config)
    fingerprint = ModelFingerprint(
        name="made", revision=None, model_type="llama", n_layers=LAYERS, n_neurons=n_neurons, hidden_size=HIDDEN,
        weights_digest="ab" * 32,
    )  # fmt: skip
    write_json(run.model, {"fingerprint": fingerprint.model_dump(mode="json")})
    write_json(run.path / "questions" / "sets.json", {name: {"digest": "cd" * 32} for name in PARTS})
    answers = {}
    for name, parts in PARTS.items():
        made = [
            JudgedAnswer(
                question_id=f"{name}-{part}-{i}", group=f"{name}-{part}-{i // 2}", sample=0, part=part,
                hallucinated=i % 4 in (0, 3), spans=(), answer=(0,), n_response=3,
            )
            for part, n in parts.items()
            for i in range(n)
        ]  # fmt: skip
        texts = [Question(id=each.question_id, text=f"What is {k}?").model_dump_json() for k, each in enumerate(made)]
        write_text(run.questions(name), "\n".join(texts) + "\n")
        _record(run, name, made, fingerprint, np.random.default_rng([seed, len(name)]))
        answers[name] = tuple(made)
    write_json(run.judged, Judged(answers=answers, counts={}).model_dump(mode="json"))
    return run


def _record(
    run: Run, name: str, answers: list[JudgedAnswer], fingerprint: ModelFingerprint, random: np.random.Generator
) -> None:
    """Recorded in another order than judged, as batches of like length are."""
    order = random.permutation(len(answers))
    batches = [[answers[i] for i in order[first : first + BATCH]] for first in range(0, len(order), BATCH)]
    layout = Layout(
        n_layers=LAYERS, n_neurons=fingerprint.n_neurons, hidden_size=HIDDEN, batches=len(batches),
        rows_per_batch=2 * BATCH, dtype=run.config.storage, recording=Recording(), model=fingerprint,
        compute="float32", items="ef" * 32,
    )  # fmt: skip
    store = ContributionStore.create(run.contributions(name), layout)
    for number, batch in enumerate(batches):
        writer = store.writer(number)
        y = np.array([answer.hallucinated for answer in batch])
        others = [answer for answer in batch if int(answer.question_id.split("-")[-1]) % 10]
        for layer in range(LAYERS):
            log = random.normal(-7, 0.5, (len(batch) + len(others), fingerprint.n_neurons)).astype(np.float32)
            if layer == 3:
                log[: len(batch), ::200] += 1.2 * y[:, None]
            values = torch.from_numpy(np.exp(log))
            writer.contributions(layer, values[: len(batch)], values[len(batch) :])
            states = torch.from_numpy(random.normal(size=(len(log), HIDDEN)).astype(np.float32))
            writer.hidden(layer, states[: len(batch)], states[len(batch) :])
        rows = [_row(answer, "answer", answer in others) for answer in batch]
        writer.finish([*rows, *(_row(answer, "other", True) for answer in others)])


def _row(answer: JudgedAnswer, role: Any, has_other: bool) -> Row:
    told = (-1.0, 1.0 + answer.hallucinated) if role == "answer" else (None, None)
    return Row(answer.key, role, 1, 5, answer.n_response, has_other, *told)


def fit_and_evaluate(run: Run) -> None:
    """Both stages; the model, which would be asked what it still knows, always knows."""
    fingerprint = ModelFingerprint.model_validate(read_json(run.model)["fingerprint"])
    model = Mock(
        spec=LanguageModel,
        fingerprint=fingerprint,
        n_layers=LAYERS,
        n_neurons=fingerprint.n_neurons,
        neurons=LAYERS * fingerprint.n_neurons,
    )
    known, fitting.known_accuracy = fitting.known_accuracy, lambda run, model, dev: (lambda neurons: 1.0, 1)
    try:
        fitting.fit_probe(run, model)
    finally:
        fitting.known_accuracy = known
    evaluate(run, model)


def _memory(field: str) -> int:
    """Bytes of this process: VmRSS now, or VmHWM at most since the mark was reset (proc(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    from hneurons.probes.solver import warm_up

    warm_up()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew; that of the parent would count else
    before = _memory("VmRSS")
    fit_and_evaluate(Run.open(Path(sys.argv[1])))
    sys.stdout.write(f"{_memory('VmHWM') - before}\n")
