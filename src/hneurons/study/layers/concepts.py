"""The part `concepts` of a run: directions fitted on its training answers, read, pictured, steered along elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hneurons.errors import NotEnoughDataError
from hneurons.files import read_json
from hneurons.kept import kept
from hneurons.layers.concepts.cases import Reader, make_cases
from hneurons.layers.concepts.controls import mean_differences
from hneurons.layers.concepts.directions import Directions, fit_directions
from hneurons.layers.concepts.labels import CONCEPTS, labels, permuted_labels
from hneurons.layers.concepts.moving import (
    N_DRAWS,
    control_directions,
    move_layer,
    moved,
    steering,
)
from hneurons.layers.concepts.probing import N_CONTROL, Asked, baseline, read_layer, selectivity
from hneurons.layers.concepts.projecting import MOST, SHOWN, pictured, project
from hneurons.layers.concepts.record import Concepts, Grouping, Moved, Pictured, SetShares, Steering
from hneurons.layers.concepts.relating import REMOVED, angle, removed, transfer
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.probes.answers import Answers
from hneurons.probes.bootstrap import Bootstrap
from hneurons.progress import track
from hneurons.study.asking import read_questions, read_responses
from hneurons.study.fitting import today
from hneurons.study.judging import Part
from hneurons.study.layers.work import LayersWork
from hneurons.study.measuring import read_measured

N_STEERED = 60
"""Answers of either kind that are steered, at most."""
N_LAYERS_STEERED = 8
"""Layers after which they are, at most, evenly spaced."""


def find_concepts(work: LayersWork) -> Concepts:
    """Fit directions, keep them in `layers/concepts/directions`, and find what they tell and do on evaluation sets.

    Raises:
        NotEnoughDataError: the run recorded no hidden states.
    """
    run, settings = work.run, work.settings
    if not run.config.recording.hidden:
        raise NotEnoughDataError("the study recorded no hidden states; repeat it with recording.hidden")
    fingerprint = ModelFingerprint.model_validate(read_json(run.model)["fingerprint"])
    fit, dev = _asked(work, "train", "fit"), _asked(work, "train", "dev")
    sets = [asked for name in work.names if len((asked := _asked(work, name, "test")).answers)]
    if not sets:
        raise NotEnoughDataError("no evaluation set has an answer that is used; directions have nothing to be read on")
    positions, folder = run.config.recording.positions, work.folder("concepts") / "directions"
    directions = fit_directions(fit.answers, dev.answers, fingerprint, positions=positions, created=today())
    directions.save(folder)
    best = {concept: directions.best_layer(concept) for concept in CONCEPTS}
    n_layers, median = fingerprint.n_layers, directions.card.entropy_median
    boots: dict[tuple[str, int], Bootstrap] = {}

    def boot(answers: Answers) -> Bootstrap:
        key = answers.name, hash(answers.groups.tobytes())
        if key not in boots:
            boots[key] = Bootstrap(answers.groups, resamples=settings.n_bootstrap, seed=settings.seed)
        return boots[key]

    readings, selective, angles, left = [], [], [], []
    for layer in track(range(n_layers), "probing layers"):
        readings += read_layer(directions, layer, fit, sets, boot, seed=settings.seed)
        selective += selectivity(directions, layer, fit, dev, sets, boot, draws=N_CONTROL, seed=settings.seed)
        angles.append(angle(directions, layer, fit, seed=settings.seed))
        left += removed(directions, layer, fit, dev, sets, boot, draws=REMOVED, seed=settings.seed)
    transfers = [
        each
        for concept in CONCEPTS
        for each in transfer(directions, concept, best[concept], fit, sets, boot, seed=settings.seed)
    ]
    missing: dict[str, str] = {}
    main = _main(sets)
    pictures: list[Pictured] = []
    moves: Steering | None = None
    if main is None:
        missing["pictures"] = missing["steering"] = "no evaluation set has answers of both kinds"
    else:
        try:  # first: UMAP changes how many threads later forward passes get
            moves = _steered(work, directions, fit, main)
        except NotEnoughDataError as error:
            missing["steering"] = str(error)
        pictures = _pictures(work, fit, sets, main, sorted({0, n_layers // 2, n_layers - 1, best["factuality"]}))
    f, u = (labels(fit.answers, concept, median) for concept in CONCEPTS)
    return Concepts(
        n_layers=n_layers,
        hidden_size=fingerprint.hidden_size,
        n_fit=len(fit.answers),
        n_dev=len(dev.answers),
        entropy_median=median,
        label_correlation=float(np.corrcoef(f, u)[0, 1]),
        n_types=len(set(fit.types)),
        directory=str(folder.relative_to(run.path)),
        best=best,
        sets=tuple(
            SetShares(
                name=asked.answers.name,
                n=len(asked.answers),
                n_groups=len(np.unique(asked.answers.groups)),
                factual=float(labels(asked.answers, "factuality", median).mean()),
                uncertain=float(labels(asked.answers, "uncertainty", median).mean()),
            )
            for asked in sets
        ),
        fitted=directions.card.directions,
        readings=tuple(readings),
        selectivity=tuple(selective),
        baselines=tuple(baseline(directions, best, fit, dev, sets, boot)),
        angles=tuple(angles),
        removed=tuple(left),
        transfers=tuple(transfers),
        pictures=tuple(pictures),
        steering=moves,
        missing=missing,
    )


def _asked(work: LayersWork, name: str, part: Part) -> Asked:
    """The answers of a part of a set; an answer's type is the kind of question with the answer's first token."""
    measured, said = read_measured(work.run, name, part), read_responses(work.run, name)
    kinds = {question.id: question.kind for question in read_questions(work.run, name)}
    types = [
        f"{kinds[each.question_id]} {said[each.question_id][each.sample].token_ids[each.answer[0]]}"
        for each in measured.judged
    ]
    return Asked(measured.answers, tuple(kinds[each.question_id] for each in measured.judged), tuple(types))


def _main(sets: Sequence[Asked]) -> str | None:
    """The set that is pictured and steered: the one with most answers of the rarer kind."""
    rarer = {
        each.answers.name: min(each.answers.hallucinated.sum(), (~each.answers.hallucinated).sum()) for each in sets
    }
    name = max(rarer, key=lambda each: rarer[each])
    return name if rarer[name] >= 2 else None


def _pictures(work: LayersWork, fit: Asked, sets: Sequence[Asked], main: str, layers: Sequence[int]) -> list[Pictured]:
    """PCA of every set with both kinds, and UMAP of the main one; both fitted on training answers."""
    random = np.random.default_rng(work.settings.seed)
    trained = np.sort(random.permutation(len(fit.answers))[:MOST])
    chosen = {each.answers.name: np.sort(random.permutation(len(each.answers))[:MOST]) for each in sets}
    shown = [
        each
        for each in sets
        if 2 <= each.answers.hallucinated[chosen[each.answers.name]].sum() <= len(chosen[each.answers.name]) - 2
    ]
    found = []
    for layer in track(layers, "laying out states"):
        full: dict[str, Grouping] = {}
        for how in ("pca", "umap"):
            here = [each for each in shown if how == "pca" or each.answers.name == main]
            states = [each.states[chosen[each.answers.name], layer] for each in here]
            source = fit.states[:, layer] if how == "pca" else fit.states[trained, layer]
            projected = project(source, states, how, seed=work.settings.seed)
            for each, own, points in zip(here, states, projected.others, strict=True):
                name, rows = each.answers.name, chosen[each.answers.name]
                made = pictured(
                    how,
                    layer,
                    name,
                    projected,
                    points,
                    own,
                    each.answers.hallucinated[rows],
                    each.answers.groups[rows],
                    full=full.get(name),
                    resamples=work.settings.n_bootstrap,
                    shown=SHOWN if name == main else 0,
                    seed=work.settings.seed,
                )
                full[name] = made.full
                found.append(made)
    return found


def _steered(work: LayersWork, directions: Directions, fit: Asked, name: str) -> Steering:
    """Answers of the main set with the factuality direction added after each of some layers."""
    model, settings = work.model, work.settings
    directions.require(model.fingerprint)
    cases = make_cases(work.answered(name, "test", min(N_STEERED, settings.n_each)))
    layers = sorted(set(np.linspace(0, model.n_layers - 1, N_LAYERS_STEERED).round().astype(int).tolist()))
    y = labels(fit.answers, "factuality", directions.card.entropy_median)
    dealt = permuted_labels(y, N_DRAWS, settings.seed)

    reader = Reader(
        model,
        cases,
        directions.vectors["factuality", "means"],
        positions=directions.card.positions,
        batch_rows=settings.batch_rows,
    )

    def work_on(task: int | None) -> Mapping[str, np.ndarray]:
        if task is None:
            return reader.read()
        permuted = mean_differences(fit.states[:, task], dealt)
        return move_layer(reader, directions, task, control_directions(directions, permuted, task, seed=settings.seed))

    tasks = [None, *layers]
    untouched, *steered = kept(
        work.folder("concepts") / "steered", tasks, work_on, work.engine, "steering along factuality"
    )
    moves: list[Moved] = []
    for layer, read in zip(layers, steered, strict=True):
        moves += moved(
            cases,
            directions,
            layer,
            untouched,
            read,
            {"random": N_DRAWS, "permuted": N_DRAWS},
            resamples=settings.n_bootstrap,
            seed=settings.seed,
        )
    return steering(name, cases, moves)
