"""What mediation and ablation find, as it is written into `results.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band

Kind = Literal["attention", "ffn", "head", "neurons"]
"""What a component is: the attention or the FFN of a layer, one head, or the H-Neurons together."""

Where = Literal["all", "subject", "last"]
"""At which tokens it mediates: at all, at those of the subject, or where the answer is predicted."""

How = Literal["zero", "mean", "resample"]
"""What takes the place of what a component puts out: as of `hneurons.interventions.ablating.ablate`."""


class Component(BaseModel):
    """A part of the model; `layer` is None of the H-Neurons, which lie in several, and `head` of all but a head."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    layer: int | None = None
    head: int | None = None

    @property
    def label(self) -> str:
        """How it is called: "attention 3", "FFN 3", "head 3.1", "H-Neurons"."""
        if self.kind == "neurons":
            return "H-Neurons"
        name = {"attention": "attention", "ffn": "FFN", "head": "head"}[self.kind]
        return f"{name} {self.layer}" if self.head is None else f"{name} {self.layer}.{self.head}"


class Effects(BaseModel):
    """Effects of one component on one measure: means over pairs, and shares of the total effect (ratios of means).

    `interaction` is what is left of the total effect: TE - NIE - NDE.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nie: Estimate
    nde: Estimate
    interaction: Estimate
    nie_share: Estimate
    nde_share: Estimate
    interaction_share: Estimate


class Mediator(BaseModel):
    """One component as a mediator: with its value from the pair's other run, and from the clean run of another pair.

    `difference` is of the logit difference, `probability` of the probability of the clean answer. The unrelated ones
    are the control: what it does to put in the value of a run about something else. None where it was not asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: Component
    where: Where
    n_pairs: int
    difference: Effects
    probability: Effects
    unrelated_difference: Effects | None = None
    unrelated_probability: Effects | None = None


class Draws(BaseModel):
    """Random neurons, as many as there are H-Neurons in every layer: what each draw mediates, in logit difference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_draws: int
    nie: Band
    nde: Band
    nie_share: Band
    nde_share: Band


class Mediation(BaseModel):
    """Total, indirect and direct effects of every component (Pearl 2001; Vig et al. 2020).

    `clean` and `corrupt` are the means of the measure in either run, `total` their difference; first of the logit
    difference, then of the probability. `missing` says what was not asked, and why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_pairs: int
    n_groups: int
    clean_difference: Estimate
    corrupt_difference: Estimate
    total_difference: Estimate
    clean_probability: Estimate
    corrupt_probability: Estimate
    total_probability: Estimate
    mediators: tuple[Mediator, ...]
    random: Draws | None
    missing: dict[str, str] = {}


class Change(BaseModel):
    """What ablating a component changes in answers of one kind: ablated minus intact, means over answers.

    `logprob` is of the given token where the answers part, in nats; `margin` the logit of the given token less that of
    the right one, None where there is no right one; `first` the change of the share in which the given token ranks
    first, `rate` that share itself under ablation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    logprob: Estimate
    margin: Estimate | None
    first: Estimate
    rate: Estimate


class Ablated(BaseModel):
    """One component taken out in one way.

    `difference` is the change of log-probability of hallucinated answers less that of faithful ones: below 0 where
    hallucinated answers depend on it more. `p` is of a permutation of the verdicts within each set and kind of
    question, `q` corrected over the components that were taken out in the same way (Benjamini and Hochberg).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: Component
    how: How
    hallucinated: Change
    faithful: Change
    difference: Estimate
    p: float
    q: float


class RandomAblated(BaseModel):
    """Random neurons, as many as there are H-Neurons in every layer, taken out in one way: the mean change per draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: How
    n_draws: int
    hallucinated: Band
    faithful: Band
    difference: Band


class Intact(BaseModel):
    """Answers of one kind with nothing taken out: how probable and how often first the given token is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int
    logprob: Estimate
    margin: Estimate | None
    rate: Estimate


class Ablation(BaseModel):
    """Every component taken out at every token but the first, one at a time, while given answers are read again.

    As many hallucinated as faithful answers of every set in `eval_sets`; `left_out` says why a set is not among them.
    Means and resampled values come from `n_reference` training prompts with their responses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    eval_sets: tuple[str, ...]
    left_out: dict[str, str]
    n_groups: int
    n_reference: int
    n_permutations: int
    hallucinated: Intact
    faithful: Intact
    ablated: tuple[Ablated, ...]
    random: tuple[RandomAblated, ...]
    missing: dict[str, str] = {}
