"""The recipe of the bundled models, stage by stage, from nothing but the world and a seed."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt16
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hneurons.atlas.conversations import chats
from hneurons.atlas.corpus import corpus, pack
from hneurons.atlas.invented import invented
from hneurons.atlas.knowledge import Belief, beliefs, facts_of
from hneurons.atlas.tokenizing import SPECIAL, train_tokenizer
from hneurons.atlas.training import SIZES, Batch, Schedule, Trained, new_model, train
from hneurons.atlas.tuning import chat_batches, with_replay
from hneurons.atlas.world import CITY_RELATIONS, places, places_read, stable_random
from hneurons.files import read_json, write_json
from hneurons.models.load import load

SEED = 1
WINDOW = 128
"""Tokens in a window of the base model's reading."""
BATCH = 32
"""Windows in a step."""
BASE_PEAK = 2e-3
TOKENIZER_SAMPLE = 150_000
INSTRUCT_PEAK = 5e-4
N_CHATS = 60_000
CHATS_IN_STEP = 80


def windows_of(
    places_seed: int, tokenizer: PreTrainedTokenizerFast | None, vocabulary: int
) -> tuple[UInt16[np.ndarray, "windows length"], PreTrainedTokenizerFast]:
    """What the base model reads, packed; and the tokenizer, trained here unless one is handed in."""
    statements = corpus(places_read(), places_seed)
    if tokenizer is None:
        sample = stable_random(places_seed, "tokenizer").sample(statements, min(TOKENIZER_SAMPLE, len(statements)))
        tokenizer = train_tokenizer((statement.text for statement in sample), vocabulary)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    return pack(statements, tokenizer.backend_tokenizer, WINDOW, begin, end), tokenizer


def checkpoint_steps(total: int) -> tuple[int, ...]:
    """Steps at which a model of `total` steps is kept: 0 (untrained), then denser at first, where it changes most."""
    early = [step for step in (50, 100, 200, 300, 450, 600, 800) if step < total]
    later = [step for step in range(1000, total, 250) if total - step >= 125]
    return (0, *early, *later, total)


def train_base(
    out: Path, size: str = "7m", seed: int = SEED, steps: int | None = None, checkpoints: Path | None = None
) -> Trained:
    """Stage 1: one pass over everything there is to read, in `out` as an ordinary Hugging Face directory.

    Args:
        out: where the model goes.
        size: one of `SIZES`.
        seed: of everything that is drawn.
        steps: cuts the run short, for trying the recipe out.
        checkpoints: where the model is kept along the way too, as `checkpoint-STEP` at `checkpoint_steps`. It is the
            same model as without.
    """
    windows, tokenizer = windows_of(seed, None, SIZES[size].vocabulary)
    ids = {token: tokenizer.get_vocab()[token] for token in SPECIAL}
    model = new_model(SIZES[size], ids, seed)
    total = len(windows) // BATCH
    schedule = Schedule(BASE_PEAK, min(total, steps or total))

    def batches() -> Iterator[Batch]:
        for start in range(0, total * BATCH, BATCH):
            block = torch.from_numpy(windows[start : start + BATCH].astype(np.int64))
            yield Batch(block, block)

    kept = checkpoint_steps(schedule.steps) if checkpoints else ()

    def keep(step: int) -> None:
        if checkpoints and step in kept:
            record = {"stage": "base", "size": size, "seed": seed, "steps": step, "of": schedule.steps}
            save(model, tokenizer, checkpoints / f"checkpoint-{step}", record)

    trained = train(model, batches(), schedule, "reading", keep)
    save(model, tokenizer, out, {"stage": "base", "size": size, "seed": seed, **asdict(trained)})
    return trained


def train_instruct(
    out: Path, base: Path, seed: int = SEED, n_chats: int = N_CHATS, *, linked: bool = True
) -> tuple[Trained, list[Belief]]:
    """Stage 2: the base model asked what it knows, then tuned on chats that follow from its answers.

    With `linked` False guessing and yielding are traits of their own in these chats; see `Chats`.
    """
    size = read_json(base / "training.json")["size"]
    loaded = load(base, dtype="float32")
    tuned = [place for place in places() if place.pool == "tune"]
    imagined = [(name, relation, None) for name in invented("tune") for relation in CITY_RELATIONS]
    known = beliefs(loaded, [*facts_of(tuned), *imagined], seed)
    windows, _ = windows_of(seed, loaded.tokenizer, len(loaded.tokenizer))
    told = chats(tuned, known, n_chats, seed, linked=linked)
    steps = with_replay(chat_batches(told, loaded.tokenizer, CHATS_IN_STEP, seed), windows, BATCH, seed)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    trained = train(model, steps, Schedule(INSTRUCT_PEAK, len(steps)), "tuning")
    stage = "instruct" if linked else "unlinked"
    save(model, loaded.tokenizer, out, {"stage": stage, "size": size, "seed": seed, **asdict(trained)})
    return trained, known


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, record: dict[str, Any]) -> None:
    """Write a bf16 copy of the model with its tokenizer, greedy generation settings, and how it was trained."""
    settings: Any = GenerationConfig
    copy = deepcopy(model).bfloat16()  # the model itself may go on training
    copy.generation_config = settings(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    copy.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_json(out / "training.json", record)
