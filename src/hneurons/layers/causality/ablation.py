"""Ablation layer by layer: a component is taken out, and answers that were given are read again where they part.

The first token is left alone, and is in no mean: attention rests on it, and what it holds is huge in many models and
the same in every prompt. A mean that it is part of would put that into every other token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from hneurons.contributions.item import Item, Recording
from hneurons.contributions.padding import pad
from hneurons.contributions.recording import check_items, forward
from hneurons.errors import ModelError, NotEnoughDataError
from hneurons.interventions.ablating import ablate
from hneurons.interventions.reference import Activations, Means, activations, mean_activations
from hneurons.interventions.sites import Site, Which
from hneurons.layers.answered import Answered
from hneurons.layers.causality.mediation_record import Component, How
from hneurons.layers.causality.skipping import Skipper, form
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron

HOWS: tuple[How, ...] = ("zero", "mean", "resample")
"""In which ways each component is taken out."""

SITES: Mapping[str, Site] = {"attention": "heads", "head": "heads", "ffn": "ffn", "neurons": "neurons"}
"""Where a component is turned. An attention is all of its heads at once: what its output projection reads."""

LOGPROB, MARGIN, FIRST = range(3)
"""Columns of what is read of an answer."""


@dataclass
class Reference:
    """What takes the place of an ablated component: means and single values, from other answers than those ablated.

    Read when they are first asked for, each site once: the means over every token of the reference but the first of
    each answer, and for "resample" one of these tokens of each, drawn by the seed.

    Attributes:
        model: it is read from.
        token_ids: prompts with their responses.
        seed: of the tokens that are drawn.
    """

    model: LanguageModel
    token_ids: Sequence[Sequence[int]]
    seed: int = 0
    _means: dict[Site, Means] = field(default_factory=dict)
    _drawn: dict[Site, Activations] = field(default_factory=dict)

    def of(self, site: Site, how: How) -> Means | Activations | None:
        """The reference that `ablate` needs.

        Raises:
            NotEnoughDataError: there is nothing to read it from.
        """
        if how == "zero":
            return None
        ids = [own for own in self.token_ids if len(own) > 1]
        if not ids:
            raise NotEnoughDataError("there is no training answer to read means from; ablate to zero alone")
        if how == "mean":
            if site not in self._means:
                self._means[site] = mean_activations(self.model, ids, site, positions=[_later(len(own)) for own in ids])
            return self._means[site]
        if site not in self._drawn:
            random = np.random.default_rng(self.seed)
            places = [[int(random.integers(1, len(own)))] for own in ids]
            self._drawn[site] = activations(self.model, ids, site, positions=places)
        return self._drawn[site]


def components(model: LanguageModel, *, heads: bool = True, neurons: bool = True) -> list[Component]:
    """Every component of a model: attentions, FFNs, heads by layer, and the H-Neurons where there are any."""
    layers = range(model.n_layers)
    found = [Component(kind="attention", layer=layer) for layer in layers]
    found += [Component(kind="ffn", layer=layer) for layer in layers]
    if heads:
        found += [Component(kind="head", layer=layer, head=head) for layer in layers for head in range(model.n_heads)]
    return found + ([Component(kind="neurons")] if neurons else [])


def parts_of(model: LanguageModel, component: Component, neurons: Sequence[Neuron]) -> tuple[Site, Which]:
    """Where a component is turned, and which parts of that site it is; `neurons` are those of the H-Neurons.

    Raises:
        NotEnoughDataError: the H-Neurons are meant, and there are none.
    """
    site = SITES[component.kind]
    if component.kind == "neurons":
        if not neurons:
            raise NotEnoughDataError("the probe has no H-Neuron; fit one with more neurons")
        return site, list(neurons)
    layer = -1 if component.layer is None else component.layer  # refused below, as any layer that is not there
    if component.kind == "attention":
        return site, [(layer, head) for head in range(model.n_heads)]
    if component.kind == "head":
        return site, [(layer, -1 if component.head is None else component.head)]
    return site, [layer]


class Forks:
    """Answers, ready to be read where they part from the right one, again and again, under one intervention or another.

    Answers of like length go together. The residual stream of the intact model is kept after every layer, (rows,
    tokens, hidden) of each batch, so that layers below the first that is changed need not be computed again.

    Attributes:
        model: any loaded model.
        answers: each with a fork.
        lengths: tokens of each, up to the one that decides.
        intact: what is read of them as they are, as by `read`.
    """

    def __init__(
        self, model: LanguageModel, answers: Sequence[Answered], *, batch_rows: int = 64, skip: bool = True
    ) -> None:
        """Read `answers` as they are; `skip`: whether layers may be left out later.

        Raises:
            NotEnoughDataError: no answer, or one without a fork.
            ResponseError: an answer that the model cannot read.
            ModelError: logits that are not finite.
        """
        if not answers or any(answer.fork is None for answer in answers):
            raise NotEnoughDataError(
                "there is no answer to read, or one does not part from the right one; leave it out"
            )
        self.model = model
        self.answers = tuple(answers)
        items = [_item(answer) for answer in answers]
        self.lengths = tuple(map(len, items))
        check_items(model, items)
        by_length = sorted(range(len(items)), key=lambda number: len(items[number]))
        self._orders = [by_length[start : start + batch_rows] for start in range(0, len(by_length), batch_rows)]
        self._batches = [pad([items[i] for i in order], Recording(), model.pad_id) for order in self._orders]
        self._streams: list[dict[int, Tensor]] = [{} for _ in self._orders]
        self._forms: list[int | None] = [None] * model.n_layers
        self._skipper = Skipper(model, self._forms, wanted=False)
        with ExitStack() as hooks:
            if skip:
                for layer in range(model.n_layers):
                    hooks.callback(model.block(layer).register_forward_hook(self._keeper(layer)).remove)
            self._now = 0
            self.intact: Float64[np.ndarray, "answers 3"] = self.read()
        self._skipper = Skipper(model, self._forms, wanted=skip)

    @torch.no_grad()
    def read(self, start: int = 0) -> Float64[np.ndarray, "answers 3"]:
        """What the model makes of the answers in whatever block of an intervention this is called.

        To an intervention, answer i of the list is prompt i.

        Args:
            start: the first layer in which anything is changed.

        Returns:
            Log-probability of the given token in nats; its logit less that of the right one (NaN where there is no
            right one); 1 where no token has a greater logit, else 0.

        Raises:
            ModelError: logits that are not finite.
        """
        found = np.empty((len(self.answers), 3))
        for number, order in enumerate(self._orders):
            self._now = number
            with self.model.rows_are(np.array(order), len(self.answers)):
                logits = self._skipper.run(start, partial(self._stream, number, start), partial(self._logits, number))
            found[order] = self._compared(logits, order)
        return found

    def _logits(self, number: int) -> Float[Tensor, "rows vocab"]:
        batch = self._batches[number]
        logits = forward(self.model, batch).flatten(0, 1)
        return logits.index_select(0, batch.predictions.to(logits.device))

    def _stream(self, number: int, start: int) -> Float[Tensor, "rows seq hidden"]:
        return self._streams[number][start - 1]

    def _keeper(self, layer: int) -> Callable[[Any, Any, Any], None]:
        def keep(_module: Any, _arguments: Any, output: Any) -> None:
            self._forms[layer] = form(output)
            if layer < self.model.n_layers - 1:
                states = output[0] if isinstance(output, tuple) else output
                self._streams[self._now][layer] = states.detach().clone()

        return keep

    def _compared(self, logits: Float[Tensor, "rows vocab"], order: Sequence[int]) -> Float64[np.ndarray, "rows 3"]:
        forks = [fork for number in order if (fork := self.answers[number].fork) is not None]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        own = _at(logits, [fork.given for fork in forks])
        margin = own - _at(logits, [fork.given if fork.correct is None else fork.correct for fork in forks])
        rows = torch.stack(
            [_at(logits.log_softmax(dim=-1), [fork.given for fork in forks]), margin, own >= logits.amax(dim=-1)], dim=1
        )
        if not bool(rows.isfinite().all()):
            raise ModelError(
                f"{self.model.name} gives logits that are not finite in {self.model.dtype} where answers part; "
                "load the model with dtype='float32', or check its weights"
            )
        found = rows.double().cpu().numpy()
        found[[fork.correct is None for fork in forks], MARGIN] = np.nan
        return np.asarray(found)


def ablate_answers(
    forks: Forks, site: Site, which: Which, how: How, reference: Reference
) -> Float64[np.ndarray, "answers 3"]:
    """What is read of the answers while parts of a site are taken out at every token but the first of each prompt.

    What an answer is resampled from belongs to its place in the list, whatever the batches are.

    Args:
        forks: the answers.
        site: where.
        which: of `parts_of`.
        how: what takes their place.
        reference: where means and values come from.

    Raises:
        ModelError: the model has no such part, or gives logits that are not finite.
    """
    values, later = reference.of(site, how), [_later(length) for length in forks.lengths]
    with ablate(forks.model, site, which, how=how, reference=values, positions=later, seed=reference.seed):
        return forks.read(min(each if isinstance(each, int) else each[0] for each in which))


def _later(length: int) -> list[int]:
    """All positions but the first."""
    return list(range(1, length))


def _item(answer: Answered) -> Item:
    assert answer.fork is not None
    index = answer.fork.index
    return Item(answer.key, answer.prompt_ids, answer.response_ids[: index + 1], (index,))


def _at(values: Float[Tensor, "rows vocab"], tokens: Sequence[int]) -> Float[Tensor, " rows"]:
    return values.gather(1, torch.tensor(tokens, device=values.device).unsqueeze(1))[:, 0]
