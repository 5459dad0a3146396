"""Stage 7: everything that a reader or another program may want of a run, in one documented file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from hneurons.compliance.record import Sweep
from hneurons.compliance.turning import H_NEURONS
from hneurons.endpoint import Account
from hneurons.files import read_json, write_json
from hneurons.layers.record import Layers
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.origins.record import Growth, Origin
from hneurons.probes.controls import Control
from hneurons.probes.labels import Neuron
from hneurons.probes.probe import Probe
from hneurons.probes.table import Detection
from hneurons.progress import console
from hneurons.responses.response import Span
from hneurons.study.asking import read_questions, read_responses, sets_of
from hneurons.study.evaluating import MATCHED, RANDOM, REFIT, Evaluation, read_evaluation, read_fit
from hneurons.study.fitting import Fit
from hneurons.study.judging import SetCounts, read_judged
from hneurons.study.run import Run, read_record

T = TypeVar("T", Origin, Growth, Layers)

SHOWN = 4
"""Examples of each kind."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbeSummary(_Record):
    """The probe in short; `weights` belong to `neurons`, both of the H-Neurons only, heaviest first."""

    C: float
    n_nonzero: int
    n_hneurons: int
    n_neurons: int
    per_mille: float
    neurons: tuple[Neuron, ...]
    weights: tuple[float, ...]


class Comparison(_Record):
    """H-Neurons against as many random ones, fitted the same way, on one set.

    `better` is None where AUROC is not defined; else whether the H-Neurons' AUROC lies above the upper end of the
    interval of `control`.
    """

    eval_set: str
    control: str
    hneurons: float | None
    upper: float | None
    better: bool | None
    sentence: str


class Example(_Record):
    """A real answer: `spans` mark the answer in `response`, `probability` is the probe's that it is hallucinated."""

    eval_set: str
    question: str
    response: str
    spans: tuple[Span, ...]
    hallucinated: bool
    probability: float
    right_answer: str


class Results(_Record):
    """`results.json`; `sweep`, `origin`, `growth` and `layers` are None until the run has been swept, traced or
    asked layer by layer, with its probe.

    `parameters` counts all parameters of the loaded model, tied ones once.
    """

    format: Literal["hneurons-results-1"] = "hneurons-results-1"
    version: str
    config: dict[str, Any]
    model: ModelFingerprint
    verification_residual: float
    parameters: int | None = None
    sets: dict[str, dict[str, Any]]
    counts: dict[str, SetCounts]
    probe: ProbeSummary
    fit: Fit
    evaluation: Evaluation
    comparisons: tuple[Comparison, ...]
    examples: tuple[Example, ...]
    endpoints: dict[str, Account] | None = None
    sweep: Sweep | None = None
    origin: Origin | None = None
    growth: Growth | None = None
    layers: Layers | None = None


def write_results(run: Run) -> Results:
    """Gather the results of a run and write them."""
    probe, found, judged = Probe.load(run.probe), read_evaluation(run), read_judged(run)
    model = read_json(run.model)
    chosen = sorted(
        ((weight, neuron) for neuron, weight in zip(probe.neurons, probe.weights, strict=True) if weight > 0),
        key=lambda pair: (-pair[0], pair[1]),
    )
    fingerprint = ModelFingerprint.model_validate(model["fingerprint"])
    results = Results(
        version=version("hneurons"),
        config=run.config.model_dump(mode="json"),
        model=fingerprint,
        verification_residual=model["residual"],
        parameters=model.get("parameters"),
        sets=sets_of(run),
        counts=judged.counts,
        probe=ProbeSummary(
            C=probe.card.C,
            n_nonzero=len(probe.neurons),
            n_hneurons=len(chosen),
            n_neurons=fingerprint.neurons,
            per_mille=probe.per_mille,
            neurons=tuple(neuron for _, neuron in chosen),
            weights=tuple(float(weight) for weight, _ in chosen),
        ),
        fit=read_fit(run),
        evaluation=found,
        comparisons=tuple(comparisons(found)),
        examples=tuple(examples(run, found)),
        endpoints=judged.endpoints,
        sweep=_sweep(run, {neuron for _, neuron in chosen}),
        origin=_traced(run, run.origin_found, Origin, probe.card.tensors),
        growth=_traced(run, run.growth_found, Growth, probe.card.tensors),
        layers=_traced(run, run.layers_found, Layers, probe.card.tensors, "layers"),
    )
    write_json(run.results, results.model_dump(mode="json"))
    return results


def _sweep(run: Run, hneurons: set[Neuron]) -> Sweep | None:
    """What the run's sweep found, where it turned the H-Neurons of the run's probe; another's is left out."""
    if not run.sweep_found.exists():
        return None
    found = read_record(run.sweep_found, Sweep)
    if set(found.sets[H_NEURONS]) == hneurons:
        return found
    console.print(
        f"The sweep in {run.sweep_found} turned the H-Neurons of another probe, so it is left out of the results; "
        f"remove {run.sweep} and sweep again.",
        markup=False,
        highlight=False,
    )
    return None


def _traced(run: Run, file: Path, kind: type[T], probe: str, command: str = "origin") -> T | None:
    """What a command found about the run's probe; another probe's is left out."""
    if not file.exists():
        return None
    found = read_record(file, kind)
    if found.probe == probe:
        return found
    console.print(
        f"{file} is about another probe, so it is left out of the results; ask about this one: "
        f"hneurons {command} {run.path}",
        markup=False,
        highlight=False,
    )
    return None


def read_results(run: Run) -> Results:
    """What `write_results` wrote."""
    return read_record(run.results, Results)


def comparisons(found: Evaluation) -> list[Comparison]:
    """Whether the H-Neurons beat random neurons, set by set, in a sentence each; said also where they do not."""
    refitted = {row.eval_set: row for row in found.detection if row.detector == REFIT}
    return [
        _compare(refitted[control.eval_set], control)
        for control in found.controls
        if control.control in (RANDOM, MATCHED)
    ]


def _compare(row: Detection, control: Control) -> Comparison:
    ours, upper = row.auroc.value, control.auroc.high
    kind = "random neurons of the same layers" if control.control == MATCHED else "random neurons"
    if ours is None or upper is None:
        better, sentence = None, f"On {row.eval_set}, AUROC is not defined: {row.auroc.reason or control.auroc.reason}."
    else:
        better = ours > upper
        verdict = "above" if better else "NOT above"
        sentence = (
            f"On {row.eval_set}, the H-Neurons' AUROC of {ours:.3f} (refit) is {verdict} the interval of "
            f"{control.draws} draws of as many {kind}, fitted the same way ({control.auroc.low:.3f} to {upper:.3f})."
        )
    return Comparison(
        eval_set=row.eval_set, control=control.control, hneurons=ours, upper=upper, better=better, sentence=sentence
    )


def examples(run: Run, found: Evaluation) -> list[Example]:
    """Answers of every set: hallucinations and right answers that the probe is surest of, and its worst mistakes."""
    shown = []
    for name in run.config.evaluate:
        questions = {question.id: question for question in read_questions(run, name)}
        said = read_responses(run, name)
        judged = {answer.key: answer for answer in read_judged(run).answers[name]}
        ranked = sorted(found.scores[name], key=lambda scored: (-scored.probability, scored.key))
        kinds = {flag: [each for each in ranked if judged[each.key].hallucinated == flag] for flag in (True, False)}
        picked = [*kinds[True][:SHOWN], *kinds[True][::-1][:SHOWN], *kinds[False][:SHOWN], *kinds[False][::-1][:SHOWN]]
        for scored in dict.fromkeys(picked):
            answer = judged[scored.key]
            question = questions[answer.question_id]
            shown.append(
                Example(
                    eval_set=name,
                    question=question.text,
                    response=said[answer.question_id][answer.sample].text,
                    spans=answer.spans,
                    hallucinated=answer.hallucinated,
                    probability=scored.probability,
                    right_answer=question.aliases[0] if question.aliases else "",
                )
            )
    return shown
