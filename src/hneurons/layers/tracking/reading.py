"""Answers read where they fork: through both lenses, with the statistics of every layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from hneurons.errors import ResponseError
from hneurons.layers.answered import Answered
from hneurons.layers.tracking.lens import Translators, look
from hneurons.layers.tracking.states import by_length, read_states
from hneurons.layers.tracking.statistics import STATISTICS, LayerStatistics
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail

TEXTS = 16
"""Texts whose every token is held at all depths at a time."""
GIVEN, CORRECT, COMPETITOR = 0, 1, 2
"""Columns of what is followed; after them the right answers to other questions."""


def read_answers(
    model: LanguageModel, answers: Sequence[Answered], others: Int64[np.ndarray, "answers draws"], tuned: Translators
) -> Mapping[str, np.ndarray]:
    """One batch of answers, read at the position that predicts the token at which they fork.

    Args:
        model: whose answers they are.
        answers: each with a fork.
        others: tokens to follow beside the answer's own, -1 for none.
        tuned: a tuned lens.

    Returns:
        By "logit" and "tuned": `_log_prob` (answers, depths, 3 + draws) and `_rank` (answers, depths, 3) of given and
        right token and competitor (the likeliest token at the last depth that is neither), `_entropy` (answers,
        depths); `statistics` (answers, layers, statistics); `residual` (answers): how far the tail is from the model's
        own logits.

    Raises:
        ResponseError: an answer has no fork.
        ModelError: the lens of the last layer is not the model's own distribution.
    """
    forks = [answer.fork for answer in answers]
    if any(fork is None for fork in forks):
        raise ResponseError("an answer without a fork cannot be read where it forks; leave it out")
    texts = [answer.token_ids for answer in answers]
    places = [[answer.predicts(fork.index)] for answer, fork in zip(answers, forks, strict=True) if fork is not None]
    own = [[fork.given, -1 if fork.correct is None else fork.correct] for fork in forks if fork is not None]
    tokens = np.concatenate([np.array(own, dtype=np.int64), others], axis=1)
    layers, tail = LayerStatistics(model), Tail(model)
    states = read_states(model, texts, places, also=layers.on)
    found: dict[str, np.ndarray] = {}
    for name, lens in (("logit", None), ("tuned", tuned)):
        seen = look(tail, states, tokens, lens, apart=2)
        order = [GIVEN, CORRECT, tokens.shape[1], *range(2, tokens.shape[1])]  # the competitor comes last
        found[f"{name}_log_prob"] = seen.log_prob[:, :, order]
        found[f"{name}_rank"] = seen.rank[:, :, order[:3]]
        found[f"{name}_entropy"] = seen.entropy
    statistics = layers.values()
    found["statistics"] = np.stack([statistics[name].numpy() for name in STATISTICS], axis=2)
    worst = tail.check(states.values[states.ends, -1], states.own)
    found["residual"] = np.full(len(answers), worst)
    return found


def read_divergence(model: LanguageModel, answers: Sequence[Answered], tuned: Translators) -> Mapping[str, np.ndarray]:
    """KL from the model's own distribution, summed over all tokens of each answer: `logit`, `tuned`, and `tokens`."""
    texts = [answer.token_ids for answer in answers]
    sums = {name: np.zeros((len(texts), model.n_layers + 1)) for name in ("logit", "tuned")}
    tail = Tail(model)
    for batch in by_length([len(text) for text in texts], TEXTS):
        own = [texts[number] for number in batch]
        states = read_states(model, own, [list(range(len(text))) for text in own])
        starts = np.cumsum([0, *map(len, own)])[:-1]
        nothing = np.zeros((len(states.values), 0), dtype=np.int64)
        for name, lens in (("logit", None), ("tuned", tuned)):
            seen = look(tail, states, nothing, lens)
            sums[name][batch] = np.add.reduceat(seen.kl.astype(np.float64), starts)
    return {**sums, "tokens": np.array([float(len(text)) for text in texts])}
