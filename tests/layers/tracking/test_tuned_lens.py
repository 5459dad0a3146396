"""The tuned lens begins as the logit lens, training brings it nearer, and only its own model reads it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from hneurons.errors import ModelError, ResponseError
from hneurons.layers.tracking.lens import logit_lens
from hneurons.layers.tracking.tuned_lens import RIDGE, TunedLens, _drawn, _ridge, train_tuned_lens
from hneurons.models.language_model import LanguageModel


def texts(count: int, seed: int, vocabulary: int = 300) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(6, vocabulary, size=random.integers(4, 12)).tolist() for _ in range(count)]


HELD_OUT = texts(12, 1)
EVERYWHERE = [list(range(len(text))) for text in HELD_OUT]


@pytest.fixture(scope="module")
def trained(tiny_model: Callable[..., LanguageModel]) -> tuple[LanguageModel, TunedLens]:
    model = tiny_model("llama", layers=3)
    return model, train_tuned_lens(model, texts(80, 0), steps=60, rate=3e-3)


def test_identity_is_the_logit_lens_on_every_family(tiny_family: str, tiny_model: Callable[..., LanguageModel]) -> None:
    model = tiny_model(tiny_family)
    lens = train_tuned_lens(model, HELD_OUT[:2], start="identity", steps=0)
    plain = logit_lens(model, HELD_OUT[:3], EVERYWHERE[:3])
    same = logit_lens(model, HELD_OUT[:3], EVERYWHERE[:3], lens=lens)
    np.testing.assert_array_equal(plain.tokens, same.tokens)
    np.testing.assert_allclose(plain.log_prob, same.log_prob, atol=1e-5)
    stepped = train_tuned_lens(model, HELD_OUT[:2], start="identity", steps=1, rate=1e-2)
    other = logit_lens(model, HELD_OUT[:3], EVERYWHERE[:3], lens=stepped)
    assert all(np.abs(other.kl[:, d] - plain.kl[:, d]).max() > 1e-4 for d in range(model.n_layers))
    np.testing.assert_array_equal(other.kl[:, -1], plain.kl[:, -1])  # the last depth needs no translation


def test_training_lowers_the_divergence_on_other_texts(trained: tuple[LanguageModel, TunedLens]) -> None:
    model, lens = trained
    plain = logit_lens(model, HELD_OUT, EVERYWHERE).kl.mean(axis=0)
    ridge = logit_lens(model, HELD_OUT, EVERYWHERE, lens=train_tuned_lens(model, texts(80, 0), steps=0)).kl.mean(axis=0)
    tuned = logit_lens(model, HELD_OUT, EVERYWHERE, lens=lens).kl.mean(axis=0)
    assert (tuned[:-1] < plain[:-1]).all()
    assert (tuned[:-1] < ridge[:-1]).all()
    again = train_tuned_lens(model, texts(80, 0), steps=60, rate=3e-3)
    assert torch.equal(again.weight, lens.weight)


def test_the_divergence_is_that_of_numpy(trained: tuple[LanguageModel, TunedLens]) -> None:
    model, lens = trained
    text = HELD_OUT[0]
    read = logit_lens(model, [text], [[2]], lens=lens)
    with torch.no_grad():
        out = model.hf(input_ids=torch.tensor([text]), output_hidden_states=True)
    hf = model.hf
    own = out.logits[0, 2].double().log_softmax(-1).numpy()
    other_way = []
    for depth in range(3):
        h = out.hidden_states[depth][0, 2].double().numpy()
        moved = h + lens.weight[depth].double().numpy() @ h + lens.bias[depth].double().numpy()
        scale = 1 / np.sqrt((moved**2).mean() + model.config.rms_norm_eps)
        logits = hf.lm_head.weight.double().numpy() @ (moved * scale * hf.model.norm.weight.double().numpy())
        log = logits - np.log(np.exp(logits).sum())
        divergence = (np.exp(own) * (own - log)).sum()
        assert read.kl[0, depth] == pytest.approx(divergence, abs=1e-4)
        other_way.append((np.exp(log) * (log - own)).sum())
    assert not np.allclose(read.kl[0, :3], other_way, atol=1e-2)


def test_the_start_is_scikit_learns_ridge() -> None:
    random = np.random.default_rng(0)
    h, last = random.normal(size=(40, 6)), random.normal(size=(40, 6))
    weight, bias = _ridge(torch.from_numpy(h), torch.from_numpy(last))
    centred = h - h.mean(axis=0)
    penalty = RIDGE * (centred**2).sum(axis=0).mean()
    fitted = Ridge(alpha=penalty).fit(h, last - h)
    np.testing.assert_allclose(weight.numpy(), fitted.coef_, atol=1e-5)
    np.testing.assert_allclose(bias.numpy(), fitted.intercept_, atol=1e-5)


def test_it_is_read_back_for_its_own_model_only(
    trained: tuple[LanguageModel, TunedLens], tiny_model: Callable[..., LanguageModel], tmp_path: Path
) -> None:
    model, lens = trained
    lens.save(tmp_path)
    found = TunedLens.load(tmp_path, model)
    assert found.card == lens.card
    assert torch.equal(found.weight, lens.weight)
    assert torch.equal(found.bias, lens.bias)
    with pytest.raises(ModelError, match="is that of"):
        TunedLens.load(tmp_path, tiny_model("llama", layers=3, seed=9))
    (tmp_path / "lens.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match="train one"):
        TunedLens.load(tmp_path, model)
    with pytest.raises(ModelError, match="train one"):
        TunedLens.load(tmp_path / "nowhere", model)


def test_tokens_are_drawn_without_replacement_and_some_text_is_needed(tiny_llama: LanguageModel) -> None:
    drawn = _drawn([5, 0, 7], 8, 0)
    assert sum(map(len, drawn)) == 8
    assert all(own == sorted(set(own)) for own in drawn)
    assert _drawn([5, 7], 99, 0) == [list(range(5)), list(range(7))]
    with pytest.raises(ResponseError):
        train_tuned_lens(tiny_llama, [])
    with pytest.raises(ResponseError):
        train_tuned_lens(tiny_llama, [[1, 99999]])


def test_groups_of_layers_give_the_same_lens(tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train_tuned_lens(tiny_llama, HELD_OUT, steps=2)
    monkeypatch.setattr("hneurons.layers.tracking.tuned_lens.MEMORY", 1)
    parts = train_tuned_lens(tiny_llama, HELD_OUT, steps=2)
    torch.testing.assert_close(parts.weight, whole.weight, atol=1e-5, rtol=1e-4)
