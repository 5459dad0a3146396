"""The residual stream where it is read: before the first layer and after every layer, at a few positions of each text.

A depth counts these states: depth 0 is what enters layer 0, depth d is what layer d - 1 puts out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from hneurons.errors import ModelError, ResponseError
from hneurons.models.language_model import LanguageModel
from hneurons.models.texts import check_texts, logits_at, pad_texts

Hooks = Callable[[ExitStack], None]


@dataclass(frozen=True, eq=False)
class States:
    """Residual streams at the positions that were read, text after text.

    Attributes:
        values: in the type of the model.
        own: the model's own logits at the last read position of each text that has one, in the order of texts.
        ends: the row of `values` that each row of `own` belongs to.
    """

    values: Float[Tensor, "reads depths hidden"]
    own: Float[Tensor, "texts vocab"]
    ends: Int64[Tensor, " texts"]


class Batch:
    """A few texts as one batch, padded on the right, which no token of a causal model sees."""

    def __init__(
        self, model: LanguageModel, token_ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> None:
        """Errors as of `read_states`."""
        check(model, token_ids, positions)
        self._model = model
        self.seq = max(map(len, token_ids))
        self._texts = pad_texts(token_ids, model.pad_id)
        self._flat = torch.tensor([row * self.seq + at for row, own in enumerate(positions) for at in own])
        self.reads = len(self._flat)
        self._last = [(row, own[-1]) for row, own in enumerate(positions) if own]
        self.ends = torch.tensor(np.cumsum([len(own) for own in positions if own]) - 1)

    def take(self, states: Tensor) -> Float[Tensor, "reads width"]:
        """A copy of what a module holds at the read positions, from (rows, seq, width) or (rows * seq, width).

        Raises:
            ModelError: the module does not hold one vector for each token of the batch, or values are not finite.
        """
        flat = states.detach().reshape(-1, states.shape[-1])
        if len(flat) != (expected := self._texts.input_ids.numel()):
            raise ModelError(
                f"{self._model.name} gives its layers {len(flat)} positions for a batch of {expected}; "
                "they cannot be matched to tokens"
            )
        taken = flat.index_select(0, self._flat.to(flat.device))
        if not bool(taken.isfinite().all()):
            raise ModelError(
                f"{self._model.name} gives values that are not finite in {self._model.dtype}; "
                "load the model with dtype='float32', or check its weights"
            )
        return taken

    @torch.no_grad()
    def forward(self, hooks: Hooks) -> Float[Tensor, "texts vocab"]:
        """Run the model with some hooks attached; its own logits at the last read position of each text."""
        with ExitStack() as stack:
            hooks(stack)
            own = logits_at(self._model, self._texts, self._last)
        return own.to(torch.promote_types(own.dtype, torch.float32))


def read_states(
    model: LanguageModel,
    token_ids: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    depths: Sequence[int] | None = None,
    also: Callable[[Batch], Hooks] | None = None,
) -> States:
    """Forward one batch and keep the residual stream at some positions: reads * depths * hidden numbers.

    Args:
        model: any loaded model.
        token_ids: the texts.
        positions: of each text, ascending, counted from 0; a text may have none.
        depths: which states; all if left out.
        also: more hooks to attach in the same pass.

    Raises:
        ResponseError: no text, nothing to read, or a text that the model cannot read.
        ModelError: a layer does not run once on every token, or gives values that are not finite.
    """
    batch = Batch(model, token_ids, positions)
    wanted = list(range(model.n_layers + 1) if depths is None else depths)
    kept: dict[int, Tensor] = {}

    def keep(depth: int, states: Tensor) -> None:
        if depth in kept:
            raise ModelError(f"{model.name} runs a layer twice in one pass; its states cannot be told apart")
        kept[depth] = batch.take(states)

    def before(_module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        keep(0, arguments[0] if arguments else named["hidden_states"])

    def after(depth: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            keep(depth, output[0] if isinstance(output, tuple) else output)

        return hook

    def hooks(stack: ExitStack) -> None:
        if also is not None:
            also(batch)(stack)
        for depth in wanted:
            if depth == 0:
                handle = model.block(0).register_forward_pre_hook(before, with_kwargs=True)
            else:
                handle = model.block(depth - 1).register_forward_hook(after(depth))
            stack.callback(handle.remove)

    own = batch.forward(hooks)
    if missing := [depth for depth in wanted if depth not in kept]:
        raise ModelError(f"{model.name} does not run every layer; there is nothing at depths {missing}")
    device = own.device
    return States(torch.stack([kept[depth].to(device) for depth in wanted], dim=1), own, batch.ends.to(device))


def check(model: LanguageModel, token_ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> None:
    """Refuse what cannot be read.

    Raises:
        ResponseError: no text, nothing to read, texts and positions that do not fit, tokens that the model lacks.
    """
    if len(token_ids) != len(positions) or not any(map(len, positions)):
        raise ResponseError(
            f"there are {len(token_ids)} texts and positions for {len(positions)}; give each text its positions"
        )
    check_texts(model, token_ids, ResponseError)
    for number, (ids, own) in enumerate(zip(token_ids, positions, strict=True)):
        if list(own) != sorted(set(own)) or (own and not (own[0] >= 0 and own[-1] < len(ids))):
            raise ResponseError(
                f"the positions of text {number} are {list(own)}; give ascending ones between 0 and {len(ids) - 1}"
            )


def by_length(lengths: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Numbers of texts in batches of at most `rows`, texts of like length together."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    for start in range(0, len(order), rows):
        yield order[start : start + rows]
