"""Models whose layers lie on several devices: what accelerate, which moves tensors between them, leaves to be done."""

from __future__ import annotations

from typing import Any

from accelerate.hooks import AlignDevicesHook
from torch import Tensor, nn

_COLUMNS = "logits_to_keep"


def mend_columns(hf: nn.Module) -> None:
    """Let a model that is spread over devices compute the logits of some columns only.

    accelerate moves whatever a model is called with to its first device. The numbers of the columns index what the last
    layer puts out, which lies on another; on the CPU, where they are left here, they may index any.
    """
    hook: Any = getattr(hf, "_hf_hook", None)
    if not isinstance(hook, AlignDevicesHook):
        return
    skipped = hook.skip_keys or []
    hook.skip_keys = [*([skipped] if isinstance(skipped, str) else skipped), _COLUMNS]
    hf.register_forward_pre_hook(_columns_to_cpu, with_kwargs=True)


def _columns_to_cpu(
    _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    columns = kwargs.get(_COLUMNS)
    return (args, kwargs | {_COLUMNS: columns.cpu()}) if isinstance(columns, Tensor) else None
