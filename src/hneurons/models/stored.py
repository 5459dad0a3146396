"""A model as it lies in its files: where each weight is stored, without loading any of them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from jaxtyping import Shaped
from torch import Tensor, nn

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.check import without_memory
from hneurons.models.fingerprint import ModelFingerprint, digest, sampled
from hneurons.models.load import parse_dtype
from hneurons.models.mixture import ExpertLayout
from hneurons.models.parts import expert_layout, find_parts, weight_shape, width_of
from hneurons.models.refusals import find_row, stated_quantization
from hneurons.models.safetensors_file import TYPES, StoredTensor, read_tensors
from hneurons.models.source import Source, check_weight_files, find_source, hub_error, read_config
from hneurons.models.stored_experts import ExpertFinder, Joined, Projected, StoredExperts, StoredPart

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.tiktoken",
    "tekken.json",
    "chat_template*",
    "additional_chat_templates/*",
    "*processor_config.json",
    "README.md",
    "LICEN[CS]E*",
    "NOTICE*",
    "COPYING*",
    "USE_POLICY*",
)
"""Files that belong to a model beside its weights."""

_CONTAINERS = frozenset({"model", "language_model", "transformer", "decoder", "gpt_neox", "vision_model"})
"""Modules that only hold others. Files and the models loaded from them nest these differently: published GPT-2 leaves
"transformer" out, wrappers store "language_model.model.layers" for what is "model.language_model.layers"."""

_RENAMED = {"embed_out": "lm_head", "block_sparse_moe": "mlp"}
"""What files call otherwise than the models loaded from them."""


@dataclass(frozen=True)
class StoredModel:
    """Where the weights of a model lie.

    Attributes:
        source: where it comes from.
        directory: its files; for a hub model the snapshot in the local cache.
        anatomy: the row of its architecture.
        files: its weight files, each once.
        index: which tensor is in which file, where there are several.
        tensors: every stored tensor by its name in the files.
        down, up, gate: the weights of the projections, first layer first. `gate` is None in a plain FFN, and is `up`
            where the two are packed (in the order of `anatomy.packed`). Empty of a mixture of experts; see `parts`.
        experts: of a mixture of experts, by layer, where the weights of each expert are.
        layout: how the neurons of a mixture of experts are counted; None of a dense model.
        n_layers, n_neurons, hidden_size: as in `LanguageModel`.
        skeleton: its modules on the meta device: names and shapes, no numbers.
    """

    source: Source
    directory: Path
    anatomy: Anatomy
    files: tuple[Path, ...]
    index: Path | None
    tensors: dict[str, StoredTensor]
    down: tuple[StoredTensor, ...]
    up: tuple[StoredTensor, ...]
    gate: tuple[StoredTensor, ...] | None
    n_layers: int
    n_neurons: int
    hidden_size: int
    skeleton: nn.Module
    experts: tuple[StoredExperts | None, ...] = ()
    layout: ExpertLayout | None = None

    def neurons_in(self, layer: int) -> int:
        """Neurons of one layer; `n_neurons` but for narrower layers of a mixture of experts."""
        return self.n_neurons if self.layout is None else self.layout.neurons_in(layer)

    def parts(self, projection: Projected, layer: int) -> tuple[StoredPart, ...]:
        """Where the weights of a layer's neurons are in one projection, in the order of the neurons.

        Raises:
            ModelError: the FFN is a plain one and has no gate.
        """
        if self.layout is not None:
            of = self.experts[layer]
            assert of is not None
            found: tuple[StoredPart, ...] = getattr(of, projection)
            return found
        tensors: tuple[StoredTensor, ...] | None = getattr(self, projection)
        if tensors is None:
            raise ModelError(f"{self.name} has a plain FFN, without a gate")
        packed = () if self.anatomy.packed is None else self.anatomy.packed.split("_")
        start = self.n_neurons * packed.index(projection) if projection in packed else 0
        by_row = (projection == "down") == self.anatomy.conv1d
        return (StoredPart(tensors[layer], 0, self.n_neurons, by_row, start),)

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self.source.name

    @property
    def revision(self) -> str | None:
        """Commit on the hub; None for a local directory."""
        return self.source.revision

    def fingerprint(self, dtype: str | torch.dtype = "auto") -> ModelFingerprint | None:
        """The fingerprint of the model loaded in `dtype`, from a few values of each tensor.

        None where it cannot be told from the files which tensor becomes which parameter; load the model then.
        """
        kind = self._loaded_as(dtype)
        parameters = self._parameters()
        if parameters is None:
            return None

        def read(tensor: StoredTensor | Joined, chosen: slice) -> Shaped[Tensor, " some"]:
            return tensor.values(chosen).to(kind)  # what a narrower type rounds, loading rounds too

        samples = (
            (name, tuple(parameter.shape), read(tensor, sampled(parameter.numel())))
            for name, parameter, tensor in parameters
        )
        return ModelFingerprint(
            name=self.name,
            revision=self.revision,
            model_type=self.anatomy.model_type,
            n_layers=self.n_layers,
            n_neurons=self.n_neurons,
            hidden_size=self.hidden_size,
            weights_digest=digest(map(self._first_row(kind), range(self.n_layers)), samples),
            experts=self.layout,
        )

    def _first_row(self, kind: torch.dtype) -> Callable[[int], Shaped[Tensor, " _"]]:
        """One value of each neuron's column of W_down, whatever its orientation."""

        def row(layer: int) -> Tensor:
            found = []
            for part in self.parts("down", layer):
                step = self.hidden_size if part.by_row else 1
                found.append(part.tensor.values(slice(0, part.n_neurons * step, step)).to(kind))
            return torch.cat(found)

        return row

    def _loaded_as(self, dtype: str | torch.dtype) -> torch.dtype:
        config: Any = self.skeleton.config
        stated = getattr(config, "dtype", None) if dtype == "auto" else dtype
        found = parse_dtype(stated or self.parts("down", 0)[0].tensor.type)
        assert isinstance(found, torch.dtype)
        return found

    def _parameters(self) -> list[tuple[str, nn.Parameter, StoredTensor | Joined]] | None:
        """Name, shape and stored tensor of each parameter, in the model's order; a tied one under all its names."""
        stored = _by_bare_name(self.tensors)
        named = [
            (f"{path}.{name}", parameter)
            for path, module in self.skeleton.named_modules()
            for name, parameter in module.named_parameters(recurse=False)
        ]
        names: defaultdict[int, list[str]] = defaultdict(list)
        for name, parameter in named:
            names[id(parameter)].append(name)
        found: list[tuple[str, nn.Parameter, StoredTensor | Joined]] = []
        joined = self._joined()
        for name, parameter in named:
            if name in joined:
                found.append((name, parameter, joined[name]))
                continue
            candidates = [tensor for other in names[id(parameter)] for tensor in stored[_bare(other)]]
            fitting = [each for each in candidates if each.shape == tuple(parameter.shape) and each.dtype in TYPES]
            if not len(candidates) == len(fitting) == 1:
                return None
            found.append((name, parameter, fitting[0]))
        return found

    def _joined(self) -> dict[str, Joined]:
        """The fused parameters of experts that are stored one by one, by their names."""
        mixture = self.anatomy.mixture
        if mixture is None:
            return {}
        found: dict[str, Joined] = {}
        for layer, of in enumerate(self.experts):
            if of is not None and of.joined is not None:
                path = f"{self.anatomy.layers}.{layer}.{mixture.experts}"
                found |= {f"{path}.{name}": pieces for name, pieces in of.joined.items()}
        return found


def open_stored(
    path_or_id: str | PathLike[str], *, revision: str | None = None, trust_remote_code: bool = False
) -> StoredModel:
    """Find the files of a model and where in them its weights are; a hub model is fetched, or taken from the cache.

    Args:
        path_or_id: as for `hneurons.load`.
        revision: branch, tag or commit on the hub.
        trust_remote_code: let a repository run Python code of its own.

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be reached.
        UnsupportedModelError: mixture of experts, quantized, encoder-decoder, or an unknown architecture.
        ModelError: files are missing or damaged, or the projections cannot be told in them.
    """
    source = find_source(path_or_id, revision)
    config = read_config(source, trust_remote_code=trust_remote_code)
    anatomy = find_row(source.name, config)
    stated = stated_quantization(source.name, config)
    if stated is not None:
        raise UnsupportedModelError(
            f"the files of {source.name} hold {stated.kind} codes, in which no neuron's weights stand alone; give the "
            "original weights (what is made of them can be quantized), or turn neurons at run time with "
            "hneurons.interventions.scale"
        )
    directory = Path(source.location) if source.local else _snapshot(source)
    files, index = _weight_files(source, directory)
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for key, tensor in read_tensors(file).items():
            if key in tensors:
                raise ModelError(f"{source.name} stores {key} twice, in {tensors[key].file.name} and {file.name}")
            tensors[key] = tensor
    skeleton = without_memory(config, anatomy, trust_remote_code)
    parts = find_parts(skeleton, anatomy)
    layout = expert_layout(skeleton, anatomy, parts)
    hidden = weight_shape(parts[0].attention_out, anatomy)[0]
    neurons = width_of(parts, layout, anatomy)
    described = partial(
        StoredModel,
        source=source,
        directory=directory,
        anatomy=anatomy,
        files=files,
        index=index,
        tensors=tensors,
        n_layers=len(parts),
        n_neurons=neurons,
        hidden_size=hidden,
        skeleton=skeleton,
    )
    if layout is not None:
        stored = _by_bare_name(tensors)
        find_one = partial(_one, source.name, sorted(tensors), stored)
        finder = ExpertFinder(anatomy, layout, hidden, find_one, lambda path: _bare(path) in stored)
        experts = tuple(finder.of(layer) for layer in range(len(parts)))
        return described(down=(), up=(), gate=(), experts=experts, layout=layout)
    find = partial(_projections, source.name, anatomy, tensors, len(parts))
    up = find(anatomy.up, (neurons if anatomy.packed is None else 2 * neurons, hidden))
    gate = up if anatomy.packed else None if anatomy.gate is None else find(anatomy.gate, (neurons, hidden))
    return described(down=find(anatomy.down, (hidden, neurons)), up=up, gate=gate)


def _snapshot(source: Source) -> Path:
    """The directory in the local cache that holds the files of a hub model."""

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=[*patterns]))

    try:
        directory = fetch(*COMPANIONS, INDEX)
        return fetch(*(_listed(directory / INDEX) if (directory / INDEX).is_file() else [WHOLE]))
    except (OSError, ValueError) as error:
        raise hub_error(source.name, source.revision, error) from error


def _weight_files(source: Source, directory: Path) -> tuple[tuple[Path, ...], Path | None]:
    """The files that transformers reads the weights from, and the index where it needs one."""
    if (directory / WHOLE).is_file():
        return (directory / WHOLE,), None
    shards = sorted(file.name for file in directory.glob("*.safetensors") if not file.name.startswith("adapter"))
    if shards and not (directory / INDEX).is_file():
        raise ModelError(
            f"{source.name} holds {shards[0]} but neither {WHOLE} nor {INDEX}, which says what is in each file; "
            "download it again"
        )
    check_weight_files(Source(source.name, str(directory), None, source.config_file))
    return tuple(directory / name for name in _listed(directory / INDEX)), directory / INDEX


def _listed(index: Path) -> list[str]:
    """The weight files that an index names, none of them outside its directory."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if names and all(Path(name).name == name for name in names):
            return names
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    raise ModelError(f"{index} is damaged; download it again")


def _projections(
    name: str,
    anatomy: Anatomy,
    tensors: dict[str, StoredTensor],
    layers: int,
    projection: str,
    sizes: tuple[int, int],
) -> tuple[StoredTensor, ...]:
    """The weights of one projection, by its path in a layer, of every layer; `sizes` are its (out, in)."""
    shape = sizes[::-1] if anatomy.conv1d else sizes
    stored = _by_bare_name(tensors)
    keys = sorted(tensors)
    paths = (f"{anatomy.layers}.{layer}.{projection}.weight" for layer in range(layers))
    return tuple(_one(name, keys, stored, path, shape) for path in paths)


def _one(
    name: str,
    keys: Sequence[str],
    stored: Mapping[str, list[StoredTensor]],
    path: str,
    shape: tuple[int, ...],
) -> StoredTensor:
    """The one tensor that is the parameter at `path`, of that shape; `keys` are all names, sorted."""
    candidates = stored.get(_bare(path), [])
    if len(candidates) != 1:
        what = f"several, {' and '.join(each.key for each in candidates)}" if candidates else "none"
        raise ModelError(
            f"one tensor should be the weight of {path.removesuffix('.weight')} in the files of {name}, and there is "
            f"{what}; download the model again, or save the whole of it with save_pretrained"
        )
    tensor = candidates[0]
    longer = takewhile(lambda key: key.startswith(tensor.key), islice(keys, bisect_right(keys, tensor.key), None))
    beside = [key for key in longer if key != f"{tensor.key}_bias"]  # of a fused parameter, beside it
    if beside:
        raise UnsupportedModelError(
            f"{name} has quantized weights ({beside[0]} beside {tensor.key}); get the original weights in bfloat16"
        )
    if tensor.shape != shape:
        raise ModelError(
            f"{tensor.key} of {name} is {tensor.shape}, and config.json asks for {shape}; download it again"
        )
    return tensor


def _by_bare_name(tensors: dict[str, StoredTensor]) -> defaultdict[str, list[StoredTensor]]:
    found: defaultdict[str, list[StoredTensor]] = defaultdict(list)
    for key, tensor in tensors.items():
        found[_bare(key)].append(tensor)
    return found


def _bare(name: str) -> str:
    """A weight's name without the modules that only hold others."""
    first, *rest = [_RENAMED.get(part, part) for part in name.split(".") if part not in _CONTAINERS]
    return ".".join((first, *rest))
