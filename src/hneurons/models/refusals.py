"""Which configurations have a row, and why the others are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hneurons.errors import UnsupportedModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.families import FAMILIES, MIXTURES
from hneurons.models.quantized import Stated, read_stated

_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
"""Under these names configurations state how many experts a layer has."""

_NOT_LANGUAGE = ("vision_config", "audio_config")


def find_row(name: str, config: Any) -> Anatomy:
    """The row of a Hugging Face configuration, matched exactly on its `model_type`.

    Raises:
        UnsupportedModelError: another mixture of experts, quantized in a way that is not read, encoder-decoder, or an
            architecture without a row.
    """
    settings = config.to_dict()
    refuse_experts(name, settings)
    quantized = settings.get("quantization_config")
    if quantized and config.model_type in MIXTURES:
        raise UnsupportedModelError(
            f"{name} has quantized experts ({quantized.get('quant_method', 'of an unknown kind')}), whose "
            "down-projections cannot be read as they are; load it with transformers and dequantize=True, save it with "
            "save_pretrained in bfloat16, and use that"
        )
    stated_quantization(name, config)
    if settings.get("is_encoder_decoder"):
        raise UnsupportedModelError(f"{name} is an encoder-decoder ({config.model_type}); only decoders are supported")
    row = MIXTURES.get(config.model_type) or FAMILIES.get(config.model_type)
    if row is None:
        raise UnsupportedModelError(
            f"{name} has the architecture {config.model_type!r}, where nobody has verified yet where the neurons are; "
            f"supported: {', '.join((*FAMILIES, *MIXTURES))}"
        )
    if row.wrapper and config.text_config.model_type not in row.text_types:
        raise UnsupportedModelError(
            f"{name} wraps a language model of type {config.text_config.model_type!r}; "
            f"in a {config.model_type!r} model only {', '.join(row.text_types)} is supported"
        )
    return row


def stated_quantization(name: str, config: Any) -> Stated | None:
    """What a Hugging Face configuration says of quantized weights; None where they are not quantized.

    Raises:
        UnsupportedModelError: the kind is not read, or only a part of the model states it, where nobody looks.
    """
    whole, *parts = _parts(config.to_dict())
    if any(part.get("quantization_config") for part in parts):
        raise UnsupportedModelError(
            f"{name} states quantized weights in a part of its config.json only, where transformers does not look for "
            "them; load the original weights"
        )
    settings = whole.get("quantization_config")
    return read_stated(name, settings) if settings else None


def refuse_experts(name: str, settings: Mapping[Any, Any]) -> None:
    """Refuse a mixture of experts of an unknown architecture; `settings` is a configuration as a dictionary.

    Raises:
        UnsupportedModelError: some part of the language model has several experts, and no row says how they are built.
    """
    if settings.get("model_type") in MIXTURES:
        return
    for part in _parts(settings):
        for key in _EXPERT_COUNTS:
            count = part.get(key)
            if isinstance(count, int) and count > 1:
                raise UnsupportedModelError(
                    f"{name} is a mixture of experts ({key} = {count}) of the architecture "
                    f"{settings.get('model_type')!r}, where nobody has verified yet how tokens are routed; "
                    f"supported mixtures: {', '.join(MIXTURES)}"
                )


def _parts(settings: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    yield settings
    for key, value in settings.items():
        if isinstance(value, Mapping) and key not in _NOT_LANGUAGE and key != "quantization_config":
            yield from _parts(value)
