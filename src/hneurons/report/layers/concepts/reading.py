"""What figures, tables and sentences read of this part."""

from __future__ import annotations

from hneurons.layers.concepts.record import (
    Baseline,
    Concept,
    Concepts,
    How,
    Moved,
    Pictured,
    Reading,
    Removed,
    Selectivity,
)


def set_names(found: Concepts) -> list[str]:
    """The evaluation sets, in their order."""
    return [each.name for each in found.sets]


def readings(found: Concepts, concept: Concept, how: How, eval_set: str) -> list[Reading]:
    """Layer by layer."""
    return [each for each in found.readings if (each.concept, each.how, each.eval_set) == (concept, how, eval_set)]


def selectivities(found: Concepts, concept: Concept, eval_set: str) -> list[Selectivity]:
    """Layer by layer."""
    return [each for each in found.selectivity if (each.concept, each.eval_set) == (concept, eval_set)]


def baseline_of(found: Concepts, concept: Concept, eval_set: str) -> Baseline:
    """Kind of question and lengths on one set."""
    return next(each for each in found.baselines if (each.concept, each.eval_set) == (concept, eval_set))


def removals(found: Concepts, eval_set: str) -> list[Removed]:
    """Layer by layer."""
    return [each for each in found.removed if each.eval_set == eval_set]


def pictured_set(found: Concepts) -> str | None:
    """The set whose points are shown."""
    return next((each.eval_set for each in found.pictures if each.points), None)


def pictures(found: Concepts, how: str, eval_set: str) -> list[Pictured]:
    """Layer by layer."""
    return [each for each in found.pictures if (each.how, each.eval_set) == (how, eval_set)]


def moves(found: Concepts, control: str) -> list[Moved]:
    """Layer by layer, forward before backward, beside one kind of control."""
    return [] if found.steering is None else [each for each in found.steering.moved if each.control == control]
