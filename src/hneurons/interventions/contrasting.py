"""Contrastive layer decoding: what the last layer knows beyond an early one."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions.sites import attach, by_row, check_layers
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import Passes, watch
from hneurons.models.tail import Tail


@contextmanager
def contrast(model: LanguageModel, early: int | Sequence[int], *, plausible: float = 0.1) -> Iterator[None]:
    """Replace the logits of every forward pass by those of contrastive layer decoding, until the block ends.

    DoLa (Chuang et al. 2023, arXiv 2309.03883, equations 1 to 4, without its penalty on repetition): with p of the last
    layer and q of an early one, through the model's own final norm and unembedding,

        F(x) = log p(x) - log q(x)   where p(x) >= plausible * max p,   minus infinity elsewhere.

    Of several early layers, each position takes the one whose q has the largest Jensen-Shannon divergence from its p.
    Decoding is then what it always is, greedy or sampled. Text that holds a token outside the plausible set has no
    probability at all.

    Args:
        model: any loaded model.
        early: a layer, whose output is looked at, or several to choose among; none of them the last.
        plausible: between 0 and 1; 0 leaves every token in.

    Raises:
        ModelError: the model has no such layer; later, in the block, what is known of its final norm and unembedding
            does not lead to its logits.
        InterventionError: no early layer, the last one, or a plausible share that is none.
    """
    if not 0 <= plausible <= 1:
        raise InterventionError(f"the plausible share is {plausible}; it must be between 0 and 1")
    try:
        named = [operator.index(early)]  # type: ignore[arg-type]
    except TypeError:
        named = list(early)  # type: ignore[arg-type]
    layers = check_layers(model, named)
    if not layers or layers[-1] == model.n_layers - 1:
        raise InterventionError(f"early layers are {named}; name at least one, and not the last, which is contrasted")
    with watch(model) as passes, ExitStack() as hooks:
        made = _Contrast(model, passes, plausible)
        for layer in layers:
            hooks.callback(attach(model, "residual", layer, made.keep(layer)).remove)
        hooks.callback(model.hf.register_forward_hook(made.after, with_kwargs=True).remove)
        hooks.callback(made.close)
        yield


class _Contrast:
    """Keeps the streams of a pass, and makes its logits anew."""

    def __init__(self, model: LanguageModel, passes: Passes, plausible: float) -> None:
        self._model = model
        self._passes = passes
        self._plausible = plausible
        self._tail = Tail(model)
        self._names = list(inspect.signature(model.hf.forward).parameters)
        self._streams: dict[int, Tensor] = {}
        self._last: Tensor | None = None
        first = self._tail.modules[0] if self._tail.modules else model.hf.get_output_embeddings()
        self._checking: RemovableHandle | None = first.register_forward_pre_hook(self._keep_last)

    def close(self) -> None:
        """Stop looking at what enters the final norm."""
        if self._checking is not None:
            self._checking.remove()
            self._checking = None

    def keep(self, layer: int) -> Callable[[Tensor], None]:
        """Takes the stream after `layer` from the running pass."""

        def change(states: Tensor) -> None:
            # a copy: the next layer of some models writes into what it is given
            self._streams[layer] = by_row(states.detach(), self._passes.current).clone()

        return change

    def _keep_last(self, _module: nn.Module, args: tuple[Any, ...]) -> None:
        self._last = args[0].detach()

    def after(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        given = dict(zip(self._names, args, strict=False)) | kwargs
        logits = getattr(output, "logits", None)
        if logits is None or not self._streams:
            raise InterventionError(
                f"{self._model.name} gave no logits to contrast; call the whole model, without return_dict=False"
            )
        kept = given.get("logits_to_keep", 0)
        streams = {layer: _chosen(each, kept) for layer, each in self._streams.items()}
        self._streams = {}
        self.close()
        if self._last is not None:
            last = self._last if self._last.shape[1] == logits.shape[1] else _chosen(self._last, kept)
            width = logits.shape[-1]
            self._tail.check(last.reshape(-1, last.shape[-1])[:8], logits.detach().reshape(-1, width)[:8])
            self._last = None
        output.logits = self._contrasted(logits, streams)
        return output

    def _contrasted(
        self, logits: Float[Tensor, "rows seq vocab"], streams: dict[int, Tensor]
    ) -> Float[Tensor, "rows seq vocab"]:
        final = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        best: Tensor | None = None
        farthest: Tensor | None = None
        for states in streams.values():
            if states.shape[:2] != logits.shape[:2]:
                raise ModelError(
                    f"{self._model.name} gives logits of {tuple(logits.shape[:2])} tokens and streams of "
                    f"{tuple(states.shape[:2])}; they cannot be contrasted"
                )
            flat = self._tail(states.reshape(-1, states.shape[-1]))
            early = flat.log_softmax(dim=-1).reshape(final.shape).to(final.device, final.dtype)
            if len(streams) == 1:
                best = early
                break
            distance = jensen_shannon(final, early)
            if best is None or farthest is None:
                best, farthest = early, distance
            else:  # the first of equals stays
                best = torch.where((distance > farthest).unsqueeze(-1), early, best)
                farthest = torch.maximum(distance, farthest)
        assert best is not None
        contrasted = final - best
        if self._plausible > 0:
            least = final.amax(dim=-1, keepdim=True) + torch.tensor(self._plausible, dtype=torch.float64).log()
            contrasted = contrasted.masked_fill(final < least.to(final.dtype), -torch.inf)
        return contrasted.to(logits.dtype)


def jensen_shannon(p: Float[Tensor, "*shape vocab"], q: Float[Tensor, "*shape vocab"]) -> Float[Tensor, "*shape"]:
    """The Jensen-Shannon divergence of two distributions, given as log-probabilities, in nats: 0 to log 2."""
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=p.dtype, device=p.device))
    halves = [torch.where(each > -torch.inf, each.exp() * (each - middle), 0.0).sum(dim=-1) for each in (p, q)]
    found: Tensor = (halves[0] + halves[1]) / 2
    return found


def _chosen(states: Tensor, kept: int | Tensor) -> Tensor:
    """The tokens whose logits the model gives: the last ones, all for 0, or those that are named."""
    if isinstance(kept, Tensor):
        return states.index_select(1, kept.to(states.device))
    return states[:, -kept:] if kept else states
