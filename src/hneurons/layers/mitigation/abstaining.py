"""What an answer is withheld by: the probe's score of it, or how probable the model found its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float64

from hneurons.contributions.collecting import collect
from hneurons.contributions.item import Item, Recording
from hneurons.errors import NotEnoughDataError
from hneurons.layers.mitigation.methods import Scores, Shown
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.responses.refusals import is_refusal
from hneurons.responses.response import Response
from hneurons.responses.spans import answer_spans, span_tokens


def scores(
    model: LanguageModel, probe: Probe, shown: Sequence[Shown], responses: Sequence[Response]
) -> tuple[Float64[np.ndarray, " responses"], Float64[np.ndarray, " responses"]]:
    """The probe's probability that each response is hallucinated, and minus the mean log-probability of its answer.

    One more pass over prompts and responses, read as the probe's answers were. NaN for a response that claims nothing:
    a refusal, or one without an answer.

    Raises:
        ProbeMismatchError: the probe is another model's.
        ResponseError, ModelError: as of `contributions.recording.record`.
    """
    probe.require(model.fingerprint)
    items = []
    for number, (prompt, response) in enumerate(zip(shown, responses, strict=True)):
        if is_refusal(response.text):
            continue
        tokens = span_tokens(answer_spans(response.text, prompt.asked), response.offsets)
        if tokens:
            items.append(Item(str(number), prompt.token_ids, response.token_ids, tokens))
    by_probe, by_surprise = np.full(len(responses), np.nan), np.full(len(responses), np.nan)
    if items:
        how = Recording(positions=probe.card.positions, other=probe.card.other, hidden=False)
        found = collect(model, items, how)
        places = [int(item.key) for item in items]
        by_probe[places] = probe.probabilities(found.answer.float().numpy())
        by_surprise[places] = [-row.logprob if row.logprob is not None else np.nan for row in found.rows[: len(items)]]
    return by_probe, by_surprise


def by_probe(probe: Probe) -> Scores:
    """Withhold by the probe."""
    return lambda model, shown, responses: torch.from_numpy(scores(model, probe, shown, responses)[0])


def by_surprise(probe: Probe) -> Scores:
    """Withhold by the model's own confidence; the probe only says at which tokens answers are read."""
    return lambda model, shown, responses: torch.from_numpy(scores(model, probe, shown, responses)[1])


def lowest_threshold(
    found: Float64[np.ndarray, " answers"], correct: Bool[np.ndarray, " answers"], kept: float
) -> float:
    """The lowest threshold that withholds most while it leaves this share of the right answers standing.

    Args:
        found: the score of every answer; NaN where it makes no claim, which is never withheld.
        correct: which of them are right.
        kept: share of the right answers that are to stand.

    Raises:
        NotEnoughDataError: no right answer has a score.
    """
    own = np.sort(found[correct & ~np.isnan(found)])
    if not len(own):
        raise NotEnoughDataError("no right answer has a score, so that no threshold can be chosen")
    unscored = int((correct & np.isnan(found)).sum())
    needed = int(np.ceil(kept * (len(own) + unscored) - 1e-9)) - unscored
    return float(own[min(max(needed, 1), len(own)) - 1])
