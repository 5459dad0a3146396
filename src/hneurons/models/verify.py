"""Checks on a real forward pass that neurons and heads are where a row says; what fails is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from accelerate.utils import align_module_device
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from transformers import PreTrainedModel

from hneurons.errors import AnatomyMismatchError
from hneurons.models.anatomy import Anatomy
from hneurons.models.experts import activations, combined, route
from hneurons.models.parts import LayerParts, MixtureParts, Parts, bias_of, expert_shape, oriented_weight
from hneurons.models.quantized import as_multiplied, computes_in

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 3e-2}
"""Largest relative difference that rounding may explain. A wrong row differs by about 1.

Quantized weights need no more: what leaves a projection is held against its dequantized weights, and in LLM.int8(),
which rounds its input to 8 bits, against that input rounded likewise. Where a product passes through a narrower type
than the model's (float16 in LLM.int8()), the tolerance is the wider of the two.
"""

_TOKENS = 8
_CHECKS = {
    "activation": "what enters {down} is not {formula}",
    "projection": "what leaves {down} is not its weights times what enters it",
    "exit": "what leaves the FFN is not what {down} puts out",
    "attention": "what leaves the attention is not {attention_out} of what enters that",
    "experts": "what leaves the routed experts is not the sum, by routing weight, of what they make of {formula}",
}
_DENSE = ("activation", "projection", "exit", "attention")


class Verification(BaseModel):
    """Largest relative difference (||a - b|| / ||b|| of one token's vector) over layers and tokens, for each check.

    `activation`: what enters the down-projection against act(gate) * up, or act(up). `projection`: what leaves it
    against W_down z plus bias, in float32 or wider. `exit`: what leaves the FFN against what the down-projection puts
    out. `attention`: what leaves the attention against its output projection of what enters that, likewise. Weights
    are the dequantized ones where they are quantized.

    Where layers have experts, the first two are those of dense layers and shared experts, 0 where there are none;
    `experts` is what leaves the routed ones against sum_e r_e (W_down^e z^e + bias), z by the row, the sum in float32
    or wider; and `exit` holds what leaves the FFN against that module's output plus the shared expert's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activation: float
    projection: float
    exit: float
    attention: float
    tolerance: float
    experts: float | None = None

    @property
    def worst(self) -> float:
        """The largest of them."""
        return max(self.activation, self.projection, self.exit, self.attention, self.experts or 0.0)


def verify(hf: PreTrainedModel, anatomy: Anatomy, parts: Sequence[Parts], *, device: torch.device) -> Verification:
    """Run a few seeded tokens through the model and hold every layer against its row.

    Raises:
        AnatomyMismatchError: a layer differs by more than its dtype explains, or did not run as the row says.
    """
    watches = [
        _MixtureWatch(layer, anatomy) if isinstance(layer, MixtureParts) else _Watch(layer, anatomy) for layer in parts
    ]
    with ExitStack() as hooks, torch.no_grad():
        for watch in watches:
            watch.attach(hooks)
        hf(input_ids=_tokens(hf).to(device), use_cache=False)
    types = {kind for layer in parts for module in _projections(layer) for kind in computes_in(module, hf.dtype)}
    tolerance = max(TOLERANCE[kind] for kind in types)
    worst = dict.fromkeys(_DENSE, 0.0)
    for index, watch in enumerate(watches):
        for check in watch.checks:
            message, difference = _CHECKS[check], watch.differences.get(check)
            if difference is None:
                part = "attention" if check == "attention" else "FFN"
                raise AnatomyMismatchError(
                    f"layer {index}: the modules of its {part} did not run in the order of a "
                    f"{anatomy.model_type!r} model; it cannot be used"
                )
            if not difference <= tolerance:  # NaN fails too
                what = message.format(down=anatomy.down, formula=anatomy.formula, attention_out=anatomy.attention_out)
                cause = (
                    f"relative difference {difference:.2g}, tolerance {tolerance:.2g}; this is not what a "
                    f"{anatomy.model_type!r} model should be and it cannot be used"
                    if math.isfinite(difference)
                    else 'values overflow; load it with dtype="bfloat16" or "float32"'
                )
                raise AnatomyMismatchError(f"layer {index}: {what}: {cause}")
            worst[check] = max(worst.get(check, 0.0), difference)
    return Verification(**worst, tolerance=tolerance)


class _Watch:
    """Hooks of one layer. Everything is compared while the layer runs: its weights are at hand and nothing is kept."""

    checks: tuple[str, ...] = _DENSE

    def __init__(self, parts: LayerParts, anatomy: Anatomy) -> None:
        self.parts = parts
        self.anatomy = anatomy
        self.seen: dict[str, Tensor] = {}
        self.differences: dict[str, float] = {}

    def attach(self, hooks: ExitStack) -> None:
        parts = self.parts
        handles = [
            parts.up.register_forward_hook(self._after_up),
            parts.down.register_forward_hook(self._after_down),
            parts.attention_out.register_forward_hook(self._after_attention_out),
            parts.attention.register_forward_hook(self._after_attention),
        ]
        if parts.gate is not None and parts.gate is not parts.up:
            handles.append(parts.gate.register_forward_hook(self._after_gate))
        if parts.norm is not None:
            handles.append(parts.norm.register_forward_hook(self._after_norm))
        last = parts.block if self.anatomy.exit == "layer" else parts.ffn
        handles.append(last.register_forward_hook(self._after_ffn))
        for handle in handles:
            hooks.callback(handle.remove)

    def _keep(self, name: str, value: Tensor) -> None:
        if name in self.seen:  # a second call in one pass: not the FFN that the row describes
            self.seen[name] = torch.full_like(value, torch.nan)
        else:
            self.seen[name] = value.detach().clone()  # some models write into these tensors afterwards

    def _after_up(self, _module: Any, args: tuple[Any, ...], output: Tensor) -> None:
        self._keep("x", args[0])
        if self.anatomy.packed is None:
            self._keep("up", output)
        else:
            halves = output.chunk(2, dim=-1)
            for name, half in zip(self.anatomy.packed.split("_"), halves, strict=True):
                self._keep(name, half)

    def _after_gate(self, _module: Any, _args: Any, output: Tensor) -> None:
        self._keep("gate", output)

    def _after_norm(self, _module: Any, args: tuple[Any, ...], _output: Any) -> None:
        self._keep("norm", args[0])

    def _after_down(self, module: Any, args: tuple[Any, ...], output: Tensor) -> None:
        z = args[0].detach()
        names = ("up", "gate") if self.anatomy.gated else ("up",)
        if not all(name in self.seen for name in names):
            return
        with torch.no_grad():
            up = self.seen["up"]
            expected = self.parts.act(self.seen["gate"]) * up if self.anatomy.gated else self.parts.act(up)
            self.differences["activation"] = _relative(z, expected)
            self.differences["projection"] = _relative(output, self._projected(module, z))
        self._keep("down", output)

    def _after_attention_out(self, module: Any, args: tuple[Any, ...], _output: Any) -> None:
        self._keep("attention", self._projected(module, args[0]))

    def _after_attention(self, _module: Any, args: tuple[Any, ...], output: Any) -> None:
        if "attention" not in self.seen:
            return
        out: Tensor = output[0] if isinstance(output, tuple) else output
        expected = self.seen["attention"]
        if self.anatomy.exit == "output+residual":  # the attention of such a layer adds it too
            expected = args[1] + expected
        self.differences["attention"] = _relative(out, expected)

    def _projected(self, module: Any, states: Tensor) -> Tensor:
        """A projection of `states`, computed anew in float32 or wider."""
        return _projected(module, states, self.anatomy)

    def _after_ffn(self, _module: Any, args: tuple[Any, ...], output: Any) -> None:
        if "down" not in self.seen:
            return
        out: Tensor = output[0] if isinstance(output, tuple) else output
        h = self.seen["down"]
        if self.anatomy.exit == "output":
            self.differences["exit"] = _relative(out, h)
        elif self.anatomy.exit == "output+residual":
            self.differences["exit"] = _relative(out, args[1] + h)
        elif "norm" in self.seen:
            # Norm first: the residual stream enters the norm, and it plus h leaves the layer. Norm last: the residual
            # stream is what the FFN reads, and it plus h enters the norm.
            norm, x, out, h = (t.flatten(0, -2) for t in (self.seen["norm"], self.seen["x"], out, h))
            first, last = _relative(out, norm + h), _relative(norm, x + h)
            self.differences["exit"] = min(first, last)


def _projections(parts: Parts) -> tuple[nn.Module, ...]:
    return (parts.attention_out,) if isinstance(parts, MixtureParts) else (parts.down, parts.attention_out)


class _MixtureWatch:
    """Hooks of a layer with experts; its shared expert and its attention are watched as those of a dense one."""

    def __init__(self, parts: MixtureParts, anatomy: Anatomy) -> None:
        self.parts = parts
        self.anatomy = anatomy
        self.shared = None if parts.shared is None else _Watch(parts.shared, anatomy)
        self.seen: dict[str, Tensor] = {}
        self.own: dict[str, float] = {}
        self.checks = ("experts", "exit", "attention", *(_DENSE[:2] if self.shared else ()))

    @property
    def differences(self) -> dict[str, float]:
        """Those of the shared expert, and our own; the exit of either."""
        shared = {} if self.shared is None else self.shared.differences
        return shared | self.own | {name: max(shared[name], self.own[name]) for name in shared.keys() & self.own.keys()}

    def attach(self, hooks: ExitStack) -> None:
        parts = self.parts
        if self.shared is not None:
            self.shared.attach(hooks)
        handles = [
            parts.experts.register_forward_hook(self._after_experts),
            parts.ffn.register_forward_hook(self._after_ffn),
            parts.attention_out.register_forward_hook(self._after_attention_out),
            parts.attention.register_forward_hook(self._after_attention),
        ]
        if parts.shared_gate is not None:
            handles.append(parts.shared_gate.register_forward_hook(self._after_shared_gate))
        for handle in handles:
            hooks.callback(handle.remove)

    def _after_experts(self, module: Any, args: tuple[Any, ...], output: Tensor) -> None:
        mixture = self.anatomy.mixture
        assert mixture is not None
        with torch.no_grad(), align_module_device(module):
            states, index, weights = args
            routed = route(index, weights, expert_shape(module, self.anatomy)[0])
            z = torch.cat([activations(module, mixture, states[routed.tokens[own]], e) for e, own in routed.segments()])
            pairs = combined(module, mixture, _wide(z), routed)
            expected = torch.zeros(output.shape, dtype=pairs.dtype, device=pairs.device)
            expected.index_add_(0, routed.tokens, pairs)
        self.own["experts"] = _relative(output, expected) if "experts" not in self.own else math.nan  # called twice
        self.seen["experts"] = output.detach().clone()

    def _after_shared_gate(self, _module: Any, _args: Any, output: Tensor) -> None:
        self.seen["gate"] = output.detach().sigmoid()

    def _after_ffn(self, _module: Any, _args: Any, output: Any) -> None:
        if "experts" not in self.seen:
            return
        out = (output[0] if isinstance(output, tuple) else output).flatten(0, -2)
        expected = _wide(self.seen["experts"])
        if self.shared is not None:
            if "down" not in self.shared.seen:
                return
            shared = _wide(self.shared.seen["down"]).flatten(0, -2)
            if self.parts.shared_gate is not None:
                if "gate" not in self.seen:
                    return
                shared = shared * _wide(self.seen["gate"]).flatten(0, -2)
            expected = expected + shared
        self.own["exit"] = _relative(out, expected)

    def _after_attention_out(self, module: Any, args: tuple[Any, ...], _output: Any) -> None:
        self.seen["attention"] = _projected(module, args[0], self.anatomy)

    def _after_attention(self, _module: Any, _args: Any, output: Any) -> None:
        if "attention" in self.seen:
            out: Tensor = output[0] if isinstance(output, tuple) else output
            self.own["attention"] = _relative(out, self.seen["attention"])


def _projected(module: Any, states: Tensor, anatomy: Anatomy) -> Tensor:
    """A projection of `states`, computed anew in float32 or wider."""
    with torch.no_grad():
        projected = _wide(as_multiplied(module, states)) @ _wide(oriented_weight(module, anatomy)).T
        bias = bias_of(module)
        return projected if bias is None else projected + _wide(bias)


def _tokens(hf: PreTrainedModel) -> Int[Tensor, "one tokens"]:
    """A few seeded token ids that mean nothing special, such as padding or an image."""
    config: Any = hf.config
    embedding: Any = hf.get_input_embeddings()
    rows: int = embedding.num_embeddings
    text = config.get_text_config()
    special = {
        value
        for source in (config, text)
        for name, value in source.to_dict().items()
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int)
    }
    limit = min(rows, getattr(text, "vocab_size", rows))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, limit, (_TOKENS + 4 * len(special) + 64,), generator=generator).tolist()
    chosen = [i for i in drawn if i not in special][:_TOKENS]
    return torch.tensor([chosen], dtype=torch.long)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().float()


def _relative(found: Float[Tensor, "*shape hidden"], expected: Float[Tensor, "*shape hidden"]) -> float:
    """Largest ||found - expected|| / ||expected|| over all vectors; NaN where anything is not finite."""
    found, expected = _wide(found), _wide(expected).to(found.device)
    difference = torch.linalg.vector_norm(found - expected, dim=-1)
    size = torch.linalg.vector_norm(expected, dim=-1).clamp_min(torch.finfo(expected.dtype).tiny)
    return float((difference / size).max())
