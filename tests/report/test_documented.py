"""docs/results.md names every field of results.json, docs/study.md and docs/compliance.md every setting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hneurons.compliance.benchmark import BenchmarkRequest
from hneurons.compliance.settings import SweepSettings
from hneurons.endpoint import Account
from hneurons.layers.record import Layers
from hneurons.models.fingerprint import ModelFingerprint
from hneurons.models.mixture import ExpertLayout
from hneurons.origins.record import SetAsked, Transfer, TransferControl, TransferFinding, Transferred
from hneurons.probes.bootstrap import Estimate
from hneurons.probes.controls import Band
from hneurons.study.config import SetSettings, StudyConfig
from hneurons.study.origin_settings import OriginSettings
from hneurons.study.results import Results

DOCS = Path(__file__).parents[2] / "docs"
SHARED = {
    Estimate: "An estimate",
    Band: "A band",
    Account: "An account",
    ModelFingerprint: "model",
    ExpertLayout: "An expert layout",
    Transfer: "A transfer",
    Transferred: "A transferred detector",
    TransferControl: "A transferred control",
    TransferFinding: "A finding of transfer",
    SetAsked: "A set asked",
}


def sections(page: str) -> dict[str, str]:
    """Text below each heading, without that of deeper headings."""
    parts = re.split(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return dict(zip([title.strip("`") for title in parts[1::2]], parts[2::2], strict=True))


def named(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    cells = re.findall(r"^\| ([^|]*) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def inside(annotation: Any) -> Iterator[type[BaseModel]]:
    """Records in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from inside(part)


def records(record: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every record below `record`, with the path to it."""
    yield SHARED.get(record, path), record
    for name, field in record.model_fields.items():
        for each in inside(field.annotation):
            yield from records(each, f"{path}.{name}" if path != "The whole" else name)


def undocumented(page: str) -> list[str]:
    found = sections(page)
    missing = []
    for path, record in dict.fromkeys(records(Results, "The whole")):
        if not path.startswith("layers."):
            missing += [f"{path}.{name}" for name in record.model_fields if name not in named(found.get(path, ""))]
    return missing


def undocumented_layers(page: str) -> list[str]:
    """A record of the layers that stands in several places is told in one of them."""
    found = sections(page)
    places: dict[type[BaseModel], list[str]] = {}
    for path, record in dict.fromkeys(records(Layers, "layers")):
        if path.startswith("layers."):
            places.setdefault(record, []).append(path)
    missing = []
    for record, paths in places.items():
        told = set.union(*(named(found.get(path, "")) for path in paths))
        missing += [f"{paths[0]}.{name}" for name in record.model_fields if name not in told]
    return missing


def settings(page: str) -> dict[str, dict[str, str]]:
    """Defaults as the tables of settings give them, by table and field."""
    blocks = re.findall(r"^(`\w+`.*|The rest)\n\n((?:\|.*\n)+)", sections(page)["Settings"], flags=re.MULTILINE)
    rows = {
        title: re.findall(r"^\| `(\w+)` \| *`?([^|`]*?)`? *\|", table, flags=re.MULTILINE) for title, table in blocks
    }
    return {re.findall(r"\w+", title)[0]: dict(found) for title, found in rows.items()}


def unexplained(page: str) -> list[str]:
    """Settings that no table names, or whose default is another."""
    tables = settings(page)
    missing = []
    for name, field in StudyConfig.model_fields.items():
        below = next(inside(field.annotation), None)
        table = "The" if below is None else "train" if below is SetSettings else name
        fields = {name: field} if below is None else below.model_fields
        for key, each in fields.items():
            told = tables.get(table, {}).get(key)
            if told is None or told not in written(each.default):
                missing.append(key if below is None else f"{name}.{key}")
    return missing


def written(default: Any) -> tuple[str, ...]:
    """How a default may be written."""
    if default is PydanticUndefined:
        return ("required",)
    if default is None or default in ("", ()):
        return ("",)
    if isinstance(default, float):
        return (str(default), f"{default:g}")
    return (str(default).replace("\n", "\\n"), str(default).lower())


def test_every_field_of_the_results_is_documented() -> None:
    assert undocumented((DOCS / "results.md").read_text(encoding="utf-8")) == []


def test_every_field_of_the_layers_is_documented() -> None:
    page = (DOCS / "layers" / "fields.md").read_text(encoding="utf-8")
    assert undocumented_layers(page) == []
    assert undocumented_layers(page.replace("`trajectories`", "`other`")) == ["layers.tracking.sets.trajectories"]


@pytest.mark.parametrize(
    "field",
    [
        "known_intact",
        "jaccard",
        "better",
        "weights_digest",
        "values",
        "high_bound",
        "threshold",
        "carries",
        "matched_p_more",
    ],
)
def test_a_field_that_is_not_documented_is_found(field: str) -> None:
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert any(each.endswith(f".{field}") for each in undocumented(page.replace(f"`{field}`", "`other`")))


def test_every_setting_is_documented_with_its_default() -> None:
    page = (DOCS / "study.md").read_text(encoding="utf-8")
    assert unexplained(page) == []
    assert unexplained(page.replace("`n_grid`", "`n_C`")) == ["probe.n_grid"]
    assert unexplained(page.replace("| `n_stability` | ", "| `n_stability` | 9")) == ["controls.n_stability"]


def test_every_setting_of_a_sweep_is_documented() -> None:
    page = (DOCS / "compliance.md").read_text(encoding="utf-8")
    fields = {*SweepSettings.model_fields, *BenchmarkRequest.model_fields}
    assert fields == named(sections(page)["Settings"])
    assert "n_known" in fields - named(sections(page.replace("`n_known`", "`known`"))["Settings"])
    rows = dict(re.findall(r"^\| `(\w+)` \| *([^|]*?) *\|", sections(page)["Settings"], flags=re.MULTILINE))
    for name in ("n_random", "n_layer_matched", "gated", "gate_quantile", "n_known", "batch_rows", "n_bootstrap"):
        assert rows[name] in written(SweepSettings.model_fields[name].default)
    assert [float(alpha) for alpha in rows["alphas"].split(",")] == list(SweepSettings().alphas)


def test_every_setting_of_tracing_is_documented() -> None:
    page = (DOCS / "origins.md").read_text(encoding="utf-8")
    assert set(OriginSettings.model_fields) == named(sections(page)["Settings"])
    assert "forward" not in named(sections(page.replace("`forward`", "`other`"))["Settings"])
