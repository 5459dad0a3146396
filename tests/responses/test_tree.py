from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from hneurons.models.language_model import LanguageModel
from hneurons.responses.tree import Tree

PROMPTS = [[1, 40, 41], [1, 50, 51, 52, 53, 54, 55], [60]]


def alone(model: LanguageModel, prefixes: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits of what follows each prefix, in a forward pass of its own."""
    return torch.cat([model.hf(input_ids=torch.tensor([prefix]), use_cache=False).logits[:, -1] for prefix in prefixes])


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "bloom", "falcon-sequential", "gemma3"])
def test_prefixes_can_be_kept_split_dropped_and_swapped(tiny_model: Callable[..., LanguageModel], family: str) -> None:
    model = tiny_model(family)
    tree = Tree(model)
    prefixes = PROMPTS
    torch.testing.assert_close(tree.plant(prefixes), alone(model, prefixes), rtol=1e-4, atol=1e-4)
    assert tree.forwarded == 11
    for parents, tokens in [([0, 1, 2], [9, 8, 10]), ([0, 0, 1, 1, 1, 2], [3, 4, 5, 6, 11, 12]), ([5, 2], [13, 14])]:
        logits = tree.grow(np.array(parents), np.array(tokens))
        prefixes = [[*prefixes[parent], token] for parent, token in zip(parents, tokens, strict=True)]
        expected = alone(model, prefixes)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(logits[[1, 0]], expected[:2], rtol=1e-4, atol=1e-4), "the rows differ"
    assert tree.forwarded == 11 + 3 + 6 + 2


def test_only_the_last_position_s_logits_are_computed(tiny_llama: LanguageModel) -> None:
    seen = []
    hook = tiny_llama.hf.lm_head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[1]))
    Tree(tiny_llama).plant(PROMPTS)
    hook.remove()
    assert seen == [1]
