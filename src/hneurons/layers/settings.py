"""How a run is asked layer by layer: one frozen record, written into the run, that decides what is found there."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hneurons.compliance.benchmark import BenchmarkRequest

PARTS: tuple[str, ...] = (
    "tracking", "comparison", "attention", "confidence", "concepts", "causality", "mitigation",
)  # fmt: skip
"""What is asked, in the order in which it is."""


class LayersSettings(BaseModel):
    """Settings of all parts.

    Attributes:
        n_each: answers of either kind, hallucinated and faithful, of each evaluation set that are read, at most.
        n_train: answers of either kind of the training set that a lens or a direction is fitted on, at most.
        n_pairs: pairs of a faithful and a hallucinated answer that are patched, at most.
        n_cases: cases of each compliance benchmark, at most.
        benchmarks: cases that mislead: as of a sweep over alpha.
        batch_rows: rows of one forward batch, at most.
        n_bootstrap: resamples for intervals.
        n_permutations: permutations for p-values.
        seed: of choices, resamples, permutations, noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_each: int = Field(default=250, ge=10)
    n_train: int = Field(default=500, ge=20)
    n_pairs: int = Field(default=40, ge=2)
    n_cases: int = Field(default=100, ge=2)
    benchmarks: tuple[BenchmarkRequest, ...] = ()
    batch_rows: int = Field(default=64, ge=1)
    n_bootstrap: int = Field(default=1000, ge=10)
    n_permutations: int = Field(default=1000, ge=10)
    seed: int = 0

    @field_validator("benchmarks")
    @classmethod
    def _apart(cls, benchmarks: tuple[BenchmarkRequest, ...]) -> tuple[BenchmarkRequest, ...]:
        names = [request.name for request in benchmarks]
        if len(set(names)) < len(names):
            raise ValueError("name no benchmark twice")
        return benchmarks
