"""Many patches in one pass against one at a time, in every family."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import hooks_of
from tests.layers.causality.naive import doubled, run

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions.sites import SITES
from hneurons.layers.causality import skipping
from hneurons.layers.causality.inputs import Input, Noise, embedding_spread
from hneurons.layers.causality.patching import Patch, Place, patched, restored
from hneurons.models.language_model import LanguageModel

INPUTS = [
    Input((5, 17, 40, 41, 9, 30, 77)),
    Input((5, 90, 91, 41, 9, 30, 12)),
    Input((8, 3, 100)),
    Input((5, 17, 40, 41, 9, 30, 77), Noise((1, 2), 0.7, "a", draw=1)),
]
ANSWERS = [(7, 20), (7, 20), (11, 12), (7, 20)]
Make = Callable[..., LanguageModel]


def some_patches(model: LanguageModel) -> list[Patch]:
    """Every site, whole vectors and parts, one token and several, from other positions, in several places."""
    found = [Patch(1, (Place(site, number % 2, (2, 4, 6), source=0),)) for number, site in enumerate(SITES)]
    found += [
        Patch(2, (Place(site, number % 2, (1, 2), source=0, source_positions=(5, 3)),))
        for number, site in enumerate(SITES, 1)
    ]
    found.append(Patch(1, (Place("heads", 1, (2, 6), source=0, part=(1, 3)),)))
    found.append(Patch(3, (Place("neurons", 0, (1, 6), source=1, part=(0, 31, 47)),)))
    first, second = Place("heads", 0, (5, 6), source=0, part=(0,)), Place("heads", 0, (6,), source=3, part=(0, 2))
    found.append(Patch(1, (first, second, Place("ffn", 1, (6,), values=torch.full((model.hidden_size,), 0.5)))))
    found.append(Patch(0, (Place("residual", 1, (6,), source=1), Place("attention", 1, (3,), source=1))))
    return found


def one_at_a_time(model: LanguageModel, patches: Sequence[Patch]) -> np.ndarray:
    """The logits of both answers, from the model in float64."""
    noises = []
    for own in INPUTS:
        drawn = own.noise.values(model.hf.get_input_embeddings().weight.shape[1]) if own.noise else ()
        noises.append(
            {p: torch.from_numpy(v) for p, v in zip(own.noise.positions, drawn, strict=True)} if own.noise else None
        )
    held = [run(model, own.token_ids, (), noise)[1] for own, noise in zip(INPUTS, noises, strict=True)]
    found = []
    for patch in patches:
        edits: list[Any] = []
        for place in patch.places:
            width = held[0][place.site, place.layer].shape[1]
            columns = torch.arange(width)
            if place.part is not None:
                size = model.head_size if place.site == "heads" else 1
                columns = torch.tensor([part * size + k for part in place.part for k in range(size)])
            if place.source is None:
                vectors = [place.values.double()] * len(place.positions)
            else:
                taken = place.source_positions or place.positions
                vectors = [held[place.source][place.site, place.layer][p] for p in taken]
            edits.append((place.site, place.layer, dict(zip(place.positions, vectors, strict=True)), columns))
        logits, _ = run(model, INPUTS[patch.into].token_ids, edits, noises[patch.into])
        found.append(logits[list(ANSWERS[patch.into])].numpy())
    return np.stack(found)


def test_many_patches_are_what_one_at_a_time_gives_in_every_family(tiny_family: str, tiny_model: Make) -> None:
    model = doubled(tiny_model(tiny_family))
    before = hooks_of(model)
    patches = some_patches(model)
    itself = [Patch(n, (Place(site, n % 2, (1, 2), source=n),)) for n, site in zip((1, 2, 3, 0, 1), SITES, strict=True)]
    end = Patch(1, (Place("residual", model.n_layers - 1, (6,), source=0),))
    found = patched(model, INPUTS, [*patches, *itself, end], ANSWERS, batch_rows=8)
    np.testing.assert_allclose(found.logits[: len(patches)], one_at_a_time(model, patches), atol=1e-9)
    own = found.input_logits[[patch.into for patch in itself]]
    np.testing.assert_allclose(found.logits[len(patches) : -1], own, atol=1e-9)  # a run in itself changes nothing
    np.testing.assert_allclose(found.logits[-1], found.input_logits[0], atol=1e-9)  # the stream at the end is all
    assert np.abs(found.input_difference[0] - found.input_difference[1]) > 1e-2
    assert (found.skipped > 0) == (tiny_family not in ("bloom", "gptj"))  # whose layers put out more than the stream
    assert hooks_of(model) == before
    assert not any("forward" in model.block(layer).__dict__ for layer in range(model.n_layers))


def test_patches_beside_the_right_ones_give_something_else(tiny_model: Make) -> None:
    model = doubled(tiny_model("gemma2"))
    patches = [patch for patch in some_patches(model) if len(patch.places) == 1]
    expected = one_at_a_time(model, patches)
    full = patched(model, INPUTS, patches, ANSWERS, skip=False)
    np.testing.assert_allclose(full.logits, expected, atol=1e-9)
    assert full.skipped == 0
    for change in (
        lambda place: {"layer": 1 - place.layer},
        lambda place: {"positions": tuple(position - 1 for position in place.positions)},
        lambda place: (
            {"part": tuple(part - 1 for part in place.part) if place.part and min(place.part) else (2,)}
            if place.site in ("heads", "neurons")
            else {"site": "ffn" if place.site == "attention" else "attention"}
        ),
    ):
        wrong = [
            Patch(patch.into, tuple(dataclasses.replace(place, **change(place)) for place in patch.places))
            for patch in patches
        ]
        apart = np.abs(patched(model, INPUTS, wrong, ANSWERS).logits - expected).max(axis=1)
        assert (apart > 1e-6).all(), apart


def test_probabilities_are_of_the_softmax(tiny_llama: LanguageModel) -> None:
    found = patched(
        tiny_llama, INPUTS[:3], [Patch(2, (Place("ffn", 1, (2,), source=0, source_positions=(6,)),))], ANSWERS[:3]
    )
    logits, _ = run(tiny_llama, INPUTS[0].token_ids)
    np.testing.assert_allclose(found.input_probabilities[0], logits.softmax(-1)[[7, 20]], rtol=1e-4)
    assert found.difference[0] == found.logits[0, 0] - found.logits[0, 1]


def test_noise_belongs_to_its_key_and_draw_whatever_the_batch(tiny_llama: LanguageModel) -> None:
    noise = INPUTS[3].noise
    assert noise is not None
    again = dataclasses.replace(noise)
    np.testing.assert_array_equal(noise.values(32), again.values(32))
    for other in ({"key": "b"}, {"draw": 2}, {"seed": 1}):
        assert np.abs(noise.values(32) - dataclasses.replace(noise, **other).values(32)).min() > 0
    many = Noise(tuple(range(100)), 3.0, "c").values(1000)
    assert abs(many.std() - 3.0) < 0.05
    assert abs(many.mean()) < 0.05
    alone = patched(tiny_llama, INPUTS[3:], [], ANSWERS[3:]).input_logits
    batched = patched(tiny_llama, INPUTS, [], ANSWERS).input_logits
    np.testing.assert_allclose(alone[0], batched[3], atol=1e-5)
    np.testing.assert_allclose(batched[0] - batched[3], batched[0] - alone[0], atol=1e-5)
    assert np.abs(batched[0] - batched[3]).min() > 1e-3


def test_the_spread_of_embeddings_is_of_all_entries(tiny_model: Make) -> None:
    model = tiny_model("llama")
    weight = model.hf.get_input_embeddings().weight
    assert embedding_spread(model) == pytest.approx(float(weight.double().std(unbiased=False)), rel=1e-9)
    scaled = tiny_model("gemma3_text")  # whose embedding module multiplies by the square root of the width
    ids = torch.arange(scaled.hf.get_input_embeddings().num_embeddings)
    out = scaled.hf.get_input_embeddings()(ids).double()
    assert embedding_spread(scaled) == pytest.approx(float(out.std(unbiased=False)), rel=1e-6)


def test_a_layer_that_hands_on_something_else_is_not_skipped(tiny_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = doubled.__wrapped__(tiny_model("llama"))
    patches = [Patch(1, (Place("residual", 0, (4,), source=0),))]
    expected = patched(model, INPUTS, patches, ANSWERS, skip=False)
    real = skipping._giving
    monkeypatch.setattr(skipping, "_giving", lambda residual, extra: real(residual * 1.5, extra))
    found = patched(model, INPUTS, patches, ANSWERS)
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-12)
    assert found.skipped == 0
    assert skipping.form((torch.zeros(1), None)) == 1
    assert skipping.form((torch.zeros(1), torch.zeros(1))) is None


def test_a_failing_pass_leaves_the_model_as_it_was(tiny_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = doubled(tiny_model("llama"))
    before = hooks_of(model)
    with pytest.raises(InterventionError, match="values of shape"):
        patched(model, INPUTS, [Patch(0, (Place("ffn", 1, (1, 2), values=torch.zeros(3, 32)),))], ANSWERS)
    infinite = Place("ffn", 1, (6,), values=torch.full((32,), torch.inf))
    with pytest.raises(ModelError, match="not finite"):
        patched(model, INPUTS, [Patch(0, (infinite,))], ANSWERS)
    assert not any("forward" in model.block(layer).__dict__ for layer in range(model.n_layers))
    assert hooks_of(model) == before


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        (Patch(9, (Place("ffn", 0, (1,), source=0),)), InterventionError),
        (Patch(0, ()), InterventionError),
        (Patch(0, (Place("ffn", 7, (1,), source=0),)), ModelError),
        (Patch(0, (Place("ffn", 0, (7,), source=0),)), InterventionError),
        (Patch(0, (Place("ffn", 0, (1, 1), source=0),)), InterventionError),
        (Patch(0, (Place("ffn", 0, (5,), source=2),)), InterventionError),
        (Patch(0, (Place("ffn", 0, (1,), source=5),)), InterventionError),
        (Patch(0, (Place("ffn", 0, (1,)),)), InterventionError),
        (Patch(0, (Place("ffn", 0, (1,), source=1, part=(0,)),)), InterventionError),
        (Patch(0, (Place("heads", 0, (1,), source=1, part=(4,)),)), InterventionError),
    ],
)
def test_what_cannot_be_patched_is_refused(patch: Patch, error: type[Exception], tiny_llama: LanguageModel) -> None:
    with pytest.raises(error):
        patched(tiny_llama, INPUTS, [patch], ANSWERS)


def test_shares_are_of_the_gap_and_say_where_there_is_none() -> None:
    share, reasons = restored(np.array([1.0, 2.0, 5.0]), np.array([0.0, 0.0, 5.0]), np.array([4.0, 4.0, 5.0]))
    np.testing.assert_array_equal(share[:2], [0.25, 0.5])
    assert np.isnan(share[2])
    assert reasons[:2] == ["", ""]
    assert "differ by 0" in reasons[2]
