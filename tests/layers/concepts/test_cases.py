"""Cases read from a kept prefix are what one whole pass gives, with and without something added, in every family."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hneurons.contributions import Item
from hneurons.interventions.steering import steer
from hneurons.layers.concepts.cases import Cases, Reader
from hneurons.models.language_model import LanguageModel

ITEMS = (
    Item("a", (1, 30, 31, 32, 33), (40, 41, 42, 43), (1, 3)),
    Item("b", (1, 50), (51,), (0,)),
    Item("c", (1, 60, 61), (62, 63, 64), (2,)),
    Item("d", (1, 70, 71, 72, 73, 74, 75), (76, 77), (0, 1)),
)


def naive(
    model: LanguageModel, item: Item, axes: np.ndarray, layer: int, added: torch.Tensor, *, start: int | None = None
) -> tuple[np.ndarray, float, float]:
    """One case by itself, in one pass without padding or cache."""
    ids = torch.tensor([[*item.prompt_ids, *item.response_ids]])
    first = len(item.prompt_ids) + item.answer[0] - 1
    where = list(range(first if start is None else start, ids.shape[1]))
    states: dict[int, torch.Tensor] = {}

    def keep(number: int) -> Callable[..., None]:
        def hook(_m: object, _a: object, output: object) -> None:
            states[number] = (
                (output[0] if isinstance(output, tuple) else output).detach().reshape(ids.shape[1], -1).clone()
            )

        return hook

    with steer(model, layer, added, positions=where), torch.no_grad():
        handles = [model.block(number).register_forward_hook(keep(number)) for number in range(model.n_layers)]
        log = model.hf(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].double().log_softmax(dim=-1)
        for handle in handles:
            handle.remove()
    places = [len(item.prompt_ids) + index - 1 for index in item.answer]
    along = np.array([float(states[k][places].double().mean(dim=0) @ torch.from_numpy(axes[k])) for k in states])
    targets = [item.response_ids[index] for index in item.answer]
    log_prob = np.mean([float(log[place, target]) for place, target in zip(places, targets, strict=True)])
    return along, float(log_prob), float(-(log[places].exp() * log[places]).sum(dim=-1).mean())


def test_equal_to_whole_passes(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    random = np.random.default_rng(0)
    axes = random.normal(size=(model.n_layers, model.hidden_size))
    added = torch.from_numpy(random.normal(size=model.hidden_size)) * 2
    cases = Cases(ITEMS, ("g",) * 4, ("right",) * 4)
    reader = Reader(model, cases, axes, batch_rows=3)
    for variant in (added, added * 0):  # the last: nothing of what was added stays in the prefixes
        found = reader.read(0, variant)
        for row, item in enumerate(ITEMS):
            along, log_prob, entropy = naive(model, item, axes, 0, variant)
            np.testing.assert_allclose(found["along"][row], along, rtol=2e-4, atol=2e-4)
            np.testing.assert_allclose([found["log_prob"][row], found["entropy"][row]], [log_prob, entropy], rtol=5e-4)
    wrong = naive(model, ITEMS[0], axes, 0, added, start=len(ITEMS[0].prompt_ids) + 1)  # one token too late
    assert abs(wrong[0] - reader.read(0, added)["along"][0]).max() > 1e-2
