"""The supported architectures, one row each. A new one is a row here and a tiny model in the tests."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from hneurons.models.anatomy import Anatomy
from hneurons.models.mixture import Mixture

LLAMA = Anatomy("llama", "Llama 2, 3 and their many relatives", "LlamaForCausalLM")
"""The common layout; most rows below differ from it in a name or two."""

_PHI3 = replace(
    LLAMA,
    model_type="phi3",
    title="Phi-3, Phi-3.5, Phi-4",
    model_class="Phi3ForCausalLM",
    up="mlp.gate_up_proj",
    gate="mlp.gate_up_proj",
    act="mlp.activation_fn",
    packed="gate_up",
)

_ROWS = (
    LLAMA,
    replace(LLAMA, model_type="mistral", title="Mistral, Mistral NeMo", model_class="MistralForCausalLM"),
    replace(
        LLAMA,
        model_type="mistral3",
        title="Mistral Small 3.1 and later",
        model_class="Mistral3ForConditionalGeneration",
        layers="model.language_model.layers",
        tail=("model.language_model.norm",),
        text_types=("mistral",),
    ),
    replace(LLAMA, model_type="gemma", title="Gemma", model_class="GemmaForCausalLM"),
    replace(
        LLAMA,
        model_type="gemma2",
        title="Gemma 2",
        model_class="Gemma2ForCausalLM",
        post_norm="post_feedforward_layernorm",
    ),
    replace(
        LLAMA,
        model_type="gemma3_text",
        title="Gemma 3, text only (1B)",
        model_class="Gemma3ForCausalLM",
        post_norm="post_feedforward_layernorm",
    ),
    replace(
        LLAMA,
        model_type="gemma3",
        title="Gemma 3 (4B, 12B, 27B)",
        model_class="Gemma3ForConditionalGeneration",
        layers="model.language_model.layers",
        tail=("model.language_model.norm",),
        post_norm="post_feedforward_layernorm",
        text_types=("gemma3_text",),
    ),
    replace(LLAMA, model_type="qwen2", title="Qwen 2, Qwen 2.5", model_class="Qwen2ForCausalLM"),
    replace(LLAMA, model_type="qwen3", title="Qwen 3, dense", model_class="Qwen3ForCausalLM"),
    _PHI3,
    replace(
        LLAMA,
        model_type="olmo2",
        title="OLMo 2",
        model_class="Olmo2ForCausalLM",
        post_norm="post_feedforward_layernorm",
    ),
    replace(LLAMA, model_type="granite", title="Granite 3, dense", model_class="GraniteForCausalLM"),
    replace(LLAMA, model_type="cohere", title="Command R, Aya 23", model_class="CohereForCausalLM"),
    replace(LLAMA, model_type="cohere2", title="Command R7B, Command A", model_class="Cohere2ForCausalLM"),
    replace(LLAMA, model_type="smollm3", title="SmolLM3", model_class="SmolLM3ForCausalLM"),
    replace(LLAMA, model_type="stablelm", title="StableLM", model_class="StableLmForCausalLM"),
    Anatomy(
        "falcon",
        "Falcon (7B, 40B, 180B)",
        "FalconForCausalLM",
        layers="transformer.h",
        down="mlp.dense_4h_to_h",
        up="mlp.dense_h_to_4h",
        gate=None,
        act="mlp.act",
        attention_out="self_attention.dense",
        tail=("transformer.ln_f",),
    ),
    Anatomy(
        "gpt2",
        "GPT-2",
        "GPT2LMHeadModel",
        layers="transformer.h",
        down="mlp.c_proj",
        up="mlp.c_fc",
        gate=None,
        act="mlp.act",
        attention_out="attn.c_proj",
        conv1d=True,
        tail=("transformer.ln_f",),
    ),
    Anatomy(
        "gpt_neox",
        "GPT-NeoX, Pythia",
        "GPTNeoXForCausalLM",
        layers="gpt_neox.layers",
        down="mlp.dense_4h_to_h",
        up="mlp.dense_h_to_4h",
        gate=None,
        act="mlp.act",
        attention_out="attention.dense",
        tail=("gpt_neox.final_layer_norm",),
    ),
    Anatomy(
        "phi",
        "Phi-1, Phi-1.5, Phi-2",
        "PhiForCausalLM",
        down="mlp.fc2",
        up="mlp.fc1",
        gate=None,
        act="mlp.activation_fn",
        attention_out="self_attn.dense",
        tail=("model.final_layernorm",),
    ),
    Anatomy(
        "opt",
        "OPT",
        "OPTForCausalLM",
        layers="model.decoder.layers",
        down="fc2",
        up="fc1",
        gate=None,
        act="activation_fn",
        attention_out="self_attn.out_proj",
        ffn="",
        exit="layer",
        norm="final_layer_norm",
        tail=("model.decoder.final_layer_norm", "model.decoder.project_out"),
    ),
    Anatomy(
        "bloom",
        "BLOOM, BLOOMZ",
        "BloomForCausalLM",
        layers="transformer.h",
        down="mlp.dense_4h_to_h",
        up="mlp.dense_h_to_4h",
        gate=None,
        act="mlp.gelu_impl",
        attention_out="self_attention.dense",
        exit="output+residual",
        tail=("transformer.ln_f",),
    ),
    Anatomy(
        "gptj",
        "GPT-J",
        "GPTJForCausalLM",
        layers="transformer.h",
        down="mlp.fc_out",
        up="mlp.fc_in",
        gate=None,
        act="mlp.act",
        attention_out="attn.out_proj",
        tail=("transformer.ln_f",),
    ),
)

_MIXTURES = (
    replace(
        LLAMA,
        model_type="mixtral",
        title="Mixtral",
        model_class="MixtralForCausalLM",
        mixture=Mixture(stored=("w1", "w3", "w2")),
    ),
    replace(
        LLAMA,
        model_type="qwen2_moe",
        title="Qwen 1.5 and 2, mixture of experts",
        model_class="Qwen2MoeForCausalLM",
        mixture=Mixture(shared="mlp.shared_expert", shared_gate="mlp.shared_expert_gate"),
    ),
    replace(
        LLAMA,
        model_type="qwen3_moe",
        title="Qwen 3, mixture of experts",
        model_class="Qwen3MoeForCausalLM",
        mixture=Mixture(),
    ),
    replace(LLAMA, model_type="olmoe", title="OLMoE", model_class="OlmoeForCausalLM", mixture=Mixture()),
    replace(
        LLAMA,
        model_type="gpt_oss",
        title="gpt-oss",
        model_class="GptOssForCausalLM",
        mixture=Mixture(
            router="mlp.router", order="interleaved", transposed=True, biases=True, clamped=True, stored=None
        ),
    ),
    replace(
        LLAMA,
        model_type="deepseek_v2",
        title="DeepSeek V2",
        model_class="DeepseekV2ForCausalLM",
        mixture=Mixture(shared="mlp.shared_experts"),
    ),
    replace(
        LLAMA,
        model_type="deepseek_v3",
        title="DeepSeek V3, R1",
        model_class="DeepseekV3ForCausalLM",
        mixture=Mixture(shared="mlp.shared_experts"),
    ),
)

FAMILIES = MappingProxyType({row.model_type: row for row in _ROWS})
"""Row of a dense architecture by `config.model_type`."""

MIXTURES = MappingProxyType({row.model_type: row for row in _MIXTURES})
"""Row of an architecture whose layers have experts by `config.model_type`."""


def supported_families() -> tuple[Anatomy, ...]:
    """Every supported architecture, in the order of the tables."""
    return (*_ROWS, *_MIXTURES)
