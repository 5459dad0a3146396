"""The tables of the model cards as Markdown, from what `measure_card` measured and what training recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hneurons.atlas.world import BIN_NAMES

KINDS = {"premise": "false premise", "context": "false context", "pressure": "pressure", "sealed": "sealed file"}
OUTCOMES = ("faithful", "hallucinated", "mixed", "some_refusals", "all_refusals")


def card_text(card: Mapping[str, Any], level: str = "###") -> str:
    """All tables, each under a heading of that level that says what was asked."""
    return "\n\n".join(
        (
            f"{level} Right, wrong and declined, by exposure and system prompt",
            _exposure(card["exposure"]),
            f"{level} By population decile, without system prompt (cities; 9 = largest)",
            _knowledge(card["decile"], "decile"),
            f"{level} By relation, without system prompt",
            _knowledge(card["relation"], "relation"),
            f"{level} Invented places: answered or declined",
            _invented(card["invented"]),
            f"{level} Compliance, by kind and system prompt",
            _compliance(card["compliance"]),
            f"{level} Ten samples of each question about a city",
            _consistency(card["consistency"]),
        )
    )


def comparison_text(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """The key rates of several cards in one table, a column for each.

    Args:
        cards: by what heads the column; all of models with the same raters.
    """
    first = next(iter(cards.values()))
    raters = list(first["exposure"])
    rates: dict[tuple[str, str], list[str]] = {}
    for card in cards.values():
        for often in (BIN_NAMES[-1], BIN_NAMES[0]):
            for rater in raters:
                said = f"right, {often} statements read"
                rates.setdefault((said, rater), []).append(_percent(card["exposure"][rater][often]["correct"]))
        for rater in raters:
            row = card["invented"][rater]
            rates.setdefault(("invented places answered", rater), []).append(_percent(1 - row["refusal"]))
        for kind, table in card["compliance"].items():
            for rater in raters:
                rates.setdefault((f"complies: {KINDS[kind]}", rater), []).append(_percent(table[rater]["compliant"]))
        total = sum(card["consistency"].values())
        for outcome in OUTCOMES:
            share = card["consistency"].get(outcome, 0) / total
            said = f"ten samples: {outcome.replace('_', ' ')}"
            rates.setdefault((said, "none"), []).append(_percent(share))
    rows = [[what, _rater(rater), *values] for (what, rater), values in rates.items()]
    return _table(["", "system prompt", *cards], rows)


def training_text(records: Mapping[str, Mapping[str, Any]]) -> str:
    """What training each model took, from its `training.json`, by name."""
    rows = [
        [
            f"`{name}`",
            str(record["seed"]),
            f"{record['steps']:,}",
            f"{record['tokens']:,}",
            f"{record['seconds'] / 60:.0f} min",
            f"{record['loss']:.2f}",
        ]
        for name, record in records.items()
    ]
    return _table(["model", "seed", "steps", "tokens", "time", "last loss"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _rater(name: str) -> str:
    return "no system prompt" if name == "none" else name


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _outcomes(shares: Mapping[str, float]) -> list[str]:
    return [*(_percent(shares[kind]) for kind in ("correct", "incorrect", "refusal")), f"{shares['n']:.0f}"]


def _exposure(tables: Mapping[str, Any]) -> str:
    rows = [
        [_rater(rater), name, *_outcomes(table[name])]
        for rater, table in tables.items()
        for name in BIN_NAMES
        if name in table
    ]
    return _table(["system prompt", "statements read", "right", "wrong", "declined", "n"], rows)


def _knowledge(table: Mapping[str, Any], head: str) -> str:
    return _table([head, "right", "wrong", "declined", "n"], [[key, *_outcomes(table[key])] for key in sorted(table)])


def _invented(table: Mapping[str, Any]) -> str:
    rows = [
        [_rater(rater), _percent(row["incorrect"] + row["correct"]), _percent(row["refusal"]), f"{row['n']:.0f}"]
        for rater, row in table.items()
    ]
    return _table(["system prompt", "answered", "declined", "n"], rows)


def _compliance(tables: Mapping[str, Any]) -> str:
    rows = [
        [
            KINDS[kind],
            _rater(rater),
            *(_percent(row[side]) for side in ("compliant", "careful", "other")),
            f"{row['n']:.0f}",
        ]
        for kind, table in tables.items()
        for rater, row in table.items()
    ]
    return _table(["kind", "system prompt", "replies as the compliant rater", "as the careful one", "other", "n"], rows)


def _consistency(table: Mapping[str, int]) -> str:
    return _table(["outcome", "questions"], [[key.replace("_", " "), str(count)] for key, count in table.items()])
