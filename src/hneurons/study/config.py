"""What a study does, as one frozen record: it is written into the run directory and decides what the run contains."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hneurons.compliance.settings import SweepSettings
from hneurons.contributions.item import Recording
from hneurons.endpoint import EndpointSettings
from hneurons.errors import RunError
from hneurons.models.quantized import Quantize
from hneurons.models.registered import RegisteredModel
from hneurons.probes.labels import Scheme
from hneurons.probes.solution import Scale
from hneurons.questions.prompts import TRIVIA_QA_SUFFIX, PromptFormat
from hneurons.questions.question import Split
from hneurons.registry import registered
from hneurons.responses.sampling import Sampling
from hneurons.responses.served import ServedSettings

M = TypeVar("M", bound=BaseModel)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Settings):
    """Which model, and how it is loaded; see `hneurons.load`."""

    name: str = "atlas-7m-instruct"
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    device_map: str | dict[str, str | int] | None = None
    max_memory: dict[str, str | int] | None = None
    offload_folder: str | None = None
    quantize: Quantize | None = None
    trust_remote_code: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """What `hneurons.load` is given beside the name."""
        return self.model_dump(exclude={"name"})


class SetSettings(_Settings):
    """Which questions are asked.

    `faithful_from` names the evaluation set whose correct answers stand beside this one's answers: to questions without
    a right answer (invented things) there are only hallucinations, and nothing to tell them from.
    """

    questions: str
    split: Split = "train"
    limit: int | None = Field(default=None, ge=1)
    revision: str | None = None
    faithful_from: str | None = None


class SelectionSettings(_Settings):
    """Which answers the probe is fitted on: at most `n_each` of either kind, `dev_share` of them to choose C by."""

    n_each: int = Field(default=1000, ge=1)
    minimum: int = Field(default=20, ge=1)
    dev_share: float = Field(default=0.3, gt=0, lt=1)
    n_evaluate: int = Field(default=1000, ge=1)


class ProbeSettings(_Settings):
    """The path over C and the choice on it; see `hneurons.probes`."""

    scheme: Scheme = "3-vs-1"
    scale: Scale = "none"
    n_grid: int = Field(default=10, ge=2)
    span: float = Field(default=100.0, gt=1)
    max_ratio: float = Field(default=0.01, gt=0, le=1)
    n_known: int = Field(default=150, ge=1)


class ControlSettings(_Settings):
    """How many draws of each control, and resamples for intervals."""

    n_random: int = Field(default=20, ge=1)
    n_layer_matched: int = Field(default=20, ge=1)
    n_permuted: int = Field(default=10, ge=1)
    n_stability: int = Field(default=50, ge=2)
    n_bootstrap: int = Field(default=2000, ge=10)


class EndpointsSettings(_Settings):
    """OpenAI-compatible endpoints that do in place of this process what they are named for; see `hneurons.endpoint`.

    `judge` gives the verdicts and `spans` marks the answers, both in place of the rules; `sample` is a served copy of
    the model that is asked in place of the loaded one.
    """

    judge: EndpointSettings | None = None
    spans: EndpointSettings | None = None
    sample: ServedSettings | None = None

    @model_validator(mode="after")
    def _sampling_has_its_own_table(self) -> EndpointsSettings:
        for name in ("temperature", "seed", "max_tokens"):
            default = EndpointSettings.model_fields[name].default
            if self.sample is not None and getattr(self.sample, name) != default:
                raise ValueError(f"endpoints.sample.{name} has no meaning; responses are sampled as [sampling] says")
        return self


class StudyConfig(_Settings):
    """Everything that decides the contents of a run, where endpoints are, and how much is held in memory.

    `batch_size` is part of it: the rounding of a forward pass depends on what is batched together, so that another
    batch size may, very rarely, sample another token.
    """

    model: ModelSettings = ModelSettings()
    train: SetSettings
    evaluate: dict[str, SetSettings]
    prompt: PromptFormat = PromptFormat()
    sampling: Sampling = Sampling()
    selection: SelectionSettings = SelectionSettings()
    recording: Recording = Recording()
    probe: ProbeSettings = ProbeSettings()
    controls: ControlSettings = ControlSettings()
    endpoints: EndpointsSettings | None = None
    batch_size: int = Field(default=64, ge=1)
    batch_tokens: int = Field(default=4096, ge=1)
    storage: Literal["float32", "float16"] = "float32"
    in_memory_mb: int = Field(default=2000, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _sets_exist(self) -> StudyConfig:
        if not self.evaluate:
            raise ValueError("evaluate names no question set; name at least one")
        for name, chosen in self.evaluate.items():
            if not name.replace("-", "").replace("_", "").isalnum() or name == "train":
                raise ValueError(f"{name!r} cannot name an evaluation set; use letters, digits, - and _, not 'train'")
            other = chosen.faithful_from
            if other is not None and (other not in self.evaluate or self.evaluate[other].faithful_from is not None):
                raise ValueError(f"evaluate.{name}.faithful_from must name another evaluation set, not {other!r}")
        return self

    @property
    def sets(self) -> dict[str, SetSettings]:
        """Every question set of the study by name, the training set first."""
        return {"train": self.train, **self.evaluate}

    @property
    def deciding(self) -> dict[str, Any]:
        """The fields that decide what a run contains.

        Of endpoints the model and how it is asked, not where it is; of the model not what memory it may take where; nor
        `in_memory_mb`: the numbers are the same wherever they are read from.
        """
        placing = {"max_memory", "offload_folder"}
        fields = self.model_dump(mode="json", exclude={"endpoints": True, "in_memory_mb": True, "model": placing})
        if self.endpoints is not None:
            chosen = {name: getattr(self.endpoints, name) for name in EndpointsSettings.model_fields}
            fields["endpoints"] = {name: each.deciding for name, each in chosen.items() if each is not None}
        return fields


DEFAULT_SETS: Mapping[str, Any] = {
    "train": {"questions": "trivia_qa", "split": "train", "limit": 5000},
    "evaluate": {"in-domain": {"questions": "trivia_qa", "split": "validation", "limit": 2000}},
}


def make_config(
    file: Path | None = None,
    *,
    model: str | None = None,
    questions: str | None = None,
    limit: int | None = None,
    quantize: str | None = None,
    judge_url: str | None = None,
    judge_model: str | None = None,
) -> StudyConfig:
    """A configuration from a file and a few overrides, over the defaults of the model.

    Args:
        file: TOML or JSON with the fields of `StudyConfig`.
        model: path or name of the model.
        questions: question set to fit and to report on. A registered name or "trivia_qa" is taken by its splits; a file
            is split by group.
        limit: at most so many training questions; evaluation sets get half as many.
        quantize: kind of weights that the model's are turned into while they are loaded.
        judge_url, judge_model: the endpoint that judges in place of the rules, and the model there.

    Raises:
        RunError: the file cannot be read, or a field is unknown or has a value that it cannot have.
    """
    given = _read(file) if file else {}
    source = f" in {file}" if file else ""
    for where, value in _tables(given):
        if not isinstance(value, Mapping):
            raise RunError(f"{where}{source} must be a table of fields, not {value!r}; correct it and run again")
    if model is not None:
        given = _merge(given, {"model": {"name": model}})
    if quantize is not None:
        given = _merge(given, {"model": {"quantize": quantize}})
    judge = {key: value for key, value in (("url", judge_url), ("model", judge_model)) if value is not None}
    if judge:
        given = _merge(given, {"endpoints": {"judge": judge}})
    name = given.get("model", {}).get("name", ModelSettings().name)
    entry = registered("hneurons.models").get(name) if isinstance(name, str) else None
    base: Mapping[str, Any] = dict(entry.study) if isinstance(entry, RegisteredModel) else {}
    if questions is not None:
        given = _merge(given, _asked(questions))
        base = {key: value for key, value in base.items() if key not in DEFAULT_SETS}
    if "train" not in base and "train" not in given:
        base = _merge(base, DEFAULT_SETS)
    merged = _merge(_merge(base, {"model": {"name": name}}), given)
    if merged["train"].get("questions") == "trivia_qa" and "suffix" not in merged.get("prompt", {}):
        merged = _merge(merged, {"prompt": {"suffix": TRIVIA_QA_SUFFIX}})  # the paper asks for the bare answer
    if limit is not None:
        merged["train"] = {**merged["train"], "limit": limit}
        merged["evaluate"] = {
            key: {**value, "limit": min(value.get("limit") or limit, max(1, limit // 2))}
            for key, value in merged.get("evaluate", {}).items()
        }
    return validated(StudyConfig, merged, source)


def make_sweep_settings(
    model: str,
    file: Path | None = None,
    *,
    begun: SweepSettings | None = None,
    benchmarks: Sequence[str] = (),
    limit: int | None = None,
    judge_url: str | None = None,
    judge_model: str | None = None,
    **given: Any,
) -> SweepSettings:
    """Settings of a sweep from a file and a few overrides, over those it was begun with or the defaults of the model.

    Args:
        model: path or name of the model.
        file: TOML or JSON with the fields of `SweepSettings`.
        begun: those of a sweep that was begun; the rest is laid over them, and not over the model's own.
        benchmarks: "NAME" or "NAME=FILE" each, instead of the model's own.
        limit: at most so many cases of each benchmark.
        judge_url, judge_model: an LLM judge, both or neither.
        given: further fields; None leaves one as it is.

    Raises:
        RunError: the file cannot be read, or a field is unknown or has a value that it cannot have.
    """
    entry = registered("hneurons.models").get(model)
    base: Mapping[str, Any] = dict(entry.sweep) if isinstance(entry, RegisteredModel) else {}
    if begun is not None:
        base = begun.model_dump(mode="json")
    merged = _merge(base, _read(file) if file else {})
    merged |= {key: value for key, value in given.items() if value is not None}
    if benchmarks:
        merged["benchmarks"] = benchmark_requests(benchmarks)
    if judge_url is not None or judge_model is not None:
        if judge_url is None or judge_model is None:
            raise RunError("an LLM judge needs an address and a model; give both --judge-url and --judge-model")
        merged = _merge(merged, {"judge": {"url": judge_url, "model": judge_model}})
    source = f" in {file}" if file else ""
    settings = validated(SweepSettings, merged, source)
    if limit is None:
        return settings
    limited = tuple(request.model_copy(update={"limit": limit}) for request in settings.benchmarks)
    return settings.model_copy(update={"benchmarks": limited})


def benchmark_requests(given: Sequence[str]) -> list[dict[str, str | None]]:
    """Fields of `BenchmarkRequest` for "NAME" or "NAME=FILE" each."""
    pairs = [each.partition("=") for each in given]
    return [{"name": name, "path": path if equals else None} for name, equals, path in pairs]


def validated(kind: type[M], fields: Mapping[str, Any], source: str) -> M:
    """The record of some fields; errors as of `make_config`."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the configuration"
        raise RunError(f"{where}{source}: {first['msg']}; correct it and run again") from None


def _tables(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What must hold fields of its own, by name, so far as it is given."""
    for key in ("model", "train", "evaluate"):
        if key in given:
            yield key, given[key]
    if given.get("endpoints") is not None:
        yield "endpoints", given["endpoints"]
    if isinstance(given.get("evaluate"), Mapping):
        yield from ((f"evaluate.{name}", value) for name, value in given["evaluate"].items())


def _asked(questions: str) -> dict[str, Any]:
    """Settings that fit and report on one question set."""
    return {
        "train": {"questions": questions, "split": "train"},
        "evaluate": {"in-domain": {"questions": questions, "split": "validation"}},
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        value = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise RunError(f"the configuration {file} cannot be read ({error.strerror}); give the path of a file") from None
    except ValueError as error:
        raise RunError(f"the configuration {file} is not valid TOML or JSON ({error}); correct it") from None
    if not isinstance(value, dict):
        raise RunError(f"the configuration {file} holds no fields; see the documentation of a study's configuration")
    return value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; question sets are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        nested = (
            isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key not in ("train", "evaluate")
        )
        merged[key] = _merge(merged[key], value) if nested else value
    return merged
