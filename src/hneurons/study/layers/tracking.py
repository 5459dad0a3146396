"""The part `tracking` of a run.

tracking/lens/              the tuned lens, fitted on training answers
tracking/held-out/          how far both lenses are from the model on evaluation answers
tracking/answers/SET/       what was read where the answers of a set fork
tracking/drift/BENCHMARK/   misleading cases and their neutral twins
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from hneurons.compliance.benchmark import Benchmark
from hneurons.errors import ChatTemplateError, NotEnoughDataError, ResponseError
from hneurons.kept import joined, kept
from hneurons.layers.answered import Answered
from hneurons.layers.tracking.decision import other_answers
from hneurons.layers.tracking.drift import (
    MEASURES,
    Drifted,
    drift,
    last_states,
    neutral_ids,
    other_twins,
    play_cases,
    read_cases,
)
from hneurons.layers.tracking.reading import read_answers, read_divergence
from hneurons.layers.tracking.record import Drift, LensFit, SetTracking, Tracking
from hneurons.layers.tracking.sets import Asked, SetReader
from hneurons.layers.tracking.tuned_lens import TunedLens, train_tuned_lens
from hneurons.probes.bootstrap import Bootstrap
from hneurons.questions.loading import rank
from hneurons.study.layers.work import LayersWork

T = TypeVar("T")

HELD_OUT = 60
"""Answers of each evaluation set whose every token both lenses are evaluated on."""
FEWEST = 10
"""Training answers, and cases of a benchmark, that are enough to begin with."""
Arrays = dict[str, np.ndarray]


def find_tracking(work: LayersWork) -> Tracking:
    """At which layer answers are decided, and what misleading prompts do to the early ones.

    Raises:
        NotEnoughDataError: too few training answers to fit a lens on, or no answer in any evaluation set.
        ModelError: the lens of the last layer is not the model's own distribution.
    """
    model, missing = work.model, dict[str, str]()
    tuned = _tuned(work)
    read: dict[str, tuple[list[Answered], Arrays]] = {}
    for name in work.names:
        placed = [answer for answer in work.answered(name) if answer.fork is not None]
        if placed:
            read[name] = placed, _read(work, name, placed, tuned)
        else:
            missing[name] = "it has no answer that could be placed"
    if not read:
        raise NotEnoughDataError("no evaluation set has an answer whose fork could be found; there is nothing to track")
    drifts: list[Drift] = []
    for benchmark in work.benchmarks():
        try:
            drifts.append(_drift(work, benchmark))
        except (ChatTemplateError, NotEnoughDataError, ResponseError) as error:
            missing[benchmark.name] = str(error)
    if not work.settings.benchmarks:
        missing["drift"] = "no benchmark of misleading cases was named"
    return Tracking(
        n_layers=model.n_layers,
        residual=max(float(arrays["residual"].max()) for _, arrays in read.values()),
        fit=_fit(work, tuned),
        sets=tuple(_set(work, name, read) for name in read),
        drifts=tuple(drifts),
        missing=missing,
    )


def lens_folder(work: LayersWork) -> Path:
    """Where the tuned lens of a run lies; `TunedLens.load` reads it."""
    return work.folder("tracking") / "lens"


def _tuned(work: LayersWork) -> TunedLens:
    """The lens of the run, fitted on its training answers where it is not there yet."""
    if (lens_folder(work) / "lens.json").exists():
        return TunedLens.load(lens_folder(work), work.model)
    settings = work.settings
    texts = [answer.token_ids for answer in work.answered("train", "fit", settings.n_train)]
    if len(texts) < FEWEST:
        raise NotEnoughDataError(
            f"the run has {len(texts)} training answers; a tuned lens is fitted on {FEWEST} at least"
        )
    tuned = train_tuned_lens(work.model, texts, batch_rows=settings.batch_rows, seed=settings.seed)
    tuned.save(lens_folder(work))
    return tuned


def _read(work: LayersWork, name: str, placed: Sequence[Answered], tuned: TunedLens) -> Arrays:
    forks = [answer.fork for answer in placed if answer.fork is not None]
    others = other_answers(
        [answer.key for answer in placed],
        [answer.kind for answer in placed],
        [fork.given for fork in forks],
        [fork.correct for fork in forks],
        seed=work.settings.seed,
    )

    def one(rows: Sequence[int]) -> Mapping[str, np.ndarray]:
        return read_answers(work.model, [placed[row] for row in rows], others[list(rows)], tuned)

    tasks = _chunks(range(len(placed)), work)
    folder = work.folder("tracking") / "answers" / name
    return joined(kept(folder, tasks, one, work.engine, f"looking at {name} through the lens"))


def _set(work: LayersWork, name: str, read: Mapping[str, tuple[list[Answered], Arrays]]) -> SetTracking:
    """One set, with the faithful answers of the set that stands in for its own where it has none."""
    answers, arrays = read[name]
    source = work.run.config.evaluate[name].faithful_from
    if source is not None and source in read:
        theirs, more = read[source]
        rows = [row for row, answer in enumerate(theirs) if not answer.hallucinated]
        answers = [*answers, *(theirs[row] for row in rows)]
        arrays = {key: np.concatenate([values, more[key][rows]]) for key, values in arrays.items()}
    settings = work.settings
    asked = Asked(settings.n_bootstrap, settings.n_permutations, settings.seed)
    unplaced = sum(answer.fork is None for answer in work.answered(name))
    return SetReader(answers, arrays, asked).found(name, source or "", unplaced)


def _fit(work: LayersWork, tuned: TunedLens) -> LensFit:
    """KL of both lenses on every token of some evaluation answers."""
    settings = work.settings
    held_out = [
        answer
        for name in work.names
        for answer in sorted(work.answered(name), key=lambda each: rank(each.key, settings.seed))[:HELD_OUT]
    ]

    def one(answers: Sequence[Answered]) -> Mapping[str, np.ndarray]:
        return read_divergence(work.model, answers, tuned)

    tasks = _chunks(held_out, work)
    folder = work.folder("tracking") / "held-out"
    found = joined(kept(folder, tasks, one, work.engine, "evaluating both lenses"))
    groups = np.array([answer.group for answer in held_out])
    bootstrap = Bootstrap(groups, resamples=settings.n_bootstrap, seed=settings.seed)
    card = tuned.card
    curves = {
        name: tuple(bootstrap.ratios(values, found["tokens"][:, None]))
        for name, values in (
            ("logit", found["logit"]), ("tuned", found["tuned"]), ("gain", found["logit"] - found["tuned"]),
        )
    }  # fmt: skip
    return LensFit(
        n_answers=card.n_texts,
        n_tokens=card.n_tokens,
        steps=card.steps,
        start=card.start,
        n_held_out=len(held_out),
        n_held_out_tokens=int(found["tokens"].sum()),
        **curves,
    )


def _drift(work: LayersWork, benchmark: Benchmark) -> Drift:
    """One benchmark, on the intact model: what its prompts do to the state that the reply begins from."""
    model, settings, config = work.model, work.settings, work.run.config
    cases = [case for case in benchmark.cases if case.neutral]
    if len(cases) < FEWEST:
        raise NotEnoughDataError(f"{len(cases)} of its cases have a neutral twin, and {FEWEST} are needed")
    plain = config.prompt.style == "plain"
    stop = config.sampling.stop if plain else ()
    twins = [neutral_ids(model, case.neutral[0], plain=plain) for case in cases]
    others = other_twins(cases, seed=settings.seed)
    folder = work.folder("tracking") / "drift" / benchmark.name
    tasks = _chunks(range(len(cases)), work)

    def add(rows: Sequence[int]) -> Mapping[str, np.ndarray]:
        states, _ = last_states(model, [twins[row] for row in rows])
        return {"sum": states.cpu().double().sum(dim=0, keepdim=True).numpy()}

    def one(rows: Sequence[int]) -> Mapping[str, np.ndarray]:
        number = {cases[row].id: row for row in rows}
        chosen = [cases[row] for row in rows]
        played = play_cases(model, benchmark, chosen, plain=plain, stop=stop, seed=settings.seed)
        return read_cases(model, played, [number[each.case.id] for each in played], twins, others, centre, plain=plain)

    sums = joined(kept(folder / "twins", tasks, add, work.engine, f"reading the twins of {benchmark.name}"))
    centre = sums["sum"].sum(axis=0) / len(cases)
    found = joined(kept(folder / "cases", tasks, one, work.engine, f"playing {benchmark.name}"))
    if len(found["row"]) < FEWEST:
        raise NotEnoughDataError(f"{len(found['row'])} of its cases count, and {FEWEST} are needed")
    read = Drifted(
        groups=[cases[row].split_key for row in found["row"]],
        complied=found["complied"],
        unparsed=found["unparsed"],
        n_tokens=found["n_tokens"],
        sure=found["sure"],
        case={measure: found[f"case {measure}"] for measure in MEASURES},
        reworded={measure: found[f"reworded {measure}"] for measure in MEASURES},
        other={measure: found[f"other {measure}"] for measure in MEASURES},
    )
    left_out = len(benchmark.cases) - len(found["row"])
    return drift(benchmark, read, model.n_layers, left_out, resamples=settings.n_bootstrap, seed=settings.seed)


def _chunks(items: Sequence[T], work: LayersWork) -> list[Sequence[T]]:
    """Items in batches of the settings' size, in their order."""
    rows = work.settings.batch_rows
    return [items[start : start + rows] for start in range(0, len(items), rows)]
