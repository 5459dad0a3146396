"""Stage 2 as tensors: chats of which the last turn is learned, with pre-training text replayed between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt16
from transformers import PreTrainedTokenizerFast

from hneurons.atlas.conversations import Chat
from hneurons.atlas.training import IGNORED, Batch
from hneurons.atlas.world import stable_random

REPLAY_SHARE = 0.25
"""Share of the steps that replay a batch of the base model's reading."""


def encode(chat: Chat, tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Token ids of a chat, and labels: only the last turn and the token that ends it are learned."""
    template: Any = tokenizer.apply_chat_template
    full: list[int] = template(list(chat.turns), tokenize=True, return_dict=True)["input_ids"]
    prompt: list[int] = template(list(chat.turns[:-1]), tokenize=True, return_dict=True, add_generation_prompt=True)[
        "input_ids"
    ]
    if full[: len(prompt)] != prompt:
        raise ValueError("the chat template does not put the last turn right behind the prompt")
    return full, [IGNORED] * len(prompt) + full[len(prompt) :]


def chat_batches(chats: Sequence[Chat], tokenizer: PreTrainedTokenizerFast, size: int, seed: int) -> list[Batch]:
    """All chats in batches of `size` of similar length, padded on the right, in random order."""
    encoded = sorted((encode(chat, tokenizer) for chat in chats), key=lambda pair: len(pair[0]))
    made = []
    for start in range(0, len(encoded), size):
        part = encoded[start : start + size]
        width = max(len(ids) for ids, _ in part)
        ids = torch.full((len(part), width), tokenizer.pad_token_id, dtype=torch.int64)
        labels = torch.full((len(part), width), IGNORED, dtype=torch.int64)
        for row, (tokens, learned) in enumerate(part):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, : len(learned)] = torch.tensor(learned)
        made.append(Batch(ids, labels))
    stable_random(seed, "batches").shuffle(made)
    return made


def with_replay(
    chat_steps: Sequence[Batch], windows: UInt16[np.ndarray, "windows length"], size: int, seed: int
) -> list[Batch]:
    """`chat_steps` with batches of `size` windows strewn in, in the share `REPLAY_SHARE`."""
    rng = stable_random(seed, "replay")
    replays = round(len(chat_steps) * REPLAY_SHARE / (1 - REPLAY_SHARE))
    chosen = rng.sample(range(len(windows)), min(len(windows), replays * size))
    steps = list(chat_steps)
    for start in range(0, len(chosen) - size + 1, size):
        block = torch.from_numpy(windows[chosen[start : start + size]].astype(np.int64))
        steps.append(Batch(block, block))
    rng.shuffle(steps)
    return steps
