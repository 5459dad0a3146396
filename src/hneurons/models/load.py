"""`hneurons.load`: a name, a local directory or a hub id becomes a verified `LanguageModel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import convert_file_size_to_int
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as hf_logging

from hneurons.errors import ModelError, UnsupportedModelError
from hneurons.models.anatomy import Anatomy
from hneurons.models.language_model import LanguageModel
from hneurons.models.parts import text_config
from hneurons.models.quantized import Quantize, quantized_as
from hneurons.models.quantizing import parse_quantize, quantization_config, require_library
from hneurons.models.refusals import find_row, stated_quantization
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
    max_memory: Mapping[int | str, int | str] | None = None,
    offload_folder: str | PathLike[str] | None = None,
    quantize: Quantize | str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a decoder-only language model, or the language part of a multimodal one, and verify where its neurons are.

    Args:
        path_or_id: a registered name, a local Hugging Face directory, or a hub id; looked up in that order.
        dtype: type of the weights in memory; "auto" is the type they are stored in.
        device: where the whole model goes; the first accelerator, or else the CPU, where left out.
        device_map: how it is spread over devices ("auto", or a mapping of modules to them); instead of `device`.
            What fits on no device stays in the memory of the CPU, and then in its files ("disk"), and comes when it is
            needed.
        max_memory: how much each device may take, such as {0: "20GiB", "cpu": "60GiB"}, for `device_map="auto"`.
        offload_folder: directory for weights that cannot be read from the model's own files, where some are on "disk".
        quantize: keep the weights in 8 or 4 bits: "int8", "nf4", "fp4" or "int8-weight-only" (`Quantize`). Weights that
            are stored quantized are recognised without it.
        revision: branch, tag or commit on the hub; the commit it stands for is kept in the result.
        trust_remote_code: let a repository run Python code of its own. Only for code that you have read.

    Raises:
        ModelNotFoundError: there is no such model, or it cannot be reached.
        UnsupportedModelError: quantized in a way that is not read (of a mixture of experts: in any), encoder-decoder,
            or an unknown architecture.
        AnatomyMismatchError: the architecture is known, but its neurons are not where they should be.
        ModelError: files are missing, damaged or incomplete, or an argument makes no sense.
    """
    dtype = parse_dtype(dtype)
    placement = _placement(device, device_map, max_memory, offload_folder)
    kind = parse_quantize(quantize)
    source = find_source(path_or_id, revision)
    config = read_config(source, trust_remote_code=trust_remote_code)
    anatomy = find_row(source.name, config)
    if kind is not None and anatomy.mixture is not None:
        raise UnsupportedModelError(
            f"{source.name} is a mixture of experts, whose fused experts no library quantizes; "
            f"leave quantize={kind!r} out"
        )
    settings = _quantization(source, config, anatomy, dtype, kind)
    check_weight_files(source)
    tokenizer = _load_tokenizer(source, trust_remote_code)
    hf = _load_weights(source, anatomy, dtype, placement | settings, trust_remote_code)
    model = LanguageModel(hf, tokenizer, anatomy, name=source.name, revision=source.revision)
    if kind is not None and quantized_as(model.down(0)) is None:
        raise UnsupportedModelError(
            f"quantize={kind!r} leaves the FFN of {source.name} as it is ({type(model.down(0)).__name__} is no module "
            "that its library replaces); choose another kind, or leave it out"
        )
    return model


def load_tokenizer(
    path_or_id: str | PathLike[str], *, revision: str | None = None, trust_remote_code: bool = False
) -> Any:
    """The tokenizer of a model, without its weights; arguments and errors as of `load`."""
    return _load_tokenizer(find_source(path_or_id, revision), trust_remote_code)


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


def stated_dtype(dtype: str | torch.dtype, config: Any, anatomy: Anatomy) -> torch.dtype:
    """The type that weights are loaded in: `dtype`, and for "auto" what the configuration states, or else float32.

    Raises:
        ModelError: it is not supported.
    """
    if dtype == "auto":
        stated = getattr(config, "dtype", None) or getattr(text_config(config, anatomy), "dtype", None)
        dtype = stated or torch.float32
    found = parse_dtype(dtype)
    assert isinstance(found, torch.dtype)
    return found


def _quantization(
    source: Source, config: Any, anatomy: Anatomy, dtype: str | torch.dtype, kind: Quantize | None
) -> dict[str, Any]:
    """What transformers is told of quantization."""
    stated = stated_quantization(source.name, config)
    if stated is not None:
        require_library(stated.kind)
        if kind is not None:
            raise ModelError(f"{source.name} is quantized already ({stated.kind}); leave quantize out")
        return {}
    if kind is None:
        return {}
    return {"quantization_config": quantization_config(kind, stated_dtype(dtype, config, anatomy))}


def _placement(
    device: str | torch.device | None,
    device_map: str | Mapping[str, Any] | None,
    max_memory: Mapping[int | str, int | str] | None,
    offload_folder: str | PathLike[str] | None,
) -> dict[str, Any]:
    """Where transformers is told to put the weights."""
    if device_map is None and (max_memory is not None or offload_folder is not None):
        raise ModelError("max_memory and offload_folder belong to device_map; give device_map='auto' with them")
    if device_map is not None:
        if device is not None:
            raise ModelError("give device or device_map, not both")
        placement: dict[str, Any] = {"device_map": device_map if isinstance(device_map, str) else dict(device_map)}
        if max_memory is not None:
            placement["max_memory"] = _memory_limits(max_memory)
        if offload_folder is not None:
            placement["offload_folder"] = str(Path(offload_folder).expanduser())
        return placement
    if device is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = "cpu" if accelerator is None else accelerator
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # asserts where torch is built without CUDA
        raise ModelError(
            f"device {str(device)!r} cannot be used here ({first_line(error)}); choose another device, or leave it out"
        ) from error
    return {"device_map": {"": str(device)}}


def _memory_limits(max_memory: Mapping[int | str, int | str]) -> dict[int | str, int | str]:
    """Limits by device, accelerators by their number, as accelerate wants them."""
    limits: dict[int | str, int | str] = {}
    for device, limit in max_memory.items():
        key = int(device) if isinstance(device, str) and device.isdecimal() else device
        if key != "cpu" and not isinstance(key, int):
            raise ModelError(f'max_memory names {device!r}; name accelerators by number, and "cpu"')
        try:
            limits[key] = convert_file_size_to_int(limit)
        except ValueError:
            raise ModelError(f"max_memory gives {device} {limit!r}; give bytes, or a size such as '20GiB'") from None
    return limits


def _load_weights(
    source: Source, anatomy: Anatomy, dtype: str | torch.dtype, settings: Mapping[str, Any], trust_remote_code: bool
) -> PreTrainedModel:
    try:
        with _quiet_if_small(source):
            hf, info = auto_class(anatomy).from_pretrained(
                source.location,
                revision=source.revision,
                dtype=dtype,
                **settings,
                trust_remote_code=trust_remote_code,
                use_safetensors=True,
                output_loading_info=True,
            )
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f'{source.name} does not fit into memory; try dtype="bfloat16", quantize="nf4" or device_map="auto" '
            f"(hneurons models check {source.name} says what it needs)"
        ) from error
    except (OSError, RuntimeError, ValueError, ImportError, SafetensorError) as error:
        if "dispatched on the CPU or the disk" in str(error):
            raise ModelError(
                f"quantized weights of {source.name} do not all fit on the accelerators, and bitsandbytes takes none "
                "that are offloaded; give it more of them, or load the original weights with device_map='auto'"
            ) from error
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
