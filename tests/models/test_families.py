"""Every architecture against a naive computation that knows nothing of its row: paths and formulas by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hneurons.models.families import FAMILIES, MIXTURES, supported_families
from hneurons.models.language_model import LanguageModel


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


@dataclass(frozen=True)
class Hand:
    """Names in the state dictionary, and the formula, of one architecture."""

    layer: str = "model.layers.{}."
    up: str = "mlp.up_proj"
    gate: str | None = "mlp.gate_proj"
    down: str = "mlp.down_proj"
    act: Callable[[Tensor], Tensor] = silu


WRAPPED = "model.language_model.layers.{}."
H4 = {"up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h", "gate": None}
HANDS = {
    "llama": Hand(),
    "mistral": Hand(),
    "mistral3": Hand(WRAPPED),
    "gemma": Hand(act=gelu_tanh),
    "gemma2": Hand(act=gelu_tanh),
    "gemma3_text": Hand(act=gelu_tanh),
    "gemma3": Hand(WRAPPED, act=gelu_tanh),
    "qwen2": Hand(),
    "qwen3": Hand(),
    "phi3": Hand(up="mlp.gate_up_proj", gate="mlp.gate_up_proj"),
    "olmo2": Hand(),
    "granite": Hand(),
    "cohere": Hand(),
    "cohere2": Hand(),
    "smollm3": Hand(),
    "stablelm": Hand(),
    "falcon": Hand("transformer.h.{}.", act=gelu, **H4),
    "gpt2": Hand("transformer.h.{}.", up="mlp.c_fc", gate=None, down="mlp.c_proj", act=gelu_tanh),
    "gpt_neox": Hand("gpt_neox.layers.{}.", act=gelu, **H4),
    "phi": Hand(up="mlp.fc1", gate=None, down="mlp.fc2", act=gelu_tanh),
    "opt": Hand("model.decoder.layers.{}.", up="fc1", gate=None, down="fc2", act=torch.relu),
    "bloom": Hand("transformer.h.{}.", act=gelu_tanh, **H4),
    "gptj": Hand("transformer.h.{}.", up="mlp.fc_in", gate=None, down="mlp.fc_out", act=gelu_tanh),
}


def tokens(model: LanguageModel, length: int = 5) -> Tensor:
    return torch.randint(8, 200, (2, length), generator=torch.Generator().manual_seed(1))


def record(model: LanguageModel, modules: dict[str, nn.Module]) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of each module in one forward pass, copied, with the batch flattened."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            first = output[0] if isinstance(output, tuple) else output
            seen[name] = (args[0].detach().clone().flatten(0, -2), first.detach().clone().flatten(0, -2))

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    with torch.no_grad():
        model.hf(input_ids=tokens(model), use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


def naive(model: LanguageModel, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """z, W_down and contributions of `layer` in float64, from the state dictionary and the input of the FFN alone."""
    hand = HANDS[model.anatomy.model_type]
    state = {name: value.double() for name, value in model.hf.state_dict().items()}
    prefix = hand.layer.format(layer)
    x = record(model, {"up": model.hf.get_submodule(prefix + hand.up)})["up"][0].double()

    def project(name: str) -> Tensor:
        weight = state[f"{prefix}{name}.weight"]
        weight = weight.T if model.anatomy.model_type == "gpt2" else weight
        return F.linear(x, weight, state.get(f"{prefix}{name}.bias"))

    if hand.gate is None:
        z = hand.act(project(hand.up))
    elif hand.gate == hand.up:
        half = model.n_neurons
        z = hand.act(project(hand.up)[:, :half]) * project(hand.up)[:, half:]
    else:
        z = hand.act(project(hand.gate)) * project(hand.up)
    w = state[f"{prefix}{hand.down}.weight"]
    w = w.T if model.anatomy.model_type == "gpt2" else w

    contributions = torch.zeros_like(z)
    for t in range(len(z)):
        h = torch.zeros(w.shape[0], dtype=torch.float64)
        own = torch.zeros(z.shape[1], dtype=torch.float64)
        for j in range(z.shape[1]):
            h_j = w[:, j] * z[t, j]
            own[j] = h_j.norm()
            h += h_j
        contributions[t] = own / h.norm()
    return z, w, contributions


def of_model(model: LanguageModel, layer: int, *, with_bias: bool = False) -> tuple[Tensor, Tensor]:
    """z and contributions of `layer` from what `LanguageModel` offers."""
    z, out = record(model, {"down": model.down(layer)})["down"]
    bias = model.down_bias(layer)
    h = out if with_bias or bias is None else out - bias
    return z, z.abs() * model.column_norms()[layer] / h.norm(dim=-1, keepdim=True)


def test_every_row_has_a_hand_written_twin() -> None:
    assert set(HANDS) == set(FAMILIES)
    assert [*FAMILIES, *MIXTURES] == [row.model_type for row in supported_families()]


def test_contributions_equal_a_loop_over_neurons(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    assert model.residual < 1e-5
    for layer in range(model.n_layers):
        z_expected, w, expected = naive(model, layer)
        z, found = of_model(model, layer)
        torch.testing.assert_close(z.double(), z_expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.down_weight(layer).double(), w, rtol=0, atol=0)
        torch.testing.assert_close(model.column_norms()[layer].double(), w.norm(dim=0), rtol=1e-6, atol=0)
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-5)
        assert expected.std() > 0.01  # not all alike, so that a wrong order of neurons would show
        assert not torch.allclose(found.double(), expected.roll(1, dims=1), rtol=1e-1)


@pytest.mark.parametrize("family", ["llama-bias", "gpt2", "opt", "bloom"])
def test_counting_the_bias_in_would_show(family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(family)
    _, _, expected = naive(model, 0)
    _, wrong = of_model(model, 0, with_bias=True)
    assert not torch.allclose(wrong.double(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "olmo2"])
def test_the_denominator_is_taken_before_a_norm_after_the_ffn(
    family: str, tiny_model: Callable[..., LanguageModel]
) -> None:
    model = tiny_model(family)
    assert model.anatomy.post_norm is not None
    norm = model.block(0).get_submodule(model.anatomy.post_norm)
    seen = record(model, {"down": model.down(0), "norm": norm})
    torch.testing.assert_close(seen["down"][1], seen["norm"][0], rtol=0, atol=0)
    assert not torch.allclose(seen["norm"][1].norm(dim=-1), seen["norm"][0].norm(dim=-1), rtol=0.1)


def test_a_block_puts_out_the_residual_stream(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    seen = record(model, {"first": model.block(0), "second": model.block(1)})
    with torch.no_grad():
        states = model.hf(input_ids=tokens(model), use_cache=False, output_hidden_states=True).hidden_states
    torch.testing.assert_close(states[1].flatten(0, 1), seen["first"][1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(seen["second"][0], seen["first"][1], rtol=1e-5, atol=1e-6)
