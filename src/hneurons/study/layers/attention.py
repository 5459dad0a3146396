"""The part `attention` of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hneurons.compliance.benchmark import Benchmark, Case
from hneurons.errors import NotEnoughDataError, QuestionSetError
from hneurons.kept import Arrays, joined, kept
from hneurons.layers.answered import Answered
from hneurons.layers.attention.contexts import FATES, Fate, misleads, played_cases
from hneurons.layers.attention.contrast import LEVEL, Draws, contrast
from hneurons.layers.attention.handing import eager
from hneurons.layers.attention.record import Attention, Contrast
from hneurons.layers.attention.weights import ATTENDED, Reading, Shares, attention_shares
from hneurons.study.layers.work import LayersWork
from hneurons.study.sweep_plan import folder

ANSWERS = "answers"
PARTS = ("share", "uniform", "entropy", "uniform_entropy")


def find_attention(work: LayersWork) -> Attention:
    """What the model looks at in faithful and hallucinated answers, and where a context misleads it.

    Raises:
        NotEnoughDataError: neither can be asked; the message has the reasons.
        ModelError: the model's attention cannot be read.
    """
    missing: dict[str, str] = {}
    answers = _or_missing(missing, ANSWERS, lambda: _answers(work))
    contexts: list[Contrast] = []
    try:
        benchmarks = [each for each in work.benchmarks() if misleads(each)]
    except QuestionSetError as error:
        benchmarks, missing["contexts"] = [], str(error)
    if not benchmarks and not missing.get("contexts"):
        missing["contexts"] = "no benchmark of the settings brings a context along"
    for benchmark in benchmarks:
        found = _or_missing(missing, benchmark.name, lambda own=benchmark: _context(work, own))  # type: ignore[misc]
        contexts += [] if found is None else [found]
    if answers is None and not contexts:
        raise NotEnoughDataError("; ".join(missing.values()))
    with eager(work.model) as used:
        return Attention(
            used=used.used,
            before=used.before,
            level=LEVEL,
            layers=tuple(range(work.model.n_layers)),
            n_heads=work.model.n_heads,
            segments=ATTENDED,
            answers=answers,
            contexts=tuple(contexts),
            missing=missing,
        )


def _or_missing(missing: dict[str, str], name: str, find: Callable[[], Contrast]) -> Contrast | None:
    try:
        return find()
    except NotEnoughDataError as error:
        missing[name] = str(error)
        return None


def _answers(work: LayersWork) -> Contrast:
    """Faithful and hallucinated answers of all evaluation sets, compared within set and kind of question."""
    answered = sorted(
        (each for name in work.names for each in work.answered(name)), key=lambda each: len(each.token_ids)
    )
    if not answered:
        raise NotEnoughDataError("no evaluation set has an answer")
    rows = work.settings.batch_rows
    batches = [answered[start : start + rows] for start in range(0, len(answered), rows)]

    def read(batch: Sequence[Answered]) -> Arrays:
        return _arrays(attention_shares(work.model, batch, batch_rows=rows))

    parts = kept(work.folder("attention") / ANSWERS, batches, read, work.engine, "reading attention")
    return contrast(
        _shares(work, joined(parts)),
        np.array([each.hallucinated for each in answered]),
        np.array([f"{each.eval_set}, {each.kind}" if each.kind else each.eval_set for each in answered]),
        np.array([each.group for each in answered]),
        name=ANSWERS,
        title="Answers of the evaluation sets",
        kinds=("faithful", "hallucinated"),
        draws=_draws(work),
        sets=np.array([each.eval_set for each in answered]),
    )


def _context(work: LayersWork, benchmark: Benchmark) -> Contrast:
    """Cases that the intact model resisted and complied with, compared within their kind."""
    rows, config = work.settings.batch_rows, work.run.config
    plain = config.prompt.style == "plain"
    chunks = [benchmark.cases[start : start + rows] for start in range(0, len(benchmark.cases), rows)]

    def read(chunk: Sequence[Case]) -> Arrays:
        played = played_cases(
            work.model,
            benchmark,
            chunk,
            seed=work.settings.seed,
            plain=plain,
            stop=config.sampling.stop if plain else (),
        )
        found = {"fate": np.array([FATES.index(each.fate) for each in played])}
        readings: list[Reading] = [each.reading for each in played if each.reading is not None]
        return found | (_arrays(attention_shares(work.model, readings)) if readings else _none(work))

    parts = kept(
        work.folder("attention") / folder(benchmark.name), chunks, read, work.engine, f"reading {benchmark.name}"
    )
    found = joined(parts)
    fates: list[Fate] = [FATES[code] for code in found["fate"]]
    cases = [case for case, fate in zip(benchmark.cases, fates, strict=True) if fate in ("complies", "resists")]
    return contrast(
        _shares(work, found),
        np.array([fate == "complies" for fate in fates if fate in ("complies", "resists")]),
        np.array([case.kind for case in cases]),
        np.array([case.split_key for case in cases]),
        name=benchmark.name,
        title=benchmark.title,
        kinds=("resisted", "complied"),
        draws=_draws(work),
        left_out={fate: n for fate, n in sorted(Counter(fates).items()) if fate not in ("complies", "resists")},
    )


def _draws(work: LayersWork) -> Draws:
    settings = work.settings
    return Draws(settings.n_bootstrap, settings.n_permutations, settings.seed)


def _arrays(shares: Shares) -> dict[str, np.ndarray]:
    return {name: getattr(shares, name).astype(np.float32) for name in PARTS}


def _none(work: LayersWork) -> dict[str, np.ndarray]:
    """The arrays of no text."""
    layers, heads, width = work.model.n_layers, work.model.n_heads, len(ATTENDED)
    shapes = {"share": (layers, heads, width), "uniform": (layers, width), "entropy": (layers, heads)}
    shapes["uniform_entropy"] = (layers,)
    return {name: np.empty((0, *shape), dtype=np.float32) for name, shape in shapes.items()}


def _shares(work: LayersWork, arrays: Mapping[str, np.ndarray]) -> Shares:
    with eager(work.model) as used:
        return Shares(
            tuple(range(work.model.n_layers)), used, **{name: arrays[name].astype(np.float64) for name in PARTS}
        )
