"""The tables of this part."""

from __future__ import annotations

from dataclasses import dataclass

from hneurons.layers.concepts.record import Concepts, Effect
from hneurons.probes.bootstrap import Estimate
from hneurons.report.layers.concepts.reading import baseline_of, moves, readings, selectivities, set_names
from hneurons.report.numbers import NONE, decimal, difference, percent
from hneurons.report.views import Cell, plain, share


@dataclass(frozen=True)
class ProbeLine:
    """One set: the logistic probe and the difference of means of the best layer, and what they are held against."""

    concept: str
    eval_set: str
    layer: int
    logistic: Cell
    means: Cell
    permuted: str
    outside: Cell
    gain: str
    accuracy: Cell
    control: str
    selectivity: str


@dataclass(frozen=True)
class MoveLine:
    """One layer, steered one way: changes, with those of directions of permuted labels."""

    layer: int
    way: str
    reading: str
    log_prob: str
    log_prob_control: str
    entropy: str
    entropy_control: str
    correct: str
    correct_control: str


def probe_lines(found: Concepts) -> list[ProbeLine]:
    """Factuality, then uncertainty, set by set."""
    lines = []
    for concept, layer in found.best.items():
        for name in set_names(found):
            logistic, means = (readings(found, concept, how, name)[layer] for how in ("logistic", "means"))
            own, outside = selectivities(found, concept, name)[layer], baseline_of(found, concept, name)
            band, control = logistic.permuted, own.control
            lines.append(
                ProbeLine(
                    concept=concept,
                    eval_set=name,
                    layer=layer,
                    logistic=plain(logistic.auroc),
                    means=plain(means.auroc),
                    permuted=NONE if band is None else f"{decimal(band.low, 2)} to {decimal(band.high, 2)}",
                    outside=plain(outside.auroc),
                    gain=_signed(outside.gain),
                    accuracy=share(own.accuracy),
                    control=NONE if control is None else percent(control.mean),
                    selectivity=_signed(own.selectivity),
                )
            )
    return lines


def transfer_rows(found: Concepts) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """The sets that were tested on, and for each that was fitted on its AUROC for factuality there."""
    own = [each for each in found.transfers if each.concept == "factuality" and each.auroc.value is not None]
    names = list(dict.fromkeys(each.tested_on for each in own))
    rows = list(dict.fromkeys(each.fitted_on for each in own))
    by = {(each.fitted_on, each.tested_on): plain(each.auroc) for each in own}
    return names, [(row, [by.get((row, name), Cell(NONE)) for name in names]) for row in rows]


def move_lines(found: Concepts) -> list[MoveLine]:
    """Layer by layer, towards factual and away from it."""
    return [
        MoveLine(
            layer=each.layer,
            way="towards factual" if each.strength > 0 else "away",
            reading=_signed(each.reading[max(each.reading)].value),
            log_prob=_signed(each.log_prob.value),
            log_prob_control=_band(each.log_prob),
            entropy=_signed(each.entropy.value),
            entropy_control=_band(each.entropy),
            correct=NONE if each.correct is None else _signed(each.correct.value),
            correct_control=NONE if each.correct is None else _band(each.correct),
        )
        for each in moves(found, "permuted")
    ]


def _signed(found: Estimate) -> str:
    return NONE if found.value is None else difference(found)


def _band(effect: Effect) -> str:
    band = effect.control
    return NONE if band is None else f"{decimal(band.low, 2)} to {decimal(band.high, 2)}"
