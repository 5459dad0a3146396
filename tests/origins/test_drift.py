"""Drift from the files is what a naive loop over the loaded models finds, for every architecture and every layout."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy import stats

import hneurons
from hneurons.errors import ModelError, ProbeMismatchError
from hneurons.models.families import supported_families
from hneurons.models.language_model import LanguageModel
from hneurons.models.safetensors_file import StoredTensor
from hneurons.models.stored import open_stored
from hneurons.origins import drift as module
from hneurons.origins.drift import Distances, distances, drift, ranks, scores
from hneurons.origins.record import Drift

Directory = Callable[..., Path]
Weights = dict[str, torch.Tensor]
Array = np.ndarray[Any, np.dtype[np.float64]]

HNEURONS = [(0, 3), (1, 5), (1, 40)]
DRAWS = {"draws": 200, "resamples": 100}


def rewrite(path: Path, change: Callable[[Weights], object]) -> Path:
    weights = load_file(path / "model.safetensors")
    changed = change(weights)
    save_file(changed if isinstance(changed, dict) else weights, path / "model.safetensors", {"format": "pt"})
    return path


def perturb(weights: Weights, size: float = 0.1, seed: int = 5) -> None:
    """Every row and every column of a matrix moves by an amount of its own."""
    random = torch.Generator().manual_seed(seed)
    for value in weights.values():
        noise = torch.randn(value.shape, generator=random)
        if value.ndim == 2:
            noise *= torch.rand(value.shape[0], 1, generator=random) + torch.rand(value.shape[1], generator=random)
        value += size * noise * value.std()


@pytest.fixture
def copy(tmp_path: Path) -> Callable[..., Path]:
    """`copy(directory, name)`: a copy of a model to change."""
    return lambda directory, name="tuned": Path(shutil.copytree(directory, tmp_path / name))


@pytest.fixture
def pair(tiny_directory: Directory, copy: Callable[..., Path]) -> tuple[Path, Path]:
    """A tiny Llama and a tuned version of it, each to be changed at will."""
    return copy(tiny_directory("llama"), "base"), rewrite(copy(tiny_directory("llama")), perturb)


def weights_of(projection: torch.nn.Module) -> Array:
    """(in, out) of a projection by what it does to each unit vector, so that orientation cannot be mistaken."""
    made: Any = projection
    with torch.no_grad():
        if made.bias is not None:
            made.bias.zero_()
        size = made.weight.shape[0] if type(made).__name__ == "Conv1D" else made.weight.shape[1]
        return np.asarray(made(torch.eye(size, dtype=made.weight.dtype)).double().numpy())


def roles(path: Path) -> list[dict[str, Array]]:
    """The weights of every neuron, (neurons, hidden), by projection, of every layer of the loaded model in float64."""
    model = hneurons.load(path, dtype="float64", device="cpu")
    found = []
    for layer in range(model.n_layers):
        parts = model.parts(layer)
        up = weights_of(parts.up).T
        each = {"up": up, "down": weights_of(parts.down)}
        if parts.gate is parts.up:  # which half is which: `test_the_gate_is_what_the_activation_gets`
            each["gate"], each["up"] = up[: model.n_neurons], up[model.n_neurons :]
        elif parts.gate is not None:
            each["gate"] = weights_of(parts.gate).T
        found.append(each)
    return found


def cosine_distance(a: Array, b: Array) -> float:
    """Through the difference of the unit vectors, summed without rounding: ‖a/‖a‖ - b/‖b‖‖² / 2."""
    p, q = math.sqrt(math.fsum(x * x for x in a)), math.sqrt(math.fsum(x * x for x in b))
    return math.fsum((x / p - y / q) ** 2 for x, y in zip(a.tolist(), b.tolist(), strict=True)) / 2


def naive(base: Path, tuned: Path) -> dict[str, Array]:
    """Distances of every neuron, one after another."""
    found: dict[str, list[list[float]]] = {}
    for one, other in zip(roles(base), roles(tuned), strict=True):
        for name in one:
            found.setdefault(name, []).append(
                [cosine_distance(a, b) for a, b in zip(one[name], other[name], strict=True)]
            )
    return {name: np.array(rows) for name, rows in found.items()}


def by_name(found: Distances) -> dict[str, Array]:
    return {name: getattr(found, name) for name in ("up", "gate", "down") if getattr(found, name) is not None}


def check(base: Path, tuned: Path, tolerance: float = 1e-12) -> Distances:
    found, expected = distances(open_stored(base), open_stored(tuned)), naive(base, tuned)
    assert by_name(found).keys() == expected.keys()
    for name, values in by_name(found).items():
        assert np.ptp(expected[name]) > 0
        np.testing.assert_allclose(values, expected[name], rtol=tolerance, atol=0, err_msg=name)
    return found


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


def exact(a: Array, b: Array) -> float:
    """1 - cos = (‖a‖²‖b‖² - (a.b)²) / (‖a‖‖b‖ (‖a‖‖b‖ + a.b)), in fractions but for the last roots."""
    x, y = [Fraction(v) for v in a.tolist()], [Fraction(v) for v in b.tolist()]
    aa, bb, ab = (sum(p * q for p, q in zip(*two, strict=True)) for two in ((x, x), (y, y), (x, y)))
    product = math.sqrt(aa * bb)
    return float(aa * bb - ab * ab) / (product * (product + float(ab)))


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
        parts = [
            module._Part("", held(torch.from_numpy(np.vstack([np.ones((2, columns)), each]))), 2, rows, by_row)
            for each in (a, b)
        ]
        found, same = module._compare(rows if by_row else columns, *parts)
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


def test_scores_and_ranks_are_those_of_scipy(pair: tuple[Path, Path]) -> None:
    found, expected = distances(*map(open_stored, pair)), naive(*pair)
    z = {name: stats.zscore(values, axis=None) for name, values in expected.items()}
    for which, names in {"up+down": ["up", "down"], "up+gate+down": ["up", "gate", "down"], "gate": ["gate"]}.items():
        score = np.mean([z[name] for name in names], axis=0)
        np.testing.assert_allclose(scores(found, which), score, atol=1e-9)  # type: ignore[arg-type]
        place = (stats.rankdata([-value for value in score.ravel()]) - 1) / (score.size - 1)
        np.testing.assert_allclose(ranks(score).ravel(), place, atol=1e-15)
        assert ranks(score).ravel()[score.argmax()] == 0
        assert ranks(score).ravel()[score.argmin()] == 1


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert ranks(np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 7.0]])).tolist() == [[0.2, 0.6], [0.6, 0.6], [1.0, 0.0]]


def test_the_record_holds_what_the_naive_loop_finds(pair: tuple[Path, Path]) -> None:
    expected = naive(*pair)
    score = sum(stats.zscore(expected[name], axis=None) for name in ("up", "down")) / 2
    place = (stats.rankdata(-score).reshape(score.shape) - 1) / (score.size - 1)
    found = drift(*map(open_stored, pair), HNEURONS, **DRAWS)
    assert Drift.model_validate_json(found.model_dump_json()) == found
    assert [each.neuron for each in found.hneurons] == HNEURONS
    for each in found.hneurons:
        layer, index = each.neuron
        assert (each.up, each.gate, each.down) == pytest.approx(
            tuple(expected[name][layer, index] for name in ("up", "gate", "down")), rel=1e-9
        )
        assert each.score == pytest.approx(score[layer, index], rel=1e-9)
        assert each.rank == pytest.approx(place[layer, index])
        assert each.layer_rank == pytest.approx((score[layer] > score[layer, index]).sum() / 47)
    for layer, row in enumerate(found.layers):
        assert row.layer == layer
        assert (row.up, row.gate, row.down) == pytest.approx(
            tuple(expected[name][layer].mean() for name in ("up", "gate", "down")), rel=1e-9
        )
        assert row.mean_rank == pytest.approx(place[layer].mean())
    assert found.median_distance == pytest.approx({name: np.median(each) for name, each in expected.items()})
    assert (found.unchanged, found.frozen, found.n_layers, found.n_neurons) == (0, (), 2, 48)
    assert [test.score for test in found.tests] == ["up+down", "up+gate+down", "up", "gate", "down"]
    assert found.tests[0].mean_rank.value == pytest.approx(np.mean([place[at] for at in HNEURONS]))
    assert found.tests[3].mean_rank.value == pytest.approx(np.mean([ranks(expected["gate"])[at] for at in HNEURONS]))


def test_frozen_projections_add_nothing(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    before = load_file(base / "model.safetensors")

    def freeze(weights: Weights) -> None:
        weights.update({key: before[key] for key in weights if "up_proj" in key or "gate_proj" in key})
        weights["model.layers.0.mlp.down_proj.weight"][:, :5] = before["model.layers.0.mlp.down_proj.weight"][:, :5]

    rewrite(tuned, freeze)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert found.frozen == ("up", "gate")
    assert found.unchanged == 5
    assert [test.score for test in found.tests] == ["up+down", "up+gate+down", "down"]
    z = stats.zscore(naive(base, tuned)["down"], axis=None)
    assert [each.score for each in found.hneurons] == pytest.approx([z[at] / 2 for at in HNEURONS], rel=1e-9)


def test_a_plain_ffn_has_no_gate(tiny_directory: Directory, copy: Callable[..., Path]) -> None:
    base = tiny_directory("opt")
    stored = open_stored(base), open_stored(rewrite(copy(base), perturb))
    found = drift(*stored, HNEURONS, **DRAWS)
    assert found.hneurons[0].gate is found.layers[0].gate is None
    assert [test.score for test in found.tests] == ["up+down", "up", "down"]
    with pytest.raises(ModelError, match="no gate-projection in a plain FFN"):
        scores(distances(*stored), "up+gate+down")


def test_a_change_of_length_alone_is_no_drift_but_a_change(pair: tuple[Path, Path]) -> None:
    base, tuned = pair
    shutil.copy(base / "model.safetensors", tuned)
    rewrite(tuned, lambda w: [value.mul_(1.7) for key, value in w.items() if "mlp" in key])
    rewrite(base, lambda w: {key: value.double() for key, value in w.items()})
    rewrite(tuned, lambda w: {key: 1.3 * load_file(base / "model.safetensors")[key] for key in w})
    with pytest.raises(ModelError, match="every neuron points the same way"):
        distances(open_stored(base), open_stored(tuned))

    def turn(weights: Weights) -> None:
        weights["model.layers.0.mlp.up_proj.weight"][3] += torch.linspace(0, 1, 32)

    rewrite(tuned, turn)
    found = drift(open_stored(base), open_stored(tuned), HNEURONS, **DRAWS)
    assert (found.unchanged, found.frozen) == (0, ())
    assert found.hneurons[0].up > 0.01
    assert found.hneurons[1].up == found.hneurons[1].down == 0


def test_models_that_hardly_look_alike_are_said_to(tiny_directory: Directory, pair: tuple[Path, Path]) -> None:
    other = open_stored(tiny_directory("llama", seed=1))
    found = drift(open_stored(pair[0]), other, HNEURONS, **DRAWS)
    assert found.median_distance["up"] > 0.5
    assert "hardly look like a model and its tuned version" in found.sentence
    assert "hardly" not in drift(*map(open_stored, pair), HNEURONS, **DRAWS).sentence


@pytest.mark.parametrize(
    ("family", "config"),
    [("llama", {"layers": 3}), ("llama", {"intermediate_size": 40}), ("llama", {"hidden_size": 16}), ("phi", {})],
)
def test_models_of_different_sizes_or_kinds_are_refused(
    family: str, config: dict[str, int], tiny_directory: Directory
) -> None:
    with pytest.raises(ModelError, match="neither can be tuned from the other"):
        distances(open_stored(tiny_directory("llama")), open_stored(tiny_directory(family, **config)))


def test_transposed_and_ordinary_weights_are_not_compared(tiny_directory: Directory) -> None:
    with pytest.raises(ModelError, match="only one of them stores its weights transposed"):
        distances(open_stored(tiny_directory("gpt2")), open_stored(tiny_directory("opt")))


def test_the_same_model_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match=r"every neuron is the same in .* nothing drifted"):
        distances(open_stored(pair[0]), open_stored(pair[0]))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("projection", ["up", "gate", "down"])
def test_a_weight_that_is_no_number_is_refused(
    projection: str, which: int, value: float, pair: tuple[Path, Path]
) -> None:
    key = f"model.layers.1.mlp.{projection}_proj.weight"

    def spoil(weights: Weights) -> None:
        weights[key][(2, 7) if projection == "down" else (7, 2)] = value

    rewrite(pair[which], spoil)
    with pytest.raises(ModelError, match=rf"neuron 7 in {key} of .*{pair[which].name} is not a finite number"):
        distances(*map(open_stored, pair))


def test_zeros_in_one_model_are_refused_and_in_both_are_no_distance(pair: tuple[Path, Path]) -> None:
    def silence(weights: Weights) -> None:
        weights["model.layers.1.mlp.down_proj.weight"][:, 9] = 0

    rewrite(pair[1], silence)
    with pytest.raises(ModelError, match=r"neuron 9 has only zeros in .*layers\.1\.mlp\.down_proj.*tuned.*alpha 0"):
        distances(*map(open_stored, pair))
    rewrite(pair[0], silence)
    assert distances(*map(open_stored, pair)).down[1, 9] == 0


def test_h_neurons_of_another_model_are_refused_before_anything_is_read(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = list(map(open_stored, pair))
    monkeypatch.setattr(StoredTensor, "pieces", None)
    for outside in ((2, 0), (0, 48), (-1, 0)):
        with pytest.raises(ProbeMismatchError, match="of another model"):
            drift(*stored, [(0, 3), outside])


def test_eight_bit_weights_are_refused(pair: tuple[Path, Path]) -> None:
    def narrow(weights: Weights) -> None:
        key = "model.layers.1.mlp.up_proj.weight"
        weights[key] = weights[key].to(torch.float8_e4m3fn)

    rewrite(pair[1], narrow)
    with pytest.raises(ModelError, match=r"up_proj\.weight .* stored as F8_E4M3, whose values need scales"):
        distances(*map(open_stored, pair))


def planted(pair: tuple[Path, Path], own: float, others: float) -> Drift:
    """H-Neurons that move by `own`, others by `others` times as much as a third that both do."""
    base, tuned = pair
    shutil.copy(base / "model.safetensors", tuned)
    chosen = [(layer, index) for layer in range(2) for index in range(0, 48, 4)]

    def move(weights: Weights) -> None:
        random = torch.Generator().manual_seed(3)
        for layer in range(2):
            for name in ("up", "gate", "down"):
                weight = weights[f"model.layers.{layer}.mlp.{name}_proj.weight"]
                size = torch.full((48,), others)
                size[::4] = own
                noise = torch.randn(weight.shape, generator=random)
                weight += 0.1 * noise * (size if name == "down" else size[:, None]) * weight.std()

    rewrite(tuned, move)
    return drift(open_stored(base), open_stored(tuned), chosen, draws=1000, resamples=200)


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (0.5, 1.0, ": less changed than others of their layers (p = 0.001)."),
        (2.0, 1.0, ": MORE changed than others of their layers (p = 0.001)."),
        (1.0, 1.0, ": NOT less changed than others of their layers (p = "),
    ],
)
def test_the_sentence_says_what_holds(own: float, others: float, verdict: str, pair: tuple[Path, Path]) -> None:
    found = planted(pair, own, others)
    mean = found.tests[0].mean_rank
    assert verdict in found.sentence
    assert f"The 24 H-Neurons rank at {mean.value:.2f} on average [{mean.low:.2f}, {mean.high:.2f}]" in found.sentence
    matched = found.tests[0].matched
    assert f"neurons of the same layers rank at {matched.low:.2f} to {matched.high:.2f}:" in found.sentence


def test_a_single_h_neuron_has_a_sentence_too(pair: tuple[Path, Path]) -> None:
    found = drift(*map(open_stored, pair), [(1, 4)], **DRAWS)
    assert found.sentence.startswith(f"The one H-Neuron ranks at {found.hneurons[0].rank:.2f} (0 changed most")


def test_every_packed_row_names_each_half_once() -> None:
    """`_part` finds a half by its name."""
    packed = [row.packed for row in supported_families() if row.packed is not None]
    assert packed
    assert all(sorted(order.split("_")) == ["gate", "up"] for order in packed)
    assert not any(row.packed and row.conv1d for row in supported_families())
