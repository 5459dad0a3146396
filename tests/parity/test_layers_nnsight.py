"""Patching, logit lens, attention and gradients against nnsight, which traces the same weights by names of its own.

Nothing of ours says to nnsight where a part is: `HOMES` has the module names of Transformers. Models are copied first,
so that what nnsight does to a module reaches no other test.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from hneurons.interventions.patching import patch
from hneurons.interventions.reference import activations
from hneurons.interventions.sites import Site
from hneurons.models.language_model import LanguageModel

FAMILIES = ("llama", "gpt2")
CLOSE = 1e-4
CLEAN, CORRUPT = [1, 20, 91, 33, 140, 205, 17], [1, 20, 64, 250, 140, 205, 17]
PLACES = [2, 3, 6]
HOMES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "llama": {
        "blocks": lambda model: model.model.layers,
        "norm": lambda model: model.model.norm,
        "attention": lambda block: block.self_attn,
        "heads": lambda block: block.self_attn.o_proj,
        "ffn": lambda block: block.mlp,
        "neurons": lambda block: block.mlp.down_proj,
    },
    "gpt2": {
        "blocks": lambda model: model.transformer.h,
        "norm": lambda model: model.transformer.ln_f,
        "attention": lambda block: block.attn,
        "heads": lambda block: block.attn.c_proj,
        "ffn": lambda block: block.mlp,
        "neurons": lambda block: block.mlp.c_proj,
    },
}
DEVIATIONS: dict[str, float] = {}
"""The largest seen, by what was compared; printed at the end (`pytest -s`)."""


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ours(family: str, tiny_model: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny_model(family, layers=3)


@pytest.fixture(scope="module")
def theirs(ours: LanguageModel) -> Any:
    """The same weights in nnsight; attention is computed openly, so that its weights can be read."""
    nnsight = pytest.importorskip("nnsight")
    hf = copy.deepcopy(ours.hf)
    hf.set_attn_implementation("eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a newer name for the same class
        return nnsight.LanguageModel(hf, tokenizer=ours.tokenizer)


@pytest.fixture(scope="module", autouse=True)
def _told() -> Any:
    yield
    for name, worst in sorted(DEVIATIONS.items()):
        sys.stdout.write(f"\n{name}: {worst:.1e}")


def deviation(name: str, found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, noted under `name`."""
    assert found.shape == expected.shape
    worst = float((found.double() - expected.double()).abs().max())
    DEVIATIONS[name] = max(worst, DEVIATIONS.get(name, 0.0))
    return worst


@torch.no_grad()
def nnsight_patched(theirs: Any, family: str, site: Site, layer: int) -> Tensor:
    """Logits of the corrupt prompt with the clean values of `site` at `PLACES`."""
    home = HOMES[family]
    block = home["blocks"](theirs)[layer]
    clean, corrupt = torch.tensor([CLEAN]), torch.tensor([CORRUPT])
    if site in ("heads", "neurons"):
        module = home[site](block)
        with theirs.trace(clean):
            value = module.input.save()
        with theirs.trace(corrupt):
            module.input[:, PLACES] = value[:, PLACES]
            logits: Tensor = theirs.lm_head.output.save()
        return logits
    module = block if site == "residual" else home[site](block)
    with theirs.trace(clean):
        value = module.output.save()
    with theirs.trace(corrupt):
        module.output[:, PLACES] = value[:, PLACES]
        logits: Tensor = theirs.lm_head.output.save()
    return logits


@torch.no_grad()
def our_patched(ours: LanguageModel, site: Site, layer: int) -> Tensor:
    values = activations(ours, [CLEAN], site, [layer], positions=PLACES)
    with patch(ours, values):
        logits: Tensor = ours.hf(torch.tensor([CORRUPT])).logits
    return logits


@pytest.mark.parametrize("site", ["residual", "ffn", "heads", "neurons"])
def test_patching_agrees(ours: LanguageModel, theirs: Any, family: str, site: Site) -> None:
    plain = ours.hf(torch.tensor([CORRUPT])).logits
    for layer in range(ours.n_layers):
        expected = nnsight_patched(theirs, family, site, layer)
        assert deviation(f"patching {site}", our_patched(ours, site, layer), expected) < CLOSE
        assert (expected - plain).abs().max() > 100 * CLOSE  # it does something


@pytest.mark.parametrize("site", ["residual", "ffn", "heads", "neurons"])
def test_patching_another_layer_does_not_agree(ours: LanguageModel, theirs: Any, family: str, site: Site) -> None:
    expected = nnsight_patched(theirs, family, site, 1)
    assert (our_patched(ours, site, 0) - expected).abs().max() > 100 * CLOSE
