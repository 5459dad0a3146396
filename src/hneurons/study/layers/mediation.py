"""Mediation and ablation in a run: what goes through a component, and what answers lose without it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from hneurons.errors import NotEnoughDataError, ProbeError
from hneurons.interventions.sites import Site, Which
from hneurons.kept import joined, kept
from hneurons.layers.answered import Answered
from hneurons.layers.causality.ablation import HOWS, Forks, Reference, ablate_answers, components, parts_of
from hneurons.layers.causality.choosing import balanced, contrasts
from hneurons.layers.causality.mediation import Contrast, Readings, everything, mediate
from hneurons.layers.causality.mediation_record import Ablation, Mediation
from hneurons.layers.causality.pairs import Pair
from hneurons.layers.causality.summing import ablation, mediation
from hneurons.probes.controls import draw_neurons
from hneurons.probes.labels import Neuron, flat
from hneurons.study.layers.work import LayersWork

DRAWS = 8
"""Sets of random neurons."""
TOGETHER = 4
"""Pairs that are run together: what their components held is kept meanwhile."""
EACH = 20
"""Answers of either kind of each set that are ablated, at most."""
REFERENCE = 60
"""Training answers of either kind that means and resampled values are of, at most."""

PER_TEST = 40
"""Permutations for each component that is tested, at least: fewer could not stand up to the correction."""


def find_mediation(work: LayersWork, pairs: Sequence[Pair]) -> Mediation:
    """Total, indirect and direct effect of every component in the pairs, whose runs differ in what was asked.

    Raises:
        NotEnoughDataError: fewer than two pairs.
    """
    if len(pairs) < 2:
        raise NotEnoughDataError(f"there are {len(pairs)} pairs of answers and mediation needs two; ask more answers")
    model, settings = work.model, work.settings
    held = contrasts(pairs, settings.seed)
    draws, missing = _draws(work)
    asked = everything(model, work.probe.hneurons, draws)
    if alone := sum(contrast.unrelated is None for contrast in held):
        missing["unrelated"] = f"pairs without an unrelated run of their length: {alone} of {len(held)}"
    tasks = [held[start : start + TOGETHER] for start in range(0, len(held), TOGETHER)]

    def run(task: Sequence[Contrast]) -> dict[str, np.ndarray]:
        found = mediate(model, task, asked, batch_rows=settings.batch_rows)
        return {"runs": found.runs, "patched": found.patched}

    parts = joined(kept(work.folder("causality") / "mediation", tasks, run, work.engine, "mediation, by pair"))
    return mediation(
        Readings(parts["runs"], parts["patched"]),
        asked,
        np.array([contrast.group for contrast in held]),
        draws=len(draws),
        resamples=settings.n_bootstrap,
        seed=settings.seed,
        missing=missing,
    )


def find_ablation(work: LayersWork) -> Ablation:
    """Every component taken out while answers of the evaluation sets are read again where they part.

    Means and resampled values are those of training answers.

    Raises:
        NotEnoughDataError: no set has both hallucinated and faithful answers to one kind of question.
    """
    model, settings = work.model, work.settings
    answers, left_out = _chosen(work)
    if not answers:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise NotEnoughDataError(f"there are no answers to ablate ({reasons}); evaluate on sets of both kinds")
    train = work.answered("train", "fit", min(REFERENCE, settings.n_train))
    reference = Reference(model, [answer.token_ids for answer in train], settings.seed)
    draws, missing = _draws(work)
    neurons = work.probe.hneurons
    taken = components(model, neurons=bool(neurons))
    tasks: list[tuple[Site, Which]] = [parts_of(model, component, neurons) for component in taken]
    tasks += [("neurons", drawn) for drawn in draws]

    @cache
    def forks() -> Forks:
        return Forks(model, answers, batch_rows=settings.batch_rows)

    def run(task: tuple[Site, Which]) -> dict[str, np.ndarray]:
        ways = [ablate_answers(forks(), *task, how, reference) for how in HOWS]
        return {"intact": forks().intact, "ablated": np.stack(ways)}

    parts = kept(work.folder("causality") / "ablation", tasks, run, work.engine, "ablation, by component")
    read = [part["ablated"] for part in parts]
    return ablation(
        parts[0]["intact"],
        read[: len(taken)],
        taken,
        read[len(taken) :],
        hallucinated=np.array([answer.hallucinated for answer in answers]),
        strata=np.array([f"{answer.eval_set}\n{answer.kind}" for answer in answers]),
        groups=np.array([answer.group for answer in answers]),
        eval_sets=[name for name in work.names if name not in left_out],
        left_out=left_out,
        n_reference=len(train),
        resamples=settings.n_bootstrap,
        permutations=max(settings.n_permutations, PER_TEST * len(taken)),
        seed=settings.seed,
        missing=missing,
    )


def _chosen(work: LayersWork) -> tuple[list[Answered], dict[str, str]]:
    """The answers that are ablated, and why sets have none among them."""
    found: list[Answered] = []
    left_out: dict[str, str] = {}
    for name in work.names:
        own = balanced(work.answered(name), EACH, work.settings.seed)
        found += own
        if not own:
            left_out[name] = "no kind of question has both hallucinated answers with a right one and faithful answers"
    return found, left_out


def _draws(work: LayersWork) -> tuple[list[tuple[Neuron, ...]], dict[str, str]]:
    """Random neurons, as many in every layer as there are H-Neurons, or why there are none."""
    model, neurons = work.model, work.probe.hneurons
    if not neurons:
        return [], {"neurons": "the probe has no H-Neuron"}
    try:
        drawn = draw_neurons(
            flat(neurons, model.n_neurons),
            model.n_layers * model.n_neurons,
            model.n_neurons,
            draws=DRAWS,
            absent=work.probe.card.model.absent,
            layer_matched=True,
            seed=work.settings.seed,
        )
    except ProbeError as error:
        return [], {"random": str(error)}
    return [tuple((int(k) // model.n_neurons, int(k) % model.n_neurons) for k in own) for own in drawn], {}
