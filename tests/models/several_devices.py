"""Everything that reads or turns a model, with its layers on three made-up devices, held against all of them on one.

    python tests/models/several_devices.py FAMILY ...    # a process of its own: torch forgets no device

Prints, for each family, what differs and by how much, or how it failed; nothing where all is equal bit by bit.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.conftest import save_tiny, tiny_tokenizer
from tests.placed import devices, spread

import hneurons
from hneurons.contributions import Item, collect
from hneurons.interventions import (
    Scaling,
    ablate,
    activations,
    contrast,
    gate,
    mean_activations,
    patch,
    recalibrate,
    scale,
    scale_rows,
    steer,
)
from hneurons.layers.answered import Answered, Fork
from hneurons.layers.attention.weights import attention_shares
from hneurons.layers.causality.inputs import Input, Noise
from hneurons.layers.causality.patching import Patch, Place, patched
from hneurons.layers.comparison.states import collect_states
from hneurons.layers.confidence.truth import TruthTokens, p_true
from hneurons.layers.tracking.lens import logit_lens
from hneurons.models import language_model
from hneurons.models.language_model import LanguageModel
from hneurons.probes.probe import Probe, ProbeCard, Provenance, WeightedNeuron
from hneurons.probes.token_scores import token_scores
from hneurons.questions.question import Question
from hneurons.responses.sampling import Prompt, Sampling, sample

LAYERS, DEVICES = 4, 3
NEURONS = [(0, 3), (1, 40), (2, 7), (3, 21)]
IDS = [(5, 17, 40, 41, 9, 30, 77), (8, 3, 100), (55, 60, 61, 9, 12)]
PROMPTS = [Prompt(str(number), ids, "") for number, ids in enumerate(IDS)]
ITEMS = [Item("a", IDS[0], (20, 21, 22, 23), (1, 2)), Item("b", IDS[1], (24, 25), (0,))]


def main() -> None:
    families = sys.argv[1:]
    if families[0] == "--unmended":  # to see that it would show
        families = families[1:]
        language_model.mend_columns = lambda hf: None
    with tempfile.TemporaryDirectory() as folder:
        for family in families:  # before there are devices, for each of which torch would fork its random numbers
            (Path(folder) / family).mkdir()
            save_tiny(Path(folder) / family, family, tiny_tokenizer.__wrapped__(), layers=LAYERS, seed=0)
        with devices():
            found = {family: compared(Path(folder) / family) for family in families}
    sys.stdout.write(json.dumps(found) + "\n")


def compared(folder: Path) -> dict[str, str]:
    """What differs, by name."""
    one, several = placed(folder, 1), placed(folder, DEVICES)
    where = [str(several.down(layer).weight.device) for layer in range(LAYERS)]
    assert len(set(where)) == DEVICES, where
    return dict(differences(one, several))


def placed(folder: Path, n_devices: int) -> LanguageModel:
    model = hneurons.load(folder, device="cpu")
    spread(model.hf, model.anatomy.layers, n_devices)
    return LanguageModel(model.hf, model.tokenizer, model.anatomy, name=model.name)


def differences(one: LanguageModel, several: LanguageModel) -> Iterator[tuple[str, str]]:
    for name, work in WORKS.items():
        try:
            expected, found = numbers(work(one)), numbers(work(several))
        except Exception as error:
            yield name, f"{type(error).__name__}: {str(error).splitlines()[0]}"
            continue
        assert len(expected), name
        if not np.array_equal(expected, found, equal_nan=True):
            apart = np.abs(expected - found).max() if expected.shape == found.shape else "other shapes"
            yield name, f"differs by {apart}"


def numbers(value: Any) -> np.ndarray:
    """All numbers in what a step gives, one after another."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().double().numpy().ravel()
    if isinstance(value, np.ndarray):
        return value.astype(np.float64).ravel()
    if isinstance(value, dict):
        value = [each for _, each in sorted(value.items(), key=lambda pair: str(pair[0]))]
    if isinstance(value, list | tuple):
        return np.concatenate([numbers(each) for each in value]) if len(value) else np.zeros(0)
    return np.array([float(value)])


def said(model: LanguageModel, n_samples: int = 1) -> list[Any]:
    temperature = 0.0 if n_samples == 1 else 1.0
    settings = Sampling(n_samples=n_samples, temperature=temperature, max_new_tokens=4)
    return [[each.token_ids for each in own] for own in sample(model, PROMPTS, settings)]


@torch.no_grad()
def logits(model: LanguageModel) -> Any:
    ids = torch.tensor([IDS[0][:5], IDS[2]]).to(model.device)
    return model.hf(input_ids=ids, use_cache=False).logits


def within(block: Callable[[LanguageModel], Any]) -> Callable[[LanguageModel], Any]:
    """Logits, samples and contributions inside the block of an intervention."""

    def work(model: LanguageModel) -> Any:
        with block(model):
            return [logits(model), said(model), collect(model, ITEMS).answer]

    return work


def scaled_rows(model: LanguageModel) -> Any:
    with scale_rows(model, [Scaling(tuple(NEURONS), alpha) for alpha in (0.0, 2.0, 3.0)]):
        return said(model, 3)


def recorded(model: LanguageModel) -> Any:
    found = collect(model, ITEMS)
    return [found.answer, found.other, found.hidden_answer, [each.entropy or 0.0 for each in found.rows]]


def probe(model: LanguageModel) -> Probe:
    listed = tuple(WeightedNeuron(layer=k, index=j, weight=50.0) for k, j in NEURONS)
    settings: dict[str, Any] = {"scheme": "1-vs-1", "scale": "none", "intercept_kind": "free", "other": "response"}
    settings |= {"positions": "at", "C": 1.0, "violation": 0.0, "intercept": -1.0}
    provenance = Provenance(date="2026-01-31", questions={}, versions={})
    card = ProbeCard(model=model.fingerprint, neurons=listed, provenance=provenance, **settings)
    return Probe(card, tuple(NEURONS), np.full(len(NEURONS), 50.0), None)


def gated(model: LanguageModel) -> Any:
    with gate(model, probe(model), threshold=0.5, alpha=3.0) as count:
        return [said(model, 2), count.turned, count.repeated]


def resampled(model: LanguageModel) -> Any:
    reference = activations(model, IDS, "neurons")
    return ablate(model, "neurons", NEURONS, how="resample", reference=reference)


def averaged(model: LanguageModel) -> Any:
    return ablate(model, "heads", [(0, 1), (3, 2)], how="mean", reference=mean_activations(model, IDS, "heads"))


def put(model: LanguageModel) -> Any:
    return patch(model, activations(model, [IDS[1]], "ffn", positions=[1]), positions=[2])


def steered(model: LanguageModel) -> Any:
    direction = torch.randn(model.hidden_size, generator=torch.Generator().manual_seed(0))
    return steer(model, 2, direction, 2.0)


def answered(number: int, ids: tuple[int, ...], response: tuple[int, ...]) -> Answered:
    segments = ("first", "template", *["question"] * (len(ids) - 2))
    fork = Fork(index=1, given=response[1], correct=31)
    fields: dict[str, Any] = {"key": f"{number}#0", "eval_set": "s", "kind": "", "group": str(number), "fork": fork}
    fields |= {"prompt_ids": ids, "response_ids": response, "answer": (1,), "hallucinated": bool(number)}
    fields |= {"segments": segments, "text": "t"}
    fields["question"] = Question(id=str(number), text="?")
    return Answered(**fields)


ANSWERED = [answered(0, IDS[0], (20, 21, 22)), answered(1, IDS[2], (24, 25))]
INPUTS = [Input(IDS[0]), Input((5, 90, 91, 41, 9, 30, 12)), Input(IDS[0], Noise((1, 2), 0.7, "a", draw=1))]


def causal(model: LanguageModel) -> Any:
    patches = [
        Patch(1, (Place("residual", 0, (2, 4), source=0), Place("heads", 3, (6,), source=0, part=(1, 3)))),
        Patch(2, (Place("neurons", 2, (1, 6), source=1, part=(0, 31)),)),
        Patch(0, (Place("ffn", 3, (6,), values=torch.full((model.hidden_size,), 0.5)),)),
    ]
    found = patched(model, INPUTS, patches, [(7, 20)] * 3)
    return [value for value in vars(found).values() if isinstance(value, np.ndarray | torch.Tensor)]


def lens(model: LanguageModel) -> Any:
    found = logit_lens(model, IDS, [[1, 2]] * 3)
    return [value for value in vars(found).values() if isinstance(value, np.ndarray | torch.Tensor)]


def shares(model: LanguageModel) -> Any:
    return attention_shares(model, ANSWERED).share


WORKS: dict[str, Callable[[LanguageModel], Any]] = {
    "column norms": lambda model: model.column_norms(),
    "fingerprint": lambda model: int(model.fingerprint.weights_digest, 16) % 2**40,
    "logits": logits,
    "recording": recorded,
    "sampling": lambda model: said(model, 5),
    "token scores": lambda model: token_scores(model, probe(model), ITEMS),
    "scale": within(lambda model: scale(model, NEURONS, 3.0)),
    "scale heads": within(lambda model: scale(model, [(0, 1), (3, 2)], 0.0, site="heads")),
    "scale_rows": scaled_rows,
    "gate": gated,
    "ablate": within(resampled),
    "ablate to the mean": within(averaged),
    "patch": within(put),
    "steer": within(steered),
    "contrast": lambda model: entered(contrast(model, [0, 1]), model),
    "recalibrate": lambda model: entered(recalibrate(model, 2.0, [1, 2]), model),
    "states": lambda model: collect_states(model, ANSWERED),
    "attention": shares,
    "patching": causal,
    "lens": lens,
    "P(True)": lambda model: p_true(model, IDS, TruthTokens((7,), (8,))),
}


def entered(block: Any, model: LanguageModel) -> Any:
    with block:
        return said(model)


if __name__ == "__main__":
    main()
