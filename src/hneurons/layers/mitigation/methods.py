"""Methods against hallucination, each as one value: what it is called, and what it does to a model for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hneurons.compliance.benchmark import Case
from hneurons.errors import InterventionError, ResponseError
from hneurons.interventions.contrasting import contrast
from hneurons.interventions.gating import gate
from hneurons.interventions.recalibrating import recalibrate
from hneurons.interventions.scaling import scale
from hneurons.interventions.steering import steer
from hneurons.layers.answered import segments
from hneurons.layers.mitigation.record import Kind
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron
from hneurons.probes.probe import Probe
from hneurons.questions.question import Question
from hneurons.responses.response import Response

UNCHANGED = "Unchanged"
SILENCE = "I don't know."
"""What stands in the place of an answer that is withheld."""


@dataclass(frozen=True)
class Shown:
    """One prompt, as a method sees it.

    Attributes:
        token_ids: the prompt.
        asked: what was asked, in words; empty for a text that nobody asked for.
        source: positions of the passage that the prompt brings along, or else of the question; None where these do not
            stand in the prompt as they are, empty where there is neither.
    """

    token_ids: tuple[int, ...]
    asked: str = ""
    source: tuple[int, ...] | None = ()


Block = Callable[[LanguageModel, Sequence[Shown]], AbstractContextManager[object]]
After = Callable[[LanguageModel, Sequence[Shown], Sequence[Response]], list[str]]


@dataclass(frozen=True)
class Method:
    """One way to make a model hallucinate less.

    Attributes:
        name: short and unique.
        kind: what it does.
        setting: its settings, in words.
        block: what holds while a batch is answered or read; prompt i of the batch is the i-th that it is given.
        after: what is said in the place of the responses to a batch; None where they stay.
        tuned: whether its settings were chosen on held-out training questions.
    """

    name: str
    kind: Kind
    setting: str
    block: Block
    after: After | None = None
    tuned: bool = False


def unchanged() -> Method:
    """The model as it is."""
    return Method(UNCHANGED, "unchanged", "", lambda model, shown: nullcontext())


def scaled(name: str, neurons: Sequence[Neuron], alpha: float) -> Method:
    """Neurons multiplied by alpha at every token."""
    return Method(name, "scaling", f"alpha {alpha:g}", lambda model, shown: scale(model, neurons, alpha))


def gated(name: str, probe: Probe, threshold: float, alpha: float) -> Method:
    """The H-Neurons of a probe multiplied by alpha at the tokens that it scores above a threshold."""

    def block(model: LanguageModel, shown: Sequence[Shown]) -> AbstractContextManager[object]:
        return gate(model, probe, threshold=threshold, alpha=alpha)

    return Method(name, "gated", f"alpha {alpha:g} above {threshold:.3f}", block, tuned=True)


def steered(name: str, layer: int, direction: Float[Tensor, " hidden"], strength: float, tuned: bool = True) -> Method:
    """The stream after a layer moved along a direction at every token, by `strength` times its own length."""

    def block(model: LanguageModel, shown: Sequence[Shown]) -> AbstractContextManager[object]:
        return steer(model, layer, direction, strength, relative=True)

    return Method(name, "steering", f"layer {layer}, {strength:g} of the stream's length", block, tuned=tuned)


def recalibrated(name: str, factor: float) -> Method:
    """Attention to the passage that a prompt brings along, or else to its question, multiplied in all heads."""

    def block(model: LanguageModel, shown: Sequence[Shown]) -> AbstractContextManager[object]:
        places = [each.source for each in shown]
        if any(own is None for own in places):
            raise InterventionError("a prompt does not hold its question as it is, so that its tokens cannot be found")
        if not any(places):  # a plain text: there is nothing to look at more than at anything else
            return nullcontext()
        return recalibrate(model, factor, [own or () for own in places])

    return Method(name, "attention", f"factor {factor:g}", block, tuned=True)


def contrasted(name: str, early: int | tuple[int, ...]) -> Method:
    """Contrastive layer decoding against an early layer, or the farthest of several."""
    layers = f"layer {early}" if isinstance(early, int) else f"layers {early[0]} to {early[-1]}"
    return Method(name, "contrast", f"against {layers}", lambda model, shown: contrast(model, early), tuned=True)


Scores = Callable[[LanguageModel, Sequence[Shown], Sequence[Response]], Float64[Tensor, " responses"]]
"""How likely each response is to be a hallucination, in any unit; NaN where it makes no claim."""


def withheld(name: str, scores: Scores, threshold: float) -> Method:
    """Answers that score above a threshold replaced by "I don't know."."""

    def after(model: LanguageModel, shown: Sequence[Shown], responses: Sequence[Response]) -> list[str]:
        above = (scores(model, shown, responses) > threshold).tolist()
        return [SILENCE if silent else each.text for silent, each in zip(above, responses, strict=True)]

    return Method(name, "abstention", f"above {threshold:.3f}", lambda m, s: nullcontext(), after, tuned=True)


def shown_question(model: LanguageModel, question: Question, token_ids: Sequence[int]) -> Shown:
    """A question as it is put to the model."""
    return _shown(model, token_ids, question.text, question.text, None)


def shown_case(model: LanguageModel, case: Case, token_ids: Sequence[int], last: str) -> Shown:
    """A round of a case; `last` is what the user said last. Passage and question are those of the first round."""
    context, question = case.meta.get("context"), case.meta.get("asked")
    if isinstance(context, str) and isinstance(question, str):
        return _shown(model, token_ids, last, question, context)
    return _shown(model, token_ids, last, case.turns[-1].content, None)


def _shown(model: LanguageModel, token_ids: Sequence[int], asked: str, question: str, context: str | None) -> Shown:
    try:
        marked = segments(model.tokenizer, token_ids, question=question, context=context)
    except ResponseError:
        return Shown(tuple(token_ids), asked, None)
    passage = tuple(i for i, part in enumerate(marked) if part == "context")
    own = tuple(i for i, part in enumerate(marked) if part == "question")
    return Shown(tuple(token_ids), asked, passage or own)


def random_directions(width: int, draws: int, seed: int) -> Float64[Tensor, "draws width"]:
    """Unit vectors without any preference, in the place of a direction that was found."""
    drawn = torch.randn(draws, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    unit: Tensor = drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)
    return unit
