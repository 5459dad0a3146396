"""P(True): the model asked whether its own answer is true (Kadavath et al., arXiv 2207.05221, section 3).

One chat turn gives the question and the proposed answer and asks for True or False; P(True) is what the model gives the
first tokens of "True" and "Yes" there, out of these and those of "False" and "No". How much it gives to all of them
together says whether it takes the turn as the question that it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int, Shaped
from scipy.special import logit

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.padding import pad
from hneurons.contributions.recording import check_items, forward
from hneurons.errors import ModelError
from hneurons.models.language_model import LanguageModel
from hneurons.probes.logistic import Logistic, fit_logistic
from hneurons.probes.solver import free_intercept
from hneurons.questions.prompts import PromptFormat

P_TRUE = "P(True)"
TURN = "Question: {question}\nProposed answer: {answer}\nIs the proposed answer true? Reply with True or False."
YES, NO = ("True", "Yes"), ("False", "No")


@dataclass(frozen=True)
class TruthTokens:
    """First tokens of the words that say yes, and of those that say no; no token is in both."""

    yes: tuple[int, ...]
    no: tuple[int, ...]


def truth_tokens(tokenizer: Any) -> TruthTokens:
    """The first tokens of True and Yes, of False and No, each with a space before it and without.

    Raises:
        ModelError: the words of either side begin with the same tokens, so that they cannot be told apart by them.
    """
    yes, no = (
        {tokenizer(space + word, add_special_tokens=False)["input_ids"][: 1 + _blank(tokenizer, space + word)][-1]
         for word in side for space in ("", " ")}
        for side in (YES, NO)
    )  # fmt: skip
    if not yes - no or not no - yes:
        raise ModelError(
            "the tokenizer begins True and False with the same token, so that P(True) cannot be read off the next one"
        )
    return TruthTokens(tuple(sorted(yes - no)), tuple(sorted(no - yes)))


def truth_prompt(how: PromptFormat, tokenizer: Any, question: str, answer: str) -> tuple[int, ...]:
    """The prompt that asks whether an answer is true: in the style of the study's own prompts, without their suffix.

    Raises:
        ChatTemplateError: there is no chat template, or it refuses or drops the system prompt.
    """
    bare = how.model_copy(update={"suffix": "", "template": "{question}\nReply:"})
    return tuple(bare.token_ids(TURN.format(question=question, answer=answer.strip()), tokenizer))


@torch.no_grad()
def p_true(
    model: LanguageModel, prompts: Sequence[Sequence[int]], tokens: TruthTokens
) -> tuple[Float64[np.ndarray, " prompts"], Float64[np.ndarray, " prompts"]]:
    """P(True) of each prompt, and the mass of all words that were counted; one padded forward pass.

    Raises:
        ResponseError: a prompt is longer than the model can read.
        ModelError: the logits are not numbers.
    """
    items = [Item(str(row), tuple(ids), (tokens.yes[0],), (0,)) for row, ids in enumerate(prompts)]
    check_items(model, items)
    batch = pad(items, Recording(hidden=False), model.pad_id)
    logits = forward(model, batch).flatten(0, 1)
    last = logits.index_select(0, batch.predictions.to(logits.device))
    wide = last.to(torch.promote_types(last.dtype, torch.float32)).log_softmax(dim=-1)
    if not bool(wide.amax(dim=-1).isfinite().all()):
        raise ModelError(f"{model.name} gives logits that are not finite in {model.dtype}; load it in float32")
    yes, no = (wide[:, list(side)].logsumexp(dim=-1).double().cpu().numpy() for side in (tokens.yes, tokens.no))
    return 1 / (1 + np.exp(np.clip(no - yes, -700, 700))), np.exp(yes) + np.exp(no)


def swaps(kinds: Shaped[np.ndarray, " rows"], claims: Sequence[str], seed: int = 0) -> Int[np.ndarray, " rows"]:
    """For each row another one of its kind, drawn at random, that claims something else; -1 where there is none.

    Put in the place of the row's own claim it leaves the sentence as it is, and only the answer is another.
    """
    random = np.random.default_rng(seed)
    found = np.full(len(claims), -1)
    for row, claim in enumerate(claims):
        others = [
            other for other in np.flatnonzero(kinds == kinds[row]).tolist() if claims[other].strip() != claim.strip()
        ]
        if others:
            found[row] = random.choice(others)
    return found


@dataclass(frozen=True)
class TruthScale:
    """P(True) as a probability of hallucination, by a logistic model of its logit, fitted on held-out answers."""

    model: Logistic

    def scores(self, p: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """Probability of hallucination."""
        return self.model.probabilities(_doubt(p))


def calibrate(p: Float64[np.ndarray, " rows"], hallucinated: Bool[np.ndarray, " rows"]) -> TruthScale:
    """Fit the scale on answers that are not reported on; where P(True) ranks these the wrong way round, shift it only.

    Raises:
        ProbeError: all answers are of one kind.
    """
    z = _doubt(p)
    model = fit_logistic(z, hallucinated, z, hallucinated, Cs=(1.0,))
    if model.weights[0] <= 0:
        shift = free_intercept(z[:, 0], hallucinated.astype(np.float64))
        model = Logistic(np.ones(1), shift, model.C, model.heldout_accuracy, model.heldout_auroc)
    return TruthScale(model)


def _doubt(p: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows 1"]:
    z: Float64[np.ndarray, "rows 1"] = -logit(np.clip(p, 1e-12, 1 - 1e-12))[:, None]
    return z


def _blank(tokenizer: Any, text: str) -> int:
    """How many tokens at the beginning of a word are a space and nothing else."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    count = 0
    while count < len(ids) - 1 and not tokenizer.decode([ids[count]]).strip():
        count += 1
    return count
