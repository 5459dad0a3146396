"""What is read of an answer whose components are taken out, against one answer at a time with plain hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from tests.layers.causality.given import random_answers

from hneurons.errors import InterventionError, ModelError, NotEnoughDataError
from hneurons.layers.answered import Answered
from hneurons.layers.causality.ablation import Forks, Reference, ablate_answers, components, parts_of
from hneurons.layers.causality.mediation_record import Component
from hneurons.models.language_model import LanguageModel

NEURONS = ((0, 3), (1, 7), (1, 40))


def one_by_one(model: LanguageModel, answers: list[Answered], hook: Callable[[Any], Any] | None = None) -> np.ndarray:
    """Each answer by itself, unpadded, in float64 from the logits on; `hook` attaches whatever is done meanwhile."""
    rows = []
    for answer in answers:
        assert answer.fork is not None
        ids = torch.tensor([[*answer.prompt_ids, *answer.response_ids[: answer.fork.index]]])
        with ExitStack() as stack, torch.no_grad():
            if hook is not None:
                hook(stack)
            last = model.hf(ids, use_cache=False).logits[0, -1].double()
        given, right = answer.fork.given, answer.fork.correct
        logprob = last[given] - torch.logsumexp(last, 0)
        margin = np.nan if right is None else float(last[given] - last[right])
        rows.append([float(logprob), margin, float(last.argmax() == given)])
    return np.array(rows)


def zero_ffn(model: LanguageModel, layer: int) -> Callable[[ExitStack], None]:
    def attach(stack: ExitStack) -> None:
        def change(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            flat = output.reshape(-1, output.shape[-1]).clone()
            flat[1:] = 0  # the first token stays
            return flat.reshape(output.shape)

        handle = model.down(layer).register_forward_hook(change)
        stack.callback(handle.remove)

    return attach


def test_answers_are_read_where_they_part(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    answers = random_answers(5, model.hf.get_input_embeddings().num_embeddings)
    expected = one_by_one(model, answers)
    forks = Forks(model, answers, batch_rows=3)
    np.testing.assert_allclose(forks.intact, expected, atol=2e-4)
    site, which = parts_of(model, Component(kind="ffn", layer=1), ())
    without = ablate_answers(forks, site, which, "zero", ref(model))
    np.testing.assert_allclose(without, one_by_one(model, answers, zero_ffn(model, 1)), atol=2e-4)
    np.testing.assert_allclose(ablate_answers(forks, site, which, "zero", ref(model)), without, atol=2e-4)  # skips now
    np.testing.assert_allclose(forks.read(), expected, atol=2e-4)
    assert np.abs(without[:, 0] - expected[:, 0]).max() > 1e-2
    assert np.abs(without[:, 0] - one_by_one(model, answers, zero_ffn(model, 0))[:, 0]).max() > 1e-2  # not that layer


def ref(model: LanguageModel, count: int = 6) -> Reference:
    others = random_answers(count, model.hf.get_input_embeddings().num_embeddings, seed=9)
    return Reference(model, [answer.token_ids for answer in others], seed=3)


def test_the_mean_is_over_every_token_of_the_reference_but_the_first(tiny_llama: LanguageModel) -> None:
    reference, answers = ref(tiny_llama), random_answers(4, 300)
    seen: list[torch.Tensor] = []
    module = tiny_llama.attention_out(1)
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 1:].double()))
    with torch.no_grad():
        for ids in reference.token_ids:
            tiny_llama.hf(torch.tensor([list(ids)]))
    handle.remove()
    mean = torch.cat(seen).mean(dim=0)
    width = tiny_llama.head_size

    def put(columns: slice) -> Callable[[ExitStack], None]:
        def change(_module: Any, inputs: tuple[Any, ...]) -> Any:
            states = inputs[0].clone()
            states[:, 1:, columns] = mean[columns].float()
            return (states,)

        return lambda stack: stack.callback(module.register_forward_pre_hook(change).remove)

    for component, columns in (
        (Component(kind="attention", layer=1), slice(None)),
        (Component(kind="head", layer=1, head=2), slice(2 * width, 3 * width)),
    ):
        found = ablate_answers(Forks(tiny_llama, answers), *parts_of(tiny_llama, component, ()), "mean", reference)
        np.testing.assert_allclose(found, one_by_one(tiny_llama, answers, put(columns)), atol=1e-4)
    wrong = one_by_one(tiny_llama, answers, put(slice(width, 2 * width)))
    assert np.abs(found[:, 0] - wrong[:, 0]).max() > 1e-3


def test_what_is_resampled_does_not_depend_on_batches(tiny_llama: LanguageModel) -> None:
    reference, answers = ref(tiny_llama), random_answers(7, 300)
    site, which = parts_of(tiny_llama, Component(kind="neurons"), NEURONS)
    all_ffn = parts_of(tiny_llama, Component(kind="ffn", layer=0), ())
    forks = Forks(tiny_llama, answers)
    together = ablate_answers(forks, *all_ffn, "resample", reference)
    apart = ablate_answers(Forks(tiny_llama, answers, batch_rows=2, skip=False), *all_ffn, "resample", reference)
    np.testing.assert_allclose(together, apart, atol=1e-4)
    other = Reference(tiny_llama, reference.token_ids, seed=4)
    assert np.abs(ablate_answers(forks, *all_ffn, "resample", other) - together)[:, 0].max() > 1e-3
    assert reference.of("ffn", "resample") is reference.of("ffn", "resample")  # read once
    zero = ablate_answers(forks, site, which, "zero", reference)
    assert np.abs(zero - forks.intact)[:, 0].max() > 1e-4


def test_every_component_has_its_place(tiny_llama: LanguageModel) -> None:
    found = components(tiny_llama)
    assert [each.label for each in found[:4]] == ["attention 0", "attention 1", "attention 2", "FFN 0"]
    assert len(found) == 3 + 3 + 3 * 4 + 1
    assert found[-2].label == "head 2.3"
    assert found[-1].label == "H-Neurons"
    assert len(components(tiny_llama, heads=False, neurons=False)) == 6
    assert parts_of(tiny_llama, found[0], ()) == ("heads", [(0, 0), (0, 1), (0, 2), (0, 3)])
    assert parts_of(tiny_llama, found[4], ()) == ("ffn", [1])
    assert parts_of(tiny_llama, found[-2], ()) == ("heads", [(2, 3)])
    assert parts_of(tiny_llama, found[-1], NEURONS) == ("neurons", list(NEURONS))


def test_what_cannot_be_read_is_refused(tiny_llama: LanguageModel) -> None:
    reference, forks = ref(tiny_llama), Forks(tiny_llama, random_answers(2, 300))
    with pytest.raises(NotEnoughDataError, match="no H-Neuron"):
        parts_of(tiny_llama, Component(kind="neurons"), ())
    with pytest.raises(NotEnoughDataError, match="no answer"):
        Forks(tiny_llama, [])
    with pytest.raises(NotEnoughDataError, match="no training answer"):
        Reference(tiny_llama, []).of("ffn", "mean")
    with pytest.raises(ModelError, match="no layer"):
        ablate_answers(forks, "ffn", [7], "zero", reference)
    with pytest.raises((ModelError, InterventionError), match="head"):
        ablate_answers(forks, *parts_of(tiny_llama, Component(kind="head", layer=0), ()), "zero", reference)


def test_layers_below_the_first_that_changes_are_not_computed_again(tiny_llama: LanguageModel) -> None:
    answers, last = random_answers(5, 300), parts_of(tiny_llama, Component(kind="ffn", layer=2), ())
    expected = one_by_one(tiny_llama, answers, zero_ffn(tiny_llama, 2))
    forks = Forks(tiny_llama, answers, batch_rows=2)
    ablate_answers(forks, *last, "zero", ref(tiny_llama))  # the first time it is held against a full pass
    computed: list[int] = []
    with ExitStack() as stack:
        for layer in range(3):
            handle = tiny_llama.down(layer).register_forward_hook(lambda *_, layer=layer: computed.append(layer))
            stack.callback(handle.remove)
        found = ablate_answers(forks, *last, "zero", ref(tiny_llama))
    assert computed == [2, 2, 2]
    np.testing.assert_allclose(found, expected, atol=1e-4)
