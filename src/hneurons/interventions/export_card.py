"""The model card of an edited model: what was changed in what, how exactly, which neurons, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData
from huggingface_hub.repocard import metadata_load

from hneurons.interventions.export_record import BaseModelRecord, ExportReport
from hneurons.models.stored import StoredModel
from hneurons.probes.labels import Neuron

SHOWN = 30
"""Neurons that are listed openly; more are folded."""

_LICENCE = ("license", "license_name", "license_link")


@dataclass(frozen=True)
class Section:
    """A heading and its paragraphs, in Markdown; what comes from elsewhere in them has passed `code` or `plain`."""

    title: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class CardNotes:
    """What a card says beside the facts of the edit.

    `weights` are the probe's, by neuron. `why` says how the neurons were found, `effect` what turning them does and
    costs; where they are empty the card says that nothing is known.
    """

    weights: Mapping[Neuron, float] = field(default_factory=dict)
    why: Sequence[str] = ()
    effect: Sequence[str] = ()


def model_card(report: ExportReport, stored: StoredModel, notes: CardNotes) -> str:
    """The card as Markdown, with the front matter that the Hugging Face hub reads."""
    licence = stated_licence(stored.directory)
    sections = (
        Section("The edit", _edit(report)),
        Section("Which neurons", _neurons(report, notes)),
        Section("Why these", notes.why or ("They were given by hand. Nothing here says what they are for.",)),
        Section("What it does, and costs", notes.effect or ("That has not been measured.",)),
        Section("Licence", _licence(report, licence)),
    )
    parts = [
        f"---\n{_front_matter(stored, licence)}\n---",
        f"# {code(report.base.name)} with {_count(len(report.neurons), 'neuron')} at {report.alpha:g}",
        *_summary(report, stored),
        *(part for each in sections for part in (f"## {each.title}", *each.paragraphs)),
    ]
    return "\n\n".join(parts) + "\n"


def stated_licence(directory: Path) -> dict[str, str]:
    """What the front matter of the base model's card says of its licence; empty where it says nothing."""
    try:
        found: Any = metadata_load(directory / "README.md") or {}
    except Exception:  # a stranger's card may hold anything, and nothing depends on it
        found = {}
    return {name: found[name] for name in _LICENCE if isinstance(found.get(name), str)}


def code(text: str) -> str:
    """Text from elsewhere, to be read to the letter: nothing in it is Markdown or HTML, also in a table."""
    return f"`{_one_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def plain(text: str) -> str:
    """A sentence with words from elsewhere in it: no links, markup or HTML come of them."""
    return "".join(f"\\{letter}" if letter in r"\`*_[]<>&#|!~$" else letter for letter in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _front_matter(stored: StoredModel, licence: Mapping[str, str]) -> str:
    wrapper = stored.anatomy.wrapper
    data = ModelCardData(
        base_model=None if stored.source.local else stored.name,  # the hub knows no paths
        library_name="transformers",
        pipeline_tag="image-text-to-text" if wrapper else "text-generation",
        tags=["h-neurons", "edited-weights"],
        license=licence.get("license"),
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
    )
    return str(data.to_yaml())


def _summary(report: ExportReport, stored: StoredModel) -> list[str]:
    share = 1000 * len(report.neurons) / report.base.neurons
    done = "left alone" if report.alpha == 1 else "suppressed" if report.alpha < 1 else "amplified"
    auto = "AutoModelForImageTextToText" if stored.anatomy.wrapper else "AutoModelForCausalLM"
    return [
        f"A copy of {code(report.base.name)} in which {_count(len(report.neurons), 'feed-forward neuron')} of "
        f"{report.base.neurons:,} ({share:.2f} ‰) are {done}: what they put out is multiplied "
        f"by {report.alpha:g} at every token. Nothing else is changed, and it loads as any model does:",
        "```python\n"
        f"from transformers import {auto}, AutoTokenizer\n\n"
        'path = "."  # this directory\n'
        "tokenizer = AutoTokenizer.from_pretrained(path)\n"
        f"model = {auto}.from_pretrained(path)\n"
        "```",
    ]


def _edit(report: ExportReport) -> list[str]:
    base = report.base
    rows = [
        ("base model", code(base.name)),
        ("revision", code(base.revision) if base.revision else "none: not from the hub"),
        ("weights", f"fingerprint `{base.weights_digest}`" if base.weights_digest else "no fingerprint"),
        ("architecture", f"{code(base.model_type)}, {_shape(base)}"),
        ("alpha", f"{report.alpha:g}"),
        ("tensors changed", f"{len(report.edited)}, stored in {_types(report)}" if report.edited else "none"),
        ("made with", f"hneurons {report.version}"),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    return [
        table,
        "A neuron is one input of a layer's down-projection, so to multiply what it puts out is to multiply its column "
        "of that projection's weights. The columns of the neurons below were multiplied, and no other byte of the "
        "weights differs from the base model's.",
        _rounding(report),
        "`hneurons.json` holds the same for programs.",
    ]


def _shape(base: BaseModelRecord) -> str:
    if base.experts is None:
        return f"{base.n_layers} layers of {base.n_neurons:,} neurons"
    return f"{base.n_layers} layers, {base.experts.phrase}"


def _types(report: ExportReport) -> str:
    return " and ".join(sorted({each.dtype for each in report.edited}))


def _rounding(report: ExportReport) -> str:
    if not report.edited:
        return "With alpha 1 there is nothing to change: the weights are the base model's, byte for byte."
    if report.rounding == 0:
        return (
            f"The scaled weights are exact: no product with {report.alpha:g} had to be rounded. Run in the same "
            "precision, this model computes what the base model computes with its neurons scaled at run time."
        )
    return (
        f"Each scaled weight was rounded once, to {_types(report)}; the largest relative error is "
        f"{report.rounding:.2g}. So this model follows the base model with its neurons scaled at run time closely, "
        "not to the last digit, and a text may part from it where two next tokens are almost equally likely."
    )


def _neurons(report: ExportReport, notes: CardNotes) -> list[str]:
    layout = report.base.experts
    columns = ["layer", "index", *(["expert"] if layout else []), *(["weight in the probe"] if notes.weights else [])]
    ranked = sorted(report.neurons, key=lambda neuron: (-notes.weights.get(neuron, 0.0), neuron))
    rows = [
        [
            *map(str, neuron),
            *([layout.name_of(*neuron)] if layout else []),
            *([f"{notes.weights.get(neuron, 0.0):.3g}"] if notes.weights else []),
        ]
        for neuron in ranked
    ]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["--:"] * len(columns), *rows))
    counted = "All numbers count from 0." if layout else "Both numbers count from 0."
    if len(rows) <= SHOWN:
        return [counted, table]
    summary = f"<details><summary>All {_count(len(rows), 'neuron')}</summary>"
    return [counted, summary, table, "</details>"]


def _licence(report: ExportReport, licence: Mapping[str, str]) -> list[str]:
    stated = ", ".join(code(value) for value in licence.values())
    told = f"The base model's card states {stated}." if stated else "The base model's files state no licence on a card."
    return [f"{told} The terms of {code(report.base.name)} hold for this copy of its weights."]


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"
