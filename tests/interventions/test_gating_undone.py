"""A gate leaves the model as it was, and refuses caches that it cannot take back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.interventions.naive_gate import batch, logits, untouched
from transformers import StaticCache

from hneurons.errors import InterventionError, ModelError
from hneurons.interventions import gate
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe


def test_caches_that_cannot_be_taken_back_are_refused(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    cache = StaticCache(config=tiny_llama.hf.config, max_cache_len=20)
    with (
        pytest.raises(InterventionError, match=r"StaticCache cannot give keys and values back .*StaticLayer"),
        gate(tiny_llama, probe_of(tiny_llama), threshold=0.5, alpha=0.0),
    ):
        logits(tiny_llama, past_key_values=cache, use_cache=True)
    assert untouched(tiny_llama)
    with gate(tiny_llama, probe_of(tiny_llama), threshold=0.5, alpha=1.0) as count:  # repeats nothing
        logits(tiny_llama, past_key_values=cache, use_cache=True)
    assert count.passes == 1


def test_the_model_is_restored_after_an_error(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    plain = logits(tiny_llama)
    passed: list[int] = []

    def fail(module: Any, args: tuple[torch.Tensor], out: torch.Tensor) -> None:
        passed.append(1)
        if len(passed) == 2:  # in the middle of the second pass
            raise KeyError("in the middle")

    with (
        pytest.raises(KeyError),
        gate(tiny_llama, probe_of(tiny_llama), threshold=-0.1, alpha=0.0),
        tiny_llama.down(1).register_forward_hook(fail),
    ):
        logits(tiny_llama)
    assert torch.equal(logits(tiny_llama), plain)
    assert untouched(tiny_llama)
    overflow = tiny_llama.down(1).register_forward_pre_hook(lambda module, args: (args[0] * torch.inf,))
    with (
        overflow,
        pytest.raises(ModelError, match="not finite"),
        gate(tiny_llama, probe_of(tiny_llama), threshold=0.5, alpha=0.0),
    ):
        logits(tiny_llama)
    assert untouched(tiny_llama)


def test_a_forward_that_was_wrapped_before_stays_wrapped(
    tiny_llama: LanguageModel, probe_of: Callable[[LanguageModel], Probe]
) -> None:
    plain = tiny_llama.hf.forward
    calls: list[int] = []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return plain(*args, **kwargs)

    tiny_llama.hf.forward = wrapped
    try:
        with gate(tiny_llama, probe_of(tiny_llama), threshold=-0.1, alpha=0.0):
            logits(tiny_llama, input_ids=batch()["input_ids"])
        assert tiny_llama.hf.forward is wrapped
        assert len(calls) == 2
    finally:
        del tiny_llama.hf.forward
    assert untouched(tiny_llama)
