"""Distances by a naive loop over loaded models, and weights that are changed on disk, for the tests of drift."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import hneurons
from hneurons.models.stored import open_stored
from hneurons.origins.drift import Distances, distances

Directory = Callable[..., Path]
Weights = dict[str, torch.Tensor]
Array = np.ndarray[Any, np.dtype[np.float64]]

HNEURONS = [(0, 3), (1, 5), (1, 40)]
DRAWS = {"draws": 200, "resamples": 100}


def rewrite(path: Path, change: Callable[[Weights], object]) -> Path:
    weights = load_file(path / "model.safetensors")
    changed = change(weights)
    save_file(changed if isinstance(changed, dict) else weights, path / "model.safetensors", {"format": "pt"})
    return path


def perturb(weights: Weights, size: float = 0.1, seed: int = 5) -> None:
    """Every row and every column of a matrix moves by an amount of its own."""
    random = torch.Generator().manual_seed(seed)
    for value in weights.values():
        noise = torch.randn(value.shape, generator=random)
        if value.ndim == 2:
            noise *= torch.rand(value.shape[0], 1, generator=random) + torch.rand(value.shape[1], generator=random)
        value += size * noise * value.std()


def weights_of(projection: torch.nn.Module) -> Array:
    """(in, out) of a projection by what it does to each unit vector, so that orientation cannot be mistaken."""
    made: Any = projection
    with torch.no_grad():
        if made.bias is not None:
            made.bias.zero_()
        size = made.weight.shape[0] if type(made).__name__ == "Conv1D" else made.weight.shape[1]
        return np.asarray(made(torch.eye(size, dtype=made.weight.dtype)).double().numpy())


def roles(path: Path) -> list[dict[str, Array]]:
    """The weights of every neuron, (neurons, hidden), by projection, of every layer of the loaded model in float64."""
    model = hneurons.load(path, dtype="float64", device="cpu")
    found = []
    for layer in range(model.n_layers):
        parts = model.parts(layer)
        up = weights_of(parts.up).T
        each = {"up": up, "down": weights_of(parts.down)}
        if parts.gate is parts.up:  # which half is which: `test_the_gate_is_what_the_activation_gets`
            each["gate"], each["up"] = up[: model.n_neurons], up[model.n_neurons :]
        elif parts.gate is not None:
            each["gate"] = weights_of(parts.gate).T
        found.append(each)
    return found


def cosine_distance(a: Array, b: Array) -> float:
    """Through the difference of the unit vectors, summed without rounding: ‖a/‖a‖ - b/‖b‖‖² / 2."""
    p, q = math.sqrt(math.fsum(x * x for x in a)), math.sqrt(math.fsum(x * x for x in b))
    return math.fsum((x / p - y / q) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)) / 2


def naive(base: Path, tuned: Path) -> dict[str, Array]:
    """Distances of every neuron, one after another."""
    found: dict[str, list[list[float]]] = {}
    for one, other in zip(roles(base), roles(tuned), strict=True):
        for name in one:
            found.setdefault(name, []).append(
                [cosine_distance(a, b) for a, b in zip(one[name], other[name], strict=True)]
            )
    return {name: np.array(rows) for name, rows in found.items()}


def by_name(found: Distances) -> dict[str, Array]:
    return {name: getattr(found, name) for name in ("up", "gate", "down") if getattr(found, name) is not None}


def check(base: Path, tuned: Path, tolerance: float = 1e-12) -> Distances:
    found, expected = distances(open_stored(base), open_stored(tuned)), naive(base, tuned)
    assert by_name(found).keys() == expected.keys()
    for name, values in by_name(found).items():
        assert np.ptp(expected[name]) > 0
        np.testing.assert_allclose(values, expected[name], rtol=tolerance, atol=0, err_msg=name)
    return found


def exact(a: Array, b: Array) -> float:
    """1 - cos = (‖a‖²‖b‖² - (a.b)²) / (‖a‖‖b‖ (‖a‖‖b‖ + a.b)), in fractions but for the last roots."""
    x, y = [Fraction(v) for v in a.tolist()], [Fraction(v) for v in b.tolist()]
    aa, bb, ab = (sum(p * q for p, q in zip(*two, strict=True)) for two in ((x, x), (y, y), (x, y)))
    product = math.sqrt(aa * bb)
    return float(aa * bb - ab * ab) / (product * (product + float(ab)))
