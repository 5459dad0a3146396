"""An edited model as files: neurons turned once and for all, in a directory that any program loads."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from importlib.metadata import version
from itertools import chain
from os import PathLike
from pathlib import Path

from hneurons.errors import ExportError
from hneurons.files import atomic_directory, write_json, write_text
from hneurons.interventions.export_card import CardNotes, model_card
from hneurons.interventions.export_record import BaseModelRecord, EditedTensor, ExportReport
from hneurons.interventions.scaling import check_alpha, neurons_by_layer
from hneurons.interventions.stored_scaling import scale_stored
from hneurons.models.safetensors_file import TYPES
from hneurons.models.stored import COMPANIONS, StoredModel, open_stored
from hneurons.models.stored_experts import StoredPart
from hneurons.probes.labels import Neuron
from hneurons.progress import track

CARD, RECORD = "README.md", "hneurons.json"
CHUNK = 64 * 1024**2
"""Bytes that are copied at a time."""

SPARE = 64 * 1024**2
"""Bytes that are left free on the disk."""

_NOT_SHARED = frozenset((errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP))
"""Why a file system would have the bytes copied one by one."""

_NEVER = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".safetensors"})


def export(
    model: str | PathLike[str] | StoredModel,
    neurons: Sequence[Neuron],
    alpha: float,
    out: str | PathLike[str],
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    notes: CardNotes | None = None,
) -> ExportReport:
    """Write a copy of a model in which what `neurons` put out is multiplied by `alpha`, as a Hugging Face directory.

    z_j <- alpha * z_j is W_down[:, j] <- alpha * W_down[:, j] (H-Neurons, arXiv 2512.01797), so the copy computes what
    the model computes under `scale`, at no cost per token and in any program. Files are copied as they are, and only
    the bytes of those columns change, in the type they are stored in; with alpha 1 none do. A bias of the
    down-projection is no neuron's and stays. A neuron of an expert has its column in that expert's W_down, which files
    hold by itself or fused with the others'. No model is loaded: a few megabytes at a time are held, whatever its size.
    The base model's files are only read.

    Args:
        model: a registered name, a local directory or a hub id, or the result of `open_stored`.
        neurons: pairs (layer, index); one that is named twice counts once.
        alpha: the factor, finite and not negative.
        out: directory to make; it must not exist, or be empty. It appears whole or not at all.
        revision: branch, tag or commit on the hub.
        trust_remote_code: the base model is loaded with Python code of its own, which is then copied too.
        notes: what the model card says beside the facts of the edit.

    Raises:
        ModelError: the model cannot be used, or has no such neuron; see `open_stored`.
        InterventionError: `alpha` is negative or not finite.
        ExportError: nothing to scale, `out` is taken or a link, the disk is too small, the stored type cannot be
            scaled, or a file to copy is a link to one outside the model.
    """
    check_alpha(alpha)
    if isinstance(model, StoredModel):
        stored = model
    else:
        stored = open_stored(model, revision=revision, trust_remote_code=trust_remote_code)
    by_layer = neurons_by_layer(stored, neurons)
    if not by_layer:
        raise ExportError(f"there are no neurons to turn in {stored.name}; a copy of it would be the same model")
    turned = [(layer, part, own) for layer, indices in by_layer.items() for part, own in _parts(stored, layer, indices)]
    for _, part, _ in turned:
        if part.tensor.dtype not in TYPES:
            raise ExportError(
                f"{part.tensor.key} of {stored.name} is stored as {part.tensor.dtype}, in which columns "
                f"cannot be scaled one by one; use original weights ({', '.join(TYPES)}), or turn the neurons at run "
                "time with hneurons.interventions.scale"
            )
    target = Path(out).expanduser().absolute()
    companions, left_out = _companions(stored, trust_remote_code)
    _check_place(stored, target, companions)
    with atomic_directory(target) as directory:
        _copy([*stored.files, *companions], stored.directory, directory)
        edited = _edit(turned, alpha, directory) if alpha != 1 else ()
        report = ExportReport(
            version=version("hneurons"),
            base=_base(stored),
            alpha=alpha,
            neurons=tuple((layer, index) for layer, indices in by_layer.items() for index in indices),
            edited=edited,
            copied=tuple(str(file.relative_to(stored.directory)) for file in companions),
            left_out=left_out,
        )
        write_json(directory / RECORD, report.model_dump(mode="json"))
        write_text(directory / CARD, model_card(report, stored, notes or CardNotes()))
    return report


def _base(stored: StoredModel) -> BaseModelRecord:
    fingerprint = stored.fingerprint()
    return BaseModelRecord(
        name=Path(stored.name).name if stored.source.local else stored.name,  # a path here says nothing elsewhere
        revision=stored.revision,
        model_type=stored.anatomy.model_type,
        n_layers=stored.n_layers,
        n_neurons=stored.n_neurons,
        hidden_size=stored.hidden_size,
        weights_digest=None if fingerprint is None else fingerprint.weights_digest,
        experts=stored.layout,
    )


def _companions(stored: StoredModel, trust_remote_code: bool) -> tuple[list[Path], tuple[str, ...]]:
    """The files to copy beside the weights, and the names of those that are left out."""
    code = ("*.py",) if trust_remote_code else ()
    copied, left_out = [], []
    for file in sorted(path for path in stored.directory.rglob("*") if path.is_file() and path not in stored.files):
        name = file.relative_to(stored.directory).as_posix()
        wanted = any(_matches(name, pattern) for pattern in (*COMPANIONS, *code)) and name != CARD
        pickled_or_code = file.suffix in _NEVER or (file.suffix == ".py" and not trust_remote_code)
        if file == stored.index or (wanted and not pickled_or_code):
            _check_inside(stored, file)
            copied.append(file)
        elif not name.startswith("."):
            left_out.append(name)
    return copied, tuple(left_out)


def _matches(name: str, pattern: str) -> bool:
    """Whether a path matches, folder by folder: a star stays within one."""
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)


def _check_inside(stored: StoredModel, file: Path) -> None:
    """A link in a stranger's directory may lead to any file of this machine, and the copy may be published."""
    base, found = stored.directory.resolve(), file.resolve()
    cached = base.parent.name == "snapshots" and found.parent == base.parent.parent / "blobs"  # as the hub cache links
    if not (found.is_relative_to(base) or cached):
        raise ExportError(
            f"{file} is a link to {found}, which is no part of {stored.name}; "
            "remove the link, or put the file itself in its place"
        )


def _check_place(stored: StoredModel, target: Path, companions: Sequence[Path]) -> None:
    if target.is_symlink():  # a directory cannot be renamed onto it once everything is copied
        raise ExportError(f"{target} is a link; give the directory itself with --out")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ExportError(f"{target} is there already and not an empty directory; give another one with --out")
    base = stored.directory.resolve()
    if target.resolve() == base or base in target.resolve().parents:
        raise ExportError(f"{target} lies in the base model's own directory; give another one with --out")
    needed = sum(file.stat().st_size for file in (*stored.files, *companions)) + SPARE
    existing = next(path for path in target.parents if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ExportError(
            f"the copy takes {needed / 1e9:.1f} GB, and {existing} has {free / 1e9:.1f} GB free; "
            "make room or give another --out"
        )


def _copy(files: Sequence[Path], root: Path, directory: Path) -> None:
    chunks = sum(-(-file.stat().st_size // CHUNK) for file in files)
    copies = (_copy_file(file, directory / file.relative_to(root)) for file in files)
    for _ in track(chain.from_iterable(copies), "copying the model", total=chunks):
        pass


def _copy_file(source: Path, target: Path) -> Iterator[int]:
    """Copy a file, never link it; the length of every chunk. Where it can, the file system shares what stays equal."""
    target.parent.mkdir(parents=True, exist_ok=True)
    share = getattr(os, "copy_file_range", None)  # Linux
    with source.open("rb", buffering=0) as reader, target.open("wb") as writer:
        while True:
            try:
                length = share(reader.fileno(), writer.fileno(), CHUNK) if share else writer.write(reader.read(CHUNK))
            except OSError as error:
                if share is None or error.errno not in _NOT_SHARED:
                    raise
                share = None
                continue
            if not length:
                return
            yield length


def _parts(stored: StoredModel, layer: int, indices: Sequence[int]) -> Iterator[tuple[StoredPart, list[int]]]:
    """The tensors, or slices of them, that hold columns of a layer's neurons, and which columns."""
    for part in stored.parts("down", layer):
        own = [index - part.first for index in indices if part.first <= index < part.first + part.n_neurons]
        if own:
            yield part, own


def _edit(
    turned: Sequence[tuple[int, StoredPart, list[int]]], alpha: float, directory: Path
) -> tuple[EditedTensor, ...]:
    edited: dict[tuple[str, str], EditedTensor] = {}  # experts may share a tensor
    for layer, part, columns in track(turned, "turning neurons", total=len(turned)):
        tensor = replace(part.tensor, file=directory / part.tensor.file.name)
        rounding = scale_stored(tensor, columns, alpha, conv1d=part.by_row)
        before = edited.get((tensor.file.name, tensor.key))
        edited[tensor.file.name, tensor.key] = EditedTensor(
            file=tensor.file.name,
            tensor=tensor.key,
            layer=layer,
            n_neurons=len(columns) + (before.n_neurons if before else 0),
            dtype=tensor.dtype,
            rounding=max(rounding, before.rounding if before else 0.0),
        )
    return tuple(edited.values())
