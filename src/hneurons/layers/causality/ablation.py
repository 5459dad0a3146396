"""Ablation layer by layer: a component is taken out, and answers that were given are read again where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
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

    Read when they are first asked for, each site once: the means over every token of the reference, and for
    "resample" one token of each answer of it, drawn by the seed.

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
        if not self.token_ids:
            raise NotEnoughDataError("there is no training answer to read means from; ablate to zero alone")
        if how == "mean":
            if site not in self._means:
                self._means[site] = mean_activations(self.model, self.token_ids, site)
            return self._means[site]
        if site not in self._drawn:
            random = np.random.default_rng(self.seed)
            places = [[int(random.integers(len(own)))] for own in self.token_ids]
            self._drawn[site] = activations(self.model, self.token_ids, site, positions=places)
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


@torch.no_grad()
def read_forks(
    model: LanguageModel, answers: Sequence[Answered], *, batch_rows: int = 64
) -> Float64[np.ndarray, "answers 3"]:
    """Each answer read where it parts from the right one, in whatever block of an intervention this is called.

    Columns: log-probability of the given token in nats; its logit less that of the right one (NaN where there is no
    right one); 1 where no token has a greater logit, else 0. To an intervention, answer i of the list is prompt i.

    Raises:
        NotEnoughDataError: no answer, or one without a fork.
        ModelError: logits that are not finite.
    """
    if not answers or any(answer.fork is None for answer in answers):
        raise NotEnoughDataError("there is no answer to read, or one does not part from the right one; leave it out")
    rows = []
    for start in range(0, len(answers), batch_rows):
        batch = answers[start : start + batch_rows]
        with model.rows_are(np.arange(start, start + len(batch)), len(answers)):
            rows.append(_read_batch(model, batch))
    return np.concatenate(rows)


def ablate_answers(
    model: LanguageModel,
    answers: Sequence[Answered],
    site: Site,
    which: Which,
    how: How,
    reference: Reference,
    *,
    batch_rows: int = 64,
) -> Float64[np.ndarray, "answers 3"]:
    """`read_forks` while `which` parts of `site` are taken out at every token, those of the prompt included.

    What an answer is resampled from belongs to its place in the list, whatever the batches are.

    Args:
        model: any loaded model.
        answers: each with a fork.
        site: where.
        which: of `parts_of`.
        how: what takes their place.
        reference: where means and values come from.
        batch_rows: answers of a forward pass, at most.
    """
    with ablate(model, site, which, how=how, reference=reference.of(site, how), seed=reference.seed):
        return read_forks(model, answers, batch_rows=batch_rows)


def _read_batch(model: LanguageModel, answers: Sequence[Answered]) -> Float64[np.ndarray, "answers 3"]:
    forks = [answer.fork for answer in answers if answer.fork is not None]
    items = [
        Item(answer.key, answer.prompt_ids, answer.response_ids[: fork.index + 1], (fork.index,))
        for answer, fork in zip(answers, forks, strict=True)
    ]
    check_items(model, items)
    batch = pad(items, Recording(), model.pad_id)
    logits = forward(model, batch).flatten(0, 1)
    found = logits.index_select(0, batch.predictions.to(logits.device))
    found = found.to(torch.promote_types(found.dtype, torch.float32))
    given = torch.tensor([fork.given for fork in forks], device=found.device)
    own = _at(found, given)
    right = torch.tensor([fork.given if fork.correct is None else fork.correct for fork in forks], device=found.device)
    margin = (own - _at(found, right)).double().cpu().numpy()
    margin[[fork.correct is None for fork in forks]] = np.nan
    logprob = _at(found.log_softmax(dim=-1), given).double().cpu().numpy()
    first = (own >= found.amax(dim=-1)).double().cpu().numpy()
    if not (np.isfinite(logprob).all() and not np.isinf(margin).any()):
        raise ModelError(
            f"{model.name} gives logits that are not finite in {model.dtype} where answers part; "
            "load the model with dtype='float32', or check its weights"
        )
    return np.stack([logprob, margin, first], axis=1)


def _at(values: Float[Tensor, "rows vocab"], tokens: Int64[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    return values.gather(1, tokens.unsqueeze(1))[:, 0]
