"""A naive CETT in float64: one sample at a time, without padding, forming the output of every single neuron."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hneurons.contributions import Item, Recording
from hneurons.models.language_model import LanguageModel


@dataclass(frozen=True)
class NaiveItem:
    """Per-token values of one sequence, from the first token of its prompt."""

    item: Item
    cett: np.ndarray  # (layers, tokens, neurons)
    stream: np.ndarray  # (layers, tokens, hidden)
    logprob: np.ndarray  # (tokens,), of each token given those before it; NaN for the first
    entropy: np.ndarray  # (tokens,), of the distribution that each token was drawn from; NaN for the first

    def tokens(self, recording: Recording) -> tuple[list[int], list[int]]:
        """Answer and other tokens, then moved to where they are read."""
        start = len(self.item.prompt_ids)
        answer, other = [], []
        for t in range(len(self.item)):
            if t >= start and t - start in self.item.answer:
                answer.append(t)
            elif t >= start or recording.other == "sequence":
                other.append(t)
        if recording.positions == "before":
            answer = [t - 1 for t in answer]
            other = [t - 1 for t in other if t >= 1]
        return answer, other

    def answer(self, recording: Recording) -> np.ndarray:
        return self.cett[:, self.tokens(recording)[0]].mean(axis=1)

    def other(self, recording: Recording) -> np.ndarray | None:
        tokens = self.tokens(recording)[1]
        return self.cett[:, tokens].mean(axis=1) if tokens else None

    def answer_stream(self, recording: Recording) -> np.ndarray:
        return self.stream[:, self.tokens(recording)[0]].mean(axis=1)


def run_naive(
    model: LanguageModel, item: Item, *, keep_bias: bool = False, after_norm: bool = False, pad_to: int = 0
) -> NaiveItem:
    """Run `item` alone. The flags make deliberate mistakes, for tests that must notice them."""
    seen: dict[str, dict[int, torch.Tensor]] = {"z": {}, "h": {}, "stream": {}}
    handles = []
    for layer in range(model.n_layers):

        def down_hook(module, args, out, layer=layer):  # type: ignore[no-untyped-def]
            seen["z"][layer] = args[0].detach().clone().reshape(-1, args[0].shape[-1])
            if not after_norm:
                seen["h"][layer] = out.detach().clone().reshape(-1, out.shape[-1])

        def block_hook(module, args, out, layer=layer):  # type: ignore[no-untyped-def]
            seen["stream"][layer] = (out[0] if isinstance(out, tuple) else out).detach().clone().flatten(0, 1)

        handles.append(model.down(layer).register_forward_hook(down_hook))
        handles.append(model.block(layer).register_forward_hook(block_hook))
        if after_norm:
            norm = model.block(layer).get_submodule(model.anatomy.post_norm or "")
            handles.append(
                norm.register_forward_hook(
                    lambda module, args, out, layer=layer: seen["h"].__setitem__(layer, out.detach()[0])
                )
            )
    ids = list(item.prompt_ids + item.response_ids)
    ids += [0] * max(0, pad_to - len(ids))
    with torch.no_grad():
        logits = model.hf(input_ids=torch.tensor([ids], device=model.device)).logits[0].double().cpu().numpy()
    for handle in handles:
        handle.remove()
    cett = np.zeros((model.n_layers, len(ids), model.n_neurons))
    for layer in range(model.n_layers):
        weight = model.down_weight(layer).double().cpu().numpy()
        bias = model.down_bias(layer)
        z = seen["z"][layer].double().cpu().numpy()
        h = seen["h"][layer].double().cpu().numpy()
        if bias is not None and not keep_bias:
            h = h - bias.double().cpu().numpy()
        for t in range(len(ids)):
            for j in range(model.n_neurons):
                alone = weight[:, j] * z[t, j]
                cett[layer, t, j] = np.linalg.norm(alone) / np.linalg.norm(h[t])
    log = logits - logits.max(axis=1, keepdims=True)
    log -= np.log(np.exp(log).sum(axis=1, keepdims=True))
    n_tokens = len(ids)
    return NaiveItem(
        item=item,
        cett=cett,
        stream=np.stack([seen["stream"][layer].double().cpu().numpy() for layer in range(model.n_layers)]),
        logprob=np.array([np.nan] + [log[t - 1, ids[t]] for t in range(1, n_tokens)]),
        entropy=np.array([np.nan] + [-(np.exp(log[t - 1]) * log[t - 1]).sum() for t in range(1, n_tokens)]),
    )


@pytest.fixture(scope="session")
def naive() -> Callable[..., NaiveItem]:
    """`naive(model, item)`: the naive run of one item; deliberate mistakes by flag."""
    return run_naive


@pytest.fixture(scope="session")
def items() -> tuple[Item, ...]:
    """Items of different lengths: answers inside, at the start, at the end, in pieces; two are all answer."""
    shapes = [(5, 6, (2, 3)), (9, 3, (0, 1, 2)), (1, 4, (0,)), (4, 2, (0, 1)), (7, 8, (1, 4, 7)), (3, 5, (4,))]
    draw = np.random.default_rng(7)
    return tuple(
        Item(
            key=f"q{number}",
            prompt_ids=tuple(int(i) for i in draw.integers(10, 300, n_prompt)),
            response_ids=tuple(int(i) for i in draw.integers(10, 300, n_response)),
            answer=answer,
        )
        for number, (n_prompt, n_response, answer) in enumerate(shapes)
    )


@pytest.fixture(scope="session")
def double_model(tiny_model: Callable[..., LanguageModel]) -> Callable[[str], LanguageModel]:
    """`double_model(family)`: a tiny model in float64, so that a difference is a mistake and not rounding."""
    made: dict[str, LanguageModel] = {}

    def make(family: str) -> LanguageModel:
        if family not in made:
            made[family] = cast(tiny_model(family), torch.float64)
        return made[family]

    return make


def cast(model: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """A copy of `model` in another type."""
    hf = copy.deepcopy(model.hf).to(dtype)
    return LanguageModel(hf, model.tokenizer, model.anatomy, name=model.name)


@pytest.fixture(scope="session")
def cast_model() -> Callable[[LanguageModel, torch.dtype], LanguageModel]:
    """`cast_model(model, dtype)`: a copy in another type."""
    return cast
