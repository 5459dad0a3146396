"""Which hooks a model has, to see that none is left behind."""

from __future__ import annotations

from hneurons.models.language_model import LanguageModel


def hooks_of(model: LanguageModel) -> dict[str, tuple[int, ...]]:
    """The hooks of every module by name: transformers leaves some of its own once it was asked for hidden states."""
    return {name: (*m._forward_hooks, *m._forward_pre_hooks) for name, m in model.hf.named_modules()}
