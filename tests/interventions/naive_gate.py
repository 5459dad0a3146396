"""The gate run anew for every token, as slowly as it can be, and the prompts on which it is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from tests.hooks import n_hooks

from hneurons.contributions import Item
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import token_scores
from hneurons.responses.sampling import Prompt, Sampling, sample

WEIGHTS = {(0, 3): 6.0, (0, 17): -4.0, (1, 0): 5.0, (1, 47): -7.0, (1, 21): 3.0}
TURNED = [(layer, index) for layer in (0, 1) for index in range(0, 48, 2)]
PROMPTS = ([5, 17, 40, 41, 9, 30, 77], [8, 102, 100], [55, 60, 61, 200, 33])
GREEDY = Sampling(n_samples=1, temperature=0.0, max_new_tokens=6)
ALPHA = 2.5


@dataclass
class Naive:
    """The gate of one prompt, as slowly as it can be; the flags make deliberate mistakes."""

    model: LanguageModel
    probe: Probe
    threshold: float
    alpha: float = ALPHA
    keep_bias: bool = False
    shift: int = 0
    turned: set[int] = field(default_factory=set)
    scores: list[float] = field(default_factory=list)

    def read(self, ids: Sequence[int]) -> np.ndarray:
        """Logits after `ids`, of which those that are new are scored, and then turned if need be."""
        start = len(self.scores)
        _, z = self._run(ids)
        self.scores += [self._score(z, t) for t in range(start, len(ids))]
        above = {t for t in range(start, len(ids)) if self.scores[t] > self.threshold}
        self.turned |= {t + self.shift for t in above}
        return self._run(ids)[0]

    def say(self, ids: Sequence[int], n: int) -> list[int]:
        """Greedily, until the end of a turn."""
        said: list[int] = []
        for _ in range(n):
            said.append(int(self.read([*ids, *said])[-1].argmax()))
            if said[-1] in self.model.eos_ids:
                return said[:-1]
        return said

    def _run(self, ids: Sequence[int]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        seen: dict[int, np.ndarray] = {}
        handles = []
        for layer in range(self.model.n_layers):

            def hook(module: Any, args: tuple[torch.Tensor], layer: int = layer) -> tuple[torch.Tensor]:
                z = args[0].clone()
                flat = z.view(-1, z.shape[-1])
                seen[layer] = flat.double().numpy().copy()
                for t in self.turned & set(range(len(ids))):
                    for own, j in TURNED:
                        if own == layer:
                            flat[t, j] *= self.alpha
                return (z,)

            handles.append(self.model.down(layer).register_forward_pre_hook(hook))
        with torch.no_grad():
            logits = self.model.hf(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
        for handle in handles:
            handle.remove()
        return logits.numpy(), seen

    def _score(self, z: dict[int, np.ndarray], t: int) -> float:
        logit = self.probe.card.intercept
        for (layer, j), weight in zip(self.probe.neurons, self.probe.weights, strict=True):
            down = self.model.down_weight(layer).double().numpy()
            h = down @ z[layer][t]
            if self.keep_bias:
                h = h + self.model.down_bias(layer).double().numpy()
            logit += weight * np.linalg.norm(down[:, j] * z[layer][t, j]) / np.linalg.norm(h)
        return float(1 / (1 + np.exp(-logit)))


def between(model: LanguageModel, probe: Probe, quantile: float = 0.5) -> float:
    """A threshold that no token of the prompts is close to."""
    items = [Item(str(n), tuple(ids[:1]), tuple(ids[1:]), (0,)) for n, ids in enumerate(PROMPTS)]
    scores = np.sort(np.concatenate(token_scores(model, probe, items)))
    place = int(quantile * len(scores))
    near = range(max(1, place - 3), min(len(scores), place + 4))
    widest = max(near, key=lambda k: scores[k] - scores[k - 1])
    assert scores[widest] - scores[widest - 1] > 1e-4
    return float((scores[widest] + scores[widest - 1]) / 2)


def batch(side: str = "left") -> dict[str, torch.Tensor]:
    """The prompts, padded, as the keywords of a forward pass."""
    width = max(map(len, PROMPTS))
    ids, mask, places = [], [], []
    for prompt in PROMPTS:
        n, spare = len(prompt), width - len(prompt)
        left = spare if side == "left" else 0
        ids.append([0] * left + prompt + [0] * (spare - left))
        mask.append([0] * left + [1] * n + [0] * (spare - left))
        places.append([0] * left + list(range(n)) + [0] * (spare - left))
    return {
        name: torch.tensor(v) for name, v in (("input_ids", ids), ("attention_mask", mask), ("position_ids", places))
    }


def logits(model: LanguageModel, **settings: Any) -> torch.Tensor:
    arguments = batch() | {"use_cache": False} | settings
    if model.anatomy.model_type == "bloom":  # has no position ids
        arguments.pop("position_ids", None)
    with torch.no_grad():
        found: torch.Tensor = model.hf(**arguments).logits
    return found


def untouched(model: LanguageModel) -> bool:
    return n_hooks(model) == 0 and "forward" not in vars(model.hf)


def worst(found: torch.Tensor, naives: Sequence[Naive], side: str = "left") -> float:
    """Largest difference from the naive logits at real tokens, relative to the largest logit."""
    errors = []
    for row, naive, ids in zip(found, naives, PROMPTS, strict=True):
        expected = naive.read(ids)
        mine = row[-len(ids) :] if side == "left" else row[: len(ids)]
        errors.append(np.abs(mine.numpy() - expected).max() / np.abs(expected).max())
    return float(max(errors))


def said(model: LanguageModel) -> list[list[int]]:
    prompts = [Prompt(f"q{n}", tuple(ids)) for n, ids in enumerate(PROMPTS)]
    return [list(own[0].token_ids) for own in sample(model, prompts, GREEDY)]


def generated(model: LanguageModel, **settings: Any) -> list[list[int]]:
    arguments = {name: batch()[name] for name in ("input_ids", "attention_mask")}
    eos = sorted(model.eos_ids)
    made = model.hf.generate(
        **arguments, do_sample=False, max_new_tokens=6, eos_token_id=eos, pad_token_id=model.pad_id, **settings
    )
    rows = made[:, arguments["input_ids"].shape[1] :].tolist()
    return [list(takewhile(lambda token: token not in eos, row)) for row in rows]
