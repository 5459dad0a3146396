"""The training loop of both stages: next-token prediction on CPU (or a GPU), bf16 autocast over float32 weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from hneurons.atlas.tokenizing import BEGIN, END, PAD
from hneurons.progress import track

IGNORED = -100
"""Label of a token that is read but not learned."""


@dataclass(frozen=True)
class Size:
    """Shape of a bundled model; the same recipe trains every size."""

    layers: int = 6
    width: int = 256
    ffn: int = 1024
    heads: int = 4
    vocabulary: int = 3072


SIZES = {"7m": Size(), "3m": Size(5, 192, 768, 3), "1m": Size(4, 128, 384, 2, 2048)}


@dataclass(frozen=True)
class Schedule:
    """Learning rate over the steps: linear warm-up, then a cosine down to a tenth."""

    peak: float
    steps: int
    warmup: int = 100

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.peak * (0.1 + 0.45 * (1 + math.cos(math.pi * min(1.0, progress))))


@dataclass(frozen=True)
class Batch:
    """Token ids and labels (`IGNORED` where nothing is learned), padded on the right."""

    ids: Int[Tensor, "batch seq"]
    labels: Int[Tensor, "batch seq"]


@dataclass(frozen=True)
class Trained:
    """What a training run cost and where it ended."""

    steps: int
    tokens: int
    seconds: float
    loss: float


def new_model(size: Size, token_ids: dict[str, int], seed: int) -> LlamaForCausalLM:
    """A Llama of the given size with seeded random weights and tied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.ffn,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=token_ids[BEGIN],
        eos_token_id=token_ids[END],
        pad_token_id=token_ids[PAD],
    )
    return LlamaForCausalLM(config)


def train(
    model: LlamaForCausalLM,
    batches: Iterable[Batch],
    schedule: Schedule,
    description: str,
    after: Callable[[int], None] | None = None,
) -> Trained:
    """Train `model` in place on `batches`, one step each; `after` is called with 0 at first, then with each step done.

    AdamW with decay on matrices only; gradients clipped at norm 1. Attention is causal without a padding mask: padding
    stands at the end, where nothing that is learned can see it.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=schedule.peak,
        betas=(0.9, 0.98),
        fused=True,
    )
    model.train(True)
    if after is not None:
        after(0)
    started, tokens, smooth, step = time.monotonic(), 0, math.nan, -1
    for step, batch in enumerate(_limited(track(batches, description, total=schedule.steps), schedule.steps)):
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        with torch.autocast(batch.ids.device.type, dtype=torch.bfloat16):
            logits = model(input_ids=batch.ids, use_cache=False).logits
        loss = F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten(), ignore_index=IGNORED
        )
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += batch.ids.numel()
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} at step {step}; lower the learning rate")
        smooth = value if step == 0 else 0.98 * smooth + 0.02 * value
        if after is not None:
            after(step + 1)
    model.train(False)
    return Trained(step + 1, tokens, time.monotonic() - started, smooth)


def _limited(batches: Iterator[Batch], steps: int) -> Iterator[Batch]:
    for _, batch in zip(range(steps), batches, strict=False):
        yield batch
