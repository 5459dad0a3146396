"""The part `mitigation` of a run: every method tuned by one rule, then asked the same as all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hneurons.compliance.turning import neuron_sets
from hneurons.errors import NotEnoughDataError
from hneurons.kept import Arrays, kept
from hneurons.layers.mitigation.comparing import Became, Resampled, at_random, compare, draws, steering
from hneurons.layers.mitigation.methods import Method, random_directions, scaled, steered, unchanged
from hneurons.layers.mitigation.pricing import ROUNDS, Spent, prices, spend
from hneurons.layers.mitigation.record import Depths, Mitigation, Steered
from hneurons.layers.mitigation.tuning import RULE
from hneurons.study.layers.mitigation_terms import QUESTIONS, TEXT, Terms
from hneurons.study.layers.mitigation_tuning import STEERING, ZERO, Towards, Tuned, tune
from hneurons.study.layers.work import LayersWork

N_DRAWS = 8
"""Random sets of neurons, and random directions at every layer."""
TIMED = 32
"""Questions of the batch that costs are counted and timed on, at most."""

Asked = tuple[tuple[str, int], ...]
"""What is asked, chunk by chunk."""


@dataclass(frozen=True)
class Job:
    """One method, and what it is asked."""

    method: Method
    asked: Asked


def find_mitigation(work: LayersWork) -> Mitigation:
    """Tune every method on held-out training questions, and compare all on the evaluation sets.

    Raises:
        NotEnoughDataError: the run has no H-Neurons, or no question that the model knows or that can be tuned on.
        QuestionSetError: a benchmark or the text cannot be loaded.
        ProbeError: too few neurons are left to draw random ones from.
    """
    if not work.probe.hneurons:
        raise NotEnoughDataError("the probe has no H-Neurons, so that there is nothing to turn; ask more questions")
    terms = Terms(work)
    tuned = tune(work, terms)
    methods = (unchanged(), *tuned.methods)
    random, straying, steps = _random_neurons(work, terms), _straying(work, terms, tuned), _steps(work, terms, tuned)
    jobs = [Job(method, terms.everything()) for method in methods]
    ends = np.cumsum([len(jobs), len(random), len(straying)])
    became = _asked(work, terms, [*jobs, *random, *straying, *(job for own in steps for job in own)])
    held = Resampled(terms.rows, work.settings.n_bootstrap, work.settings.seed)
    compared = compare(methods, became[: ends[0]], prices(_spent(work, terms, methods)), held)
    intact = became[0]
    controls = [draws(ZERO, "as many random neurons of the same layers", intact, became[ends[0] : ends[1]])]
    if straying:
        what = "random directions in the same layer, as far,"
        controls.append(draws(STEERING, what, intact, became[ends[1] : ends[2]]))
    by_layer: tuple[Steered, ...] = ()
    depths: Depths | None = None
    if steps:
        width, n = N_DRAWS + 1, terms.n_layered
        lines = [became[start : start + width] for start in range(ends[2], len(became), width)]
        by_layer, depths = steering(
            np.stack([intact.verdicts[:n], *(line[0].verdicts for line in lines)], axis=1),
            np.stack([np.stack([each.verdicts for each in line[1:]], axis=1) for line in lines], axis=1),
            [each.strength for each in tuned.layers],
            held.bootstrap(held.rows.groups[:n]),
        )
    controls += [
        at_random(method.name, intact, own, N_DRAWS, work.settings.seed)
        for method, own in zip(methods, became, strict=False)
        if method.kind == "abstention"
    ]
    return Mitigation(
        methods=compared,
        controls=tuple(controls),
        steering=by_layer,
        depths=depths,
        tried=tuned.tried,
        tuned_on=len(terms.tuning),
        rule=RULE,
        questions={name: int((held.rows.sets == name).sum()) for name in work.names},
        layered=terms.n_layered,
        known_questions=len(terms.known),
        cases={name: len(benchmark.cases) for name, benchmark in terms.benchmarks.items()},
        titles={name: benchmark.title for name, benchmark in terms.benchmarks.items()},
        text=terms.text,
        passages=len(terms.passages),
        text_tokens=int(held.rows.tokens.sum()),
        missing=dict(tuned.missing),
    )


def _random_neurons(work: LayersWork, terms: Terms) -> list[Job]:
    """Random neurons of the same layers, suppressed; asked everything but the text."""
    sets = neuron_sets(
        work.probe, n_random=0, n_layer_matched=N_DRAWS, threshold=None, seed=work.settings.seed
    )[1:]  # fmt: skip
    asked = tuple(each for each in terms.everything() if each[0] != TEXT)
    return [Job(scaled(f"{ZERO}, {each.name}", each.neurons, 0.0), asked) for each in sets]


def _straying(work: LayersWork, terms: Terms, tuned: Tuned) -> list[Job]:
    """Random directions in the place of the one that was chosen to steer along; asked the questions."""
    if tuned.steering is None:
        return []
    chosen, asked = tuned.steering, tuple(each for each in terms.everything() if each[0] == QUESTIONS)
    return _astray(work, chosen, asked)


def _steps(work: LayersWork, terms: Terms, tuned: Tuned) -> list[list[Job]]:
    """By layer: steering there, then along random directions; asked some of the questions."""
    asked = terms.everything()[: terms.layered_chunks]
    return [[Job(at.method, asked), *_astray(work, at, asked)] for at in tuned.layers]


def _astray(work: LayersWork, at: Towards, asked: Asked) -> list[Job]:
    """Random directions of a layer, the same for every strength."""
    directions = random_directions(work.model.hidden_size, N_DRAWS, work.settings.seed + at.layer)
    return [
        Job(steered(f"{STEERING}, random {number}", at.layer, direction, at.strength, tuned=False), asked)
        for number, direction in enumerate(directions)
    ]


def _asked(work: LayersWork, terms: Terms, jobs: Sequence[Job]) -> list[Became]:
    """Every job, chunk by chunk; what was done before is read."""
    tasks = [(k, what, number) for k, job in enumerate(jobs) for what, number in job.asked]

    def ask(task: tuple[int, str, int]) -> Arrays:
        return terms.ask(jobs[task[0]].method, task[1], task[2])

    folder = terms.folder("methods", [job.method for job in jobs])
    parts: list[dict[tuple[str, int], Arrays]] = [{} for _ in jobs]
    for (k, what, number), part in zip(tasks, kept(folder, tasks, ask, work.engine, "comparing methods"), strict=True):
        parts[k][what, number] = part
    return [terms.became(own) for own in parts]


def _spent(work: LayersWork, terms: Terms, methods: Sequence[Method]) -> Spent:
    """What the methods cost on one batch, measured in turn; once, so that it stays what it was."""
    puts = terms.questions[: min(TIMED, work.settings.batch_rows)]

    def measure(_task: int) -> Arrays:
        prompts, shown = [put.prompt for put in puts], [put.shown for put in puts]
        return vars(spend(work.model, methods, prompts, shown, terms.sampling, ROUNDS))

    (found,) = kept(terms.folder("costs", methods), [0], measure, work.engine, "timing methods")
    return Spent(**found)
