"""Judged answers, with everything that some detector reads of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from hneurons.errors import ProbeError
from hneurons.probes.columns import Columns
from hneurons.probes.rows import as_rows, rows_of
from hneurons.probes.states import States, states_of

if TYPE_CHECKING:
    Contributions = Columns  # always, once the answers are made
else:
    Contributions = Columns | Float[np.ndarray, "rows neurons"]


@dataclass(frozen=True)
class Answers:
    """One row per judged response: what a detector is fitted on, tuned on or tested on.

    `contributions` are answer vectors (rows, neurons), neurons flat (layer * neurons of a layer + index); an array is
    wrapped. `hidden` is the mean residual stream over the answer tokens after every layer, an array (rows, layers,
    hidden) or what reads as one. `log_prob` and `entropy` are means over the answer tokens, in nats. `questions` are
    the texts asked. What no detector in use reads may be None.

    Raises:
        ProbeError: rows differ in number, or a value is not finite.
    """

    name: str
    hallucinated: Bool[np.ndarray, " rows"]
    groups: Shaped[np.ndarray, " rows"]
    contributions: Contributions
    hidden: Float[np.ndarray, "rows layers hidden"] | States | None = None
    n_answer: Int[np.ndarray, " rows"] | None = None
    n_response: Int[np.ndarray, " rows"] | None = None
    log_prob: Float[np.ndarray, " rows"] | None = None
    entropy: Float[np.ndarray, " rows"] | None = None
    questions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "contributions", as_rows(self.contributions))
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name" or value is None:
                continue
            rows = value.shape[0] if hasattr(value, "shape") else len(value)
            if rows != len(self.hallucinated):
                raise ProbeError(
                    f"{self.name}: {field.name} has {rows} rows and there are {len(self.hallucinated)} labels"
                )
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ProbeError(f"{self.name}: {field.name} holds a value that is not finite; leave that row out")

    def __len__(self) -> int:
        return len(self.hallucinated)

    def take(self, rows: Int[np.ndarray, " taken"], name: str = "") -> Answers:
        """These rows (numbers, in this order); contributions and lazily read states are not copied."""
        taken: dict[str, object] = {"name": name or self.name, "contributions": rows_of(self.contributions, rows)}
        if self.hidden is not None:
            taken["hidden"] = states_of(self.hidden, rows)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in taken:
                continue
            if isinstance(value, np.ndarray):
                taken[field.name] = value[rows]
            elif isinstance(value, tuple):
                taken[field.name] = tuple(value[i] for i in rows)
        return replace(self, **taken)  # type: ignore[arg-type]

    def read(self, *names: str) -> Float[np.ndarray, "rows features"]:
        """Columns of per-row figures, such as `read("n_answer", "n_response")`, in float64.

        Raises:
            ProbeError: one was not recorded.
        """
        columns = []
        for name in names:
            value = getattr(self, name)
            if value is None:
                raise ProbeError(f"{self.name}: {name} was not recorded, and a detector needs it")
            columns.append(np.asarray(value, dtype=np.float64))
        return np.stack(columns, axis=1)
