"""Made-up answers and what a lens might have seen of them."""

from __future__ import annotations

import numpy as np

from hneurons.layers.answered import Answered, Fork
from hneurons.layers.tracking.sets import Asked, SetReader
from hneurons.layers.tracking.statistics import STATISTICS
from hneurons.questions.question import Question

ASKED = Asked(resamples=200, permutations=199, seed=0)


def answer(
    number: int,
    *,
    hallucinated: bool,
    kind: str = "city",
    prompt: tuple[int, ...] = (5, 6, 7),
    response: tuple[int, ...] = (8, 9, 10),
    fork: Fork | None = None,
) -> Answered:
    return Answered(
        key=f"q{number}#0",
        eval_set="made",
        kind=kind,
        group=f"g{number // 2}",
        prompt_ids=prompt,
        response_ids=response,
        answer=(1,),
        hallucinated=hallucinated,
        segments=("first", *["question"] * (len(prompt) - 1)),  # type: ignore[arg-type]
        fork=fork,
        question=Question(id=f"q{number}", text="?", kind=kind),
        text="made",
    )


def made_set(n: int = 80, depths: int = 5, seed: int = 0, *, one_kind: bool = False) -> SetReader:
    """Answers whose right token is ahead early on in some, with statistics that differ in one layer."""
    random = np.random.default_rng(seed)
    hallucinated = np.ones(n, dtype=bool) if one_kind else random.random(n) < 0.5
    answers = [
        answer(
            i,
            hallucinated=bool(hallucinated[i]),
            kind=str(random.choice(["city", "coin"])),
            prompt=(5,) * int(random.integers(3, 9)),
            fork=Fork(1, 9, 11 if hallucinated[i] else None),
        )
        for i in range(n)
    ]
    read: dict[str, np.ndarray] = {}
    for lens in ("logit", "tuned"):
        log_prob = np.log(random.dirichlet(np.ones(6), size=(n, depths)).astype(np.float32))[:, :, :5]
        log_prob[:, -1, 0] += 1  # most of what is given leads at the end
        log_prob[~hallucinated, :, 1] = np.nan
        log_prob[~hallucinated, :, 3:] = np.nan
        read[f"{lens}_log_prob"] = log_prob
        read[f"{lens}_rank"] = 1 + (log_prob[:, :, None, :3] > log_prob[:, :, :3, None]).sum(axis=3)
        read[f"{lens}_entropy"] = random.random((n, depths)).astype(np.float32)
    statistics = random.normal(size=(n, depths - 1, len(STATISTICS)))
    statistics[hallucinated, 2, 1] += 2.0
    read["statistics"] = statistics.astype(np.float32)
    read["residual"] = np.zeros(n)
    return SetReader(answers, read, ASKED)
