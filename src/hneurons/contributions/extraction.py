"""Recording to disk: every batch that is still missing, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hneurons.contributions.batches import Batches
from hneurons.contributions.item import Item, Recording
from hneurons.contributions.layout import Layout, StoredType
from hneurons.contributions.recording import record
from hneurons.contributions.store import ContributionStore
from hneurons.errors import RunError
from hneurons.models.language_model import LanguageModel
from hneurons.progress import track


def extract(
    model: LanguageModel, batches: Batches, recording: Recording, path: Path, dtype: StoredType = "float32"
) -> ContributionStore:
    """Record `batches` into the store at `path`; batches that an earlier run has finished are not recorded again.

    Raises:
        ConfigChangedError: the store there was made from other items, with other settings or another model.
        ResponseError, ModelError: see `record`.
    """
    store = ContributionStore.create(path, Layout.plan(model, batches, recording, dtype))
    done = len(store.done_batches())
    for batch in track(store.pending_batches(), "recording contributions", completed=done):
        extract_batch(model, batches[batch], store, batch)
    return store


def extract_batch(model: LanguageModel, items: Sequence[Item], store: ContributionStore, batch: int) -> None:
    """Record batch number `batch`, which holds `items`, into `store`; the work of one worker.

    Raises:
        RunError: the store holds imported rows.
        ResponseError, ModelError: see `record`.
    """
    if store.layout.recording is None:
        raise RunError(f"{store.path} holds imported rows; record into another directory")
    writer = store.writer(batch)
    rows = record(model, items, store.layout.recording, writer)
    writer.finish(rows)
