"""Answers that are read again and again, each time with something else added where they are made."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache

from hneurons.contributions import Item
from hneurons.contributions.recording import check_items
from hneurons.errors import ModelError, NotEnoughDataError
from hneurons.interventions.sites import attach
from hneurons.interventions.steering import steer
from hneurons.layers.answered import Answered
from hneurons.models.language_model import LanguageModel

Read = dict[str, Float64[np.ndarray, "*any"]]
"""What is read of cases: "along" (cases, layers), "log_prob" and "entropy" (cases,)."""


@dataclass(frozen=True)
class Cases:
    """What is read while a model is steered: right answers as they were given, and tokens where wrong ones turned."""

    items: tuple[Item, ...]
    groups: tuple[str, ...]
    roles: tuple[str, ...]

    def rows(self, role: str) -> Int[np.ndarray, " rows"]:
        """Numbers of the items of one role: "right" (answers), "correct" and "given" (the tokens of a fork)."""
        return np.flatnonzero([each == role for each in self.roles])


def make_cases(answered: Sequence[Answered]) -> Cases:
    """Faithful answers, and the two tokens at which hallucinated ones part from the right answer, where it is known.

    Raises:
        NotEnoughDataError: no faithful answer.
    """
    items, groups, roles = [], [], []
    for each in answered:
        fork = each.fork
        asked = [] if each.hallucinated else [("right", each.response_ids, each.answer)]
        if each.hallucinated and fork is not None and fork.correct is not None:
            before = each.response_ids[: fork.index]
            asked.append(("correct", (*before, fork.correct), (fork.index,)))
            asked.append(("given", (*before, fork.given), (fork.index,)))
        for name, response, answer in asked:
            items.append(
                Item(key=f"{each.key} {name}", prompt_ids=each.prompt_ids, response_ids=response, answer=answer)
            )
            groups.append(each.group)
            roles.append(name)
    if "right" not in roles:
        raise NotEnoughDataError("there is no faithful answer to steer; ask a set that has both kinds")
    return Cases(tuple(items), tuple(groups), tuple(roles))


class Reader:
    """Reads cases from where their first answer token is predicted; what comes before is read once and kept.

    Args:
        model: any loaded model.
        cases: what is read. Keys and values of all prefixes are kept.
        axes: a vector in each layer, along which the mean state over the answer tokens is taken.
        positions: where states are read: where an answer token is predicted ("before"), or where it stands ("at").
        batch_rows: rows of a forward batch.

    Raises:
        ResponseError: a case that the model cannot read.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: LanguageModel,
        cases: Cases,
        axes: Float64[np.ndarray, "layers hidden"],
        *,
        positions: Literal["at", "before"] = "before",
        batch_rows: int = 64,
    ) -> None:
        check_items(model, cases.items)
        self._model, self._axes = model, axes
        self._parameters = inspect.signature(model.hf.forward).parameters
        # by length, so that rows of a batch are padded little
        self._order = sorted(range(len(cases.items)), key=lambda number: len(cases.items[number]))
        chunks = [self._order[start : start + batch_rows] for start in range(0, len(self._order), batch_rows)]
        self._batches = [self._plan([cases.items[number] for number in chunk], positions) for chunk in chunks]

    @torch.no_grad()
    def read(self, layer: int | None = None, added: Float[Tensor, " hidden"] | None = None) -> Read:
        """Read every case, with `added` put on the stream after `layer`; the model is left alone if they are left out.

        Returns:
            "along": mean states over the answer tokens, along the axes; "log_prob" and "entropy": means over the answer
            tokens, in nats.

        Raises:
            ModelError: logits that are not finite.
        """
        parts = []
        for batch in self._batches:
            if layer is None or added is None:
                parts.append(self._read(batch))
            else:
                with steer(self._model, layer, added, positions="generated"):
                    parts.append(self._read(batch))
        back = np.argsort(self._order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}

    def _plan(self, items: Sequence[Item], positions: Literal["at", "before"]) -> _Batch:
        """Prefixes padded on the left, and what follows padded on the right, so that all tails begin in one column."""
        whole = [[*item.prompt_ids, *item.response_ids] for item in items]
        cuts = [max(1, len(item.prompt_ids) + item.answer[0] - 1) for item in items]
        ends = [len(item.prompt_ids) + item.answer[-1] + (positions == "at") for item in items]
        ends = [max(end, cut + 1) for end, cut in zip(ends, cuts, strict=True)]
        before, after = max(cuts), max(end - cut for end, cut in zip(ends, cuts, strict=True))
        ids = torch.full((len(items), before + after), self._model.pad_id)
        mask = torch.zeros_like(ids)
        weights = torch.zeros(len(items), after)
        predicted: list[tuple[int, int, int]] = []
        for row, (item, cut, end) in enumerate(zip(items, cuts, ends, strict=True)):
            start = before - cut
            ids[row, start : start + end] = torch.tensor(whole[row][:end])
            mask[row, start : start + end] = 1
            for index in item.answer:
                column = len(item.prompt_ids) + index - 1 - cut
                predicted.append((row, column, item.response_ids[index]))
                weights[row, column + (positions == "at")] = 1 / len(item.answer)
        device = self._model.device
        cache: Any = DynamicCache(config=self._model.hf.config)
        self._forward(ids[:, :before].to(device), mask[:, :before].to(device), cache, keep=1)
        return _Batch(cache, ids[:, before:].to(device), mask.to(device), weights, predicted)

    def _read(self, batch: _Batch) -> Read:
        along: list[np.ndarray] = []
        handles = [
            attach(self._model, "residual", layer, self._keeper(batch, layer, along))
            for layer in range(self._model.n_layers)
        ]
        try:
            logits = self._forward(batch.tails, batch.mask, copy.deepcopy(batch.cache))
        finally:
            for handle in handles:
                handle.remove()
        n, means = len(batch.tails), {"log_prob": np.zeros(len(batch.tails)), "entropy": np.zeros(len(batch.tails))}
        counts = np.bincount([row for row, _, _ in batch.predicted], minlength=n)
        for row, column, token in batch.predicted:
            log = logits[row, column].to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
            means["log_prob"][row] += float(log[token]) / counts[row]
            # a token that a model rules out (-inf) adds nothing: 0 * log 0 = 0
            own = -(log.exp() * log.clamp_min(torch.finfo(log.dtype).min)).sum()
            means["entropy"][row] += float(own) / counts[row]
        if not all(np.isfinite(each).all() for each in means.values()):
            raise ModelError(f"{self._model.name} gives logits that are not finite; load it with dtype='float32'")
        return {"along": np.stack(along, axis=1), **means}

    def _keeper(self, batch: _Batch, layer: int, along: list[np.ndarray]) -> Any:
        def keep(states: Tensor) -> None:
            rows, seq = batch.tails.shape
            wide = states.detach().reshape(rows, seq, -1).to(torch.promote_types(states.dtype, torch.float32))
            mean = torch.einsum("rs,rsh->rh", batch.weights.to(wide), wide)
            along.append(mean.double().cpu().numpy() @ self._axes[layer])

        return keep

    def _forward(
        self, tokens: Int[Tensor, "rows seq"], mask: Int[Tensor, "rows all"], cache: Any, keep: int = 0
    ) -> Float[Tensor, "rows kept vocab"]:
        arguments: dict[str, Any] = {"input_ids": tokens, "attention_mask": mask, "past_key_values": cache}
        if "position_ids" in self._parameters:
            places = (mask.cumsum(dim=-1) - 1).clamp(min=0)
            arguments["position_ids"] = places[:, -tokens.shape[1] :]
        if keep and "logits_to_keep" in self._parameters:
            arguments["logits_to_keep"] = keep
        logits: Tensor = self._model.hf(**arguments, use_cache=True).logits
        return logits


@dataclass(frozen=True)
class _Batch:
    cache: Any
    tails: Int[Tensor, "rows seq"]
    mask: Int[Tensor, "rows all"]
    weights: Float[Tensor, "rows seq"]
    predicted: list[tuple[int, int, int]]
    """Row, column of the tail and target of every answer token."""
