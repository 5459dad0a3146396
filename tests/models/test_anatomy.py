from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import transformers

from hneurons.models.anatomy import Anatomy
from hneurons.models.families import FAMILIES, LLAMA, supported_families

ROWS = pytest.mark.parametrize("row", supported_families(), ids=lambda row: row.model_type)


@ROWS
def test_a_row_says_in_one_line_where_the_neurons_are(row: Anatomy) -> None:
    line = row.describe()
    assert "\n" not in line
    assert row.model_type in line
    if row.mixture is None:
        assert f"{row.layers}[l].{row.down}" in line
        assert row.up in line
    else:
        assert f"each expert's down_proj in {row.layers}[l].{row.mixture.experts}" in line
        assert "the routing weight, as the model applies it, is part of a contribution" in line
    assert ("before post_feedforward_layernorm" in line) == (row.post_norm is not None)
    assert ("Conv1D" in line) == row.conv1d
    assert ("wrapper" in line) == row.wrapper


@ROWS
def test_a_row_names_a_class_that_transformers_has(row: Anatomy) -> None:
    assert getattr(transformers, row.model_class).config_class.model_type == row.model_type


def test_every_family_that_was_asked_for_is_there() -> None:
    asked = (
        "llama mistral mistral3 gemma2 gemma3 gemma3_text qwen2 qwen3 phi3 olmo2 granite cohere stablelm falcon gpt2"
    )
    assert {*asked.split(), "gpt_neox", "phi", "opt", "bloom", "gptj"} <= set(FAMILIES)


def test_rows_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        LLAMA.down = "elsewhere"  # type: ignore[misc]
    with pytest.raises(TypeError):
        FAMILIES["new"] = LLAMA  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [
        {"gate": "mlp.up_proj"},  # one path for both, and no order of the halves
        {"packed": "gate_up"},
        {"ffn": ""},
        {"exit": "layer"},
        {"norm": "final_layer_norm"},
    ],
)
def test_a_row_that_contradicts_itself_cannot_be_made(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="llama: "):
        replace(LLAMA, **change)


@ROWS
def test_the_documentation_lists_the_row_as_it_is(row: Anatomy) -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    kind = "gated" if row.gated else "plain"
    line = f"| {row.title} | `{row.model_type}` | `{row.layers}[l].{row.down}` | {kind} | {'; '.join(row.notes)} |"
    if (mixture := row.mixture) is not None:
        gate = f", gated by `{mixture.shared_gate}`" if mixture.shared_gate else ""
        shared = f"`{mixture.shared}`{gate}" if mixture.shared else "none"
        experts = f"`{row.layers}[l].{mixture.experts}`"
        line = f"| {row.title} | `{row.model_type}` | {experts} | {mixture.formula} | {shared} |"
    assert line in page.splitlines()
