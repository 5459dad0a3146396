"""What the neurons did: contributions (CETT), recorded in the forward pass and kept on disk."""

from __future__ import annotations

from hneurons.contributions.batches import Batches, plan_batches
from hneurons.contributions.collecting import Collected, collect
from hneurons.contributions.extraction import extract, extract_batch
from hneurons.contributions.importing import import_activations
from hneurons.contributions.item import Item, Recording, Role, has_other
from hneurons.contributions.layout import Layout
from hneurons.contributions.recording import Sink, record
from hneurons.contributions.row import Row, Table
from hneurons.contributions.store import BatchWriter, ContributionStore

__all__ = [
    "BatchWriter",
    "Batches",
    "Collected",
    "ContributionStore",
    "Item",
    "Layout",
    "Recording",
    "Role",
    "Row",
    "Sink",
    "Table",
    "collect",
    "extract",
    "extract_batch",
    "has_other",
    "import_activations",
    "plan_batches",
    "record",
]
