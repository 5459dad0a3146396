"""Activations of the method's public code (`<location>/act_{qid}.npy`), as rows of a store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hneurons.contributions.item import Role
from hneurons.contributions.layout import Layout
from hneurons.contributions.row import Row
from hneurons.contributions.store import ContributionStore
from hneurons.errors import NotEnoughDataError, RunError

ROWS_PER_BATCH = 64


def import_activations(folders: Mapping[Role, Path], keys: Sequence[str], path: Path) -> ContributionStore:
    """Copy the public code's activations into a new store at `path`.

    Args:
        folders: one folder for each role, such as {"answer": Path("act/answer_tokens"), "other": Path("act/others")}.
            Their files are `act_{key}.npy`, float32 (layers, neurons). "other", or files in it, may be missing.
        keys: question ids, in the order of the rows. Each needs an answer file.
        path: where the store is made; an import that was interrupted goes on.

    Raises:
        RunError: a file is missing, is no float32 array of two dimensions, has another shape than the first, or holds
            values that are not finite.
        NotEnoughDataError: no key.
    """
    if not keys:
        raise NotEnoughDataError("there is nothing to import: no key is given")
    n_layers, n_neurons = _load(folders["answer"], keys[0]).shape
    batches = [tuple(keys[start : start + ROWS_PER_BATCH // 2]) for start in range(0, len(keys), ROWS_PER_BATCH // 2)]
    layout = Layout(
        n_layers=n_layers,
        n_neurons=n_neurons,
        hidden_size=None,
        batches=len(batches),
        rows_per_batch=ROWS_PER_BATCH,
        recording=None,
        model=None,
        compute=None,
        items=hashlib.sha256(json.dumps([list(keys), sorted(folders)]).encode()).hexdigest(),
    )
    store = ContributionStore.create(path, layout)
    for number in store.pending_batches():
        _import_batch(folders, batches[number], store, number)
    return store


def _import_batch(folders: Mapping[Role, Path], keys: Sequence[str], store: ContributionStore, number: int) -> None:
    shape = (store.layout.n_layers, store.layout.n_neurons)
    other = folders.get("other")
    with_other = [key for key in keys if other is not None and _file(other, key).exists()]
    answers = np.stack([_load(folders["answer"], key, shape) for key in keys])
    others = np.stack([_load(other, key, shape) for key in with_other]) if other and with_other else answers[:0]
    writer = store.writer(number)
    for layer in range(shape[0]):
        writer.contributions(layer, torch.from_numpy(answers[:, layer]), torch.from_numpy(others[:, layer]))
    writer.finish(
        [_row(key, "answer", key in with_other) for key in keys] + [_row(key, "other", True) for key in with_other]
    )


def _load(folder: Path, key: str, shape: tuple[int, int] | None = None) -> Float[np.ndarray, "layers neurons"]:
    file = _file(folder, key)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{file} cannot be read as a NumPy array without pickle; export it again") from error
    if values.ndim != 2 or values.dtype != np.float32 or not np.isfinite(values).all():
        raise RunError(f"{file} is {values.dtype} {values.shape}; expected finite float32 (layers, neurons)")
    if shape is not None and values.shape != shape:
        raise RunError(f"{file} has the shape {values.shape} and the first file {shape}; import one model at a time")
    return np.asarray(values)


def _file(folder: Path, key: str) -> Path:
    if Path(key).name != key:
        raise RunError(f"the key {key!r} is no file name; give question ids as in act_{{qid}}.npy")
    return folder / f"act_{key}.npy"


def _row(key: str, role: Role, has_other: bool) -> Row:
    return Row(
        key=key,
        role=role,
        n_tokens=None,
        n_prompt=None,
        n_response=None,
        has_other=has_other,
        logprob=None,
        entropy=None,
    )
