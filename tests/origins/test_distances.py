"""Distances from the files are what a naive loop over the loaded models finds, for every architecture and layout."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tests.origins.naive_drift import (
    DRAWS,
    HNEURONS,
    Directory,
    Weights,
    by_name,
    check,
    exact,
    naive,
    perturb,
    rewrite,
    roles,
)

import hneurons
from hneurons.errors import ModelError
from hneurons.models.families import supported_families
from hneurons.models.language_model import LanguageModel
from hneurons.models.safetensors_file import StoredTensor
from hneurons.models.stored import open_stored
from hneurons.origins import drift as module
from hneurons.origins.drift import distances, drift


def test_distances_of_every_architecture_are_those_of_the_loaded_models(
    tiny_family: str, tiny_directory: Directory, copy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", 200)  # several rows at a time, and fewer in the last piece
    base = tiny_directory(tiny_family)
    tuned = rewrite(copy(base), perturb)
    found = check(base, tuned)
    model = open_stored(base)
    tensors = {*model.up, *model.down, *(model.gate or ())}
    assert found.bytes_read == 2 * sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("family", ["phi3", "llama", "gemma2"])
def test_the_gate_is_what_the_activation_gets(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    """What `roles` takes for the gate is: the activation's input is the gate's rows times the FFN's input."""
    model = tiny_model(family)
    (roles_of,) = [roles(Path(model.name))[1]]
    parts, seen = model.parts(1), {}
    handles = [
        parts.ffn.register_forward_hook(lambda _, given, out: seen.update(x=given[0])),
        parts.act.register_forward_hook(lambda _, given, out: seen.update(gate=given[0])),
        parts.down.register_forward_hook(lambda _, given, out: seen.update(z=given[0])),
    ]
    model.hf(input_ids=torch.tensor([[5, 6, 7]]))
    for handle in handles:
        handle.remove()
    x = seen["x"].double().numpy()
    np.testing.assert_allclose(x @ roles_of["gate"].T, seen["gate"].numpy(), rtol=1e-4, atol=1e-5)
    act: Any = parts.act
    np.testing.assert_allclose(
        act(seen["gate"]).numpy() * (x @ roles_of["up"].T), seen["z"].numpy(), rtol=1e-4, atol=1e-5
    )


def test_swapped_halves_would_be_noticed(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    base = tiny_directory("phi3")
    tuned = rewrite(copy(base), perturb)
    stored = [open_stored(path) for path in (base, tuned)]
    swapped = [replace(model, anatomy=replace(model.anatomy, packed="up_gate")) for model in stored]
    right, wrong = distances(*stored), distances(*swapped)
    assert right.gate is not None
    assert np.array_equal(right.gate, wrong.up)
    assert np.array_equal(right.up, wrong.gate)
    np.testing.assert_allclose(right.up, naive(base, tuned)["up"], rtol=1e-12)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        np.testing.assert_allclose(wrong.up, naive(base, tuned)["up"], rtol=1e-12)


def test_square_weights_are_read_the_right_way_round(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    """Where there are as many neurons as the stream is wide, no shape tells rows from columns."""
    for family, width in (("gpt2", "n_inner"), ("llama", "intermediate_size")):
        base = tiny_directory(family, **{width: 32})
        check(base, rewrite(copy(base, family), perturb))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_stored_in_any_type(dtype: torch.dtype, pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    for path in pair:
        rewrite(path, lambda w: {key: value.to(dtype) for key, value in w.items()})
    check(base, tuned)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert found.base_dtype == found.tuned_dtype == str(dtype).removeprefix("torch.")
    assert "rounding" not in found.sentence


def test_types_that_differ_are_compared_and_said(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    rewrite(tuned, lambda w: {key: value.bfloat16() for key, value in w.items()})
    check(base, tuned)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert (found.base_dtype, found.tuned_dtype) == ("float32", "bfloat16")
    assert "stored in float32 and the tuned one in bfloat16: part of the drift is rounding" in found.sentence


def test_shards_are_compared_with_a_whole_file(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    before = distances(open_stored(base), open_stored(tuned))
    hneurons.load(tuned, device="cpu").hf.save_pretrained(tuned, max_shard_size="20KB")
    (tuned / "model.safetensors").unlink()
    after = distances(open_stored(base), open_stored(tuned))
    assert len(open_stored(tuned).files) > 2
    assert all(np.array_equal(by_name(before)[name], values) for name, values in by_name(after).items())


def test_a_packed_model_is_compared_with_an_unpacked_one(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    """The same FFN as Phi-3 stores it and as Llama does."""
    base, tuned = tiny_directory("phi3"), copy(tiny_directory("llama"))

    def unpacked(weights: Weights) -> None:
        packed = load_file(base / "model.safetensors")
        for layer in range(2):
            at = f"model.layers.{layer}.mlp."
            both = packed[f"{at}gate_up_proj.weight"]
            parts = {
                "gate": both[: len(both) // 2],
                "up": both[len(both) // 2 :],
                "down": packed[f"{at}down_proj.weight"],
            }
            weights.update({f"{at}{name}_proj.weight": value.clone() for name, value in parts.items()})

    rewrite(tuned, unpacked)
    with pytest.raises(ModelError, match="every neuron is the same"):
        distances(open_stored(base), open_stored(tuned))
    rewrite(tuned, perturb)
    check(base, tuned)


def test_the_published_prefixes_of_gpt2(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    base = tiny_directory("gpt2")
    tuned = rewrite(copy(base), perturb)
    before = distances(open_stored(base), open_stored(tuned))
    rewrite(tuned, lambda w: {key.removeprefix("transformer."): value for key, value in w.items()})
    after = distances(open_stored(base), open_stored(tuned))
    assert all(np.array_equal(by_name(before)[name], values) for name, values in by_name(after).items())


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_tiny_distances_are_right(size: float, pair: tuple[Path, Path]) -> None:
    """In float64 files relative changes of 1e-9 are distances of 1e-18, of which 1 minus a cosine has no digit."""
    base, tuned = pair
    rewrite(base, lambda w: {key: value.double() for key, value in w.items()})
    shutil.copy(base / "model.safetensors", tuned)
    rewrite(tuned, lambda w: perturb(w, size))
    found = distances(open_stored(base), open_stored(tuned))
    one, other = (load_file(path / "model.safetensors") for path in pair)
    key = "model.layers.1.mlp.{}_proj.weight"
    for neuron in range(0, 48, 6):
        up = [w[key.format("up")][neuron].numpy() for w in (one, other)]
        down = [w[key.format("down")][:, neuron].numpy() for w in (one, other)]
        assert 1e-6 * size**2 < exact(*up) < 10 * size**2
        assert found.up[1, neuron] == pytest.approx(exact(*up), rel=1e-9, abs=0)
        assert found.down[1, neuron] == pytest.approx(exact(*down), rel=1e-9, abs=0)
    if size < 1e-8:
        a, b = up
        assert abs(1 - a @ b / math.sqrt((a @ a) * (b @ b)) - exact(a, b)) > 0.5 * exact(a, b)


def test_one_step_of_float32_in_one_weight_is_seen(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    shutil.copy(base / "model.safetensors", tuned)
    key = "model.layers.0.mlp.up_proj.weight"

    def step(weights: Weights) -> None:
        weights[key][7, 4] = torch.nextafter(weights[key][7, 4], torch.tensor(9.0))

    rewrite(tuned, step)
    found = distances(open_stored(base), open_stored(tuned))
    rows = [load_file(path / "model.safetensors")[key][7].double().numpy() for path in pair]
    assert found.up[0, 7] == pytest.approx(exact(*rows), rel=1e-9, abs=0)
    assert np.count_nonzero(found.up) == 1
    assert not found.down.any()


@given(data=st.data(), rows=st.integers(1, 7), columns=st.integers(1, 9), by_row=st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_split_into_pieces_gives_the_same(data: st.DataObject, rows: int, columns: int, by_row: bool) -> None:
    values = st.lists(
        st.floats(-4, 4, width=32).filter(lambda v: v == 0 or abs(v) > 1e-3),
        min_size=rows * columns,
        max_size=rows * columns,
    )
    a, b = (np.array(data.draw(values), dtype=np.float64).reshape(rows, columns) for _ in range(2))
    piece = data.draw(st.integers(1, 30))
    axis = 1 if by_row else 0
    if ((np.abs(a).sum(axis) == 0) | (np.abs(b).sum(axis) == 0)).any():
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        neurons = range(rows if by_row else columns)
        parts = [
            module._Part(
                name="",
                tensor=held(torch.from_numpy(np.vstack([np.ones((2, columns)), each]))),
                first=2,
                rows=rows,
                by_row=by_row,
                neurons=neurons,
                columns=slice(None),
            )
            for each in (a, b)
        ]
        found, same = module._compare(*parts)
    pairs = list(zip(a, b, strict=True) if by_row else zip(a.T, b.T, strict=True))
    expected = [
        exact(x, y) if (x * y).sum() >= 0 else 1 - (x * y).sum() / math.sqrt((x @ x) * (y @ y)) for x, y in pairs
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-14)
    assert same.tolist() == [bool((x == y).all()) for x, y in pairs]


def held(values: torch.Tensor) -> StoredTensor:
    """A tensor that stands in for one in a file."""

    class Held(StoredTensor):
        def pieces(self, first: int, last: int, at_a_time: int) -> Iterator[torch.Tensor]:
            return iter(values[first:last].split(at_a_time))

    return Held(Path(), "", "F64", tuple(values.shape), 0, 8 * values.numel())


def test_only_a_piece_is_read_at_a_time(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    read = StoredTensor.pieces

    def pieces(self: StoredTensor, first: int, last: int, at_a_time: int) -> Iterator[torch.Tensor]:
        for found in read(self, first, last, at_a_time):
            sizes.append(found.numel() * found.element_size())
            yield found

    monkeypatch.setattr(StoredTensor, "pieces", pieces)
    monkeypatch.setattr(module, "PIECE", 250)
    found = distances(*map(open_stored, pair))
    assert 128 < max(sizes) <= 1000
    assert sum(sizes) == found.bytes_read


def test_every_packed_row_names_each_half_once() -> None:
    """`_part` finds a half by its name."""
    packed = [row.packed for row in supported_families() if row.packed is not None]
    assert packed
    assert all(sorted(order.split("_")) == ["gate", "up"] for order in packed)
    assert not any(row.packed and row.conv1d for row in supported_families())


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "qwen2_moe"])
def test_experts_are_compared_one_by_one_and_fused(
    family: str, tiny_directory: Directory, tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    base, tuned = (tiny_model(family, layers=3, seed=seed) for seed in (0, 1))
    tuned.hf.save_pretrained(tmp_path / "tuned", save_original_format=False)  # the base model's files hold each alone
    tuned.tokenizer.save_pretrained(tmp_path / "tuned")
    found = distances(open_stored(tiny_directory(family, layers=3)), open_stored(tmp_path / "tuned"))
    assert found.up.shape == found.down.shape == (3, base.n_neurons)
    assert found.gate is not None
    for layer, index in [(0, 0), (1, 17), (1, 40), (2, base.n_neurons - 1), (2, 95)]:
        expert, own = base.expert_of(layer, index)
        weights = [neuron_weights(model, layer, expert, own) for model in (base, tuned)]
        for name, each in (("up", found.up), ("gate", found.gate), ("down", found.down)):
            x, y = (own_weights[name].double().numpy() for own_weights in weights)
            cosine = (x * y).sum() / math.sqrt((x @ x) * (y @ y))
            assert each[layer, index] == pytest.approx(1 - cosine, rel=1e-6)


def neuron_weights(model: LanguageModel, layer: int, expert: Any, index: int) -> dict[str, torch.Tensor]:
    state, path = model.hf.state_dict(), f"model.layers.{layer}.mlp."
    if expert == "shared":
        path += "shared_expert."
        rows = {part: state[f"{path}{part}_proj.weight"][index] for part in ("up", "gate")}
        return rows | {"down": state[f"{path}down_proj.weight"][:, index]}
    packed, down = state[f"{path}experts.gate_up_proj"][expert], state[f"{path}experts.down_proj"][expert]
    if model.anatomy.model_type == "gpt_oss":
        return {"gate": packed[:, 2 * index], "up": packed[:, 2 * index + 1], "down": down[index]}
    return {"gate": packed[index], "up": packed[len(packed) // 2 + index], "down": down[:, index]}


def test_mixtures_with_dense_layers_are_refused(tiny_directory: Directory) -> None:
    pair = [open_stored(tiny_directory("deepseek_v3", layers=3, seed=seed)) for seed in (0, 1)]
    with pytest.raises(ModelError, match=r"1 dense of 40: drift .* needs layers of one width"):
        distances(*pair)
