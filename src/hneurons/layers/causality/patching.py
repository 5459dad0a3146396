"""Many patches in one forward pass: every row of a batch has its own part of another run put into it.

Activation patching: a run is repeated with one activation replaced by what it is in another run (Vig et al. 2020,
arXiv 2004.12265; Meng et al. 2022, arXiv 2202.05262; Zhang & Nanda 2024, arXiv 2309.16042). How far that moves the
answer says how much of it that activation carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from hneurons.errors import InterventionError
from hneurons.interventions.sites import SITES, Site, attach, by_row, check_layers, site_parts, site_width
from hneurons.layers.causality.batching import plan
from hneurons.layers.causality.inputs import Input, check_inputs, check_positions, last_logits
from hneurons.layers.causality.skipping import Skipper, form
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import watch

Answers = tuple[int, int]
"""Two tokens whose logits are compared: that of the clean answer, and that of the hallucinated one."""


@dataclass(frozen=True, eq=False)
class Place:
    """What is replaced in one site of one layer, and by what.

    Attributes:
        site: which.
        layer: counted from 0.
        positions: tokens of the input at which it is replaced.
        source: number of the input that it is taken from; None where `values` are given.
        source_positions: where it is taken from, in the order of `positions`; the same positions, if left out.
        part: heads or neurons that are replaced, of these sites; all if left out.
        values: what is put there instead of a source, of a shape that broadcasts to (positions, width); of a part, the
            numbers at its place in the whole width.
    """

    site: Site
    layer: int
    positions: tuple[int, ...]
    source: int | None = None
    source_positions: tuple[int, ...] | None = None
    part: tuple[int, ...] | None = None
    values: Tensor | None = None

    @property
    def start(self) -> int:
        """Layers below which nothing changes."""
        return self.layer + 1 if self.site == "residual" else self.layer


@dataclass(frozen=True, eq=False)
class Patch:
    """One run with something replaced: number of the input, and what; a later place is laid over an earlier one."""

    into: int
    places: tuple[Place, ...]

    @property
    def start(self) -> int:
        """Layers below which nothing changes."""
        return min(place.start for place in self.places)


@dataclass(frozen=True, eq=False)
class Patched:
    """What becomes of the answer; column 0 is the clean answer's token, column 1 the hallucinated one's.

    Attributes:
        logits: of every patch.
        probabilities: of every patch.
        input_logits: of every input as it is.
        input_probabilities: of every input as it is.
        skipped: layers that did not have to be computed, over all passes.
    """

    logits: Float64[np.ndarray, "patches 2"]
    probabilities: Float64[np.ndarray, "patches 2"]
    input_logits: Float64[np.ndarray, "inputs 2"]
    input_probabilities: Float64[np.ndarray, "inputs 2"]
    skipped: int

    @property
    def difference(self) -> Float64[np.ndarray, " patches"]:
        """Logit of the clean answer less that of the hallucinated one, of every patch."""
        return np.asarray(self.logits[:, 0] - self.logits[:, 1])

    @property
    def input_difference(self) -> Float64[np.ndarray, " inputs"]:
        """The same of every input."""
        return np.asarray(self.input_logits[:, 0] - self.input_logits[:, 1])


def patched(
    model: LanguageModel,
    inputs: Sequence[Input],
    patches: Sequence[Patch],
    answers: Sequence[Answers],
    *,
    batch_rows: int = 64,
    skip: bool = True,
) -> Patched:
    """Make every patch, many to a forward pass.

    The inputs are run once, and what is taken from them is kept: (inputs, tokens, width) for each site and layer that a
    patch draws on. Layers below the lowest one that a batch changes are not computed again where that gives the same
    logits, which is tried for each model.

    Args:
        model: any loaded model.
        inputs: all runs that are patched or drawn on; what is predicted at their last token is the answer.
        patches: what is put where.
        answers: two tokens for each input.
        batch_rows: rows of a forward pass.
        skip: whether layers may be left out.

    Raises:
        ModelError: no such layer, or logits that are not finite.
        InterventionError: no such input, position, head or neuron, or values of another shape.
    """
    check_inputs(model, inputs)
    if len(answers) != len(inputs):
        raise InterventionError(f"{len(inputs)} inputs have {len(answers)} pairs of answers; give one each")
    for patch in patches:
        check_patch(model, inputs, patch)
    wanted = {(place.site, place.layer) for patch in patches for place in patch.places if place.source is not None}
    starts = {patch.start - 1 for patch in patches if patch.start} if skip else set()
    runs = Runs(model, inputs, wanted | {("residual", layer) for layer in starts}, batch_rows)
    skipper = Skipper(model, runs.forms, skip)
    lengths = [len(inputs[patch.into]) for patch in patches]
    known = [patch.start if skipper.on else 0 for patch in patches]
    found, skipped = np.zeros((2, len(patches), 2)), 0
    for batch in plan(known, lengths, model.n_layers, batch_rows, model.device.type):
        chosen = [patches[number] for number in batch]
        logits = _run(model, runs, chosen, skipper)
        skipped += min(patch.start for patch in chosen) if skipper.on else 0
        found[:, batch] = _compared(logits, [answers[patch.into] for patch in chosen])
    base = _compared(runs.logits, answers)
    return Patched(found[0], found[1], base[0], base[1], skipped)


def restored(
    patched: Float64[np.ndarray, " patches"],
    corrupt: Float64[np.ndarray, " patches"],
    clean: Float64[np.ndarray, " patches"],
    least: float = 1e-3,
) -> tuple[Float64[np.ndarray, " patches"], list[str]]:
    """(patched - corrupt) / (clean - corrupt), and why it is NaN where it is: the two runs differ by less than `least`.

    0: the patch changes nothing; 1: it brings the clean answer back.
    """
    gap = clean - corrupt
    small = np.abs(gap) < least
    share = np.where(small, np.nan, (patched - corrupt) / np.where(small, 1.0, gap))
    reasons = [
        f"the runs differ by {own:.2g}, less than {least:g}" if none else ""
        for own, none in zip(gap, small, strict=True)
    ]
    return share, reasons


class Runs:
    """Inputs, run once: what some sites held, and the logits at the last token.

    Attributes:
        values: (inputs, tokens, width) by site and layer, in the type of the model; zero at padding.
        logits: of every input, in the type of the model.
        forms: how each layer puts out its residual stream, see `hneurons.layers.causality.skipping.form`.
    """

    def __init__(
        self, model: LanguageModel, inputs: Sequence[Input], wanted: set[tuple[Site, int]], batch_rows: int = 64
    ) -> None:
        """Run `inputs` in their order, `batch_rows` at a time."""
        self.inputs = tuple(inputs)
        self.values: dict[tuple[Site, int], Tensor] = {}
        self.forms: list[int | None] = [None] * model.n_layers
        self._seq = max(map(len, inputs))
        logits = []
        for first in range(0, len(inputs), batch_rows):
            own = inputs[first : first + batch_rows]
            with reading(model, wanted, self._keeper(first)), ExitStack() as hooks, torch.no_grad():
                for layer in range(model.n_layers):
                    hooks.callback(model.block(layer).register_forward_hook(self._form(layer)).remove)
                logits.append(last_logits(model, own))
        self.logits: Float[Tensor, "inputs vocab"] = torch.cat(logits)

    def _keeper(self, first: int) -> Callable[[Site, int, Tensor], None]:
        def keep(site: Site, layer: int, states: Tensor) -> None:
            rows, seq, width = states.shape
            if (site, layer) not in self.values:
                self.values[site, layer] = states.new_zeros(len(self.inputs), self._seq, width)
            self.values[site, layer][first : first + rows, :seq] = states

        return keep

    def _form(self, layer: int) -> Callable[[Any, Any, Any], None]:
        def look(_module: Any, _arguments: Any, output: Any) -> None:
            self.forms[layer] = form(output)

        return look


@contextmanager
def reading(
    model: LanguageModel, wanted: set[tuple[Site, int]], take: Callable[[Site, int, Tensor], None]
) -> Iterator[None]:
    """Hand what sites hold, as (rows, tokens, width), to `take`, which must not keep it, until the block ends."""

    def reader(site: Site, layer: int) -> Callable[[Tensor], None]:
        return lambda states: take(site, layer, by_row(states.detach(), passes.current))

    with watch(model) as passes, ExitStack() as hooks:
        for site, layer in sorted(wanted):
            hooks.callback(attach(model, site, layer, reader(site, layer)).remove)
        yield


def check_patch(model: LanguageModel, inputs: Sequence[Input], patch: Patch) -> None:
    """Refuse a patch that cannot be made; errors as of `patched`."""
    if not 0 <= patch.into < len(inputs) or not patch.places:
        raise InterventionError(f"a patch of input {patch.into} with {len(patch.places)} places cannot be made")
    for place in patch.places:
        if place.site not in SITES:
            raise InterventionError(f"there is no site {place.site!r}; choose one of {', '.join(SITES)}")
        check_layers(model, [place.layer])
        check_positions(place.positions, len(inputs[patch.into]), f"a patch of input {patch.into}")
        if (place.source is None) == (place.values is None):
            raise InterventionError("a place takes either a source or values; give one of them")
        if place.source is not None:
            if not 0 <= place.source < len(inputs):
                raise InterventionError(f"there is no input {place.source} to draw on, only {len(inputs)}")
            taken = place.positions if place.source_positions is None else place.source_positions
            if len(taken) != len(place.positions) or min(taken) < 0 or max(taken) >= len(inputs[place.source]):
                raise InterventionError(
                    f"positions {taken} of input {place.source} cannot go to {place.positions}; "
                    f"give as many, of 0 to {len(inputs[place.source]) - 1}"
                )
        if place.part is not None:
            count = site_parts(model, place.site) if place.site in ("heads", "neurons") else 0
            if not place.part or min(place.part) < 0 or max(place.part) >= count:
                raise InterventionError(f"site {place.site!r} of {model.name} has parts 0 to {count - 1}")


def _run(model: LanguageModel, runs: Runs, patches: Sequence[Patch], skipper: Skipper) -> Float[Tensor, "rows vocab"]:
    own = [patch.into for patch in patches]
    inputs = [runs.inputs[number] for number in own]
    seq, start = max(map(len, inputs)), min(patch.start for patch in patches)
    edits: dict[tuple[Site, int], list[_Change]] = {}
    for (site, layer), rounds in _rounds(patches).items():
        edits[site, layer] = [_Change(model, runs, site, layer, seq, places) for places in rounds]

    def changing(changes: Sequence[_Change]) -> Callable[[Tensor], Tensor]:
        def change(states: Tensor) -> Tensor:
            found = by_row(states, passes.current).flatten(0, 1).clone()
            for each in changes:
                each.apply(found)
            return found.reshape(states.shape)

        return change

    def forward() -> Tensor:
        return last_logits(model, inputs)

    def residual() -> Tensor:
        return runs.values["residual", start - 1][own, :seq]

    with watch(model) as passes, ExitStack() as hooks, torch.no_grad():
        for (site, layer), changes in edits.items():
            hooks.callback(attach(model, site, layer, changing(changes)).remove)
        return skipper.run(start, residual, forward)


Round = list[tuple[int, Place]]
"""Rows, and what is replaced in each: at most one place in a row, so that the order of rows does not matter."""


def _rounds(patches: Sequence[Patch]) -> Mapping[tuple[Site, int], list[Round]]:
    found: dict[tuple[Site, int], list[Round]] = {}
    for row, patch in enumerate(patches):
        seen: dict[tuple[Site, int], int] = {}
        for place in patch.places:
            key = place.site, place.layer
            number = seen.get(key, 0)
            seen[key] = number + 1
            rounds = found.setdefault(key, [])
            if len(rounds) == number:
                rounds.append([])
            rounds[number].append((row, place))
    return found


class _Change:
    """What one round puts into one site of one layer: flat tokens, values, and columns where not all are meant."""

    def __init__(self, model: LanguageModel, runs: Runs, site: Site, layer: int, seq: int, places: Round) -> None:
        width = site_width(model, site)
        drawn = [(row, place) for row, place in places if place.source is not None]
        given = [(row, place) for row, place in places if place.source is None]
        tokens, values = [], []
        if drawn:
            store = runs.values[site, layer]
            from_ = [
                place.source * store.shape[1] + position  # type: ignore[operator]
                for _, place in drawn
                for position in (place.source_positions or place.positions)
            ]
            values.append(store.flatten(0, 1)[torch.tensor(from_, device=store.device)])
        for _, place in given:
            assert place.values is not None
            try:
                values.append(place.values.expand(len(place.positions), width))
            except RuntimeError:
                raise InterventionError(
                    f"values of shape {tuple(place.values.shape)} do not go to {len(place.positions)} positions of "
                    f"width {width}; give one row each, or one for all"
                ) from None
        for row, place in (*drawn, *given):
            tokens += [row * seq + position for position in place.positions]
        self._tokens = torch.tensor(tokens)
        self._values = values
        self._columns = None
        if any(place.part is not None for _, place in places):
            self._columns = _columns(model, site, [place for _, place in (*drawn, *given)], width)

    def apply(self, states: Float[Tensor, "tokens width"]) -> None:
        """Put it there."""
        tokens = self._tokens.to(states.device)
        put = torch.cat([each.to(states.dtype).to(states.device) for each in self._values])
        if self._columns is not None:
            put = torch.where(self._columns.to(states.device), put, states[tokens])
        states[tokens] = put


def _columns(model: LanguageModel, site: Site, places: Sequence[Place], width: int) -> Bool[Tensor, "tokens width"]:
    rows = []
    for place in places:
        chosen = torch.ones(site_parts(model, site), dtype=torch.bool)
        if place.part is not None:
            chosen[:] = False
            chosen[list(place.part)] = True
        rows.append(chosen.repeat_interleave(width // len(chosen)).expand(len(place.positions), width))
    return torch.cat(rows)


def _compared(logits: Float[Tensor, "rows vocab"], answers: Sequence[Answers]) -> Float64[np.ndarray, "2 rows 2"]:
    """Logits and probabilities of both answers in each row."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    tokens = torch.tensor(answers, device=logits.device)
    own = wide.gather(1, tokens)
    log_total = torch.logsumexp(wide, dim=1, keepdim=True)
    return torch.stack([own, (own - log_total).exp()]).double().cpu().numpy()
