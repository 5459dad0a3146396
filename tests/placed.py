"""Several devices on a machine that has one: tensors that say where they lie, and operations that hold them to it.

Numbers are computed on the CPU. A `Placed` tensor is one of them with the name of a device, and an operation between
two that lie apart fails, as on accelerators: only single numbers, and indices that lie on the CPU, may come along.
Gradients do not pass: torch's own engine keeps a queue for each device that there really is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import dispatch_model
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

CPU = torch.device("cpu")
KIND = "madeup"
"""The kind of the devices, which are "madeup:0", "madeup:1" and so on."""

aten = torch.ops.aten
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
_COPIES = {aten.copy_.default, aten._to_copy.default}


class Placed(Tensor):
    """A tensor of the CPU that lies on a made-up device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> Placed:
        return Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=device, requires_grad=inner.requires_grad,
        )  # fmt: skip

    def __init__(self, inner: Tensor, device: torch.device) -> None:
        self.inner = inner.detach()

    def __repr__(self, *_: Any, **__: Any) -> str:
        return f"Placed({self.inner!r}, {self.device})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The operation on the CPU, its result placed where its arguments are or where it is asked for."""
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    placed = {id(each.inner): each for each in given if isinstance(each, Placed)}
    places = {each.device for each in given if isinstance(each, Placed)}
    plain = [each for each in given if not isinstance(each, Placed) and each.ndim > 0]
    wished = kwargs.get("device")
    wished = None if wished is None else torch.device(wished)
    if func not in _COPIES:
        apart = len(places) > 1 or (places and plain and func not in _INDEXING)
        if func in _INDEXING and places:
            apart = len(places) > 1 or args[0].device == CPU
        if apart:
            raise RuntimeError(f"{func}: tensors on {sorted(map(str, places))} and the CPU: {len(plain)} there")
    inner_args, inner_kwargs = tree_map(lambda each: each.inner if isinstance(each, Placed) else each, (args, kwargs))
    if wished is not None:
        inner_kwargs["device"] = CPU
    result = func(*inner_args, **inner_kwargs)
    if func is aten.copy_.default:
        return args[0]
    where = wished if wished is not None else next(iter(places), CPU)

    def place(each: Any) -> Any:
        if not isinstance(each, Tensor):
            return each
        if id(each) in placed:
            return placed[id(each)]
        return each if where == CPU else Placed(each, where)

    return tree_map(place, result)


class _Operations(TorchDispatchMode):
    """Every operation, also those that make a tensor on a made-up device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class _FromLists(TorchFunctionMode):
    """`torch.tensor` and indexing by lists, which make tensors on a device by ways of their own."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": None}).to(kwargs["device"])
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            parts = args[1] if isinstance(args[1], tuple) else (args[1],)
            index = tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts)
            args = (args[0], index, *args[2:])
        return func(*args, **kwargs)


class _Runtime(torch._C._acc.PrivateUse1Hooks):
    """No runtime: torch is not to take these devices for accelerators that it should use by itself."""

    def is_available(self) -> bool:
        return False

    def has_primary_context(self, device_index: int) -> bool:
        return True

    def is_built(self) -> bool:
        return True


@functools.cache
def _register() -> None:
    _setup_privateuseone_for_python_backend(KIND, hook=_Runtime())


@contextmanager
def devices() -> Iterator[None]:
    """Made-up devices exist in the block."""
    _register()
    with _Operations(), _FromLists():
        yield


def spread(hf: Any, layers: str, n_devices: int) -> None:
    """Put a model on as many made-up devices with accelerate's own hooks, its decoder layers in equal parts.

    What stands before the layers lies on the first, with what shares its weights, what stands after them on the last.
    """
    count, shared = len(hf.get_submodule(layers)), hf.get_input_embeddings().weight
    places: dict[str, str] = {}
    after = False
    for name, module in hf.named_modules():
        owner, _, number = name.rpartition(".")
        if owner == layers:
            places[name] = f"{KIND}:{int(number) * n_devices // count}"
        elif not name.startswith(layers + ".") and not [*module.children()]:
            first = isinstance(module, nn.Embedding) or "rotary" in name or getattr(module, "weight", None) is shared
            places[name] = f"{KIND}:{n_devices - 1 if after and not first else 0}"
        after = after or name == layers
    dispatch_model(hf, places, main_device=f"{KIND}:0", skip_keys=hf._skip_keys_device_placement, force_hooks=True)
