"""Attribution patching: the effect of every patch at once, estimated from one backward pass.

    effect of putting the clean value in  ~  (clean - corrupt) . d metric / d value

with the gradient of the corrupt run: the first term of the effect's Taylor series (Nanda 2023, "Attribution Patching";
Syed et al. 2023, arXiv 2310.10348). It is good where the metric is nearly linear between the two values, and fails
where it is not: for values that a norm follows, which divides by their length, and for attention that turns elsewhere
(Kramar et al. 2024, arXiv 2403.00745). With the mean of the gradients of both runs it is the trapezoid rule, at the
price of a second backward pass; but the second gradient is one among clean values everywhere, not just where the patch
is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions.sites import SITES, Site, attach, by_row, site_parts
from hneurons.layers.causality.inputs import Input, check_inputs, last_logits
from hneurons.layers.causality.patching import Answers, Runs
from hneurons.models.language_model import LanguageModel
from hneurons.models.passes import watch

Take = Callable[[Site, int, Tensor], None]
"""Gets the estimates of one site and layer, (pairs, tokens, parts): heads, neurons, or one column of a whole vector."""


def attribute(
    model: LanguageModel,
    corrupt: Sequence[Input],
    clean: Sequence[Input],
    answers: Sequence[Answers],
    take: Take,
    *,
    at: str = "corrupt",
    sites: Sequence[Site] = SITES,
) -> Float[Tensor, " pairs"]:
    """Estimate the effect of each patch on the logit difference (clean answer - hallucinated answer), in one batch.

    Estimates of several tokens or parts that are patched together are the sums of theirs; those of tokens beyond the
    end of an input are 0. Memory: what all sites hold in both runs, as for training.

    Args:
        model: any loaded model.
        corrupt: runs that would be patched.
        clean: for each, the run that it would be patched with, of the same length.
        answers: the two tokens of each pair.
        take: gets the estimates, in float32 (float64 of a float64 model), layer by layer from the last.
        at: "corrupt" or "clean": the run whose gradient is taken.
        sites: which are estimated.

    Returns:
        The logit difference of the run whose gradient was taken.

    Raises:
        InterventionError: runs that do not go together, or inputs that cannot be run.
        ModelError: logits or gradients that are not finite.
    """
    if [len(own) for own in corrupt] != [len(own) for own in clean] or len(answers) != len(corrupt):
        raise InterventionError("give as many clean as corrupt inputs, of the same lengths, and two answers for each")
    if at not in ("corrupt", "clean"):
        raise InterventionError(f"gradients are taken at 'corrupt' or 'clean', not {at!r}")
    check_inputs(model, [*corrupt, *clean])
    here, there = (corrupt, clean) if at == "corrupt" else (clean, corrupt)
    wanted = {(site, layer) for site in sites for layer in range(model.n_layers)}
    other = Runs(model, there, wanted, len(there))
    sign = 1.0 if at == "corrupt" else -1.0  # always clean - corrupt
    real = torch.tensor([[own > place for place in range(max(map(len, here)))] for own in map(len, here)])

    def watching(site: Site, layer: int) -> Callable[[Tensor], Tensor]:
        def change(states: Tensor) -> Tensor:
            own = by_row(states.detach(), passes.current)
            wide = torch.promote_types(own.dtype, torch.float32)
            moved = (other.values.pop((site, layer)).to(own.device, wide) - own.to(wide)) * sign

            def reduce(gradient: Tensor) -> None:
                each = moved * gradient.reshape(moved.shape).to(wide)
                by_part = each.reshape(*each.shape[:2], site_parts(model, site), -1).sum(-1)
                found = by_part * real.to(own.device, wide).unsqueeze(-1)
                if not bool(found.isfinite().all()):
                    raise ModelError(f"layer {layer} of {model.name} gives gradients that are not finite")
                take(site, layer, found)

            states.register_hook(reduce)  # type: ignore[no-untyped-call]
            return states.clone()  # some models write into what a module hands on; the gradient is of what it was

        return change

    def begin(_module: Any, _arguments: Any, output: Tensor) -> Tensor:
        return output.detach().clone().requires_grad_()

    with watch(model) as passes, ExitStack() as hooks, torch.enable_grad():
        hooks.callback(model.hf.get_input_embeddings().register_forward_hook(begin).remove)
        for site, layer in sorted(wanted):
            hooks.callback(attach(model, site, layer, watching(site, layer)).remove)
        logits = last_logits(model, here)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        own = wide.gather(1, torch.tensor(answers, device=logits.device))
        difference = own[:, 0] - own[:, 1]
        difference.sum().backward()  # type: ignore[no-untyped-call]
    return difference.detach()
