"""Several texts in one padded pass: what enters the model, and its own logits of the columns that are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hneurons.errors import HNeuronsError
from hneurons.models.language_model import LanguageModel

Side = Literal["left", "right"]


@dataclass(frozen=True, eq=False)
class PaddedTexts:
    """Teacher-forced input of a batch, on the CPU; a row a text, padding masked.

    `position_ids` count from 0 at the first token of each text; those of padding mean nothing.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    position_ids: Int[Tensor, "batch seq"]


def pad_texts(texts: Sequence[Sequence[int]], pad_id: int, side: Side = "right") -> PaddedTexts:
    """Lay out token ids as one batch, padded with `pad_id` on `side`.

    In a causal model padding on the right is invisible to every real token, so it is what we use; left padding gives
    the same numbers in models that take their positions from `position_ids` or the attention mask.
    """
    seq = max(map(len, texts))
    ids: list[list[int]] = []
    mask: list[list[int]] = []
    for own in texts:
        spare = seq - len(own)
        before, after = (spare, 0) if side == "left" else (0, spare)
        ids.append([pad_id] * before + [*own] + [pad_id] * after)
        mask.append([0] * before + [1] * len(own) + [0] * after)
    made = torch.tensor(mask)
    return PaddedTexts(torch.tensor(ids), made, (made.cumsum(dim=-1) - 1).clamp_min(0))


def logits_of(
    model: LanguageModel, texts: PaddedTexts, columns: Sequence[int] | None = None
) -> Float[Tensor, "batch columns vocab"]:
    """The model's own forward pass; logits of some columns only, and only these are computed where it can do so.

    Args:
        model: any loaded model.
        texts: one batch.
        columns: of the padded batch, at least one; all if left out.
    """
    known = _parameters(model)
    arguments: dict[str, Any] = {
        "input_ids": texts.input_ids.to(model.device),
        "attention_mask": texts.attention_mask.to(model.device),
        "use_cache": False,
    }
    if "position_ids" in known:
        arguments["position_ids"] = texts.position_ids.to(model.device)
    chosen = None if columns is None else torch.tensor(list(columns))
    if chosen is not None and "logits_to_keep" in known:
        arguments["logits_to_keep"] = chosen.to(model.device)
    logits: Tensor = model.hf(**arguments).logits
    if chosen is not None and "logits_to_keep" not in known:
        logits = logits.index_select(1, chosen.to(logits.device))
    return logits


def logits_at(
    model: LanguageModel, texts: PaddedTexts, places: Sequence[tuple[int, int]]
) -> Float[Tensor, "places vocab"]:
    """Logits at some tokens, each a row and a column of the batch, in the type of the model."""
    columns = sorted({column for _, column in places})
    number = {column: place for place, column in enumerate(columns)}
    found = logits_of(model, texts, columns)
    rows = torch.tensor([row for row, _ in places], device=found.device)
    return found[rows, torch.tensor([number[column] for _, column in places], device=found.device)]


def longest_text(model: LanguageModel) -> int | None:
    """Tokens that the model reads at most; None where its configuration names no limit."""
    limit: int | None = getattr(model.config, "max_position_embeddings", None)
    return limit


def check_texts(
    model: LanguageModel,
    texts: Sequence[Sequence[int]],
    error: type[HNeuronsError],
    noun: str = "text",
    keys: Sequence[object] | None = None,
) -> None:
    """Refuse texts that the model cannot read.

    Args:
        model: any loaded model.
        texts: token ids of each.
        error: what is raised.
        noun: what they are.
        keys: what each is called; its number, from 0, if left out.

    Raises:
        HNeuronsError: of the class `error`: no text, one that is empty or longer than the model can read, or token ids
            that it does not have.
    """
    if not len(texts):
        raise error(f"there is no {noun} to read; give at least one")
    vocabulary = model.hf.get_input_embeddings().num_embeddings
    longest = longest_text(model)
    for key, own in zip(range(len(texts)) if keys is None else keys, texts, strict=True):
        if not len(own) or min(own) < 0 or max(own) >= vocabulary:
            raise error(
                f"{noun} {key!r} is empty or has token ids outside 0 to {vocabulary - 1}; "
                f"tokenize it with the tokenizer of {model.name}"
            )
        if longest is not None and len(own) > longest:
            raise error(
                f"{noun} {key!r} has {len(own)} tokens and {model.name} reads at most {longest}; "
                "shorten it, or leave it out"
            )


def _parameters(model: LanguageModel) -> set[str]:
    return set(inspect.signature(model.hf.forward).parameters)
