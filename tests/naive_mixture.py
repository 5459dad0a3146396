"""Layers with experts by hand, in float64: routing, every expert and every neuron in a loop, from the parameters alone.

Nothing of hneurons is used but the model's parameters and the FFN's input. `wrong` makes one deliberate mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

MISTAKES = ("no routing weight", "biases kept", "routed only", "halves swapped", "shared first")


@dataclass(frozen=True)
class NaiveFFN:
    """One layer at some tokens: what every neuron writes, (tokens, neurons, hidden), and all of it with biases."""

    parts: np.ndarray
    output: np.ndarray
    denominator: np.ndarray  # (tokens,)

    @property
    def cett(self) -> np.ndarray:
        return np.linalg.norm(self.parts, axis=-1) / self.denominator[:, None]


def naive_ffn(model: Any, layer: int, x: np.ndarray, wrong: str = "") -> NaiveFFN:
    """`x` is the FFN's input, (tokens, hidden)."""
    config, kind = model.hf.config, model.hf.config.model_type
    prefix = f"model.layers.{layer}.mlp."
    state = {
        name.removeprefix(prefix): value.double().numpy()
        for name, value in model.hf.state_dict().items()
        if name.startswith(prefix)
    }
    tokens, hidden = x.shape
    if "experts.down_proj" not in state:
        z = dense(state, "", x)
        parts = z[:, :, None] * state["down_proj.weight"].T[None]
        bias = state.get("down_proj.bias", np.zeros(hidden))
        h = parts.sum(axis=1)
        return NaiveFFN(parts, h + bias, np.linalg.norm(h + bias * (wrong == "biases kept"), axis=-1))
    down = state["experts.down_proj"]
    if kind == "gpt_oss":
        down = down.transpose(0, 2, 1)
    n_experts, _, width = down.shape
    shared = next((name for name in ("shared_expert", "shared_experts") if f"{name}.down_proj.weight" in state), None)
    n_shared = state[f"{shared}.down_proj.weight"].shape[1] if shared else 0
    parts = np.zeros((tokens, n_experts * width + n_shared, hidden))
    biases = np.zeros((tokens, hidden))
    for t in range(tokens):
        for expert, weight in routing(kind, config, state, x[t]).items():
            r = 1.0 if wrong == "no routing weight" else weight
            z = expert_z(kind, config, state, expert, x[t], wrong)
            for j in range(width):
                parts[t, expert * width + j] = r * z[j] * down[expert][:, j]
            if "experts.down_proj_bias" in state:
                biases[t] += r * state["experts.down_proj_bias"][expert]
        if shared:
            s = 1.0
            if "shared_expert_gate.weight" in state:
                s = 1 / (1 + np.exp(-float(state["shared_expert_gate.weight"][0] @ x[t])))
            z = dense(state, f"{shared}.", x[t : t + 1])[0]
            for j in range(n_shared):
                parts[t, n_experts * width + j] = s * z[j] * state[f"{shared}.down_proj.weight"][:, j]
            biases[t] += s * state.get(f"{shared}.down_proj.bias", np.zeros(hidden))
    whole = parts.sum(axis=1)
    of = parts[:, : n_experts * width].sum(axis=1) if wrong == "routed only" else whole
    of = of + biases if wrong == "biases kept" else of
    if wrong == "shared first":
        parts = np.concatenate([parts[:, n_experts * width :], parts[:, : n_experts * width]], axis=1)
    return NaiveFFN(parts, whole + biases, np.linalg.norm(of, axis=-1))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def dense(state: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    gate = x @ state[f"{name}gate_proj.weight"].T + state.get(f"{name}gate_proj.bias", 0)
    up = x @ state[f"{name}up_proj.weight"].T + state.get(f"{name}up_proj.bias", 0)
    return silu(gate) * up


def expert_z(
    kind: str, config: Any, state: dict[str, np.ndarray], expert: int, x: np.ndarray, wrong: str
) -> np.ndarray:
    weight = state["experts.gate_up_proj"][expert]
    if kind == "gpt_oss":
        both = x @ weight + state["experts.gate_up_proj_bias"][expert]
        gate, up = both[0::2], both[1::2]
        if wrong == "halves swapped":
            gate, up = up, gate
        gate, up = np.minimum(gate, config.swiglu_limit), np.clip(up, -config.swiglu_limit, config.swiglu_limit)
        return (up + 1) * gate / (1 + np.exp(-config.swiglu_alpha * gate))
    both = weight @ x
    gate, up = both[: len(both) // 2], both[len(both) // 2 :]
    if wrong == "halves swapped":
        gate, up = up, gate
    return silu(gate) * up


def routing(kind: str, config: Any, state: dict[str, np.ndarray], x: np.ndarray) -> dict[int, float]:
    """Experts of one token and their weights."""
    k = config.num_experts_per_tok
    if kind == "gpt_oss":
        logits = state["router.weight"] @ x + state["router.bias"]
        best = np.argsort(-logits)[:k]
        scores = np.exp(logits[best] - logits[best].max())
        return dict(zip(best.tolist(), (scores / scores.sum()).tolist(), strict=True))
    logits = state["gate.weight"] @ x
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    if kind == "deepseek_v3":
        scores = 1 / (1 + np.exp(-logits))
        choice = scores + state["gate.e_score_correction_bias"]
        groups = choice.reshape(config.n_group, -1)
        best_groups = np.argsort(-np.sort(groups, axis=1)[:, -2:].sum(axis=1))[: config.topk_group]
        for group in range(config.n_group):
            if group not in best_groups:
                groups[group] = -np.inf
        best = np.argsort(-groups.ravel())[:k]
        chosen = scores[best]
        if config.norm_topk_prob:
            chosen = chosen / (chosen.sum() + 1e-20)
        return dict(zip(best.tolist(), (chosen * config.routed_scaling_factor).tolist(), strict=True))
    best = np.argsort(-softmax)[:k]
    chosen = softmax[best]
    if kind == "mixtral" or (kind != "deepseek_v2" and config.norm_topk_prob):
        chosen = chosen / chosen.sum()
    if kind == "deepseek_v2":
        chosen = chosen * config.routed_scaling_factor
    return dict(zip(best.tolist(), chosen.tolist(), strict=True))


def run(model: Any, ids: list[int], layers: range | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Input and output of every layer's FFN, (tokens, hidden) each, in a pass over one sequence."""
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def keep(layer: int) -> Any:
        def hook(_module: Any, args: Any, output: Any) -> None:
            out = output[0] if isinstance(output, tuple) else output
            seen[layer] = args[0].double().flatten(0, -2).numpy(), out.double().flatten(0, -2).numpy()

        return hook

    handles = [model.ffn(layer).register_forward_hook(keep(layer)) for layer in range(model.n_layers)]
    with torch.no_grad():
        model.hf(input_ids=torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return [seen[layer] for layer in range(model.n_layers)]


def mixtral_twin(llama: Any, n_experts: int) -> Any:
    """A Mixtral that computes what a Llama does: every expert is its FFN, and all of them are asked.

    Routing weights add up to 1, so the contributions of a neuron's copies add up to its own.
    """
    own = llama.config.to_dict()
    same = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    same += ("vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_parameters", "tie_word_embeddings")
    same += ("pad_token_id", "bos_token_id", "eos_token_id", "head_dim")
    config = AutoConfig.for_model(
        "mixtral", **{name: own[name] for name in same}, num_local_experts=n_experts, num_experts_per_tok=n_experts
    )
    twin = AutoModelForCausalLM.from_config(config).to(llama.dtype)
    state = {name: value for name, value in llama.state_dict().items() if ".mlp." not in name}
    for layer in range(config.num_hidden_layers):
        path = f"model.layers.{layer}.mlp."
        gate, up, down = (llama.state_dict()[f"{path}{part}_proj.weight"] for part in ("gate", "up", "down"))
        state[f"{path}experts.gate_up_proj"] = torch.cat([gate, up]).expand(n_experts, -1, -1).clone()
        state[f"{path}experts.down_proj"] = down.expand(n_experts, -1, -1).clone()
        router = torch.randn(n_experts, config.hidden_size, generator=torch.Generator().manual_seed(layer))
        state[f"{path}gate.weight"] = router.to(llama.dtype) * 0.5
    twin.load_state_dict(state)
    twin.generation_config = llama.generation_config
    return twin
