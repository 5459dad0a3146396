"""Checkpoints along the way: they change nothing, and each is what training stopped there would have given."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

import hneurons
from hneurons.atlas import WEIGHTS, recipe
from hneurons.atlas.recipe import checkpoint_steps, train_base
from hneurons.atlas.tokenizing import SPECIAL
from hneurons.atlas.training import SIZES, Batch, Schedule, new_model, train
from hneurons.files import read_json

STEPS, ROWS = 5, 2
KEPT = (0, 2, 3, STEPS)
SHORT = partial(Schedule, warmup=1)  # past the warm-up, a shorter schedule has other rates


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Few windows, a short warm-up; the steps. What is read is no matter, and the corpus takes seconds."""
    windows = np.random.default_rng(0).integers(3, 2048, (STEPS * ROWS + 1, 24)).astype(np.uint16)
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "atlas-7m-base")
    monkeypatch.setattr(recipe, "windows_of", lambda *_: (windows, tokenizer))
    monkeypatch.setattr(recipe, "checkpoint_steps", lambda total: tuple(min(step, total) for step in KEPT))
    monkeypatch.setattr(recipe, "BATCH", ROWS)
    monkeypatch.setattr(recipe, "Schedule", SHORT)
    blocks = [torch.from_numpy(windows[i * ROWS : (i + 1) * ROWS].astype(np.int64)) for i in range(STEPS)]
    return [Batch(block, block) for block in blocks]


def fresh() -> LlamaForCausalLM:
    vocabulary = AutoTokenizer.from_pretrained(WEIGHTS / "atlas-7m-base").get_vocab()
    return new_model(SIZES["1m"], {token: vocabulary[token] for token in SPECIAL}, 1)


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return dict(LlamaForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).state_dict())


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    assert found.keys() == expected.keys()
    return all(torch.equal(found[name], expected[name].bfloat16()) for name in found)


@pytest.mark.parametrize(
    ("total", "steps"),
    [
        (3, (0, 3)),
        (50, (0, 50)),
        (320, (0, 50, 100, 200, 300, 320)),
        (1000, (0, 50, 100, 200, 300, 450, 600, 800, 1000)),
        (1374, (0, 50, 100, 200, 300, 450, 600, 800, 1000, 1374)),
        (1375, (0, 50, 100, 200, 300, 450, 600, 800, 1000, 1250, 1375)),
    ],
)
def test_the_steps_that_are_kept(total: int, steps: tuple[int, ...]) -> None:
    assert checkpoint_steps(total) == steps


def test_kept_steps_ascend_from_the_untrained_model_to_the_last_and_are_denser_at_first() -> None:
    for total in range(1, 4000, 37):
        steps = checkpoint_steps(total)
        gaps = [later - earlier for earlier, later in pairwise(steps)]
        assert (steps[0], steps[-1]) == (0, total)
        assert min(gaps) > 0
        assert max(gaps) <= 374


def test_keeping_checkpoints_changes_nothing(small: list[Batch], tmp_path: Path) -> None:
    without = train_base(tmp_path / "without", size="1m")
    kept = train_base(tmp_path / "with", size="1m", checkpoints=tmp_path / "kept")
    assert (kept.steps, kept.tokens, kept.loss) == (without.steps, without.tokens, without.loss)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("without", "with"))
    assert one == two
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [f"checkpoint-{step}" for step in KEPT]
    assert (tmp_path / "kept" / f"checkpoint-{STEPS}" / "model.safetensors").read_bytes() == two


def test_a_checkpoint_is_the_model_stopped_there_on_the_same_schedule(small: list[Batch], tmp_path: Path) -> None:
    train_base(tmp_path / "whole", size="1m", checkpoints=tmp_path / "kept")
    peak = recipe.BASE_PEAK
    for step in KEPT:
        model = fresh()
        train(model, small[:step], SHORT(peak, STEPS), "reading")
        assert same(stored(tmp_path / "kept" / f"checkpoint-{step}"), model.state_dict())
    # A schedule that ends where training stops has other rates, and gives another model.
    model = fresh()
    train(model, small[:3], SHORT(peak, 3), "reading")
    assert not same(stored(tmp_path / "kept" / "checkpoint-3"), model.state_dict())


def test_a_run_cut_short_keeps_its_own_last_step(small: list[Batch], tmp_path: Path) -> None:
    train_base(tmp_path / "cut", size="1m", steps=2, checkpoints=tmp_path / "kept")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["checkpoint-0", "checkpoint-2"]


def test_a_checkpoint_is_a_model_that_says_how_it_came_about(small: list[Batch], tmp_path: Path) -> None:
    train_base(tmp_path / "whole", size="1m", checkpoints=tmp_path / "kept")
    where = tmp_path / "kept" / "checkpoint-3"
    assert read_json(where / "training.json") == {"stage": "base", "size": "1m", "seed": 1, "steps": 3, "of": STEPS}
    model = hneurons.load(where, dtype="float32")
    assert (model.n_layers, model.n_neurons, model.hidden_size) == (4, 384, 128)
    assert same(stored(tmp_path / "kept" / "checkpoint-0"), fresh().state_dict())  # untrained


def test_after_is_called_with_the_steps_that_are_done(small: list[Batch]) -> None:
    seen: list[tuple[int, float]] = []
    model = fresh()
    train(model, small, SHORT(1e-2, 3), "reading", lambda step: seen.append((step, model.lm_head.weight.sum().item())))
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    assert len({weight for _, weight in seen}) == 4
    assert seen[0][1] == fresh().lm_head.weight.sum().item()
