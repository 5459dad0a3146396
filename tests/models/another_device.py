"""Everything that runs on a GPU, run on a device that only looks like one, and held against the CPU bit by bit.

    python tests/models/another_device.py     # a process of its own: a device is made known to torch for good

Tensors of the device "away" are wrappers around tensors of the CPU. As on a GPU, an operation on tensors of both is
refused (but for copying, for scalars and for indices), and none can be read by numpy. What moves to the host is
counted, since there a GPU is waited for.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu
from extraction import make_items
from hneurons.contributions import Recording, collect, extract, plan_batches
from hneurons.interventions import Scaling, gate, scale, scale_rows
from hneurons.models.language_model import LanguageModel
from hneurons.probes.token_scores import token_scores
from hneurons.responses.sampling import Sampling, sample
from interventions import random_prompts, some_neurons, some_probe
from random_models import random_llama

AWAY = "away:0"
WAITED: list[str] = []
"""What has moved to the host so far."""

FREE = frozenset({"copy_", "index", "index_put_", "_index_put_impl_"})
"""What a GPU takes tensors of the host for."""


class Away(torch.Tensor):
    """A tensor that is somewhere else."""

    raw: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Away:
        made: Away = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(AWAY),
        )
        made.raw = raw
        return made

    def numpy(self, *_arguments: Any, **_named: Any) -> Any:
        raise TypeError("a tensor of another device cannot be read by numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Everywhere(TorchDispatchMode):
    """Makes tensors there too."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatched(func, args, kwargs or {})


class Literals(TorchFunctionMode):
    """`torch.tensor` of numbers, which reaches no dispatch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is torch.tensor and is_away(named.get("device")):
            return Away(func(*args, **(named | {"device": "cpu"})))
        return func(*args, **named)


def is_away(device: Any) -> bool:
    return device is not None and torch.device(device).type == "away"


def dispatched(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    away = [tensor for tensor in tensors if isinstance(tensor, Away)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Away) and tensor.dim() > 0]
    device = kwargs.get("device")
    if not away and not is_away(device):
        return func(*args, **kwargs)
    if away and here and name not in FREE:
        raise RuntimeError(f"{name} gets tensors of two devices")
    arguments, named = tree_map(lambda x: x.raw if isinstance(x, Away) else x, (args, kwargs))
    if device is not None:
        named["device"] = torch.device("cpu")
    result = func(*arguments, **named)
    if name in ("_local_scalar_dense", "nonzero"):
        WAITED.append(name)
    if name == "_local_scalar_dense":
        return result
    if (name == "_to_copy" and device is not None and not is_away(device)) or (
        name == "copy_" and not isinstance(args[0], Away)
    ):
        WAITED.append(name)
        return result
    made = {id(tensor.raw): tensor for tensor in away}  # an operation in place gives the same tensor
    return tree_map(lambda x: made.get(id(x), Away(x)) if isinstance(x, torch.Tensor) else x, result)


def move(model: LanguageModel) -> LanguageModel:
    """The same model over there; to be called, and used, within both modes."""
    for module in model.hf.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(Away(parameter.detach()), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Away(buffer)
    return LanguageModel(model.hf, model.tokenizer, model.anatomy, name=model.name)


def made() -> LanguageModel:
    model = random_llama("tiny", attn_implementation="eager")
    model.hf.lm_head.weight.mul_(50)  # so that some samples are equal and others are not
    return model


def works(model: LanguageModel) -> dict[str, Any]:
    """What each step gives, as plain numbers."""
    items, prompts = make_items(model, 5), random_prompts(model, 3)
    neurons = some_neurons(model, 6)
    probe = some_probe(model, neurons)
    ten, greedy = Sampling(max_new_tokens=5), Sampling(n_samples=1, temperature=0.0, max_new_tokens=4)

    def said(settings: Sampling) -> list[list[tuple[int, ...]]]:
        return [[response.token_ids for response in own] for own in sample(model, prompts, settings)]

    recorded = collect(model, items)
    found: dict[str, Any] = {
        "fingerprint": model.fingerprint.weights_digest,
        "recording": [recorded.answer.tolist(), recorded.other.tolist(), [row.entropy for row in recorded.rows]],
        "sampling": said(ten),
        "token scores": [scores.tolist() for scores in token_scores(model, probe, items)],
    }
    assert recorded.hidden_answer is not None
    found["hidden states"] = recorded.hidden_answer.tolist()
    with scale(model, neurons, 30.0):
        found["scale"] = [said(greedy), collect(model, items).answer.tolist()]
    with scale_rows(model, [Scaling(neurons, alpha) for alpha in (0.0, 2.0, 300.0)]):
        found["scale_rows"] = said(ten)
    with gate(model, probe, threshold=0.2, alpha=300.0) as count:
        found["gate"] = [said(ten), count.repeated]
    with gpu.scored(model, probe) as scores:
        said(greedy)
        found["scored"] = [each.tolist() for each in scores]
    with tempfile.TemporaryDirectory() as folder:
        store = extract(model, plan_batches(items, max_items=2), Recording(), Path(folder) / "store")
        found["extract"] = store.matrix().tolist()
    return found


def waited(model: LanguageModel) -> float:
    """How often the host waits for one more token of ten samples."""
    counts = []
    for n in (4, 8):
        WAITED.clear()
        sample(model, random_prompts(model, 3), Sampling(max_new_tokens=n))
        counts.append(len(WAITED))
    return (counts[1] - counts[0]) / 4


def refused(model: LanguageModel) -> list[str]:
    """What a GPU would refuse, and is refused here too."""
    messages = []
    mixed = torch.ones(model.n_neurons)
    for wrong in (lambda: model.down_weight(0) * mixed, lambda: model.down_weight(0).numpy()):
        try:
            wrong()
        except (RuntimeError, TypeError) as error:
            messages.append(str(error))
    return messages


def main() -> None:
    expected = works(made())
    _setup_privateuseone_for_python_backend("away")
    with Literals(), Everywhere():
        model = move(made())
        found = works(model)
        report = {
            "device": str(model.device),
            "equal": {name: found[name] == expected[name] for name in expected},
            "turned": found["scale_rows"] != found["sampling"] and found["gate"][0] != found["sampling"],
            "repeated": found["gate"][1],
            "waited": waited(model),
            "refused": refused(model),
        }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
