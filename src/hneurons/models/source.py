"""Where a model comes from: a registered name, a local directory, or the Hugging Face hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    StrictDataclassError,
)
from transformers import AutoConfig

from hneurons.errors import ModelError, ModelNotFoundError, UnsupportedModelError
from hneurons.models.refusals import refuse_experts
from hneurons.registry import registered

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Source:
    """A model that is there: its config.json has been found, and for a hub model its commit is known.

    Attributes:
        name: as it was asked for.
        location: what Hugging Face loads from, a directory or a hub id.
        revision: commit of a hub model; None for a local directory.
        config_file: its config.json, on this machine.
    """

    name: str
    location: str
    revision: str | None
    config_file: Path

    @property
    def local(self) -> bool:
        """Whether it is a directory here rather than a hub model."""
        return self.revision is None


def find_source(path_or_id: str | PathLike[str], revision: str | None = None) -> Source:
    """A registered name first, then a local directory, then a hub id, whose config.json is fetched or in the cache.

    Raises:
        ModelNotFoundError: it is none of the three, or it cannot be reached.
        ModelError: a revision is asked of something that is not on the hub.
    """
    name = fspath(path_or_id)
    path = Path(name).expanduser()
    entry = None if path.is_absolute() else registered("hneurons.models").get(name)
    if entry is not None:
        path = entry.path
    if entry is not None or path.is_dir():
        if revision is not None:
            raise ModelError(f"{name} is a local directory and has no revisions; leave revision out")
        if not (path / "config.json").is_file():
            raise ModelNotFoundError(f"{name} holds no config.json; it is no Hugging Face model directory")
        return Source(name, str(path), None, path / "config.json")
    if path.exists():
        raise ModelNotFoundError(
            f"{name} is a file; give the model's directory, with config.json and safetensors files"
        )
    if _HUB_ID.fullmatch(name) is None:
        raise ModelNotFoundError(f"there is no directory {name}; check the path{_known_names()}")
    try:
        file = Path(hf_hub_download(name, "config.json", revision=revision))
    except (OSError, ValueError) as error:
        raise hub_error(name, revision, error) from error
    return Source(name, name, file.parent.name, file)  # the cache keeps a folder for every commit


def read_config(source: Source, *, trust_remote_code: bool = False) -> Any:
    """The model's configuration.

    Raises:
        UnsupportedModelError: transformers does not know the architecture.
        ModelError: config.json cannot be read, or describes nothing possible.
    """
    try:
        raw = json.loads(source.config_file.read_text(encoding="utf-8"))
        model_type = raw["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"config.json of {source.name} is damaged or names no model_type; download it again"
        ) from error
    refuse_experts(source.name, raw)  # before transformers is asked, which may not know the architecture
    try:
        return AutoConfig.from_pretrained(
            source.location, revision=source.revision, trust_remote_code=trust_remote_code
        )
    except (OSError, StrictDataclassError) as error:
        cause = first_line(error.__cause__ or error)
        raise ModelError(f"config.json of {source.name} describes no possible model: {cause}") from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise UnsupportedModelError(
                f"{source.name} runs code of its own, which is never done unasked; if you trust it and it is one of "
                "the supported architectures (hneurons models), pass trust_remote_code=True"
            ) from error
        raise UnsupportedModelError(
            f"{source.name} has the architecture {model_type!r}, which this version of transformers does not know; "
            "hneurons models lists what is supported"
        ) from error


def check_weight_files(source: Source) -> None:
    """See that a local directory holds all its safetensors files, before anything is loaded.

    Raises:
        ModelError: weights are missing or in a format that is not read.
    """
    if not source.local:
        return
    directory = Path(source.location)
    index = directory / _INDEX
    if index.is_file():
        try:
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index} is damaged; download it again") from error
        missing = [file for file in files if not (directory / file).is_file()]
        if missing:
            raise ModelError(
                f"{len(missing)} of {len(files)} weight files of {source.name} are missing ({missing[0]}, ...); "
                "download them again"
            )
    elif not (directory / "model.safetensors").is_file():
        raise ModelError(f"{source.name} holds no model.safetensors; {_what_there_is(directory)}")


def hub_error(name: str, revision: str | None, error: Exception) -> ModelError:
    """What to say when the hub does not give a model."""
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return ModelNotFoundError(f"{name} is gated: accept its terms on the hub, then run `hf auth login`")
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return ModelNotFoundError(f"{name} has no revision {revision!r} on the hub")
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return ModelNotFoundError(
            f"there is no directory {name}, and the hub has no such public model; check the name, or run "
            f"`hf auth login` if it is private{_known_names()}"
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return ModelNotFoundError(f"{name} holds no config.json on the hub; it is no Hugging Face model")
    return ModelNotFoundError(
        f"there is no directory {name}, and as a hub model it is neither in the local cache nor to be had now "
        f"(no network, or offline mode); give the path of a local model directory{_known_names()}"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, for one-line messages of our own."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _what_there_is(directory: Path) -> str:
    if (directory / "adapter_config.json").is_file():
        return "it is an adapter: merge it into its base model and save that"
    if any(directory.glob("*.gguf")):
        return "GGUF files are not read: get the safetensors version"
    if any(file.suffix in {".bin", ".pt", ".pth"} for file in directory.iterdir()):
        return "pickled weights are never read: convert them with save_pretrained(..., safe_serialization=True)"
    return "download the weights, or check only its configuration with `hneurons models check`"


def _known_names() -> str:
    names = sorted(registered("hneurons.models"))
    return f"; models that need no download: {', '.join(names)}" if names else ""
