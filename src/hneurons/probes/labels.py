"""What the probe is trained on: rows and labels from answer and other-token vectors, and questions kept apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns
from hneurons.probes.rows import as_rows, rows_of, stacked

Scheme = Literal["3-vs-1", "1-vs-1"]
Neuron = tuple[int, int]
"""(layer, index)."""


@dataclass(frozen=True)
class TrainingRows:
    """Which vector each training row is, and its label.

    Row i is the answer vector of response `index[i]`, or its other-token vector where `is_other[i]`. `y` is True for
    hallucinated. `left_out` counts what the scheme could not use, by reason.
    """

    scheme: Scheme
    index: Int[np.ndarray, " rows"]
    is_other: Bool[np.ndarray, " rows"]
    y: Bool[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]
    left_out: Mapping[str, int]

    def matrix(
        self,
        answer: Columns | Float[np.ndarray, "responses neurons"],
        other: Columns | Float[np.ndarray, "responses neurons"] | None = None,
    ) -> Columns:
        """The rows themselves, for the path; read from where they are, not copied.

        Args:
            answer: answer vectors, one row a response.
            other: other-token vectors, one row a response; those of responses without other tokens are never read.

        Raises:
            ProbeError: other-token vectors are needed and missing, the matrices do not fit, or a contribution that is
                used is negative or not finite.
        """
        if self.is_other.any() and (other is None or other.shape != answer.shape):
            found = "missing" if other is None else f"of shape {other.shape}, not {answer.shape}"
            raise ProbeError(f"scheme {self.scheme} needs other-token vectors, which are {found}")
        if self.index.max() >= answer.shape[0]:
            raise ProbeError(f"the rows were made for at least {self.index.max() + 1} responses, not {answer.shape[0]}")
        columns = _chosen(answer, self.index[~self.is_other])
        if other is not None and self.is_other.any():
            place = np.argsort(np.argsort(self.is_other, kind="stable"))  # where a row is once others come last
            columns = rows_of(stacked(columns, _chosen(other, self.index[self.is_other])), place)
        for _, block in columns.blocks():
            _refuse_impossible(block)
        return columns

    def labels(self, hallucinated: Bool[np.ndarray, " responses"]) -> Bool[np.ndarray, " rows"]:
        """The labels of these rows if the responses were labelled `hallucinated` (for permuted labels)."""
        y: Bool[np.ndarray, " rows"] = hallucinated[self.index] & ~self.is_other
        return y


def _chosen(vectors: Columns | Float[np.ndarray, "responses neurons"], rows: Int[np.ndarray, " rows"]) -> Columns:
    if not isinstance(vectors, np.ndarray):
        return rows_of(vectors, rows)
    used = vectors[rows]
    _refuse_impossible(used)
    return as_rows(used)


def _refuse_impossible(block: Float[np.ndarray, "rows width"]) -> None:
    if not np.isfinite(block).all() or block.min(initial=0.0) < 0:
        raise ProbeError("a contribution is negative or not finite; contributions are ratios of norms, record again")


def training_rows(
    scheme: Scheme,
    hallucinated: Bool[np.ndarray, " responses"],
    groups: Shaped[np.ndarray, " responses"],
    has_other: Bool[np.ndarray, " responses"] | None = None,
) -> TrainingRows:
    """Rows and labels of one of the two schemes of H-Neurons, arXiv 2512.01797.

    "3-vs-1": answer vectors of hallucinated responses are 1; answer vectors of faithful responses and the other-token
    vectors of both are 0. A response without other tokens gives its answer vector only and is counted.
    "1-vs-1": answer vectors alone, hallucinated against faithful.

    Args:
        scheme: which.
        hallucinated: one flag a response.
        groups: what must never be split, one key a response.
        has_other: whether a response has a token that is no answer token; needed by "3-vs-1".

    Raises:
        ProbeError: lengths differ, `has_other` is missing, or one label is empty.
    """
    n = len(hallucinated)
    if len(groups) != n or (has_other is not None and len(has_other) != n):
        raise ProbeError(f"labels, groups and has_other must have one entry a response ({n})")
    if hallucinated.all() or not hallucinated.any():
        raise ProbeError(f"of {n} responses {int(hallucinated.sum())} are hallucinated; a probe needs both kinds")
    every = np.arange(n)
    if scheme == "1-vs-1":
        left_out = {"other-token vectors, by the scheme": n if has_other is None else int(has_other.sum())}
        return TrainingRows(scheme, every, np.zeros(n, dtype=np.bool_), hallucinated.copy(), groups, left_out)
    if has_other is None:
        raise ProbeError("scheme 3-vs-1 needs to know which responses have other tokens; pass has_other")
    others = every[has_other]
    index = np.concatenate([every, others])
    is_other = np.arange(len(index)) >= n
    return TrainingRows(
        scheme,
        index,
        is_other,
        hallucinated[index] & ~is_other,
        groups[index],
        {
            "hallucinated responses without other tokens": int((hallucinated & ~has_other).sum()),
            "faithful responses without other tokens": int((~hallucinated & ~has_other).sum()),
        },
    )


def refuse_shared_groups(groups: Mapping[str, Iterable[str]]) -> None:
    """Check that no group is in two parts, such as `{"train": ..., "dev": ..., "test": ...}`.

    Raises:
        ProbeError: with the number of shared groups and one of them.
    """
    sets = {name: {str(key) for key in keys} for name, keys in groups.items()}
    for (a, first), (b, second) in combinations(sets.items(), 2):
        shared = first & second
        if shared:
            raise ProbeError(f"{len(shared)} groups are in both {a} and {b}, such as {min(shared)!r}; split by group")


def neurons(indices: Iterable[int] | Int[np.ndarray, " chosen"], n_neurons: int) -> tuple[Neuron, ...]:
    """Flat numbers to (layer, index), where a layer has `n_neurons`."""
    return tuple((int(i) // n_neurons, int(i) % n_neurons) for i in indices)


def flat(neurons: Sequence[Neuron], n_neurons: int) -> Int[np.ndarray, " neurons"]:
    """(layer, index) to flat numbers, where a layer has `n_neurons`."""
    return np.array([layer * n_neurons + index for layer, index in neurons], dtype=np.int64)
