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
from hneurons.interventions.sites import SITES, Site
from hneurons.layers.attention.weights import ATTENDED, Reading, attention_pattern, attention_shares
from hneurons.layers.causality.attribution import attribute
from hneurons.layers.causality.inputs import Input
from hneurons.layers.causality.patching import Patch, Place, patched
from hneurons.layers.tracking.lens import logit_lens
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
    hf.requires_grad_(True)
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


def envoy(theirs: Any, family: str, site: Site, layer: int) -> Any:
    """nnsight's handle of the module at which a site lies; of heads and neurons it is the input that counts."""
    home = HOMES[family]
    block = home["blocks"](theirs)[layer]
    if site == "residual":
        return block
    return home["heads" if site == "attention" else site](block)


@torch.no_grad()
def nnsight_patched(theirs: Any, family: str, site: Site, layer: int) -> Tensor:
    """Logits of the corrupt prompt with the clean values of `site` at `PLACES`."""
    module = envoy(theirs, family, site, layer)
    clean, corrupt = torch.tensor([CLEAN]), torch.tensor([CORRUPT])
    if site in ("heads", "neurons"):
        with theirs.trace(clean):
            value = module.input.save()
        with theirs.trace(corrupt):
            module.input[:, PLACES] = value[:, PLACES]
            logits: Tensor = theirs.lm_head.output.save()
        return logits
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
    shifted = nnsight_patched(theirs, family, site, 1)
    assert (our_patched(ours, site, 0) - shifted).abs().max() > 100 * CLOSE


def test_patches_in_one_batch_agree(ours: LanguageModel, theirs: Any, family: str) -> None:
    sites, answers = [(site, layer) for site in SITES for layer in range(ours.n_layers)], (88, 201)
    patches = [Patch(1, (Place(site, layer, tuple(PLACES), source=0),)) for site, layer in sites]
    found = patched(ours, [Input(tuple(CLEAN)), Input(tuple(CORRUPT))], patches, [answers, answers], batch_rows=5)
    expected = torch.stack([nnsight_patched(theirs, family, site, layer)[0, -1] for site, layer in sites]).double()
    logits = torch.from_numpy(found.logits)
    assert deviation("patching in batches, logits", logits, expected[:, answers]) < CLOSE
    probabilities = expected.softmax(dim=-1)[:, answers]
    assert deviation("patching in batches, probabilities", torch.from_numpy(found.probabilities), probabilities) < CLOSE
    assert (logits[:-1] - expected[1:, answers]).abs().amax(dim=1).min() > CLOSE  # each is the next one's neighbour


@torch.no_grad()
def test_the_logit_lens_agrees(ours: LanguageModel, theirs: Any, family: str) -> None:
    home, places = HOMES[family], list(range(len(CLEAN)))
    streams = []
    with theirs.trace(torch.tensor([CLEAN])):
        for block in home["blocks"](theirs)[: ours.n_layers - 1]:
            streams.append(theirs.lm_head(home["norm"](theirs)(block.output)).save())  # noqa: PERF401 - as nnsight has it
        own = theirs.lm_head.output.save()
    expected = torch.stack([*streams, own], dim=2)[0].double().log_softmax(dim=-1)
    vocabulary = expected.shape[-1]
    found = logit_lens(ours, [CLEAN], [places], [list(range(vocabulary))] * len(places), apart=0)
    log_prob = torch.from_numpy(found.log_prob)[:, 1:, :vocabulary]  # depth 0 is the embedding
    assert deviation("logit lens, log-probabilities", log_prob, expected) < CLOSE
    assert (
        deviation("logit lens, entropy", torch.from_numpy(found.entropy)[:, 1:], -(expected.exp() * expected).sum(-1))
        < CLOSE
    )
    assert (found.top[:, 1:] == expected.argmax(dim=-1).numpy()).all()
    shifted = torch.from_numpy(found.log_prob)[:, :-1, :vocabulary]
    assert (shifted - expected).abs().amax(dim=(0, 2)).min() > 100 * CLOSE


@torch.no_grad()
def test_attention_agrees(ours: LanguageModel, theirs: Any, family: str) -> None:
    home, seen = HOMES[family], []
    with theirs.trace(torch.tensor([CLEAN])):
        for block in home["blocks"](theirs):
            seen.append(home["attention"](block).output[1].save())  # noqa: PERF401
    expected = torch.stack([weights[0] for weights in seen])
    found = torch.stack([torch.from_numpy(attention_pattern(ours, CLEAN, layer)) for layer in range(ours.n_layers)])
    assert deviation("attention, weights", found, expected) < CLOSE
    assert (found[:-1] - expected[1:]).abs().amax(dim=(1, 2, 3)).min() > 100 * CLOSE
    segments = ("first", "template", "subject", "subject", "question", "response", "response")
    shares = attention_shares(ours, [Reading(tuple(CLEAN), segments, (4, 6))])
    subject = expected[:, :, [4, 6]][..., 2:4].sum(dim=-1).mean(dim=-1)
    place = ATTENDED.index("subject")
    assert deviation("attention, shares", torch.from_numpy(shares.share[0, :, :, place]), subject) < CLOSE
    assert (torch.from_numpy(shares.share[0, :, :, place - 1]) - subject).abs().max() > 100 * CLOSE


def test_attribution_agrees(ours: LanguageModel, theirs: Any, family: str) -> None:
    answers, found = (88, 201), {}

    def take(site: Site, layer: int, estimates: Tensor) -> None:
        found[site, layer] = estimates[0].sum(dim=-1)

    attribute(ours, [Input(tuple(CORRUPT))], [Input(tuple(CLEAN))], [answers], take)
    expected = {}
    for site in SITES:
        for layer in range(ours.n_layers):
            module = envoy(theirs, family, site, layer)
            early = site in ("heads", "neurons")
            with torch.no_grad(), theirs.trace(torch.tensor([CLEAN])):
                clean = (module.input if early else module.output).save()
            with theirs.trace(torch.tensor([CORRUPT])):
                value = (module.input if early else module.output).save()
                last = theirs.lm_head.output[0, -1]
                with (last[answers[0]] - last[answers[1]]).backward():
                    gradient = value.grad.save()
            expected[site, layer] = ((clean - value.detach()) * gradient)[0].sum(dim=-1)
    for key, estimates in found.items():
        assert deviation(f"attribution {key[0]}", estimates, expected[key]) < CLOSE
    assert set(found) == set(expected)
    assert (found["ffn", 0] - expected["ffn", 1]).abs().max() > 100 * CLOSE
