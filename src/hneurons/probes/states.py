"""Hidden states that need not lie in memory: read like an array (rows, layers, hidden), a layer at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from hneurons.errors import ProbeError

Array = Float[np.ndarray, "rows layers hidden"]


@runtime_checkable
class States(Protocol):
    """What is asked of states: their shape, and `states[rows, layer]`, the states of some rows after one layer."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, layers, hidden)."""

    def __getitem__(self, key: tuple[Any, int], /) -> Float[np.ndarray, "taken hidden"]:
        """Rows (a slice, numbers or flags) of one layer."""


class LayerStates:
    """States of which a function reads one layer, as in a store; the layer that was read last is kept.

    Takes rows * hidden * 4 bytes.
    """

    def __init__(self, shape: tuple[int, int, int], read: Callable[[int], Float[np.ndarray, "rows hidden"]]) -> None:
        self.shape: tuple[int, ...] = shape
        self._read = read
        self._last: tuple[int, Float[np.ndarray, "rows hidden"]] | None = None

    def __getitem__(self, key: tuple[Any, int], /) -> Float[np.ndarray, "taken hidden"]:
        rows, layer = key
        layer = range(self.shape[1])[int(layer)]
        last = self._last
        if last is None or last[0] != layer:
            self._last = None  # not two at a time
            last = self._last = (layer, self._read(layer))
        taken: Float[np.ndarray, "taken hidden"] = last[1][rows]
        return taken


def states_of(states: Array | States, rows: Int[np.ndarray, " taken"]) -> Array | States:
    """These rows of states; a copy of an array, a view of anything else."""
    if isinstance(states, np.ndarray):
        taken: Array = states[rows]
        return taken
    chosen = np.arange(states.shape[0])[rows]
    return LayerStates((len(chosen), states.shape[1], states.shape[2]), lambda layer: states[chosen, layer])


def stacked_states(first: Array | States, second: Array | States) -> Array | States:
    """The rows of one, then those of the other.

    Raises:
        ProbeError: they are of different layers or sizes.
    """
    if first.shape[1:] != second.shape[1:]:
        raise ProbeError(f"states of shape {first.shape[1:]} and {second.shape[1:]} cannot be one")
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.concatenate([first, second])
    return LayerStates(
        (first.shape[0] + second.shape[0], first.shape[1], first.shape[2]),
        lambda layer: np.concatenate([first[:, layer], second[:, layer]]),
    )
