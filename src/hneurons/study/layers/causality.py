"""The part `causality` of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from hneurons.errors import HNeuronsError, NotEnoughDataError, ProbeError
from hneurons.kept import joined, kept
from hneurons.layers.causality.inputs import embedding_spread
from hneurons.layers.causality.pairs import Pair, chosen, find_pairs
from hneurons.layers.causality.record import Causality, NeuronsPatched, Tracing
from hneurons.layers.causality.summary import Summary
from hneurons.layers.causality.tracing import Asked, trace, unrelated
from hneurons.probes.controls import draw_neurons
from hneurons.probes.labels import Neuron, flat
from hneurons.study.layers.mediation import find_ablation, find_mediation
from hneurons.study.layers.work import LayersWork

SIGMAS = 3.0
"""Standard deviation of the noise in those of the embeddings (Meng et al. 2022)."""
NOISE_DRAWS = 3
RANDOM_SETS = 20
"""Sets of random neurons of either kind, as many neurons each as there are H-Neurons."""
TOGETHER = 4
"""Pairs that are traced at a time."""

T = TypeVar("T")


def find_causality(work: LayersWork) -> Causality:
    """Patch pairs of answers, hold estimates against it, and ask what every component mediates.

    Raises:
        NotEnoughDataError: fewer than two pairs of a faithful and a hallucinated answer can be had.
    """
    pairs, found, unpaired = pairs_of(work)
    if len(pairs) < 2:
        reasons = "; ".join(f"{count} times {reason}" for reason, count in unpaired.items()) or "no hallucinated answer"
        raise NotEnoughDataError(
            f"there are {len(pairs)} pairs of a faithful and a hallucinated answer that are alike but for their "
            f"subject ({reasons}), and patching needs two; ask more answers with --n-each"
        )
    model, settings, missing = work.model, work.settings, {}
    hneurons = work.probe.hneurons
    random, matched = [], []
    try:
        if not hneurons:
            raise ProbeError("the probe has no H-Neuron")
        random, matched = (_sets(work, layer_matched=layer_matched) for layer_matched in (False, True))
    except ProbeError as error:
        missing["neurons"] = str(error)
    asked = Asked(
        sigma=SIGMAS * embedding_spread(model),
        draws=NOISE_DRAWS,
        sets=() if "neurons" in missing else (hneurons, *random, *matched),
        seed=settings.seed,
        batch_rows=settings.batch_rows,
    )
    own = [pair for _, pair in pairs]
    others = unrelated(own, settings.seed)
    tasks = [slice(start, start + TOGETHER) for start in range(0, len(own), TOGETHER)]
    parts = kept(
        work.folder("causality") / "patching",
        tasks,
        lambda task: trace(model, own[task], others[task], asked),
        work.engine,
        "patching, by pair",
    )
    summary = Summary(joined(parts), pairs, settings.n_bootstrap, settings.seed)
    neurons: NeuronsPatched | None = None
    if "neurons" not in missing:
        neurons = summary.neurons(len(hneurons), len(random), len(matched))
    return Causality(
        tracing=Tracing(pairs=summary.described(found, unpaired, asked), maps=summary.maps()),
        neurons=neurons,
        attribution=summary.attribution(),
        mediation=_unless_refused(lambda: find_mediation(work, own), "mediation", missing),
        ablation=_unless_refused(lambda: find_ablation(work), "ablation", missing),
        missing=missing,
    )


def pairs_of(work: LayersWork) -> tuple[list[tuple[str, Pair]], int, dict[str, int]]:
    """The pairs that are patched, with the names of their sets; how many there are to choose from; why not more.

    The faithful answers stand in the same set, or in the one that its `faithful_from` names.
    """
    found: dict[str, list[Pair]] = {}
    unpaired: Counter[str] = Counter()
    used: set[str] = set()
    for name in work.names:
        source = work.run.config.evaluate[name].faithful_from or name
        hallucinated = [answer for answer in work.answered(name) if answer.hallucinated]
        faithful = [answer for answer in work.answered(source) if not answer.hallucinated]
        found[name], reasons = find_pairs(hallucinated, faithful, work.settings.seed, used)
        unpaired.update(reasons)
    total = sum(map(len, found.values()))
    return chosen(found, work.settings.n_pairs, work.settings.seed), total, dict(unpaired)


def _sets(work: LayersWork, *, layer_matched: bool) -> list[tuple[Neuron, ...]]:
    width = work.model.n_neurons
    drawn = draw_neurons(
        flat(work.probe.hneurons, width),
        work.model.n_layers * width,
        width,
        draws=RANDOM_SETS,
        absent=work.probe.card.model.absent,
        layer_matched=layer_matched,
        seed=work.settings.seed,
    )
    return [tuple((int(number) // width, int(number) % width) for number in own) for own in drawn]


def _unless_refused(find: Callable[[], T], name: str, missing: dict[str, str]) -> T | None:
    try:
        return find()
    except HNeuronsError as error:
        missing[name] = str(error)
        return None
