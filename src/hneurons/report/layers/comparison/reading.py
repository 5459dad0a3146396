"""What figures, words and tables of the comparison read of its record."""

from __future__ import annotations

from collections.abc import Sequence

from hneurons.layers.comparison.record import READS, Adjacent, Compared, Level, Read, Selection

ALPHA = 0.05
NAMES: dict[Read, str] = {"residual": "residual stream", "attention": "attention output", "ffn": "FFN output"}


def shown(compared: Compared) -> Selection:
    """The matched answers; all of them where there are too few pairs."""
    return compared.matched or compared.every


def of_read(levels: Sequence[Level], read: Read) -> list[Level]:
    """One read, layer by layer."""
    return sorted((each for each in levels if each.read == read), key=lambda each: each.layer)


def differs(level: Level) -> bool:
    """Whether the two kinds lie apart more than permuted labels do, many layers and reads allowed for."""
    return level.effect_against.q < ALPHA


def beats(level: Level) -> bool:
    """Whether states tell more than length and kind: the paired interval of the difference lies above zero."""
    return level.over_baseline.low is not None and level.over_baseline.low > 0


def beats_said(level: Level) -> bool:
    """Whether states tell more than length, kind and the first token of the claim."""
    return level.over_said.low is not None and level.over_said.low > 0


def first_that_stays(levels: Sequence[Level], read: Read) -> int | None:
    """The layer from which on every layer of a read differs; None where the last one does not."""
    found = None
    for level in reversed(of_read(levels, read)):
        if not differs(level):
            break
        found = level.layer
    return found


def strongest(selection: Selection, read: Read | None = None) -> Level | None:
    """The place of the largest effect size, of all or of one read; None where none is defined."""
    own = [each for each in selection.levels if each.effect.value is not None and read in (None, each.read)]
    return max(own, key=lambda each: each.effect.value or 0.0, default=None)


def changed(adjacent: Sequence[Adjacent]) -> list[Adjacent]:
    """Steps from a layer to the next of which the similarity differs between the kinds, larger differences first."""
    own = [each for each in adjacent if each.against.q < ALPHA and each.difference.value is not None]
    return sorted(own, key=lambda each: -abs(each.difference.value or 0.0))


def read_order(read: Read) -> int:
    """Where a read stands beside the others."""
    return READS.index(read)
