"""Contributions on disk: Zarr arrays in layer-wide chunks, and a Parquet part for each batch that is done.

    store.json                      the layout
    contributions/                  Zarr v3 array (rows, layers, neurons), chunks (rows of one batch, 1, neurons)
    hidden/                         Zarr v3 array (rows, layers, hidden), where hidden states are recorded
    rows/part-00000.parquet         the rows of batch 0: row, key, role, n_tokens, logprob, entropy, ...

A batch is done when its part exists; the part is written last. A chunk belongs to one batch and one layer, is written
whole to a temporary file that is then renamed (Zarr's local store does that), and carries a checksum. So a run killed
at any moment loses the batches in work, and the same batch written again gives the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import zarr
from jaxtyping import Float, Int
from pydantic import ValidationError
from torch import Tensor
from zarr.codecs import ZstdCodec

from hneurons.contributions.layout import Layout
from hneurons.contributions.row import Row, Table, expected_roles
from hneurons.errors import ConfigChangedError, CorruptRunError, RunError
from hneurons.files import atomic_path, read_json, write_json

ArrayName = Literal["contributions", "hidden"]

AT_ONCE = 4
"""Chunks that are compressed and written while an accelerator goes on; so many are held in memory."""

PART_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("n_tokens", pa.int64()),
        pa.field("n_prompt", pa.int64()),
        pa.field("n_response", pa.int64()),
        pa.field("has_other", pa.bool_(), nullable=False),
        pa.field("logprob", pa.float64()),
        pa.field("entropy", pa.float64()),
    ]
)


class ContributionStore:
    """Rows of contributions, one row for an item's answer tokens and one for its other tokens.

    Many processes may write different batches of one store at once. Make it with `create`, which also clears away what
    a killed run left behind, before they start; they use `open`.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self._arrays: dict[ArrayName, zarr.Array[Any]] = {}
        self._table: tuple[frozenset[int], Table] | None = None

    @classmethod
    def create(cls, path: Path, layout: Layout) -> ContributionStore:
        """Make the store at `path`, or go on with the one that is there.

        Raises:
            ConfigChangedError: the store there has another layout.
            RunError: there is something else at `path`.
        """
        if (path / "store.json").exists():
            store = cls.open(path)
            different = store.layout.differences(layout)
            if different:
                raise ConfigChangedError(
                    f"the contributions in {path} were made with another {', '.join(different)}; "
                    "choose another directory, or delete this one to record again"
                )
            store._sweep()
            return store
        if path.exists() and (not path.is_dir() or _foreign(path)):
            raise RunError(f"{path} is not a contribution store; choose an empty or a new directory")
        path.mkdir(parents=True, exist_ok=True)
        store = cls(path, layout)
        store._make_arrays()
        write_json(path / "store.json", layout.model_dump(mode="json"))  # last: with it the store exists
        store._sweep()
        return store

    @classmethod
    def open(cls, path: Path) -> ContributionStore:
        """Open the store at `path`.

        Raises:
            RunError: there is none.
            CorruptRunError: its layout cannot be read.
        """
        file = path / "store.json"
        if not file.exists():
            raise RunError(f"there is no contribution store in {path}; record contributions first")
        try:
            layout = Layout.model_validate(read_json(file))
        except (ValueError, ValidationError) as error:
            raise CorruptRunError(
                f"{file} cannot be read ({_first_line(error)}); delete {path} and record again"
            ) from error
        return cls(path, layout)

    def done_batches(self) -> tuple[int, ...]:
        """Numbers of the batches that are wholly on disk."""
        found = (
            re.fullmatch(r"part-(\d+)\.parquet", file.name) for file in (self.path / "rows").glob("part-*.parquet")
        )
        return tuple(sorted(int(match[1]) for match in found if match))

    def pending_batches(self) -> tuple[int, ...]:
        """Numbers of the batches that are still to be recorded."""
        done = set(self.done_batches())
        return tuple(batch for batch in range(self.layout.batches) if batch not in done)

    @property
    def description(self) -> tuple[Path, ...]:
        """The files that make an empty store: with copies of them a batch can be written elsewhere."""
        return (*(self.path / name / "zarr.json" for name in self._names), self.path / "store.json")

    def files(self, batch: int) -> tuple[Path, ...]:
        """The files of batch number `batch`; the last one makes it count."""
        return (*self._chunks(batch), self._part(batch))

    @property
    def _names(self) -> tuple[ArrayName, ...]:
        return ("contributions",) if self.layout.hidden_size is None else ("contributions", "hidden")

    def _chunks(self, batch: int) -> list[Path]:
        layers = range(self.layout.n_layers)
        return [self.path / name / f"c.{batch}.{layer}.0" for name in self._names for layer in layers]

    def writer(self, batch: int) -> BatchWriter:
        """A sink that writes batch number `batch`."""
        if not 0 <= batch < self.layout.batches:
            raise RunError(f"{self.path} has {self.layout.batches} batches; there is no batch {batch}")
        return BatchWriter(self, batch)

    def table(self) -> Table:
        """All rows of the batches that are done, in ascending order of their place in the store."""
        done = self.done_batches()
        if self._table is None or self._table[0] != frozenset(done):
            columns: dict[str, list[Any]] = {name: [] for name in PART_SCHEMA.names}
            for batch in done:
                for name, values in self._read_part(batch).items():
                    columns[name] += values
            self._table = frozenset(done), Table.from_columns(columns)
        return self._table[1]

    def layer(self, layer: int, rows: Int[np.ndarray, " rows"] | None = None) -> Float[np.ndarray, "rows neurons"]:
        """Contributions of all neurons of one layer, float32: of `rows` (values of `Table.row`, any order) or of all.

        Raises:
            RunError: the store has no such layer, or a row that is not recorded.
            CorruptRunError: a chunk is missing or damaged.
        """
        return self._read("contributions", layer, rows)

    def hidden(self, layer: int, rows: Int[np.ndarray, " rows"] | None = None) -> Float[np.ndarray, "rows hidden"]:
        """Mean residual stream after block `layer`, float32; raises as `layer`, and where none was recorded."""
        return self._read("hidden", layer, rows)

    def matrix(self, rows: Int[np.ndarray, " rows"] | None = None) -> Float[np.ndarray, "rows features"]:
        """Contributions of all neurons of all layers, float32; neuron (l, j) is column `l * n_neurons + j`.

        Takes rows * layers * neurons * 4 bytes; where that is too much, read one `layer` at a time.
        """
        chosen = self.table().row if rows is None else rows
        width = self.layout.n_neurons
        matrix = np.empty((len(chosen), self.layout.n_layers * width), dtype=np.float32)
        for layer in range(self.layout.n_layers):
            matrix[:, layer * width : (layer + 1) * width] = self.layer(layer, chosen)
        return matrix

    def _read(
        self, name: ArrayName, layer: int, rows: Int[np.ndarray, " rows"] | None
    ) -> Float[np.ndarray, "rows width"]:
        if not 0 <= layer < self.layout.n_layers:
            raise RunError(f"{self.path} has {self.layout.n_layers} layers; there is no layer {layer}")
        recorded = self.table().row
        chosen = recorded if rows is None else rows
        missing = np.setdiff1d(chosen, recorded)
        if len(missing):
            raise RunError(f"row {missing[0]} of {self.path} is not recorded; use the rows that its table lists")
        ascending, place = np.unique(chosen, return_inverse=True)
        if not len(ascending):
            return np.empty((0, self._array(name).shape[2]), dtype=np.float32)
        try:
            found = np.asarray(self._array(name).oindex[ascending, layer, :], dtype=np.float32)
        except (RuntimeError, ValueError, OSError) as error:
            raise self._damaged(name, layer) from error
        if np.isnan(found).any():  # rows that were recorded are finite: a chunk of theirs is gone
            raise self._damaged(name, layer)
        return found if np.array_equal(ascending, chosen) else found[place]

    def _damaged(self, name: ArrayName, layer: int) -> CorruptRunError:
        return CorruptRunError(f"layer {layer} of {self.path / name} is damaged; delete {self.path} and record again")

    def _read_part(self, batch: int) -> dict[str, list[Any]]:
        file = self._part(batch)
        try:
            table = pq.ParquetFile(file).read()
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptRunError(f"{file} cannot be read; delete it to record that batch again") from error
        if table.schema.names != PART_SCHEMA.names or batch >= self.layout.batches:
            raise CorruptRunError(f"{file} is not a part of this store; delete it to record that batch again")
        columns: dict[str, list[Any]] = table.to_pydict()
        first = batch * self.layout.rows_per_batch
        if columns["row"] != list(range(first, first + table.num_rows)) or table.num_rows > self.layout.rows_per_batch:
            raise CorruptRunError(f"{file} names rows that are not its own; delete it to record that batch again")
        return columns

    def _part(self, batch: int) -> Path:
        return self.path / "rows" / f"part-{batch:05d}.parquet"

    def _array(self, name: ArrayName) -> zarr.Array[Any]:
        if name == "hidden" and self.layout.hidden_size is None:
            raise RunError(f"{self.path} holds no hidden states; record again with hidden=True in another directory")
        if name not in self._arrays:
            try:
                self._arrays[name] = zarr.open_array(self.path / name, mode="r+", config={"write_empty_chunks": True})
            except (FileNotFoundError, ValueError, KeyError) as error:
                raise CorruptRunError(
                    f"{self.path / name} cannot be opened; delete {self.path} and record again"
                ) from error
        return self._arrays[name]

    def _make_arrays(self) -> None:
        layout = self.layout
        for name, width in (("contributions", layout.n_neurons), ("hidden", layout.hidden_size)):
            shutil.rmtree(self.path / name, ignore_errors=True)
            if width is None:
                continue
            zarr.create_array(
                store=self.path / name,
                shape=(layout.batches * layout.rows_per_batch, layout.n_layers, width),
                chunks=(layout.rows_per_batch, 1, width),
                dtype=layout.dtype,
                fill_value=float("nan"),  # a row that was never recorded is no number
                compressors=ZstdCodec(level=-1, checksum=True),  # empty rows vanish; numbers hardly shrink at any level
                chunk_key_encoding={"name": "default", "separator": "."},
            )

    def _sweep(self) -> None:
        """Remove the temporary files of a killed run: Zarr's and our own."""
        for pattern in ("*/*.partial", "*/.*.tmp", ".*.tmp"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)


class BatchWriter:
    """Writes one batch: whole chunks as the layers come, then the part that makes the batch count."""

    def __init__(self, store: ContributionStore, batch: int) -> None:
        self.store = store
        self.batch = batch
        self._written: set[tuple[ArrayName, int]] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._behind: deque[Future[None]] = deque()

    def contributions(
        self, layer: int, answer: Float[Tensor, "items neurons"], other: Float[Tensor, "others neurons"]
    ) -> None:
        """Write one layer's contributions."""
        self._write("contributions", layer, answer, other)

    def hidden(self, layer: int, answer: Float[Tensor, "items hidden"], other: Float[Tensor, "others hidden"]) -> None:
        """Write one layer's hidden states."""
        self._write("hidden", layer, answer, other)

    def finish(self, rows: Sequence[Row]) -> None:
        """Sync the chunks to disk, then write the part of the batch; from then on it is done.

        Raises:
            RunError: a layer is missing, or the rows are not in their fixed order.
        """
        layout = self.store.layout
        names = self.store._names
        every = {(name, layer) for name in names for layer in range(layout.n_layers)}
        while self._behind:
            self._behind.popleft().result()
        if self._written != every:
            raise RunError(f"batch {self.batch} of {self.store.path} has {len(self._written)} of {len(every)} chunks")
        if [row.role for row in rows] != expected_roles([row.has_other for row in rows if row.role == "answer"]):
            raise RunError(f"the rows of batch {self.batch} are not every answer row followed by the other rows")
        chunks = self.store._chunks(self.batch)
        with ThreadPoolExecutor(max_workers=16) as pool:  # at once: a disk syncs many files about as fast as one
            list(pool.map(_sync, [*chunks, *(self.store.path / name for name in names)]))
        first = self.batch * layout.rows_per_batch
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in rows] for name in PART_SCHEMA.names if name != "row"
        }
        table = pa.table({"row": list(range(first, first + len(rows))), **columns}, schema=PART_SCHEMA)
        part = self.store._part(self.batch)
        with atomic_path(part) as temporary:
            pq.write_table(table, temporary)
        _sync(part.parent)

    def _write(self, name: ArrayName, layer: int, answer: Tensor, other: Tensor) -> None:
        layout = self.store.layout
        array = self.store._array(name)
        n_rows = len(answer) + len(other)
        if n_rows > layout.rows_per_batch or answer.shape[1] != array.shape[2]:
            raise RunError(
                f"batch {self.batch} has {n_rows} rows of width {answer.shape[1]}; {self.store.path} holds "
                f"{layout.rows_per_batch} of width {array.shape[2]} a batch; make the store from the same plan"
            )
        stored: torch.dtype = getattr(torch, layout.dtype)
        rows = [answer.to("cpu", stored).numpy(), other.to("cpu", stored).numpy()]
        if _elsewhere(answer):
            self._pool = self._pool or ThreadPoolExecutor(max_workers=AT_ONCE)
            self._behind.append(self._pool.submit(self._put, name, layer, rows))
            if len(self._behind) > AT_ONCE:
                self._behind.popleft().result()
        else:
            self._put(name, layer, rows)
        self._written.add((name, layer))

    def _put(self, name: ArrayName, layer: int, rows: Sequence[np.ndarray]) -> None:
        """Write a chunk whole, empty rows included: nothing is read back, and what was there before leaves no trace."""
        layout, array = self.store.layout, self.store._array(name)
        found = np.concatenate(rows)
        if not np.isfinite(found).all():
            raise RunError(f"layer {layer} has {name} that do not fit into {layout.dtype}; use dtype='float32'")
        chunk = np.full((layout.rows_per_batch, array.shape[2]), np.nan, dtype=layout.dtype)
        chunk[: len(found)] = found
        first = self.batch * layout.rows_per_batch
        array[first : first + layout.rows_per_batch, layer, :] = chunk


def _elsewhere(states: Tensor) -> bool:
    """Whether they were computed on a device that need not wait until they are written."""
    return states.device.type != "cpu"


def _foreign(path: Path) -> bool:
    """Whether a directory without store.json holds anything but the beginnings of a store."""
    own = {"contributions", "hidden"}
    return any(entry.name not in own and not entry.name.startswith(".store.json.") for entry in path.iterdir())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
