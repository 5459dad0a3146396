"""What was read of runs and answers, summed up for the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from hneurons.layers.causality.ablation import HOWS, LOGPROB
from hneurons.layers.causality.effects import (
    band,
    between,
    change,
    corrected,
    effects,
    permuted,
    unchanged,
)
from hneurons.layers.causality.mediation import (
    DIFFERENCE,
    DIRECT,
    INDIRECT,
    PROBABILITY,
    UNRELATED_DIRECT,
    UNRELATED_INDIRECT,
    Asked,
    Readings,
)
from hneurons.layers.causality.mediation_record import (
    Ablated,
    Ablation,
    Component,
    Draws,
    Effects,
    Mediation,
    Mediator,
    RandomAblated,
)
from hneurons.probes.bootstrap import Bootstrap


def mediation(
    readings: Readings,
    asked: Sequence[Asked],
    groups: Shaped[np.ndarray, " pairs"],
    *,
    draws: int,
    resamples: int,
    seed: int,
    missing: Mapping[str, str] | None = None,
) -> Mediation:
    """Means and shares over pairs, with intervals over groups; the last `draws` that were asked are random neurons."""
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    total = readings.total()
    n_real = len(asked) - draws
    mediators = [_mediator(bootstrap, readings, total, number, asked[number]) for number in range(n_real)]
    random = [
        _effects(bootstrap, readings, total, number, DIFFERENCE, INDIRECT, DIRECT)
        for number in range(n_real, len(asked))
    ]
    return Mediation(
        n_pairs=len(groups),
        n_groups=bootstrap.n_groups,
        clean_difference=bootstrap.mean(readings.runs[:, 0, DIFFERENCE]),
        corrupt_difference=bootstrap.mean(readings.runs[:, 1, DIFFERENCE]),
        total_difference=bootstrap.mean(total[:, DIFFERENCE]),
        clean_probability=bootstrap.mean(readings.runs[:, 0, PROBABILITY]),
        corrupt_probability=bootstrap.mean(readings.runs[:, 1, PROBABILITY]),
        total_probability=bootstrap.mean(total[:, PROBABILITY]),
        mediators=tuple(each for each in mediators if each is not None),
        random=None
        if not random
        else Draws(
            n_draws=len(random),
            nie=band([each.nie.value for each in random]),
            nde=band([each.nde.value for each in random]),
            nie_share=band([each.nie_share.value for each in random]),
            nde_share=band([each.nde_share.value for each in random]),
        ),
        missing=dict(missing or {}),
    )


def ablation(
    intact: Float64[np.ndarray, "answers 3"],
    ablated: Sequence[Float64[np.ndarray, "hows answers 3"]],
    components: Sequence[Component],
    random: Sequence[Float64[np.ndarray, "hows answers 3"]],
    *,
    hallucinated: Bool[np.ndarray, " answers"],
    strata: Shaped[np.ndarray, " answers"],
    groups: Shaped[np.ndarray, " answers"],
    eval_sets: Sequence[str],
    left_out: Mapping[str, str],
    n_reference: int,
    resamples: int,
    permutations: int,
    seed: int,
    missing: Mapping[str, str] | None = None,
) -> Ablation:
    """Changes of either kind with intervals over groups, and tests of their difference.

    Args:
        intact: readings of the answers as they are.
        ablated: readings with each of `components` taken out, in each of `HOWS`.
        components: what was taken out.
        random: the same of random neurons.
        hallucinated: the verdicts.
        strata: within which verdicts are permuted: sets and kinds of questions.
        groups: what resamples keep together.
        eval_sets: that the answers are of.
        left_out: sets that none is of, and why.
        n_reference: answers that means are of.
        resamples: of the bootstrap.
        permutations: of the tests.
        seed: of both.
        missing: what was not taken out, and why.
    """
    bootstrap = Bootstrap(groups, resamples=resamples, seed=seed)
    found: list[Ablated] = []
    chance: list[RandomAblated] = []
    moved = np.stack([each[:, :, LOGPROB] - intact[:, LOGPROB] for each in ablated])  # components, hows, answers
    p = permuted(
        moved.reshape(-1, len(intact)).T, hallucinated, strata, groups, permutations=permutations, seed=seed
    ).reshape(moved.shape[:2])
    for place, how in enumerate(HOWS):
        q = corrected(p[:, place].tolist())
        for number, (component, own) in enumerate(zip(components, ablated, strict=True)):
            found.append(
                Ablated(
                    component=component,
                    how=how,
                    hallucinated=change(bootstrap, intact, own[place], hallucinated),
                    faithful=change(bootstrap, intact, own[place], ~hallucinated),
                    difference=between(bootstrap, moved[number, place], hallucinated),
                    p=float(p[number, place]),
                    q=q[number],
                )
            )
        if random:
            drawn = [each[place, :, LOGPROB] - intact[:, LOGPROB] for each in random]
            wrong = [float(values[hallucinated].mean()) for values in drawn]
            right = [float(values[~hallucinated].mean()) for values in drawn]
            chance.append(
                RandomAblated(
                    how=how,
                    n_draws=len(drawn),
                    hallucinated=band(wrong),
                    faithful=band(right),
                    difference=band([a - b for a, b in zip(wrong, right, strict=True)]),
                )
            )
    return Ablation(
        eval_sets=tuple(eval_sets),
        left_out=dict(left_out),
        n_groups=bootstrap.n_groups,
        n_reference=n_reference,
        n_permutations=permutations,
        hallucinated=unchanged(bootstrap, intact, hallucinated),
        faithful=unchanged(bootstrap, intact, ~hallucinated),
        ablated=tuple(found),
        random=tuple(chance),
        missing=dict(missing or {}),
    )


def _mediator(
    bootstrap: Bootstrap, readings: Readings, total: Float64[np.ndarray, "pairs 2"], number: int, asked: Asked
) -> Mediator | None:
    """None where no pair has such a token."""

    def of(measure: int, indirect: int, direct: int) -> Effects | None:
        if np.isnan(readings.patched[:, number, indirect, measure]).all():
            return None
        return _effects(bootstrap, readings, total, number, measure, indirect, direct)

    difference, probability = of(DIFFERENCE, INDIRECT, DIRECT), of(PROBABILITY, INDIRECT, DIRECT)
    if difference is None or probability is None:
        return None
    return Mediator(
        component=asked.component,
        where=asked.where,
        n_pairs=int(np.isfinite(readings.patched[:, number, INDIRECT, DIFFERENCE]).sum()),
        difference=difference,
        probability=probability,
        unrelated_difference=of(DIFFERENCE, UNRELATED_INDIRECT, UNRELATED_DIRECT),
        unrelated_probability=of(PROBABILITY, UNRELATED_INDIRECT, UNRELATED_DIRECT),
    )


def _effects(
    bootstrap: Bootstrap,
    readings: Readings,
    total: Float64[np.ndarray, "pairs 2"],
    number: int,
    measure: int,
    indirect: int,
    direct: int,
) -> Effects:
    """Over the pairs in which it was asked; the total effect is that of the same pairs."""
    nie, nde = readings.effects(number, indirect)[:, measure], readings.effects(number, direct)[:, measure]
    return effects(bootstrap, total[:, measure], nie, nde)
