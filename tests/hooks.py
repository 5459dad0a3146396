"""Which hooks a model has, to see that none is left behind."""

from __future__ import annotations

from hneurons.models.language_model import LanguageModel


def hooks_of(model: LanguageModel) -> dict[str, tuple[int, ...]]:
    """The hooks of every module that has some, by name.

    Those of transformers do not count: it leaves some on a model that was once asked for hidden states or attention.
    """
    found = {}
    for name, module in model.hf.named_modules():
        every = {**module._forward_hooks, **module._forward_pre_hooks}
        own = tuple(key for key, hook in every.items() if not hook.__module__.startswith("transformers."))
        if own:
            found[name] = own
    return found


def n_hooks(model: LanguageModel) -> int:
    """How many there are of them."""
    return sum(map(len, hooks_of(model).values()))
