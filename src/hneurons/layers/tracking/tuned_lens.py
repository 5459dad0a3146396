"""Tuned lens: an affine map for each depth that says what its state will have become at the last (arXiv 2303.08112).

    p_d = softmax(tail(h_d + A_d h_d + b_d))        minimise over A_d, b_d the mean of KL(p_last, p_d) over tokens

Belrose et al., "Eliciting Latent Predictions from Transformers with the Tuned Lens", section 3. They start from A = 0,
b = 0, which is the logit lens; we start from the ridge regression of the last state on h_d, from which a few steps of
AdamW are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from hneurons.errors import ModelError, ResponseError
from hneurons.files import atomic_path, write_json
from hneurons.layers.tracking.lens import SLAB, expected, log_softmax
from hneurons.layers.tracking.states import by_length, read_states
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.language_model import LanguageModel
from hneurons.models.tail import Tail
from hneurons.progress import track

Start = Literal["identity", "ridge"]
TOKENS = 16_384
"""Tokens that it is fitted on, at most, drawn at random."""
STEPS, BATCH = 60, 256
RATE, DECAY = 3e-3, 1e-3
RIDGE = 1e-2
"""Penalty on A, relative to the mean variance of a coordinate of the state."""
MEMORY = 2 << 30
"""Bytes of states that are held at a time; depths are fitted in groups that fit in."""


class LensCard(BaseModel):
    """What a tuned lens says of itself, as JSON beside its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelFingerprint
    start: Start
    n_texts: int
    n_tokens: int
    steps: int
    seed: int


class TunedLens:
    """An affine map for every depth but the last, which needs none.

    Attributes:
        card: of which model it is, and how it was made.
        weight: A, (depths, hidden, hidden) in float32, with h + A h + b.
        bias: b, (depths, hidden).
    """

    def __init__(
        self, card: LensCard, weight: Float[Tensor, "depths hidden hidden"], bias: Float[Tensor, "depths hidden"]
    ) -> None:
        self.card = card
        self.weight = weight
        self.bias = bias

    def translate(self, depth: int, states: Float[Tensor, "reads hidden"]) -> Float[Tensor, "reads hidden"]:
        """States of a depth as those of the last, in float32 or wider."""
        wide = states.to(torch.promote_types(states.dtype, torch.float32))
        weight, bias = (each[depth].to(wide.device, wide.dtype) for each in (self.weight, self.bias))
        return wide + wide @ weight.T + bias

    def save(self, folder: Path) -> None:
        """Write `lens.safetensors`, then `lens.json`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / "lens.safetensors") as temporary:
            temporary.write_bytes(
                save({"weight": self.weight.contiguous().cpu(), "bias": self.bias.contiguous().cpu()})
            )
        write_json(folder / "lens.json", self.card.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path, model: LanguageModel) -> TunedLens:
        """Read a lens of this very model.

        Raises:
            ModelError: there is none, it cannot be read, or it is another model's.
        """
        try:
            card = LensCard.model_validate_json((folder / "lens.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "lens.safetensors")
        except (OSError, ValidationError, SafetensorError) as error:
            what = str(error).splitlines()[0]
            raise ModelError(f"{folder} holds no tuned lens that can be read ({what}); train one") from None
        shapes = {name: tuple(each.shape) for name, each in tensors.items()}
        d, hidden = model.n_layers, model.hidden_size
        if not card.model.same_model(model.fingerprint):
            raise ModelError(f"the lens in {folder} is that of {card.model.name}, not of {model.name}; train another")
        if shapes != {"weight": (d, hidden, hidden), "bias": (d, hidden)}:
            raise ModelError(f"the lens in {folder} has tensors {shapes}, which do not fit {model.name}; train another")
        return cls(card, tensors["weight"], tensors["bias"])


def train_tuned_lens(
    model: LanguageModel,
    token_ids: Sequence[Sequence[int]],
    *,
    start: Start = "ridge",
    steps: int = STEPS,
    n_tokens: int = TOKENS,
    rate: float = RATE,
    batch_rows: int = 64,
    seed: int = 0,
) -> TunedLens:
    """Fit a lens on the tokens of some texts; evaluate it on others (`logit_lens(..., lens=...)` reports its KL).

    Args:
        model: any loaded model; it is left as it is.
        token_ids: texts, prompt and response; every position counts.
        start: from ridge regression, or from the logit lens ("identity"), which `steps=0` returns.
        steps: of AdamW, on batches of 256 tokens; the rate falls to zero.
        n_tokens: tokens to fit on, at most.
        rate: of the first step.
        batch_rows: texts of a forward pass.
        seed: of what is drawn.

    Raises:
        ResponseError: no text, or one that the model cannot read.
        ModelError: the model's tail does not lead from its last layer to its logits.
    """
    if not token_ids or n_tokens < 1:
        raise ResponseError("a lens is fitted on the tokens of some texts; give at least one")
    positions = _drawn([len(own) for own in token_ids], n_tokens, seed)
    used = sum(map(len, positions))
    tail, hidden, depths = Tail(model), model.hidden_size, model.n_layers
    weight, bias = torch.zeros(depths, hidden, hidden), torch.zeros(depths, hidden)
    wide = torch.promote_types(model.dtype, torch.float32)
    size = max(1, MEMORY // (used * hidden * torch.finfo(model.dtype).bits // 8) - 1)
    for group in track([range(a, min(a + size, depths)) for a in range(0, depths, size)], "fitting the tuned lens"):
        states = _states(model, tail, token_ids, positions, [*group, depths], batch_rows)
        for number, depth in enumerate(group):
            here = states[:, number].to(wide), states[:, -1].to(wide)
            a, b = _ridge(*here) if start == "ridge" else (torch.zeros(hidden, hidden), torch.zeros(hidden))
            a, b = _descend(tail, *here, a, b, steps, rate, seed + depth)
            weight[depth], bias[depth] = a, b
    card = LensCard(model=model.fingerprint, start=start, n_texts=len(token_ids), n_tokens=used, steps=steps, seed=seed)
    return TunedLens(card, weight, bias)


def _drawn(lengths: Sequence[int], n_tokens: int, seed: int) -> list[list[int]]:
    """At most `n_tokens` positions of all texts, drawn without replacement."""
    places = [(text, position) for text, length in enumerate(lengths) for position in range(length)]
    chosen = np.random.default_rng(seed).permutation(len(places))[:n_tokens]
    positions: list[list[int]] = [[] for _ in lengths]
    for number in np.sort(chosen):
        text, position = places[number]
        positions[text].append(position)
    return positions


def _states(
    model: LanguageModel,
    tail: Tail,
    token_ids: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    depths: Sequence[int],
    batch_rows: int,
) -> Float[Tensor, "reads depths hidden"]:
    parts = []
    for batch in by_length([len(own) for own in token_ids], batch_rows):
        batch = [number for number in batch if positions[number]]
        if batch:
            texts = [token_ids[number] for number in batch], [positions[number] for number in batch]
            found = read_states(model, *texts, depths)
            with torch.no_grad():
                tail.check(found.values[found.ends, -1], found.own)
            parts.append(found.values)
    return torch.cat(parts)


def _ridge(
    states: Float[Tensor, "reads hidden"], last: Float[Tensor, "reads hidden"]
) -> tuple[Float[Tensor, "hidden hidden"], Float[Tensor, " hidden"]]:
    """A and b that minimise |h + A h + b - h_last|^2 over tokens, with a penalty on A; in float64."""
    x, y = states.cpu().double(), (last - states).cpu().double()
    x_mean, y_mean = x.mean(dim=0), y.mean(dim=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    penalty = RIDGE * gram.diagonal().mean().clamp_min(1e-12)
    solved = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), x.T @ y).T
    return solved.float(), (y_mean - solved @ x_mean).float()


def _descend(
    tail: Tail,
    states: Float[Tensor, "reads hidden"],
    last: Float[Tensor, "reads hidden"],
    weight: Float[Tensor, "hidden hidden"],
    bias: Float[Tensor, " hidden"],
    steps: int,
    rate: float,
    seed: int,
) -> tuple[Float[Tensor, "hidden hidden"], Float[Tensor, " hidden"]]:
    """Steps of AdamW on KL(p_last, p_d), gradients summed over slabs of the vocabulary's size."""
    a = weight.to(states).clone().requires_grad_(True)
    b = bias.to(states).clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([a, b], lr=rate, weight_decay=DECAY)
    generator = torch.Generator().manual_seed(seed)
    slab = max(1, SLAB // tail.vocabulary)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        chosen = torch.randint(len(states), (min(BATCH, len(states)),), generator=generator).to(states.device)
        for start in range(0, len(chosen), slab):
            rows = chosen[start : start + slab]
            x = states[rows]
            with torch.no_grad():
                own = log_softmax(tail(last[rows]))
            with torch.enable_grad():
                found = log_softmax(tail(x + x @ a.T + b))
                (expected(own, own - found).sum() / len(chosen)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    return a.detach().float().cpu(), b.detach().float().cpu()
