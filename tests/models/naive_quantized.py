"""What quantized weights stand for, from the original ones and from the papers, in float64: no library is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64
from safetensors import safe_open
from scipy.stats import norm

BLOCK = 64


def nf4() -> Float64[np.ndarray, " 16"]:
    """QLoRA (arXiv 2305.14314), appendix E: quantiles of a normal distribution, with a zero, scaled to [-1, 1]."""
    offset = 0.5 * ((1 - 1 / 30) + (1 - 1 / 32))
    positive = norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    negative = -norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    values = np.sort(np.concatenate([positive, [0.0], negative]))
    return values / np.abs(values).max()


FP4 = np.array([sign * value / 12 for sign in (1, -1) for value in (0, 0.0625, 8, 12, 4, 6, 2, 3)])
"""Sign, two bits of exponent, one of mantissa, with the least of bitsandbytes' values."""


TIE = 1e-3
"""Two codes are as near where their distances differ by less, in shares of the step between them."""


def dequantized(
    original: Float[np.ndarray, "out in"], kind: str, found: Float[np.ndarray, "out in"] | None = None
) -> Float64[np.ndarray, "out in"]:
    """The weights that a kind keeps of `original`, (out, in): the nearest of those that it has.

    Where two are as near, rounding in single precision may take either: there it is that of `found`.
    """
    if kind in ("nf4", "fp4"):
        sizes = np.zeros(original.size)
        for start in range(0, original.size, BLOCK):
            own = slice(start, start + BLOCK)
            sizes[own] = np.abs(original.astype(np.float64).ravel()[own]).max()
        units, table = sizes.reshape(original.shape), nf4() if kind == "nf4" else FP4
    else:
        original = original.astype(np.float16 if kind == "int8" else np.float32).astype(np.float64)
        units = np.abs(original).max(axis=1, keepdims=True) / (127 if kind == "int8" else 127.5)
        table = np.arange(-128.0, 128.0)
    distances = np.abs((original / units)[..., None] - np.unique(table))
    first, second = np.argsort(distances, axis=-1)[..., :2].transpose(2, 0, 1)
    kept: Float64[np.ndarray, "out in"] = np.unique(table)[first] * units
    if found is not None:
        other = np.unique(table)[second] * units
        apart = np.take_along_axis(distances, second[..., None], -1) - np.take_along_axis(
            distances, first[..., None], -1
        )
        step = np.abs(np.unique(table)[second] - np.unique(table)[first])
        tied = (apart[..., 0] < TIE * step) & (np.abs(found - other) < np.abs(found - kept))
        kept = np.where(tied, other, kept)
    return kept


def original(directory: Path, name: str, *, turned: bool = False) -> Float[np.ndarray, "out in"]:
    """A stored weight, (out, in); `turned` where it is stored the other way round."""
    with safe_open(directory / "model.safetensors", "np") as file:
        weight: Float[np.ndarray, "out in"] = file.get_tensor(name)
    return weight.T if turned else weight
