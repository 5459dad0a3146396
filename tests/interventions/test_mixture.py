"""Turning neurons of experts: equal to edited weights, by hand and in the files; what cannot be done is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.hooks import hooks_of
from torch import Tensor

import hneurons
from hneurons.contributions import Item, Recording, collect
from hneurons.errors import InterventionError, ModelError, UnsupportedModelError
from hneurons.interventions import ablate, gate, patch, scale, scale_rows
from hneurons.interventions.export import export
from hneurons.interventions.reference import activations, mean_activations
from hneurons.interventions.scaling import Scaling
from hneurons.models.language_model import LanguageModel
from hneurons.probes.labels import Neuron
from hneurons.probes.probe import Probe
from hneurons.probes.token_scores import token_scores

Make = Callable[..., LanguageModel]
IDS = torch.tensor([[5, 17, 40, 41, 9, 30], [8, 2, 100, 55, 60, 61]])


def logits(model: LanguageModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.hf(input_ids=IDS, use_cache=False).logits
    return found


def used(model: LanguageModel) -> list[Neuron]:
    """Two much used neurons of routed experts, or of the dense layer, of every layer, and one of the shared expert."""
    item = Item(key="q", prompt_ids=(5, 17), response_ids=(40, 41, 9, 30), answer=(0, 1, 2, 3))
    means = collect(model, [item], Recording()).answer[0]
    found = []
    for layer in range(model.n_layers):
        routed = model.neurons_in(layer)
        if model.layout is not None and layer not in model.layout.dense:
            routed -= model.layout.shared
            found += [(layer, routed + 3)] if model.layout.shared else []
        found += [(layer, index) for index in means[layer, :routed].topk(2).indices.tolist()]
    return found


def edited(model: LanguageModel, neurons: Sequence[Neuron], alpha: float) -> LanguageModel:
    """A copy with scaled columns, found by hand."""
    hf = copy.deepcopy(model.hf)
    state = hf.state_dict()
    for layer, index in neurons:
        path = f"model.layers.{layer}.mlp."
        if f"{path}down_proj.weight" in state:
            state[f"{path}down_proj.weight"][:, index] *= alpha
            continue
        down = state[f"{path}experts.down_proj"]
        gpt = model.anatomy.model_type == "gpt_oss"
        width = down.shape[1 if gpt else 2]
        expert, own = divmod(index, width)
        if expert >= len(down):
            name = "shared_expert" if model.anatomy.model_type == "qwen2_moe" else "shared_experts"
            state[f"{path}{name}.down_proj.weight"][:, index - len(down) * width] *= alpha
        elif gpt:
            down[expert, own] *= alpha
        else:
            down[expert][:, own] *= alpha
    return LanguageModel(hf, model.tokenizer, model.anatomy, name="edited")


def test_scaling_equals_edited_weights(moe_family: str, tiny_model: Make) -> None:
    model = tiny_model(moe_family, layers=3)
    neurons, before, plain = used(model), hooks_of(model), logits(model)
    size = plain.abs().max()
    for alpha in (0.0, 2.5):
        with scale(model, neurons, alpha):
            scaled = logits(model)
        assert (scaled - logits(edited(model, neurons, alpha))).abs().max() < 1e-5 * size
        assert (scaled - plain).abs().max() > 1e-3 * size
        beside = [(layer, index - 1 if index else 1) for layer, index in neurons]
        assert (scaled - logits(edited(model, beside, alpha))).abs().max() > 1e-4 * size
    with scale(model, neurons, 0.5), scale(model, neurons[:2], 3.0):
        twice = logits(model)
    expected = logits(edited(edited(model, neurons, 0.5), neurons[:2], 3.0))
    assert (twice - expected).abs().max() < 1e-5 * size
    assert torch.equal(logits(model), plain)
    assert hooks_of(model) == before


def test_every_row_is_scaled_by_its_own(moe_family: str, tiny_model: Make) -> None:
    model = tiny_model(moe_family, layers=3)
    neurons, plain = used(model), logits(model)
    with scale_rows(model, [Scaling(tuple(neurons), 0.0), Scaling(tuple(neurons[1:3]), 2.0)]):
        found = logits(model)
    first, second = logits(edited(model, neurons, 0.0))[0], logits(edited(model, neurons[1:3], 2.0))[1]
    size = plain.abs().max()
    assert (found[0] - first).abs().max() < 1e-5 * size
    assert (found[1] - second).abs().max() < 1e-5 * size
    assert (found - plain).abs().amax(dim=(1, 2)).min() > 1e-3 * size


def test_scaling_while_text_is_generated(tiny_model: Make) -> None:
    model = tiny_model("deepseek_v3", layers=3)
    neurons = used(model)
    ask: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(IDS)}
    with scale(model, neurons, 4.0):
        found = model.hf.generate(IDS, **ask)
    assert torch.equal(found, edited(model, neurons, 4.0).hf.generate(IDS, **ask))
    assert not torch.equal(found, model.hf.generate(IDS, **ask))


def test_ablation_to_zero_at_some_positions(tiny_model: Make) -> None:
    model = tiny_model("qwen2_moe", layers=3)
    neurons, plain = used(model), logits(model)
    with ablate(model, "neurons", neurons):
        everywhere = logits(model)
    with scale(model, neurons, 0.0):
        assert torch.equal(everywhere, logits(model))
    with ablate(model, "neurons", neurons, positions=[3]):
        some = logits(model)
    assert torch.equal(some[:, :3], plain[:, :3])
    with torch.no_grad():  # position 3 of the last layer's neurons reads its own past only
        last = [neuron for neuron in neurons if neuron[0] == 2]
        with ablate(model, "neurons", last, positions=[3]):
            only = logits(model)
        with scale(model, last, 0.0):
            torch.testing.assert_close(only[:, 3], logits(model)[:, 3], rtol=1e-5, atol=1e-5)
    assert torch.equal(only[:, 4:], plain[:, 4:])
    assert not torch.equal(only[:, 3], plain[:, 3])


def test_a_gate_scores_and_turns(tiny_model: Make, hand_probe: Callable[..., Probe]) -> None:
    model = tiny_model("qwen2_moe", layers=3)
    neurons = used(model)
    probe = hand_probe(model, dict.fromkeys(sorted(neurons), 6.0), intercept=-2.0)
    item = Item(key="q", prompt_ids=(5,), response_ids=(17, 40, 41, 9, 30), answer=(0,))
    scores = token_scores(model, probe, [item])[0]
    each = collect_alone(model, item)
    by_hand = 1 / (1 + np.exp(2.0 - 6 * sum(each[:, layer, index] for layer, index in neurons)))
    np.testing.assert_allclose(scores, by_hand, rtol=1e-4)
    threshold = float(np.median(scores))
    ids = torch.tensor([[5, 17, 40, 41, 9, 30]])
    with torch.no_grad():
        plain = model.hf(input_ids=ids, use_cache=False).logits
        with gate(model, probe, threshold=threshold, alpha=0.0) as count:
            gated = model.hf(input_ids=ids, use_cache=False).logits
        with gate(model, probe, threshold=-1.0, alpha=0.0):
            always = model.hf(input_ids=ids, use_cache=False).logits
        with scale(model, neurons, 0.0):
            torch.testing.assert_close(always, model.hf(input_ids=ids, use_cache=False).logits, rtol=1e-5, atol=1e-5)
    assert 1 <= int(count.turned.sum()) < 6
    assert count.repeated == 1
    assert (gated - plain).abs().max() > 1e-3
    assert (gated - always).abs().max() > 1e-3


def collect_alone(model: LanguageModel, item: Item) -> np.ndarray:
    """Contributions at every response token, each recorded as the only answer token."""
    items = [
        Item(key=f"{t}", prompt_ids=item.prompt_ids, response_ids=item.response_ids, answer=(t,))
        for t in range(len(item.response_ids))
    ]
    found: np.ndarray = collect(model, items, Recording(hidden=False)).answer.numpy()
    return found


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe-mixed", "gpt_oss", "qwen2_moe", "deepseek_v2"])
def test_an_export_computes_what_scaling_does(family: str, original: bool, tiny_model: Make, tmp_path: Path) -> None:
    if (family, original) == ("gpt_oss", False):
        pytest.skip("its files hold fused parameters either way")
    model = tiny_model(family, layers=3)
    neurons = used(model)
    model.hf.save_pretrained(tmp_path / "base", save_original_format=original)
    model.tokenizer.save_pretrained(tmp_path / "base")
    report = export(tmp_path / "base", neurons, 0.5, tmp_path / "copy")
    made = hneurons.load(tmp_path / "copy", device="cpu")
    with scale(model, neurons, 0.5):
        expected = logits(model)
    assert (logits(made) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (logits(made) - logits(model)).abs().max() > 1e-3
    assert sum(each.n_neurons for each in report.edited) == len(neurons)
    assert report.base.experts == model.layout
    changed = {
        name
        for (name, ours), theirs in zip(made.hf.state_dict().items(), model.hf.state_dict().values(), strict=True)
        if not torch.equal(ours, theirs)
    }
    assert all("down_proj" in name and not name.endswith("bias") for name in changed)
    assert len(changed) >= 3
    card = (tmp_path / "copy" / "README.md").read_text()
    assert f"of {model.neurons:,} (" in card
    assert "| layer | index | expert |" in card
    layer, index = neurons[-1]
    assert f"| {layer} | {index} | {model.fingerprint.expert(layer, index)} |" in card
    assert json.loads((tmp_path / "copy" / "hneurons.json").read_text())["base"]["experts"]["n_experts"] == 6 or (
        family == "deepseek_v2"
    )


def test_neurons_that_are_not_there_are_refused(tiny_model: Make, tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3", layers=3)
    absent = [(0, 40)]  # the first layer is dense and narrower
    reason = r"has no neuron \(0, 40\): layer 0 is narrower than others, with neurons 0 to 39"
    with pytest.raises(ModelError, match=reason), scale(model, absent, 0.0):
        pass
    with pytest.raises(ModelError, match=reason), scale_rows(model, [Scaling(tuple(absent), 0.0)]):
        pass
    with pytest.raises(ModelError, match=reason), ablate(model, "neurons", absent):
        pass
    model.hf.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(ModelError, match=reason):
        export(tmp_path / "base", absent, 0.0, tmp_path / "copy")
    with pytest.raises(ModelError, match=r"has no neuron \(1, 144\)"), scale(model, [(1, 144)], 0.0):
        pass


def test_what_has_no_meaning_in_experts_is_refused(tiny_model: Make) -> None:
    model = tiny_model("deepseek_v3", layers=3)
    ids = [(5, 17, 40), (8, 2)]
    with pytest.raises(UnsupportedModelError, match=r"layer 1 .* is a mixture of experts"):
        activations(model, ids, "neurons")
    dense = mean_activations(model, ids, "neurons", layers=[0])
    assert dense.values[0].shape == (40,)
    for how in ("mean", "resample"):
        with (
            pytest.raises(InterventionError, match=f"layer 1 .* {how} ablation of neurons is for dense layers"),
            ablate(model, "neurons", [(1, 3)], how=how),  # type: ignore[arg-type]
        ):
            pass


def test_ffn_outputs_and_streams_are_sites_as_anywhere(moe_family: str, tiny_model: Make) -> None:
    model = tiny_model(moe_family, layers=3)
    plain = logits(model)
    prompts = [tuple(row) for row in IDS.tolist()]
    for site in ("ffn", "residual"):
        for layer in range(3):
            read = activations(model, prompts, site, layers=[layer])
            assert read.values[layer].shape == (12, 32)
            with patch(model, read):
                torch.testing.assert_close(logits(model), plain, rtol=1e-5, atol=1e-5)
    with ablate(model, "ffn", [1]):
        without = logits(model)
    handle = model.ffn(1).register_forward_hook(lambda m, a, o: (o[0] * 0, *o[1:]) if isinstance(o, tuple) else o * 0)
    torch.testing.assert_close(without, logits(model), rtol=1e-6, atol=1e-6)
    handle.remove()
    assert (without - plain).abs().max() > 1e-2
