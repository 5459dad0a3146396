"""What every test has: no network, checked tensor shapes, and tiny random-weight models of every architecture."""

# ruff: noqa: E402 - the environment and the import hook come before what they are for

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# One thread each, whether or not other processes test beside this one: models are tiny, and sums must not change.
os.environ.update({f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")})

import jaxtyping

# Before anything imports hneurons: shape annotations are checked in every call that the tests make.
jaxtyping.install_import_hook("hneurons", "beartype.beartype")

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from tests.endpoint import server as local_server
from tests.sharing import processes
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast

import hneurons
from hneurons.models.families import FAMILIES, MIXTURES
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe, ProbeCard, Provenance, WeightedNeuron

SPECIAL = ["<pad>", "<s>", "</s>", "<user>", "<assistant>", "<system>"]
CHAT_TEMPLATE = (
    "<s>{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXT = [
    "Question: What is the capital of France?\nAnswer: Paris is the capital of France.",
    "The city of Oslo is in Norway, and its currency is the krone.",
    "I don't know; 12 345 people live in Zürich – perhaps more.",
]

GQA = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
MHA = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
GPT = {"n_embd": 32, "n_inner": 48, "n_head": 4, "n_positions": 256}
VISION = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}

TINY: dict[str, dict[str, object]] = {
    "llama": GQA,
    "llama-bias": GQA | {"model_type": "llama", "mlp_bias": True, "tie_word_embeddings": True},
    "mistral": GQA,
    "mistral3": {
        "text_config": GQA | {"model_type": "mistral"},
        "vision_config": VISION | {"model_type": "pixtral", "head_dim": 16, "image_size": 28, "patch_size": 14},
        "image_token_index": 7,
    },
    "gemma": GQA | {"head_dim": 8},
    "gemma2": GQA | {"head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3_text": GQA | {"head_dim": 8, "query_pre_attn_scalar": 8},
    "gemma3": {
        "text_config": GQA | {"model_type": "gemma3_text", "head_dim": 8, "query_pre_attn_scalar": 8},
        "vision_config": VISION | {"model_type": "siglip_vision_model", "image_size": 28, "patch_size": 14},
        "mm_tokens_per_image": 1,
        "image_token_index": 7,
    },
    "qwen2": GQA,
    "qwen3": GQA | {"head_dim": 8},
    "phi3": GQA,
    "olmo2": GQA,
    "granite": GQA | {"residual_multiplier": 0.3, "embedding_multiplier": 2.0, "logits_scaling": 3.0},
    "cohere": GQA,
    "cohere2": GQA,
    "smollm3": GQA,
    "stablelm": GQA,
    "stablelm-parallel": GQA | {"model_type": "stablelm", "use_parallel_residual": True},
    "falcon": {"hidden_size": 32, "num_attention_heads": 4, "ffn_hidden_size": 48},
    "falcon-new": {
        "model_type": "falcon",
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_kv_heads": 2,
        "new_decoder_architecture": True,
        "ffn_hidden_size": 48,
        "bias": True,
    },
    "falcon-sequential": {
        "model_type": "falcon",
        "hidden_size": 32,
        "num_attention_heads": 4,
        "parallel_attn": False,
        "multi_query": False,
        "alibi": True,
        "bias": True,
        "ffn_hidden_size": 48,
    },
    "gpt2": GPT,
    "gpt_neox": MHA,
    "phi": MHA,
    "opt": {"hidden_size": 32, "ffn_dim": 48, "num_attention_heads": 4, "word_embed_proj_dim": 16},
    "opt-norm-last": {
        "model_type": "opt",
        "hidden_size": 32,
        "ffn_dim": 48,
        "num_attention_heads": 4,
        "do_layer_norm_before": False,
    },
    "bloom": {"hidden_size": 32, "n_head": 4},
    "gptj": GPT | {"rotary_dim": 4},
}
"""Tiny configuration of every architecture, some in several variants (`model_type` then says which it is)."""


def wide_settings(family: str) -> dict[str, Any]:
    """What makes a tiny model of `family` 64 wide, with 128 neurons a layer."""
    width = {"hidden_size": 64, "intermediate_size": 128}
    if family == "gemma3":
        text = {**GQA, **width, "model_type": "gemma3_text", "head_dim": 16, "query_pre_attn_scalar": 16}
        return {"text_config": text | {"num_hidden_layers": 2, "vocab_size": 320, "max_position_embeddings": 256}}
    own = {"gpt2": {"n_embd": 64, "n_inner": 128}, "opt": width | {"ffn_dim": 128, "word_embed_proj_dim": 64}}
    return own.get(family, width)


MLA = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
DEEPSEEK = {"hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4, "moe_intermediate_size": 16}
DEEPSEEK |= MLA | {"n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 2, "routed_scaling_factor": 1.5}
QWEN = {"hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4, "num_key_value_heads": 2}
QWEN |= {"moe_intermediate_size": 16, "num_experts": 6, "num_experts_per_tok": 2, "head_dim": 8}

MOE: dict[str, dict[str, object]] = {
    "mixtral": QWEN | {"intermediate_size": 16},
    "qwen2_moe": QWEN | {"shared_expert_intermediate_size": 20},
    "qwen3_moe": QWEN | {"norm_topk_prob": True},
    "qwen3_moe-mixed": QWEN | {"model_type": "qwen3_moe", "mlp_only_layers": [1], "intermediate_size": 100},
    "olmoe": QWEN | {"num_key_value_heads": 4, "intermediate_size": 16},
    "gpt_oss": QWEN | {"intermediate_size": 16, "swiglu_limit": 0.7, "sliding_window": 8},
    "deepseek_v2": DEEPSEEK | {"num_key_value_heads": 4, "first_k_dense_replace": 1, "mlp_bias": True},
    "deepseek_v3": DEEPSEEK
    | {"num_key_value_heads": 4, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1, "n_shared_experts": 1},
}
"""Tiny configuration of every architecture with experts, as `TINY`; some mix dense layers in, wider or narrower."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return processes(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes take files in the order of collection: those that take longest first, so that none is left for last."""
    items.sort(key=lambda item: "tests/study/" not in item.nodeid)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `tiny_family` runs once for every entry of `TINY`, one with `moe_family` of `MOE`."""
    if "tiny_family" in metafunc.fixturenames:
        metafunc.parametrize("tiny_family", list(TINY))
    if "moe_family" in metafunc.fixturenames:
        metafunc.parametrize("moe_family", list(MOE))


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with a chat template, trained on a few sentences; ids 0, 1, 2 pad, begin and end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


@pytest.fixture(scope="session")
def tiny_directory(
    tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast
) -> Callable[..., Path]:
    """`tiny_directory(family, layers=2, seed=0, **config)`: a saved model directory with seeded random weights.

    Made once for the same arguments; copy it before you change it. Weights are large enough for the layers to matter,
    and biases and norms are random too, so that leaving one out shows.
    """
    made: dict[str, Path] = {}

    def make(family: str, *, layers: int = 2, seed: int = 0, **config: object) -> Path:
        key = repr((family, layers, seed, sorted(config.items())))
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family)
            save_tiny(made[key], family, tiny_tokenizer, layers=layers, seed=seed, **config)
        return made[key]

    return make


def save_tiny(
    directory: Path, family: str, tokenizer: PreTrainedTokenizerFast, *, layers: int, seed: int, **config: object
) -> None:
    """Write a tiny model of `family` with its tokenizer; `config` overrides its configuration."""
    own = {"num_hidden_layers": layers, "vocab_size": len(tokenizer), "max_position_embeddings": 256}
    own |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    settings = (TINY | MOE)[family] | config
    model_type = str(settings.pop("model_type", family))
    text = settings.pop("text_config", None)
    if text is None:
        made = AutoConfig.for_model(model_type, **(own | settings))
    else:
        made = AutoConfig.for_model(model_type, **settings, text_config=own | text)
    auto = AutoModelForImageTextToText if (FAMILIES | MIXTURES)[model_type].wrapper else AutoModelForCausalLM
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = auto.from_config(made).float()
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.data = (
                1.0 * noise * parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else parameter.data + 0.1 * noise
            )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


@pytest.fixture(scope="session")
def tiny_model(tiny_directory: Callable[..., Path]) -> Callable[..., LanguageModel]:
    """`tiny_model(family, layers=2, seed=0, **config)`: a loaded tiny model; the same object for the same arguments."""
    loaded: dict[Path, LanguageModel] = {}

    def make(family: str, **settings: object) -> LanguageModel:
        directory = tiny_directory(family, **settings)
        if directory not in loaded:
            loaded[directory] = hneurons.load(str(directory), device="cpu")
        return loaded[directory]

    return make


@pytest.fixture(scope="session")
def tiny_llama(tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    """Three layers of 48 neurons, width 32, float32, random weights; its tokenizer has a chat template."""
    return tiny_model("llama", layers=3)


@pytest.fixture(scope="session")
def wide_directory(tiny_directory: Callable[..., Path]) -> Callable[[str], Path]:
    """`wide_directory(family)`: a tiny model whose rows end with a block of 64, as 4-bit weights need on a CPU."""
    return lambda family: tiny_directory(family, **wide_settings(family))


@pytest.fixture(scope="session")
def quantized_model(wide_directory: Callable[[str], Path]) -> Callable[[str, str], LanguageModel]:
    """`quantized_model(family, kind)`: that model, quantized while loading; the same object for the same arguments."""
    made: dict[tuple[str, str], LanguageModel] = {}

    def make(family: str, kind: str) -> LanguageModel:
        if (family, kind) not in made:
            made[family, kind] = hneurons.load(wide_directory(family), device="cpu", quantize=kind)
        return made[family, kind]

    return make


@pytest.fixture(scope="session")
def dequantized_model(
    wide_directory: Callable[[str], Path], quantized_model: Callable[[str, str], LanguageModel]
) -> Callable[[str, str], LanguageModel]:
    """`dequantized_model(family, kind)`: an ordinary model in float64 with the weights that the quantized one keeps."""

    def make(family: str, kind: str) -> LanguageModel:
        from hneurons.models.quantized import dequantized, quantized_as

        source = quantized_model(family, kind)
        model = hneurons.load(wide_directory(family), device="cpu", dtype="float64")
        for name, module in source.hf.named_modules():
            if quantized_as(module) is not None:
                weight = model.hf.get_submodule(name).weight
                kept = dequantized(module).double()
                weight.data = kept if weight.shape == kept.shape and not source.anatomy.conv1d else kept.T
        return LanguageModel(model.hf, model.tokenizer, model.anatomy, name="dequantized")

    return make


@pytest.fixture(scope="session")
def hand_probe() -> Callable[..., Probe]:
    """`hand_probe(model, {(layer, index): weight}, intercept=0, **card)`: a probe of `model` that nobody fitted."""

    def make(
        model: LanguageModel, weights: Mapping[tuple[int, int], float], intercept: float = 0.0, **card: object
    ) -> Probe:
        settings = {"scheme": "1-vs-1", "scale": "none", "intercept_kind": "free", "other": "response"}
        settings |= {"positions": "at", "C": 1.0, "violation": 0.0, "intercept": intercept} | card
        listed = tuple(WeightedNeuron(layer=k, index=j, weight=weight) for (k, j), weight in weights.items())
        provenance = Provenance(date="2026-01-31", questions={}, versions={})
        made = ProbeCard(model=model.fingerprint, neurons=listed, provenance=provenance, **settings)
        return Probe(made, tuple(weights), np.array(list(weights.values())), None)

    return make


@pytest.fixture(scope="session")
def acts() -> ModuleType:
    """What a local server can do (tests/endpoint/server.py): `says`, `fails`, `Act`."""
    return local_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An OpenAI-compatible server on this machine that answers by a script; no key is in the environment."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    running = local_server.Server()
    yield running
    running.close()


@pytest.fixture
def as_a_user_calls() -> Iterator[None]:
    """Without the tests' shape checks, so that what users meet are our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
