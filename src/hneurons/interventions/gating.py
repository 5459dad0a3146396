"""Gated scaling: z_j <- alpha * z_j only at the tokens that the probe itself scores above a threshold.

Suppressing H-Neurons at every token costs what they do elsewhere (H-Neurons, arXiv 2512.01797, calls plain suppression
not enough). The gate looks first: every forward pass runs as the model is, the probe scores each of its positions, and
where one is above the threshold, the pass is taken back and repeated with the neurons turned at those positions.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from hneurons.errors import InterventionError, NotEnoughDataError
from hneurons.interventions.experts import scale_experts
from hneurons.interventions.rewinding import Rewind
from hneurons.interventions.scaling import check_alpha, neurons_by_layer
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Pass, watch
from hneurons.probes.labels import Neuron
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import probabilities, probe_reader

_gated: WeakSet[nn.Module] = WeakSet()


class GateCount:
    """What a gate has done so far.

    Attributes:
        tokens: tokens that have passed, without padding; one number for each alpha that the gate was given, so for each
            prompt where every prompt has its own.
        turned: those among them that scored above the threshold (alpha 1 leaves them as they are all the same).
        passes: forward passes that were asked for.
        repeated: those that ran a second time.
    """

    def __init__(self, n_alphas: int) -> None:
        self.tokens: Int64[np.ndarray, " alphas"] = np.zeros(n_alphas, dtype=np.int64)
        self.turned: Int64[np.ndarray, " alphas"] = np.zeros(n_alphas, dtype=np.int64)
        self.passes = 0
        self.repeated = 0

    @property
    def share(self) -> float:
        """Share of all tokens so far that were turned; NaN before the first."""
        return float(self.turned.sum() / self.tokens.sum()) if self.passes else float("nan")


@contextmanager
def gate(
    model: LanguageModel,
    probe: Probe,
    *,
    threshold: float,
    alpha: float | Sequence[float],
    neurons: Sequence[Neuron] | None = None,
) -> Iterator[GateCount]:
    """Multiply what `neurons` put out by `alpha` at the tokens that `probe` scores above `threshold`, and only there.

    A token's score is the probe's probability on the contributions at its position alone, as of `token_scores`. It is
    taken in a pass in which nothing is turned at the positions of that pass, while what is cached may come from turned
    ones. So there is no lag: a token is turned in the very pass that scores it. What is passed at once (a prompt) is
    scored at once. Padding is never turned. Other interventions may surround the block or stand in it: either way the
    gate scores the model as they leave it, and multiplies last.

    Args:
        model: the model of the probe.
        probe: its `positions` say what a score is about: the token read there ("at"), or the one to come ("before").
        threshold: on the probability; see `gate_threshold`.
        alpha: the factor, finite and not negative; or one for each prompt of every batch in the block (see
            `scale_rows`).
        neurons: pairs (layer, index); the probe's H-Neurons if left out.

    Yields:
        The counts, kept up to date.

    Raises:
        ProbeMismatchError: the probe is another model's.
        ProbeError: the probe reads no neuron.
        ModelError: the model has no such neuron; later, in the block, contributions are not finite.
        InterventionError: an alpha or the threshold makes no sense, or the model is gated already; later, in the block,
            a batch does not have as many prompts as there are alphas, or the cache cannot give keys and values back.
    """
    if model.hf in _gated:
        raise InterventionError(
            f"{model.name} is gated already; a gate within a gate would score what the other repeats. End the first"
        )
    made = _Gate(model, probe, threshold, alpha, probe.hneurons if neurons is None else neurons)
    before = vars(model.hf).get("forward")  # there where something else wraps this model's forward, as accelerate does
    with watch(model, made.n_prompts) as passes:
        plain = model.hf.forward
        names = list(inspect.signature(plain).parameters)

        @functools.wraps(plain)  # its signature too: generate() reads it
        def forward(*args: Any, **kwargs: Any) -> Any:
            cache = (dict(zip(names, args, strict=False)) | kwargs).get("past_key_values")
            return made.run(passes.current, cache, functools.partial(plain, *args, **kwargs))

        _gated.add(model.hf)
        model.hf.forward = forward
        try:
            yield made.count
        finally:
            _gated.discard(model.hf)
            if before is None:
                del model.hf.forward
            else:
                model.hf.forward = before


def gate_threshold(scores: Iterable[Float[np.ndarray, " _"]], quantile: float = 0.9) -> float:
    """The threshold that leaves this share of known answers' tokens alone.

    Args:
        scores: token scores of right answers that the probe was not fitted on, such as those of `token_scores`.
        quantile: share of all their tokens that are not above the threshold, at least.

    Raises:
        NotEnoughDataError: there is no score.
        InterventionError: the quantile is not between 0 and 1.
    """
    if not 0 <= quantile <= 1:
        raise InterventionError(f"the quantile is {quantile}; it must be between 0 and 1")
    each = [own for own in scores if len(own)]
    if not each:
        raise NotEnoughDataError("there is no token score to take a threshold from; give those of a few known answers")
    return float(np.quantile(np.concatenate(each), quantile, method="higher"))


class _Gate:
    """Scores passes, and repeats those in which a position is above the threshold."""

    def __init__(
        self,
        model: LanguageModel,
        probe: Probe,
        threshold: float,
        alpha: float | Sequence[float],
        neurons: Sequence[Neuron],
    ) -> None:
        self.model = model
        self.probe = probe
        self.threshold = threshold
        self.alphas = np.array(alpha, dtype=np.float64, ndmin=1)
        self.n_prompts = len(self.alphas) if np.ndim(alpha) else None  # None: any number, all turned by one alpha
        for value in self.alphas.tolist():
            check_alpha(value)
        if not len(self.alphas):
            raise InterventionError("there is no alpha; give one, or one for each prompt of the batch")
        if np.isnan(threshold):
            raise InterventionError("the threshold is not a number; choose one with gate_threshold")
        self.turns = bool(neurons) and bool((self.alphas != 1).any())
        self.indices = {k: torch.tensor(own) for k, own in neurons_by_layer(model, neurons).items()}
        self.reader = probe_reader(model, probe)
        self.count = GateCount(len(self.alphas))

    def run(self, current: Pass, cache: Any, forward_pass: Callable[[], Any]) -> Any:
        """The pass, scored, and repeated if need be."""
        owners = np.zeros_like(current.rows) if self.n_prompts is None else current.rows
        real = (current.positions >= 0).cpu().numpy()
        rewind = Rewind(cache) if self.turns else None
        output, columns = self.reader.read(forward_pass)
        flagged = self._flagged(columns, real)
        self.count.passes += 1
        np.add.at(self.count.tokens, owners, real.sum(axis=1))
        np.add.at(self.count.turned, owners, flagged.sum(axis=1))
        factors = np.where(flagged, self.alphas[owners, None], 1.0)
        if rewind is None or (factors == 1).all():
            return output
        del output  # logits of a whole prompt, and a cache where the pass made its own
        rewind.back()
        self.count.repeated += 1
        with ExitStack() as hooks:
            for layer, indices in self.indices.items():
                if self.model.mixture(layer) is not None:
                    _turn_experts(self.model, layer, indices, factors, hooks)
                    continue
                hook = _turner(indices, torch.from_numpy(factors))
                hooks.callback(self.model.down(layer).register_forward_pre_hook(hook).remove)
            return forward_pass()

    def _flagged(
        self, columns: Float[np.ndarray, "positions chosen"], real: Bool[np.ndarray, "rows seq"]
    ) -> Bool[np.ndarray, "rows seq"]:
        """Which positions score above the threshold; those of padding, whose values mean nothing, do not."""
        if len(columns) != real.size:
            raise InterventionError(
                f"{self.model.name} gives its layers {len(columns)} positions for a batch of {real.size}; "
                "scores cannot be matched to tokens"
            )
        flagged = np.zeros(real.shape, dtype=np.bool_)
        flagged[real] = probabilities(self.model, self.probe, columns[real.ravel()]) > self.threshold
        return flagged


def _turn_experts(
    model: LanguageModel,
    layer: int,
    indices: Int64[Tensor, " chosen"],
    factors: Float64[np.ndarray, "rows seq"],
    hooks: ExitStack,
) -> None:
    values, kinds = np.unique(factors, return_inverse=True)
    table = torch.from_numpy(values).unsqueeze(1).expand(-1, len(indices))
    of_tokens = torch.from_numpy(kinds.ravel())
    scale_experts(model, layer, indices.tolist(), table, hooks, lambda device: of_tokens.to(device))


def _turner(
    indices: Int64[Tensor, " chosen"], factors: Float64[Tensor, "rows seq"]
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        z: Tensor = arguments[0]
        # in float32 at least, so that alpha is not rounded to bfloat16; OPT flattens its batch, rows one after another
        wide = factors.to(z.device, torch.promote_types(z.dtype, torch.float32)).reshape(*z.shape[:-1], 1)
        chosen = indices.to(z.device)
        scaled = (z.index_select(-1, chosen) * wide).to(z.dtype)
        return (z.index_copy(-1, chosen, scaled), *arguments[1:])  # a new tensor: the caller's z may be read again

    return hook
