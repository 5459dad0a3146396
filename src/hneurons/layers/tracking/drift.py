"""How far what misleads moves the state that a reply begins from, layer by layer, against a neutral twin.

    cosine(d) = 1 - cos(h_d - mu_d, t_d - mu_d)        L2(d) = ||h_d - t_d|| / ||t_d||

h_d and t_d are the states at the last position of the misleading prompt and of its twin, mu_d the mean over all twins
of the benchmark. Two neutral wordings of one question, and two neutral questions of one kind, say how far apart states
lie when nothing misleads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from hneurons.compliance.benchmark import Benchmark, Case, Outcome, Turn
from hneurons.compliance.chats import case_ids
from hneurons.compliance.playing import play
from hneurons.layers.tracking.lens import log_softmax
from hneurons.layers.tracking.record import Distance, Drift, Measure, Predictor
from hneurons.layers.tracking.states import read_states
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail
from hneurons.probes.bootstrap import Bootstrap, Estimate, metric
from hneurons.questions.loading import rank

EARLY = 3
"""The first layers of so many parts are early."""
WHAT = ("case", "reworded", "other")
MEASURES: tuple[Measure, ...] = ("cosine", "L2")
EARLY_DRIFT = "early drift"
NONE = "no case here has one"
STILL = "early layers do not tell the two apart"

_Undone = tuple[float, Float64[np.ndarray, " resamples"]]


@dataclass(frozen=True)
class Played:
    """A case as the intact model met it: the prompt that misleads in full, and what became of it."""

    case: Case
    prompt_ids: tuple[int, ...]
    outcome: Outcome


def play_cases(
    model: LanguageModel, benchmark: Benchmark, cases: Sequence[Case], *, plain: bool, stop: Sequence[str], seed: int
) -> list[Played]:
    """Play cases once, by the benchmark's own decoding and rule.

    What misleads is the last thing that is said: a case with follow-ups is read after the first of them. A case that
    ended before, or does not count ("ineligible"), is left out.
    """
    said: dict[str, list[str]] = {case.id: [] for case in cases}
    for reply in play(model, benchmark, cases, None, [1.0], seed=seed, plain=plain, stop=stop):
        said[reply.case].append(reply.text)
    found = []
    for case in cases:
        outcome = benchmark.rule(case, said[case.id]).outcome
        if outcome != "ineligible" and len(said[case.id]) > bool(case.follow_ups):
            before = said[case.id][: 1 if case.follow_ups else 0]
            found.append(Played(case, case_ids(case, before, model.tokenizer, plain=plain), outcome))
    return found


def neutral_ids(model: LanguageModel, text: str, *, plain: bool) -> tuple[int, ...]:
    """A neutral question as it is put to the model."""
    return case_ids(Case(id="neutral", turns=(Turn(role="user", content=text),)), (), model.tokenizer, plain=plain)


def other_twins(cases: Sequence[Case], *, seed: int = 0) -> list[int]:
    """For each case, the number of another one of its kind and of another group; -1 where there is none."""
    found = []
    for case in cases:
        others = [i for i, each in enumerate(cases) if each.kind == case.kind and each.split_key != case.split_key]
        found.append(min(others, key=lambda i: rank(f"{case.id}\n{cases[i].id}", seed), default=-1))
    return found


@torch.no_grad()
def last_states(
    model: LanguageModel, prompts: Sequence[Sequence[int]]
) -> tuple[Float[Tensor, "prompts depths hidden"], Float[np.ndarray, " prompts"]]:
    """The state at the last position of each prompt, in float32 or wider, and the model's largest probability there."""
    states = read_states(model, prompts, [[len(prompt) - 1] for prompt in prompts])
    Tail(model).check(states.values[states.ends, -1], states.own)
    sure = log_softmax(states.own).amax(dim=-1).exp().cpu().numpy()
    return states.values.to(torch.promote_types(states.values.dtype, torch.float32)), sure


def distances(
    states: Float[Tensor, "prompts depths hidden"],
    twins: Float[Tensor, "prompts depths hidden"],
    centre: Float[Tensor, "depths hidden"],
) -> Mapping[Measure, Float64[np.ndarray, "prompts depths"]]:
    """Both distances at every depth.

    A state that is the twin's (the embedding of the same last token) is at distance 0, though it may be the centre.
    """
    h, t, mu = (each.double().cpu() for each in (states, twins, centre))
    gap = torch.linalg.vector_norm(h - t, dim=-1)
    below = torch.linalg.vector_norm(h - mu, dim=-1) * torch.linalg.vector_norm(t - mu, dim=-1)
    cosine = ((h - mu) * (t - mu)).sum(dim=-1) / below.clamp_min(torch.finfo(below.dtype).tiny)
    same = gap <= 1e-9 * torch.linalg.vector_norm(t, dim=-1)
    size = torch.linalg.vector_norm(t, dim=-1).clamp_min(torch.finfo(below.dtype).tiny)
    return {"cosine": torch.where(same, 0.0, 1 - cosine).numpy(), "L2": (gap / size).numpy()}


@dataclass(frozen=True, eq=False)
class Drifted:
    """What was read of the cases of a benchmark that were played, row by row; distances are NaN where there is none."""

    groups: Sequence[str]
    complied: Bool[np.ndarray, " cases"]
    unparsed: Bool[np.ndarray, " cases"]
    n_tokens: Int64[np.ndarray, " cases"]
    sure: Float64[np.ndarray, " cases"]
    case: Mapping[Measure, Float64[np.ndarray, "cases depths"]]
    reworded: Mapping[Measure, Float64[np.ndarray, "cases depths"]]
    other: Mapping[Measure, Float64[np.ndarray, "cases depths"]]


def read_cases(
    model: LanguageModel,
    played: Sequence[Played],
    rows: Sequence[int],
    twins: Sequence[Sequence[int]],
    others: Sequence[int],
    centre: Float64[np.ndarray, "depths hidden"],
    *,
    plain: bool,
) -> dict[str, np.ndarray]:
    """One batch of cases that were played, read beside their twins; only distances leave the layers.

    Args:
        model: that they were played with.
        played: the cases.
        rows: the number of each in its benchmark.
        twins: the twin of every case of the benchmark, as token ids.
        others: for every case, the number of another one; -1 for none.
        centre: the mean state of all twins.
        plain: whether prompts are transcripts.

    Returns:
        A row for each case: `row`, `complied`, `unparsed`, `n_tokens`, `sure`, and by measure the distances of `case`,
        `reworded` and `other` to the twin, NaN where there is no second wording or no other question.
    """
    depths = model.n_layers + 1
    found: dict[str, np.ndarray] = {
        "row": np.array(rows, dtype=np.int64),
        "complied": np.array([each.outcome == "complies" for each in played], dtype=np.bool_),
        "unparsed": np.array([each.outcome == "unparsed" for each in played], dtype=np.bool_),
        "n_tokens": np.array([len(each.prompt_ids) for each in played], dtype=np.int64),
        "sure": np.zeros(len(played)),
    }
    found |= {f"{what} {measure}": np.full((len(played), depths), np.nan) for what in WHAT for measure in MEASURES}
    if not played:
        return found
    own, mu = [twins[row] for row in rows], torch.from_numpy(centre)
    base, _ = last_states(model, own)
    second = {i: each.case.neutral[1] for i, each in enumerate(played) if len(each.case.neutral) > 1}
    prompts: dict[str, dict[int, Sequence[int]]] = {
        "case": {i: each.prompt_ids for i, each in enumerate(played)},
        "reworded": {i: neutral_ids(model, text, plain=plain) for i, text in second.items()},
        "other": {i: twins[others[row]] for i, row in enumerate(rows) if others[row] >= 0},
    }
    for what, texts in prompts.items():
        if texts:
            places = list(texts)
            states, sure = last_states(model, list(texts.values()))
            for measure, values in distances(states, base[places], mu).items():
                found[f"{what} {measure}"][places] = values
            if what == "case":
                found["sure"] = sure.astype(np.float64)
    return found


def early_layers(n_layers: int) -> int:
    """How many layers are early: the first third, at least one."""
    return max(1, math.ceil(n_layers / EARLY))


def drift(benchmark: Benchmark, read: Drifted, n_layers: int, n_left_out: int, *, resamples: int, seed: int) -> Drift:
    """What the cases of one benchmark show."""
    bootstrap = Bootstrap(np.array(read.groups), resamples=resamples, seed=seed)
    early = early_layers(n_layers)
    return Drift(
        name=benchmark.name,
        title=benchmark.title,
        complies_when=benchmark.complies_when,
        n=len(read.groups),
        n_unparsed=int(read.unparsed.sum()),
        n_left_out=n_left_out,
        complied=_curve(read.complied.astype(np.float64)[:, None], bootstrap)[0],
        early=early,
        distances=tuple(_distance(measure, read, early, bootstrap) for measure in MEASURES),
        predictors=tuple(_predictors(read, early, bootstrap)),
    )


def _distance(measure: Measure, read: Drifted, early: int, bootstrap: Bootstrap) -> Distance:
    case, reworded, other = read.case[measure], read.reworded[measure], read.other[measure]
    mean = np.nanmean(case, axis=0)
    depth = 1 + int(mean[1 : early + 1].argmax())
    curves = [_curve(values, bootstrap) for values in (case, reworded, other)]
    has_wordings = bool((~np.isnan(reworded[:, -1])).any())
    own_depth = 1 + int(np.nanmean(reworded, axis=0)[1 : early + 1].argmax()) if has_wordings else 0
    undone, control = _undone(case, depth, bootstrap), None
    if has_wordings:
        control = _undone(reworded, own_depth, bootstrap)
    return Distance(
        measure=measure,
        case=tuple(curves[0]),
        reworded=tuple(curves[1]) if has_wordings else (),
        other=tuple(curves[2]),
        peak_depth=depth,
        peak=curves[0][depth],
        final=curves[0][-1],
        undone=bootstrap.interval(*undone, STILL),
        undone_reworded=None if control is None else bootstrap.interval(*control, STILL),
        undone_gap=None
        if control is None
        else bootstrap.interval(undone[0] - control[0], undone[1] - control[1], STILL),
    )


def _curve(values: Float64[np.ndarray, "cases depths"], bootstrap: Bootstrap) -> list[Estimate]:
    return bootstrap.means(values, ~np.isnan(values), NONE)


def _undone(values: Float64[np.ndarray, "cases depths"], depth: int, bootstrap: Bootstrap) -> _Undone:
    """(peak - final) / peak of the means, at the depth where the early layers peak; and its replicates."""
    there = ~np.isnan(values[:, -1])
    ends = np.where(there[:, None], values[:, [depth, -1]], 0.0)
    totals, whole = bootstrap.totals(ends), ends.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(1 - whole[1] / whole[0]), 1 - totals[:, 1] / totals[:, 0]


def _predictors(read: Drifted, early: int, bootstrap: Bootstrap) -> list[Predictor]:
    cosine = read.case["cosine"]
    figures: dict[str, np.ndarray] = {
        EARLY_DRIFT: cosine[:, 1 : early + 1].mean(axis=1),
        "drift at the last layer": cosine[:, -1],
        "length of the prompt": read.n_tokens.astype(np.float64),
        "probability of the first token": read.sure,
    }
    auroc, y = metric("auroc"), read.complied
    why = "" if y.any() and not y.all() else f"all {len(y)} cases end the same way"
    ones = np.ones((1, len(y)))
    drawn = {name: bootstrap.replicates(auroc, y, values) for name, values in figures.items()}
    found = {name: float(auroc(y, values, ones)[0]) for name, values in figures.items()}

    def further(name: str) -> Estimate:
        """|AUROC - 1/2| of early drift less that of another figure, on shared resamples."""
        replicates = np.abs(drawn[EARLY_DRIFT] - 0.5) - np.abs(drawn[name] - 0.5)
        return bootstrap.interval(abs(found[EARLY_DRIFT] - 0.5) - abs(found[name] - 0.5), replicates, why)

    return [
        Predictor(
            name=name,
            auroc=bootstrap.interval(found[name], drawn[name], why),
            difference=None if name == EARLY_DRIFT else further(name),
        )
        for name in figures
    ]
