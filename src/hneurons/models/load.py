"""`hneurons.load`: a name, a local directory or a hub id becomes a verified `LanguageModel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as hf_logging

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.language_model import LanguageModel
from hneurons.models.refusals import find_row
from hneurons.models.source import Source, check_weight_files, find_source, first_line, read_config
from hneurons.models.verify import TOLERANCE

_QUIET_BELOW = 2 * 1024**3  # bytes of weights; less than that loads in a moment
_FEWEST_TOKENS = 16  # transformers makes up a tokenizer of a few special tokens where there is none


def load(
    path_or_id: str | PathLike[str],
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a decoder-only language model, or the language part of a multimodal one, and verify where its neurons are.

    Args:
        path_or_id: a registered name, a local Hugging Face directory, or a hub id; looked up in that order.
        dtype: type of the weights in memory; "auto" is the type they are stored in.
        device: where the whole model goes; the first accelerator, or else the CPU, where left out.
        device_map: how it is spread over devices ("auto", or a mapping); instead of `device`.
        revision: branch, tag or commit on the hub; the commit it stands for is kept in the result.
        trust_remote_code: let a repository run Python code of its own. Only for code that you have read.

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be reached.
        UnsupportedModelError: mixture of experts, quantized, encoder-decoder, or an unknown architecture.
        AnatomyMismatchError: the architecture is known, but its neurons are not where they should be.
        ModelError: files are missing, damaged or incomplete, or an argument makes no sense.
    """
    dtype = parse_dtype(dtype)
    placement = _placement(device, device_map)
    source = find_source(path_or_id, revision)
    config = read_config(source, trust_remote_code=trust_remote_code)
    anatomy = find_row(source.name, config)
    check_weight_files(source)
    tokenizer = _load_tokenizer(source, trust_remote_code)
    hf = _load_weights(source, anatomy, dtype, placement, trust_remote_code)
    return LanguageModel(hf, tokenizer, anatomy, name=source.name, revision=source.revision)


def parse_dtype(dtype: str | torch.dtype) -> str | torch.dtype:
    """ "auto", or one of the four types that are supported.

    Raises:
        ModelError: it is none of these.
    """
    if dtype == "auto":
        return dtype
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or found not in TOLERANCE:
        known = ", ".join(str(known).removeprefix("torch.") for known in TOLERANCE)
        raise ModelError(f"dtype {str(dtype).removeprefix('torch.')!r} is not supported; choose auto, {known}")
    return found


def auto_class(anatomy: Anatomy) -> Any:
    """The Hugging Face class that loads models of this architecture."""
    return AutoModelForImageTextToText if anatomy.wrapper else AutoModelForCausalLM


def _placement(device: str | torch.device | None, device_map: str | Mapping[str, Any] | None) -> Any:
    if device_map is not None:
        if device is not None:
            raise ModelError("give device or device_map, not both")
        return device_map if isinstance(device_map, str) else dict(device_map)
    if device is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = "cpu" if accelerator is None else accelerator
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # asserts where torch is built without CUDA
        raise ModelError(
            f"device {str(device)!r} cannot be used here ({first_line(error)}); choose another device, or leave it out"
        ) from error
    return {"": str(device)}


def _load_weights(
    source: Source, anatomy: Anatomy, dtype: str | torch.dtype, placement: Any, trust_remote_code: bool
) -> PreTrainedModel:
    try:
        with _quiet_if_small(source):
            hf, info = auto_class(anatomy).from_pretrained(
                source.location,
                revision=source.revision,
                dtype=dtype,
                device_map=placement,
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
            )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f'{source.name} does not fit into memory; try dtype="bfloat16" or device_map="auto" '
            f"(hneurons models check {source.name} says what it needs)"
        ) from error
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        if isinstance(error, OSError) and not source.local:
            raise ModelError(
                f"the safetensors weights of {source.name} cannot be had ({first_line(error)}); "
                "without a network, give the path of a local model directory"
            ) from error
        raise ModelError(
            f"the weights of {source.name} are damaged or do not fit its configuration ({first_line(error)}); "
            "download them again"
        ) from error
    _check_complete(source, anatomy, info)
    if hf.dtype not in TOLERANCE:
        raise UnsupportedModelError(f'{source.name} has weights of type {hf.dtype}; load it with dtype="bfloat16"')
    loaded: PreTrainedModel = hf
    return loaded


def _check_complete(source: Source, anatomy: Anatomy, info: Mapping[str, Any]) -> None:
    """Refuse random weights in place of missing ones, and stored weights of the FFN that would go unused.

    transformers only warns of both. Vision parts may be missing: they are not read.
    """
    language = anatomy.layers.rpartition(".")[0] + "."
    missing = sorted(
        key for key in info["missing_keys"] if not anatomy.wrapper or key.startswith((language, "lm_head."))
    )
    if missing:
        raise ModelError(
            f"{len(missing)} weights of {source.name} are missing from its files ({missing[0]}, ...); "
            "download it again, or save the whole model"
        )
    named = {path for path in (anatomy.down, anatomy.up, anatomy.gate) if path is not None}
    unused = sorted(
        key
        for key in info["unexpected_keys"]
        if key.startswith(anatomy.layers + ".") and any(f".{path}." in key for path in named)
    )
    if unused:
        raise ModelError(
            f"{source.name} stores weights of its FFN that a {anatomy.model_type!r} model has no place for "
            f"({unused[0]}, ...); its config.json does not describe it"
        )


def _load_tokenizer(source: Source, trust_remote_code: bool) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.location, revision=source.revision, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise ModelError(
            f"{source.name} has no tokenizer that can be read ({first_line(error)}); "
            "copy tokenizer.json and tokenizer_config.json of the original model into it"
        ) from error
    if len(tokenizer) < _FEWEST_TOKENS:
        raise ModelError(
            f"{source.name} has no tokenizer; "
            "copy tokenizer.json and tokenizer_config.json of the original model into it"
        )
    return tokenizer


@contextmanager
def _quiet_if_small(source: Source) -> Iterator[None]:
    """No progress bar of transformers' for weights that are loaded in a moment."""
    size = sum(file.stat().st_size for file in Path(source.location).glob("*.safetensors")) if source.local else None
    if size is None or size > _QUIET_BELOW or not hf_logging.is_progress_bar_enabled():
        yield
        return
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
