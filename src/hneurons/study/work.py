"""What a stage works on: a run, the engine that does its jobs, and its model, loaded where and when it is needed."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch

from hneurons.engine import Engine, Here, Job
from hneurons.errors import ConfigChangedError
from hneurons.files import read_json, write_json
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.language_model import LanguageModel
from hneurons.models.load import load, load_tokenizer
from hneurons.study.run import Run

T = TypeVar("T")


@dataclass(frozen=True)
class Known:
    """What a run remembers of its model, and its tokenizer: enough to plan batches without the weights."""

    fingerprint: ModelFingerprint
    dtype: torch.dtype
    tokenizer: Any

    @property
    def n_layers(self) -> int:
        return self.fingerprint.n_layers

    @property
    def n_neurons(self) -> int:
        return self.fingerprint.n_neurons

    @property
    def hidden_size(self) -> int:
        return self.fingerprint.hidden_size


class Work:
    """A run with its engine, and its model, which is loaded when a stage first needs it.

    Another process can be given it: the model stays behind, and is loaded there when it is needed there.
    """

    def __init__(self, run: Run, engine: Engine) -> None:
        self.run = run
        self.engine = engine

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self.run, "engine": Here()}

    def do(self, job: Job[Work, T], tasks: Sequence[T], description: str, done: int) -> None:
        """Let the engine do the tasks of a job; see `Engine.run`."""
        self.engine.run(job, self, tasks, description, done)

    @cached_property
    def model(self) -> LanguageModel:
        """The model of the run, in this process; the same one as when the run began.

        Raises:
            ConfigChangedError: the weights at that path are no longer those that the run began with.
        """
        self.engine.release()
        chosen = self.run.config.model
        model = load(chosen.name, **chosen.arguments)
        self.recognise(record_of(model))
        return model

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the model; the weights are not loaded for it."""
        chosen = self.run.config.model
        if "model" in self.__dict__:
            return self.model.tokenizer
        return load_tokenizer(chosen.name, revision=chosen.revision, trust_remote_code=chosen.trust_remote_code)

    @property
    def known(self) -> LanguageModel | Known:
        """What batches are planned by: the model if it is loaded, or else what the run remembers of it."""
        if "model" not in self.__dict__ and self.run.model.exists():
            record = read_json(self.run.model)
            if "dtype" in record:
                fingerprint = ModelFingerprint.model_validate(record["fingerprint"])
                return Known(fingerprint, getattr(torch, record["dtype"]), self.tokenizer)
        return self.model

    def recognise(self, found: dict[str, Any]) -> None:
        """Write down what the run's model was found to be, or hold it against what was written down.

        Raises:
            ConfigChangedError: it is another model.
        """
        before = read_json(self.run.model) if self.run.model.exists() else {}
        known, here = (each and ModelFingerprint.model_validate(each["fingerprint"]) for each in (before, found))
        if known and known != here:
            differing = [key for key, value in found["fingerprint"].items() if before["fingerprint"].get(key) != value]
            raise ConfigChangedError(
                f"{self.run.config.model.name} is not the model that {self.run.path} began with "
                f"({', '.join(differing)} differ); put that model back, or give another directory with --out"
            )
        if {**found, **before} != before:
            write_json(self.run.model, {**found, **before})

    def unload(self) -> None:
        """Let go of the model in this process, so that its room is free for others; it is loaded again if needed."""
        if self.__dict__.pop("model", None) is not None:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def record_of(model: LanguageModel) -> dict[str, Any]:
    """What a run writes down of its model."""
    return {
        "fingerprint": model.fingerprint.model_dump(mode="json"),
        "residual": model.residual,
        "parameters": model.hf.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
    }
