"""Indirect and direct effects against one run at a time with plain hooks, and where nothing interacts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hneurons.errors import InterventionError, ModelError
from hneurons.layers.causality.inputs import Input
from hneurons.layers.causality.mediation import (
    DIFFERENCE,
    DIRECT,
    INDIRECT,
    PROBABILITY,
    UNRELATED_DIRECT,
    UNRELATED_INDIRECT,
    Asked,
    Contrast,
    Readings,
    Spots,
    everything,
    mediate,
)
from hneurons.layers.causality.mediation_record import Component
from hneurons.models.language_model import LanguageModel

NEURONS = ((0, 3), (1, 7), (1, 40), (1, 41))
CLEAN, CORRUPT, UNRELATED = (1, 20, 91, 33, 140), (1, 20, 64, 250, 17, 140), (1, 77, 78, 79, 80)
ANSWERS = (201, 88)
ALL = Spots((0, 1, 2, 3, 4), (0, 1, 2, 3, 5), (0, 1, 2, 3, 4))
LAST = Spots((4,), (5,), (4,))


def contrast(unrelated: bool = True, **spots: Spots) -> Contrast:
    """Two runs of unequal length: the corrupt one has a token more, which stands for nothing."""
    places: dict[Any, Spots] = {"all": ALL, "last": LAST} | spots
    return Contrast("g", Input(CLEAN), Input(CORRUPT), ANSWERS, places, Input(UNRELATED) if unrelated else None)


def naive(
    model: LanguageModel,
    into: tuple[int, ...],
    component: Component,
    at: tuple[int, ...],
    source: tuple[int, ...],
    taken: tuple[int, ...],
) -> np.ndarray:
    """Logit difference and probability of one patched run, with hooks of its own on the modules."""
    kept: dict[int, torch.Tensor] = {}
    columns: dict[int, Any] = {}
    if component.kind == "neurons":
        columns = {layer: [index for own, index in NEURONS if own == layer] for layer in {own for own, _ in NEURONS}}
    else:
        width = model.head_size
        own = slice(None) if component.head is None else slice(component.head * width, (component.head + 1) * width)
        columns = {component.layer: own}

    def module(layer: int) -> tuple[nn.Module, bool]:
        if component.kind == "attention":
            return model.attention_out(layer), False
        if component.kind == "head":
            return model.attention_out(layer), True
        return model.down(layer), component.kind == "neurons"

    def run(ids: tuple[int, ...], change: Callable[[int, torch.Tensor], torch.Tensor | None]) -> np.ndarray:
        def act(layer: int, states: torch.Tensor) -> torch.Tensor | None:
            flat = states.reshape(-1, states.shape[-1]).clone()
            changed = change(layer, flat)
            return None if changed is None else changed.reshape(states.shape)

        def before(layer: int) -> Callable[..., Any]:
            def hook(_module: Any, inputs: Any) -> Any:
                new = act(layer, inputs[0])
                return None if new is None else (new, *inputs[1:])

            return hook

        with ExitStack() as stack, torch.no_grad():
            for layer in columns:
                where, early = module(layer)
                if early:
                    stack.callback(where.register_forward_pre_hook(before(layer)).remove)
                else:
                    handle = where.register_forward_hook(lambda _m, _i, output, layer=layer: act(layer, output))
                    stack.callback(handle.remove)
            last = model.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].double()
        return np.array([float(last[ANSWERS[0]] - last[ANSWERS[1]]), float(last.softmax(0)[ANSWERS[0]])])

    def keep(layer: int, states: torch.Tensor) -> None:
        kept[layer] = states

    def put(layer: int, states: torch.Tensor) -> torch.Tensor:
        for there, here in zip(at, taken, strict=True):
            states[there, columns[layer]] = kept[layer][here, columns[layer]]
        return states

    run(source, keep)
    return run(into, put)


def plain(model: LanguageModel, ids: tuple[int, ...]) -> np.ndarray:
    with torch.no_grad():
        last = model.hf(torch.tensor([ids]), use_cache=False).logits[0, -1].double()
    return np.array([float(last[ANSWERS[0]] - last[ANSWERS[1]]), float(last.softmax(0)[ANSWERS[0]])])


def test_effects_are_those_of_one_run_at_a_time(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    asked = [
        Asked(Component(kind="attention", layer=0), "all", unrelated=True),
        Asked(Component(kind="ffn", layer=1), "last"),
        Asked(Component(kind="head", layer=1, head=2), "all"),
        Asked(Component(kind="neurons"), "all", neurons=NEURONS),
    ]
    found = mediate(model, [contrast()], asked, batch_rows=5)
    clean, corrupt = plain(model, CLEAN), plain(model, CORRUPT)
    np.testing.assert_allclose(found.runs[0, :, DIFFERENCE], [clean[0], corrupt[0]], atol=2e-4)
    np.testing.assert_allclose(found.runs[0, :, PROBABILITY], [clean[1], corrupt[1]], rtol=1e-3)
    for number, each in enumerate(asked):
        spots = ALL if each.where == "all" else LAST
        runs = {
            INDIRECT: naive(model, CORRUPT, each.component, spots.corrupt, CLEAN, spots.clean),
            DIRECT: naive(model, CLEAN, each.component, spots.clean, CORRUPT, spots.corrupt),
        }
        assert abs(found.patched[0, number, INDIRECT, 0] - runs[DIRECT][0]) > 3e-3  # the two swapped
        if each.unrelated:
            runs[UNRELATED_INDIRECT] = naive(model, CORRUPT, each.component, ALL.corrupt, UNRELATED, ALL.unrelated)
            runs[UNRELATED_DIRECT] = naive(model, CLEAN, each.component, ALL.clean, UNRELATED, ALL.unrelated)
        for how, expected in runs.items():
            np.testing.assert_allclose(found.patched[0, number, how, PROBABILITY], expected[1], rtol=1e-3)
            np.testing.assert_allclose(found.effects(number, how)[0], expected - corrupt, atol=3e-4)
        if not each.unrelated:
            assert np.isnan(found.patched[0, number, UNRELATED_INDIRECT:]).all()


@pytest.fixture(scope="module")
def linear(tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    """A llama without its last norm: what the last layer writes is added to the logits, and to nothing else."""
    hf = copy.deepcopy(tiny_model("llama", layers=3).hf)
    hf.model.norm = nn.Identity()
    return LanguageModel(hf, tiny_model("llama", layers=3).tokenizer, tiny_model("llama").anatomy, name="linear")


def parts(found: Readings, number: int, measure: int = DIFFERENCE) -> tuple[float, float, float]:
    """TE, NIE and NDE of the first contrast."""
    return (
        float(found.total()[0, measure]),
        float(found.effects(number, INDIRECT)[0, measure]),
        float(found.effects(number, DIRECT)[0, measure]),
    )


def test_where_nothing_interacts_indirect_and_direct_effect_are_the_whole(linear: LanguageModel) -> None:
    asked = [Asked(Component(kind="ffn", layer=layer), "all") for layer in range(3)]
    found = mediate(linear, [contrast()], asked)
    total, indirect, direct = parts(found, 2)
    assert abs(total - indirect - direct) < 1e-4
    assert min(abs(total), abs(indirect), abs(direct), abs(indirect - direct)) > 1e-2
    for number in range(2):  # what later layers make of it, they make together with the rest
        total, indirect, direct = parts(found, number)
        assert abs(total - indirect - direct) > 1e-2
    total, indirect, direct = parts(found, 2, PROBABILITY)  # nor are probabilities sums
    assert abs(total - indirect - direct) > 0.05 * abs(total)


def test_all_of_the_last_residual_stream_would_be_the_total_effect(linear: LanguageModel) -> None:
    every = tuple((2, index) for index in range(linear.n_neurons))
    asked = [Asked(Component(kind="ffn", layer=2), "last"), Asked(Component(kind="neurons"), "last", neurons=every)]
    found = mediate(linear, [contrast()], asked)
    np.testing.assert_allclose(parts(found, 0), parts(found, 1), atol=1e-4)  # all neurons of a layer are its FFN


def test_contrasts_do_not_touch_each_other(tiny_llama: LanguageModel) -> None:
    other = Contrast(
        "h", Input(CORRUPT), Input(CLEAN), (5, 6), {"all": Spots(ALL.corrupt, ALL.clean), "subject": Spots((2,), (3,))}
    )
    asked = everything(tiny_llama, NEURONS, [NEURONS[:2]])
    together = mediate(tiny_llama, [contrast(), other, contrast(False)], asked, batch_rows=7)
    alone = [mediate(tiny_llama, [each], asked, batch_rows=64) for each in (contrast(), other, contrast(False))]
    np.testing.assert_allclose(together.runs, np.concatenate([each.runs for each in alone]), atol=1e-4)
    np.testing.assert_allclose(together.patched, np.concatenate([each.patched for each in alone]), atol=1e-4)
    wheres = np.array([each.where for each in asked])
    assert np.isnan(together.patched[0, wheres == "subject"]).all()  # no subject there
    assert np.isnan(together.patched[1, wheres == "last"]).all()
    assert np.isfinite(together.patched[1, wheres == "subject", :2]).all()
    assert np.isnan(together.patched[2, :, UNRELATED_INDIRECT:]).all()
    assert np.isfinite(together.patched[:2, wheres == "all", :2]).all()


def test_everything_is_every_component_at_its_places(tiny_llama: LanguageModel) -> None:
    asked = everything(tiny_llama, NEURONS, [NEURONS[:2], NEURONS[2:]])
    assert len(asked) == 3 * 2 * 3 + 3 * 4 + 1 + 2
    assert len(everything(tiny_llama, ())) == 3 * 2 * 3 + 3 * 4
    assert {each.where for each in asked if each.component.kind in ("head", "neurons")} == {"all"}
    assert [each.unrelated for each in asked[-3:]] == [True, False, False]


def test_what_cannot_be_asked_is_refused(tiny_llama: LanguageModel) -> None:
    ffn = Asked(Component(kind="ffn", layer=0), "all")
    with pytest.raises(InterventionError, match="no contrast"):
        mediate(tiny_llama, [], [ffn])
    with pytest.raises(InterventionError, match="no component"):
        mediate(tiny_llama, [contrast()], [])
    with pytest.raises(InterventionError, match="stand for"):
        mediate(tiny_llama, [contrast(subject=Spots((1, 2), (1,)))], [ffn])
    with pytest.raises(InterventionError, match="none is named"):
        mediate(tiny_llama, [contrast()], [Asked(Component(kind="neurons"), "all")])
    with pytest.raises(ModelError, match="no layer"):
        mediate(tiny_llama, [contrast()], [Asked(Component(kind="ffn", layer=3), "all")])
